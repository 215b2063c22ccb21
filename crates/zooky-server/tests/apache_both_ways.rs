//! One data directory, two servers: Apache ZooKeeper starts on ours, ours on its.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use support::{Raw, config, start};
use tempfile::TempDir;
use zooky_server::Server;
use zooky_testkit::{Apache, eventually};
use zooky_wire::{Acl, Create, CreateKind, CreateMode, ErrorCode, MultiOp, Request, Response, Stat, perms};

/// Everything that a client can see of a node.
type Shown = (Option<Vec<u8>>, Stat, Vec<Acl>);

fn fill(addr: SocketAddr) -> Raw {
    let mut client = Raw::connect(addr);
    for (path, mode) in [
        ("/a", CreateMode::PERSISTENT),
        ("/a/b", CreateMode::PERSISTENT),
        ("/a/mine", CreateMode::EPHEMERAL),
        ("/a/s-", CreateMode::PERSISTENT_SEQUENTIAL),
        ("/a/s-", CreateMode::EPHEMERAL_SEQUENTIAL),
        ("/a/gone", CreateMode::PERSISTENT),
    ] {
        client.create(path, mode, path.as_bytes()).unwrap();
    }
    let set = |n: u8| Request::SetData { path: "/a/b".into(), data: Some(vec![n].into()), version: -1 };
    client.call(set(1)).unwrap();
    client.call(set(2)).unwrap();
    client.call(Request::Delete { path: "/a/gone".into(), version: 0 }).unwrap();
    let acl = vec![Acl::new(perms::ALL, "world", "anyone"), Acl::new(perms::READ, "ip", "10.0.0.0/8")];
    client.call(Request::SetAcl { path: "/a/b".into(), acl, version: -1 }).unwrap();
    let parts = vec![
        MultiOp::SetData { path: "/a".into(), data: None, version: 0 },
        MultiOp::Check { path: "/a/b".into(), version: 2 },
        MultiOp::Delete { path: "/a/s-0000000001".into(), version: -1 },
    ];
    client.call(Request::Multi(parts)).unwrap();
    client
}

fn tree(client: &mut Raw) -> BTreeMap<String, Shown> {
    let mut shown = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let get = client.call(Request::GetData { path: path.clone(), watch: false });
        let Ok(Response::Data(data, stat)) = get else { panic!("{get:?}") };
        let get = client.call(Request::GetAcl { path: path.clone() });
        let Ok(Response::Acl(acl, _)) = get else { panic!("{get:?}") };
        let base = path.trim_end_matches('/');
        paths.extend(client.children(&path).into_iter().map(|name| format!("{base}/{name}")));
        // What an ensemble's configuration node holds is not a matter of the log.
        if path != "/zookeeper/config" {
            shown.insert(path, (data.map(|data| data.to_vec()), stat, acl));
        }
    }
    shown
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("version-2")).unwrap();
    for entry in std::fs::read_dir(from.join("version-2")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("version-2").join(entry.file_name())).unwrap();
    }
}

/// More of what a snapshot has to hold: containers, TTL nodes, ACLs with digests.
fn fill_more(client: &mut Raw) {
    client.send(&[Request::Auth { kind: 0, scheme: "digest".into(), auth: b"u:p".to_vec() }]).unwrap();
    assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
    let mut make = |kind, path: &str, mode, acl: Vec<Acl>| {
        let create = Create { kind, path: path.into(), data: Some(vec![b'x'; 9].into()), acl, mode };
        let made = client.call(Request::Create(create));
        assert!(matches!(made, Ok(Response::Path(_) | Response::PathStat(..))), "{path}: {made:?}");
    };
    make(CreateKind::Container, "/container", CreateMode::CONTAINER, Acl::open());
    make(CreateKind::Ttl(3_600_000), "/ttl", CreateMode::PERSISTENT_WITH_TTL, Acl::open());
    make(CreateKind::Create2, "/own", CreateMode::PERSISTENT, Acl::creator_all());
    let mut two = Acl::creator_all();
    two.push(Acl::new(perms::READ, "world", "anyone"));
    make(CreateKind::Create2, "/own/shown", CreateMode::EPHEMERAL, two);
    make(CreateKind::Create2, "/busy", CreateMode::PERSISTENT, Acl::open());
}

/// The zxids of the files that start so, ascending.
fn numbers(dir: &Path, prefix: &str) -> Vec<i64> {
    let names = std::fs::read_dir(dir.join("version-2")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    let number = |name: &String| i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok();
    let mut numbers: Vec<i64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn set_busy(client: &mut Raw, times: usize) {
    let set = Request::SetData { path: "/busy".into(), data: Some(vec![b'y'; 30].into()), version: -1 };
    client.send(&vec![set; times]).unwrap();
    (0..times).for_each(|_| assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK));
}

/// The same session goes on there, with its ephemerals, and sees the same.
fn goes_on_at(addr: SocketAddr, old: &Raw, expected: &BTreeMap<String, Shown>) {
    let mut client = Raw::reattach(addr, old).unwrap();
    let session = old.session.session_id;
    assert_eq!(client.session.session_id, session, "the session is gone");
    client.send(&[Request::Auth { kind: 0, scheme: "digest".into(), auth: b"u:p".to_vec() }]).unwrap();
    client.reply().unwrap();
    assert_eq!(&tree(&mut client), expected);
    for path in ["/a/mine", "/own/shown"] {
        assert_eq!(client.exists(path, false).unwrap().ephemeral_owner, session, "{path}");
    }
    client.create("/later", CreateMode::PERSISTENT, b"").unwrap();
}

#[test]
fn apache_starts_on_our_snapshots() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut settings = config(ours.path());
    settings.snapshot_transactions = 20;
    settings.original_passwords = true;
    let server = Server::start(settings).unwrap();
    let mut client = fill(server.addr());
    fill_more(&mut client);
    let made = client.exists("/busy", false).unwrap().czxid;
    eventually(Duration::from_secs(30), "everything to be in snapshots alone", || {
        set_busy(&mut client, 5);
        numbers(ours.path(), "log.").first().is_some_and(|&zxid| zxid > made).then_some(())
    });
    let expected = tree(&mut client);
    server.stop().unwrap();
    copy(ours.path(), theirs.path());
    let apache = Apache::builder().data_dir(theirs.path()).start();
    goes_on_at(apache.addr(), &client, &expected);
    let log = apache.log();
    assert!(!log.contains("problem reading snap file") && !log.contains("Digests are not matching"), "{log}");
}

#[test]
fn ours_starts_on_apaches_snapshots() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut apache =
        Apache::builder().data_dir(theirs.path()).extra("snapCount=200").extra("preAllocSize=64").start();
    let mut client = fill(apache.addr());
    fill_more(&mut client);
    // While Apache takes snapshots the tree changes, ACLs and all, so that they are fuzzy.
    let addr = apache.addr();
    let loads = [1, 2].map(|thread| std::thread::spawn(move || churn(addr, thread)));
    loads.into_iter().for_each(|load| load.join().unwrap());
    eventually(Duration::from_secs(30), "a snapshot", || {
        set_busy(&mut client, 20);
        (numbers(theirs.path(), "snapshot.").len() > 3).then_some(())
    });
    set_busy(&mut client, 1);
    let expected = tree(&mut client);
    apache.kill();

    // From each snapshot, with the logs behind it.
    let snapshots = numbers(theirs.path(), "snapshot.");
    copy(theirs.path(), ours.path());
    let mut starts = 0;
    for zxid in snapshots.iter().skip(1).rev().take(5) {
        let path = ours.path().join(format!("version-2/snapshot.{zxid:x}"));
        let bytes = std::fs::read(&path).unwrap();
        // Apache names a snapshot before it is whole; one that was interrupted is passed over.
        let sealed = |end: usize| bytes.get(end - 5..end) == Some(&[0, 0, 0, 1, b'/']);
        if sealed(bytes.len()) && sealed(bytes.len() - 33) {
            let again = TempDir::new().unwrap();
            copy(ours.path(), again.path());
            let mut settings = config(again.path());
            settings.original_passwords = true;
            let server = Server::start(settings).unwrap();
            goes_on_at(server.addr(), &client, &expected);
            starts += 1;
        }
        std::fs::remove_file(path).unwrap();
    }
    assert!(starts >= 2, "{snapshots:?}");
}

/// Makes and removes nodes with ever new ACLs.
fn churn(addr: SocketAddr, thread: usize) {
    let mut client = Raw::connect(addr);
    let base = format!("/churn{thread}");
    client.create(&base, CreateMode::PERSISTENT, b"").unwrap();
    for round in 0..25 {
        let mut requests = Vec::new();
        for n in 0..20 {
            let path = format!("{base}/{n}");
            let acl = vec![
                Acl::new(perms::ALL, "world", "anyone"),
                Acl::new(perms::READ, "ip", format!("10.{thread}.{round}.{n}")),
            ];
            let mode = if n % 2 == 0 { CreateMode::PERSISTENT } else { CreateMode::EPHEMERAL };
            let kind = CreateKind::Create2;
            requests.push(Request::Create(Create { kind, path: path.clone(), data: None, acl, mode }));
            if (n + round) % 3 != 0 {
                requests.push(Request::Delete { path, version: -1 });
            }
        }
        client.send(&requests).unwrap();
        // Some are refused, as the node of the round before is still there: these are logged too.
        requests.iter().for_each(|_| drop(client.reply().unwrap()));
    }
    client.call(Request::CloseSession).unwrap();
}

#[test]
fn apache_starts_on_ours() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = start(ours.path());
    let mut client = fill(server.addr());
    let expected = tree(&mut client);
    assert!(expected.contains_key("/a/mine") && !expected.contains_key("/a/gone"));
    server.stop().unwrap();
    copy(ours.path(), theirs.path());
    let apache = Apache::builder().data_dir(theirs.path()).start();
    let mut client = Raw::connect(apache.addr());
    assert_eq!(tree(&mut client), expected);
}

#[test]
fn ours_starts_on_apaches() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut apache = Apache::builder().data_dir(theirs.path()).start();
    let mut client = fill(apache.addr());
    let expected = tree(&mut client);
    apache.kill();
    copy(theirs.path(), ours.path());
    let server = start(ours.path());
    let mut client = Raw::connect(server.addr());
    assert_eq!(tree(&mut client), expected);
    // And on: what we append to its log is read again by both.
    client.create("/later", CreateMode::PERSISTENT, b"").unwrap();
    let expected = tree(&mut client);
    server.stop().unwrap();
    let again = TempDir::new().unwrap();
    copy(ours.path(), again.path());
    let apache = Apache::builder().data_dir(again.path()).start();
    assert_eq!(tree(&mut Raw::connect(apache.addr())), expected);
}
