//! One data directory, two servers: Apache ZooKeeper starts on ours, ours on its.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use support::{Raw, start};
use tempfile::TempDir;
use zooky_testkit::Apache;
use zooky_wire::{Acl, CreateMode, MultiOp, Request, Response, Stat, perms};

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
