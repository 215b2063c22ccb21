//! `zooky demo`: processes that contend, and none overlaps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Server, run};
use zooky_testkit::Apache;

#[track_caller]
fn demo(hosts: &str, args: &[&str]) -> String {
    let (code, out, errors) = run(common::named(hosts, &["demo", "--delay-ms", "5"]).args(args));
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    out
}

#[test]
fn three_workers_take_turns() {
    let server = Server::start();
    let out = demo(&server.hosts(), &[]);
    assert_eq!(out.matches("holds the lock, token").count(), 3, "{out}");
    assert_eq!(out.matches("counts 10\n").count(), 3, "{out}");
    assert!(out.ends_with(
        "3 of 3 held the lock, overlaps: 0, stale writes: 0 (30 numbers checked in a shared file)\n"
    ));
    // Between a grant and its release nobody else counts.
    let mut holder = None;
    for line in out.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "s", "worker", worker, ..] = words[..] else { continue };
        if line.contains(") counts ") || line.contains(") releases ") {
            assert_eq!(holder, Some(worker), "{out}");
        } else if line.contains(") holds ") {
            holder = Some(worker);
        }
    }
}

#[test]
fn more_workers_and_other_counts() {
    let server = Server::start();
    let out = demo(&server.hosts(), &["--workers", "7", "--count", "2"]);
    assert!(out.contains("7 of 7 held the lock, overlaps: 0, stale writes: 0 (14 numbers checked"), "{out}");
}

#[test]
fn on_apache_zookeeper_as_well() {
    let apache = Apache::start();
    let out = demo(&apache.hosts(), &[]);
    assert!(out.contains("3 of 3 held the lock, overlaps: 0"), "{out}");
}

/// Its workers are who the demo itself is.
#[test]
fn where_only_some_may_take_locks() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config =
            zooky::SessionConfig::new(server.hosts().parse().unwrap()).auth("digest", *b"ops:secret");
        let client = zooky::Client::connect_with(config).await.unwrap();
        let session = client.session().await.unwrap();
        let acl = zooky::Acl::creator_all();
        session.create("/locks", "", zooky::session::CreateMode::PERSISTENT, &acl).await.unwrap();
        client.close().await.unwrap();
    });
    let demo = || server.zooky(&["demo", "--count", "2", "--delay-ms", "5"]);
    let (code, _, errors) = run(&mut demo());
    assert_ne!(code, 0, "{errors}");
    let (code, out, errors) = run(demo().env("ZOOKY_AUTH", "digest:ops:secret"));
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    assert!(out.contains("3 of 3 held the lock"), "{out}");
}
