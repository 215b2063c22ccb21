//! The bound on the tree: who wants more is refused, and everything else goes on.

use super::*;

/// A core with room for so many bytes more than the system's own nodes take.
fn bench(more: u64) -> Bench {
    let held = Core::new(config()).stats().tree_bytes;
    let mut config = config();
    config.limits.max_tree_bytes = held + more;
    Bench::with(config)
}

fn set(path: &str, bytes: usize) -> Request {
    Request::SetData { path: path.into(), data: Some(vec![1; bytes].into()), version: -1 }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let mut b = bench(1_000);
    let client = b.client();
    b.make(client, "/a");
    let before = b.dump();
    assert_eq!(b.ask(client, &set("/a", 1_000)), Err(ErrorCode::QUOTA_EXCEEDED));
    let long = format!("/{}", "x".repeat(800));
    let many: Vec<Acl> = (0..20).map(|i| Acl::new(31, "ip", format!("10.0.0.{i}"))).collect();
    for request in [
        create(&long, CreateMode::PERSISTENT, Acl::open()),
        create("/b", CreateMode::PERSISTENT, many.clone()),
        Request::SetAcl { path: "/a".into(), acl: many, version: -1 },
    ] {
        assert_eq!(b.ask(client, &request), Err(ErrorCode::QUOTA_EXCEEDED), "{request:?}");
    }
    assert_eq!(b.dump(), before);
    assert!(b.ask(client, &set("/a", 700)).is_ok());
    assert!(b.create(client, "/b", CreateMode::PERSISTENT).is_err());
    // Less than before is always fine, and makes room.
    assert!(b.ask(client, &set("/a", 10)).is_ok());
    b.make(client, "/b");
    assert!(b.delete(client, "/b").is_ok());
    b.make(client, "/c");
}

#[test]
fn a_multi_counts_its_parts_together() {
    let mut b = bench(1_000);
    let client = b.client();
    let part = |path: &str| match create(path, CreateMode::PERSISTENT, Acl::open()) {
        Request::Create(create) => zooky_wire::MultiOp::Create(create),
        other => panic!("{other:?}"),
    };
    let before = b.core.stats().tree_bytes;
    let four = Request::Multi(["/a", "/b", "/c", "/d"].map(part).into());
    match b.ask(client, &four).unwrap() {
        Response::Multi(results) => {
            assert_eq!(results[3], zooky_wire::MultiResult::Error(ErrorCode::QUOTA_EXCEEDED));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(b.core.stats().tree_bytes, before);
    let three = Request::Multi(["/a", "/b", "/c"].map(part).into());
    b.ask(client, &three).unwrap();
    assert!(b.core.tree.find("/c").is_some());
}

#[test]
fn different_acls_count_once_each_and_go_with_their_last_node() {
    let mut b = bench(10_000);
    let client = b.client();
    let before = b.core.stats().tree_bytes;
    let acl = || vec![Acl::new(31, "ip", "10.0.0.7".to_owned())];
    b.ask(client, &create("/a", CreateMode::PERSISTENT, acl())).unwrap();
    let one = b.core.stats().tree_bytes;
    b.ask(client, &create("/b", CreateMode::PERSISTENT, acl())).unwrap();
    let two = b.core.stats().tree_bytes;
    assert!(two - one < one - before, "{before} {one} {two}");
    b.delete(client, "/a").unwrap();
    b.delete(client, "/b").unwrap();
    assert_eq!(b.core.stats().tree_bytes, before);
}
