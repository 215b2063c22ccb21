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
use zooky_wire::{Acl, Create, CreateKind, CreateMode, ErrorCode, Request};

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

/// Creates `count` nodes: all in one directory, or a thousand in each.
fn grow(client: &mut Raw, count: usize, flat: bool) {
    const FLIGHT: usize = 500;
    let (mut sent, mut answered) = (0, 0);
    let mut request = |n: usize| match n % 1_000 {
        0 if n == 0 || !flat => create(&format!("/d{}", n / 1_000), CreateMode::PERSISTENT, b""),
        _ if flat => create(&format!("/d0/node-{n:09}"), CreateMode::PERSISTENT, &[b'x'; 40]),
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

/// How long reads and writes took, one at a time, in microseconds, ascending.
#[derive(Default)]
struct Waits {
    reads: Vec<u64>,
    writes: Vec<u64>,
}

impl Waits {
    /// Reads, creates and deletes until `done`.
    fn until(client: &mut Raw, mut done: impl FnMut() -> bool) -> Waits {
        let mut waits = Waits::default();
        while !done() {
            let begin = Instant::now();
            client.exists("/d0", false).unwrap();
            waits.reads.push(begin.elapsed().as_micros() as u64);
            let delete = Request::Delete { path: "/d0/probe".into(), version: -1 };
            for request in [create("/d0/probe", CreateMode::PERSISTENT, b""), delete] {
                let begin = Instant::now();
                client.call(request).unwrap();
                waits.writes.push(begin.elapsed().as_micros() as u64);
            }
        }
        waits.reads.sort_unstable();
        waits.writes.sort_unstable();
        waits
    }

    fn slowest(&self) -> (u64, u64) {
        (*self.reads.last().unwrap(), *self.writes.last().unwrap())
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, us) in [("reads", &self.reads), ("writes", &self.writes)] {
            let at = |percent: f64| us[(us.len() as f64 * percent / 100.0) as usize] as f64 / 1e3;
            let slowest = *us.last().unwrap() as f64 / 1e3;
            let (n, half, most) = (us.len(), at(50.0), at(99.9));
            write!(f, "{n} {what}: p50 {half:.2}, p99.9 {most:.2}, slowest {slowest:.1} ms; ")?;
        }
        Ok(())
    }
}

/// With `ZOOKY_ZNODES` nodes (a million), in many directories and in one. To be run with `--release`; prints the times.
/// The directory is made where temporary files lie: `TMPDIR` should name a real disk.
#[test]
#[ignore = "soak: takes a minute in a release build, many otherwise"]
fn soak_no_pause_of_50_ms_at_a_million_nodes() {
    const SNAPSHOTS: usize = 3;
    let count = std::env::var("ZOOKY_ZNODES").map_or(1_000_000, |n| n.parse().unwrap());
    for flat in [false, true] {
        let dir = TempDir::new().unwrap();
        let server = start_with(dir.path(), u32::MAX);
        grow(&mut Raw::connect(server.addr()), count, flat);
        server.stop().unwrap();
        let begin = Instant::now();
        let server = start_with(dir.path(), u32::MAX);
        println!("{count} nodes, in one directory: {flat}. Start from the log: {:?}", begin.elapsed());
        server.stop().unwrap();
        let (mut beside, mut without, mut kept) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..SNAPSHOTS {
            // Due at once, as so many transactions stand behind the empty snapshot.
            let server = start_with(dir.path(), count as u32);
            let mut client = Raw::connect(server.addr());
            let begin = Instant::now();
            let waits = Waits::until(&mut client, || files(dir.path(), "snapshot.").len() > 1);
            let took = begin.elapsed();
            println!("beside a snapshot, {took:?}: {waits}");
            beside.push(waits.slowest());
            // The same without one, to know what the machine makes them wait anyway.
            let begin = Instant::now();
            let waits = Waits::until(&mut client, || begin.elapsed() > took);
            println!("without one, {took:?}: {waits}");
            without.push(waits.slowest());
            server.stop().unwrap();
            kept = format!("snapshot.{:x}", files(dir.path(), "snapshot.").last().unwrap());
            fs::rename(dir.path().join("version-2").join(&kept), dir.path().join("kept")).unwrap();
        }
        fs::rename(dir.path().join("kept"), dir.path().join("version-2").join(kept)).unwrap();
        let begin = Instant::now();
        let server = start_with(dir.path(), u32::MAX);
        println!("start from the snapshot: {:?}", begin.elapsed());
        assert!(Raw::connect(server.addr()).exists("/d0", false).is_some());
        // Or about as long as the machine made them wait anyway.
        let most = |waits: &[(u64, u64)], pick: fn(&(u64, u64)) -> u64| waits.iter().map(pick).max().unwrap();
        for (what, pick) in [("read", (|w| w.0) as fn(&(u64, u64)) -> u64), ("write", |w| w.1)] {
            let (slowest, anyway) = (most(&beside, pick), most(&without, pick));
            let bound = 50_000.max(2 * anyway);
            assert!(slowest < bound, "a {what} took {slowest} us; {anyway} us without a snapshot");
        }
    }
}
