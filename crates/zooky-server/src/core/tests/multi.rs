//! multi: all or nothing, and multiRead.

use zooky_wire::{MultiOp, MultiResult};

use super::*;

fn part(path: &str, mode: CreateMode) -> MultiOp {
    let Request::Create(create) = create(path, mode, Acl::open()) else { unreachable!() };
    MultiOp::Create(create)
}

fn results(response: Result<Response, ErrorCode>) -> Vec<MultiResult> {
    match response {
        Ok(Response::Multi(results)) => results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_see_the_parts_before_them() {
    let mut b = Bench::new();
    let conn = b.client();
    let parts = vec![
        part("/a", CreateMode::PERSISTENT),
        part("/a/s", CreateMode::PERSISTENT_SEQUENTIAL),
        part("/a/s", CreateMode::EPHEMERAL_SEQUENTIAL),
        MultiOp::SetData { path: "/a".into(), data: None, version: 0 },
        MultiOp::Check { path: "/a".into(), version: 1 },
        MultiOp::Delete { path: "/a/s0000000000".into(), version: 0 },
    ];
    let got = results(b.ask(conn, &Request::Multi(parts)));
    assert!(matches!(&got[1], MultiResult::Create2(p, s, _) if p == "/a/s0000000000" && s.czxid == 2));
    assert!(
        matches!(&got[2], MultiResult::Create2(p, s, _) if p == "/a/s0000000001" && s.ephemeral_owner == FIRST)
    );
    assert!(matches!(&got[3], MultiResult::SetData(s) if s.version == 1 && s.num_children == 2));
    assert_eq!(got[4..], [MultiResult::Check, MultiResult::Delete]);
    assert_eq!(b.core.last_zxid(), 2, "one zxid for all");
    assert_eq!(b.stat(conn, "/a").unwrap().cversion, 3);
}

#[test]
fn a_failed_multi_changes_nothing() {
    let mut b = Bench::new();
    let (conn, other) = (b.client(), b.client());
    b.make(conn, "/a");
    b.make(conn, "/b");
    b.ask(other, &Request::GetData { path: "/a".into(), watch: true }).unwrap();
    b.ask(other, &Request::GetChildren { path: "/".into(), watch: true }).unwrap();
    let before = b.dump();
    let parts = vec![
        MultiOp::Delete { path: "/a".into(), version: -1 },
        part("/b/s", CreateMode::EPHEMERAL_SEQUENTIAL),
        MultiOp::Check { path: "/b".into(), version: 9 },
        MultiOp::Delete { path: "/nothing".into(), version: -1 },
    ];
    let out = b.send(conn, &Request::Multi(parts));
    let got = results(reply(&out, conn, OpCode::MULTI));
    let codes = [ErrorCode::OK, ErrorCode::OK, ErrorCode::BAD_VERSION, ErrorCode::RUNTIME_INCONSISTENCY];
    assert_eq!(got, codes.map(MultiResult::Error));
    assert_eq!(out.len(), 1, "nothing logged, nobody told");
    assert_eq!(b.dump(), before);
    assert_eq!(b.core.stats().watches, 2);
    assert_eq!(b.create(conn, "/b/s", CreateMode::PERSISTENT_SEQUENTIAL).unwrap().0, "/b/s0000000000");
}

#[test]
fn an_empty_multi_is_a_transaction_too() {
    let mut b = Bench::new();
    let conn = b.client();
    assert!(results(b.ask(conn, &Request::Multi(vec![]))).is_empty());
    assert_eq!(b.core.last_zxid(), 2);
}

#[test]
fn reads_fail_one_by_one() {
    let mut b = Bench::new();
    let conn = b.client();
    b.make(conn, "/a");
    let parts = vec![
        Request::GetData { path: "/a".into(), watch: false },
        Request::GetData { path: "/x".into(), watch: false },
        Request::GetChildren { path: "/a".into(), watch: false },
    ];
    let got = results(b.ask(conn, &Request::MultiRead(parts)));
    assert!(matches!(&got[0], MultiResult::GetData(Some(d), _) if d == "d"));
    assert_eq!(got[1..], [MultiResult::Error(ErrorCode::NO_NODE), MultiResult::GetChildren(vec![])]);
}
