//! Snapshots that are taken while the server serves.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{Raw, config, create, start};
use tempfile::TempDir;
use zooky_server::Server;
use zooky_testkit::eventually;
use zooky_wire::{Acl, Create, CreateKind, CreateMode, ErrorCode, Request, Response};

fn files(dir: &Path, prefix: &str) -> BTreeSet<i64> {
    let names = fs::read_dir(dir.join("version-2")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.iter().filter_map(|name| i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()).collect()
}

fn start_with(dir: &Path, transactions: u32) -> Server {
    let mut config = config(dir);
    config.snapshot_transactions = transactions;
    Server::start(config).unwrap()
}

/// Everything that a client can see below `/`.
fn tree(client: &mut Raw) -> Vec<String> {
    let (mut shown, mut paths) = (Vec::new(), vec!["/".to_owned()]);
    while let Some(path) = paths.pop() {
        let data = client.call(Request::GetData { path: path.clone(), watch: false });
        let acl = client.call(Request::GetAcl { path: path.clone() });
        let base = path.trim_end_matches('/');
        paths.extend(client.children(&path).into_iter().map(|name| format!("{base}/{name}")));
        shown.push(format!("{path} {data:?} {acl:?}"));
    }
    shown.sort();
    shown
}

fn login(client: &mut Raw) {
    client.send(&[Request::Auth { kind: 0, scheme: "digest".into(), auth: b"u:p".to_vec() }]).unwrap();
    assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
}

/// Sets `/busy` so many times, without waiting for each.
fn write(client: &mut Raw, times: usize) {
    let set = Request::SetData { path: "/busy".into(), data: Some(vec![1; 40].into()), version: -1 };
    client.send(&vec![set; times]).unwrap();
    for _ in 0..times {
        assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
    }
}

/// A bit of everything; the client has a session with ephemerals.
fn fill(client: &mut Raw) {
    login(client);
    for path in ["/busy", "/a", "/a/b", "/a/b/c"] {
        client.create(path, CreateMode::PERSISTENT, path.as_bytes()).unwrap();
    }
    client.create("/mine", CreateMode::EPHEMERAL, b"e").unwrap();
    client.create("/a/s-", CreateMode::EPHEMERAL_SEQUENTIAL, b"").unwrap();
    client.create("/container", CreateMode::CONTAINER, b"").unwrap();
    let (kind, acl) = (CreateKind::Create, Acl::creator_all());
    let own = Create { kind, path: "/own".into(), data: None, acl, mode: CreateMode::PERSISTENT };
    client.call(Request::Create(own)).unwrap();
}

#[test]
fn a_snapshot_holds_everything_that_is_not_in_the_logs_behind_it() {
    let dir = TempDir::new().unwrap();
    let server = start_with(dir.path(), 40);
    let mut client = Raw::connect(server.addr());
    fill(&mut client);
    let expected = tree(&mut client);
    // Only sets follow, until everything above is in snapshots alone.
    let made = client.exists("/own", false).unwrap().czxid;
    eventually(Duration::from_secs(30), "old logs to be removed", || {
        write(&mut client, 10);
        files(dir.path(), "log.").iter().all(|&zxid| zxid > made).then_some(())
    });
    let now = tree(&mut client);
    let busy = |line: &&String| !line.starts_with("/busy ");
    assert!(now.iter().filter(busy).eq(expected.iter().filter(busy)));
    server.stop().unwrap();
    let (snapshots, logs) = (files(dir.path(), "snapshot."), files(dir.path(), "log."));
    assert!((3..=4).contains(&snapshots.len()), "{snapshots:?}");
    for zxid in &snapshots {
        assert!(logs.contains(&(zxid + 1)) || *zxid == client.zxid, "{snapshots:?} {logs:?}");
    }

    // From the newest, and from each one before it when the newer ones are gone.
    for zxid in snapshots.iter().rev() {
        let server = start_with(dir.path(), 1_000_000);
        client = Raw::reattach(server.addr(), &client).unwrap();
        login(&mut client);
        assert_eq!(tree(&mut client), now, "from snapshot.{zxid:x}");
        assert_eq!(client.exists("/mine", false).unwrap().ephemeral_owner, client.session.session_id);
        server.stop().unwrap();
        fs::remove_file(dir.path().join(format!("version-2/snapshot.{zxid:x}"))).unwrap();
    }
}

#[test]
fn a_snapshot_that_was_interrupted_is_removed_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    start(dir.path()).stop().unwrap();
    let unfinished = dir.path().join("version-2/unfinished-snapshot");
    fs::write(&unfinished, b"ZKSN").unwrap();
    start(dir.path()).stop().unwrap();
    assert!(!unfinished.exists());
}

/// Who else may read the directory may read every node.
#[test]
fn directories_and_files_are_their_owners_alone() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("new");
    // Made by others, and open: closed at the start.
    fs::create_dir_all(data.join("version-2")).unwrap();
    for open in [&data, &data.join("version-2")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = start_with(&data, 10);
    let mut client = Raw::connect(server.addr());
    client.create("/busy", CreateMode::PERSISTENT, b"").unwrap();
    eventually(Duration::from_secs(30), "a snapshot", || {
        write(&mut client, 5);
        (files(&data, "snapshot.").len() > 1).then_some(())
    });
    server.stop().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("version-2"))), (0o700, 0o700));
    for directory in [&data, &data.join("version-2")] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || mode(&path) == 0o600, "{}: {:o}", path.display(), mode(&path));
        }
    }
}

/// Creates `count` nodes, a thousand to a directory.
fn grow(client: &mut Raw, count: usize) {
    const FLIGHT: usize = 500;
    let mut sent = 0;
    let mut answered = 0;
    let mut request = |n: usize| match n % 1_000 {
        0 => create(&format!("/d{}", n / 1_000), CreateMode::PERSISTENT, b""),
        _ => create(&format!("/d{}/node-{n:09}", n / 1_000), CreateMode::PERSISTENT, &[b'x'; 40]),
    };
    while answered < count {
        let more: Vec<_> = (sent..count.min(answered + 2 * FLIGHT)).map(&mut request).collect();
        sent += more.len();
        client.send(&more).unwrap();
        for _ in 0..FLIGHT.min(sent - answered) {
            assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
            answered += 1;
        }
    }
}

/// How long reads and writes, one at a time, took at most until `done`.
fn slowest(client: &mut Raw, mut done: impl FnMut(u32) -> bool) -> (Duration, Duration, u32) {
    let (mut read, mut written, mut rounds) = (Duration::ZERO, Duration::ZERO, 0);
    while !done(rounds) {
        let begin = Instant::now();
        client.exists("/d0", false).unwrap();
        read = read.max(begin.elapsed());
        let begin = Instant::now();
        let set = Request::SetData { path: "/d0".into(), data: None, version: -1 };
        assert!(matches!(client.call(set), Ok(Response::Stat(_))));
        written = written.max(begin.elapsed());
        rounds += 1;
    }
    (read, written, rounds)
}

/// `ZOOKY_ZNODES` nodes (a million); prints what `docs/log-format.md` tells. In a release build only.
#[test]
#[ignore = "soak: takes minutes"]
fn soak_no_pause_of_50_ms_at_a_million_nodes() {
    let count = std::env::var("ZOOKY_ZNODES").map_or(1_000_000, |n| n.parse().unwrap());
    let dir = TempDir::new().unwrap();
    let server = start_with(dir.path(), u32::MAX);
    let mut client = Raw::connect(server.addr());
    grow(&mut client, count);
    server.stop().unwrap();
    let begin = Instant::now();
    let server = start_with(dir.path(), u32::MAX);
    println!("start from {count} logged transactions: {:?}", begin.elapsed());
    let mut client = Raw::connect(server.addr());
    let quiet = slowest(&mut client, |rounds| rounds >= 2_000);
    println!("quiet: read, write at most {quiet:?}");
    server.stop().unwrap();

    // Due at once, as so many transactions stand behind the empty snapshot.
    let server = start_with(dir.path(), count as u32);
    let begin = Instant::now();
    let mut client = Raw::connect(server.addr());
    let (read, written, rounds) = slowest(&mut client, |_| files(dir.path(), "snapshot.").len() > 1);
    println!(
        "snapshot after {:?}: read {read:?}, write {written:?} at most, {rounds} rounds",
        begin.elapsed()
    );
    server.stop().unwrap();
    let snapshot = *files(dir.path(), "snapshot.").last().unwrap();
    let path = dir.path().join(format!("version-2/snapshot.{snapshot:x}"));
    let begin = Instant::now();
    let server = start_with(dir.path(), u32::MAX);
    println!(
        "start from a snapshot of {} MB: {:?}",
        fs::metadata(path).unwrap().len() >> 20,
        begin.elapsed()
    );
    let mut client = Raw::connect(server.addr());
    assert!(client.exists("/d0", false).is_some());
    assert!(read < Duration::from_millis(50), "a read took {read:?}");
    assert!(written < Duration::from_millis(50), "a write took {written:?}");
}
