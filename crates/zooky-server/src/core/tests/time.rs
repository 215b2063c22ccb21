//! What time does.

use super::*;

#[test]
fn a_session_ends_after_its_whole_timeout_and_not_before() {
    let mut b = Bench::new();
    let (quiet, _) = b.session();
    let other = b.client();
    b.create(quiet, "/e", CreateMode::EPHEMERAL).unwrap();
    b.ask(other, &Request::Exists { path: "/e".into(), watch: true }).unwrap();
    b.pass(4_000);
    b.send(other, &Request::Ping);
    assert!(b.stat(other, "/e").is_ok(), "the timeout has not passed entirely");
    let out = b.pass(1);
    assert_eq!(out.len(), 3);
    let paths = Some(vec!["/e".to_owned()]);
    assert!(
        matches!(&out[0], Output::Append(r) if r.txn == Txn::CloseSession { ephemerals: paths.clone() } && r.header.client_id == FIRST)
    );
    assert_eq!(events(&out, other), [(EventType::DELETED, "/e".to_owned())]);
    assert_eq!(out[2], Output::Close { conn: quiet });
    assert_eq!((b.core.stats().sessions, b.core.stats().ephemerals), (1, 0));
    assert_eq!((b.core.stats().sessions_expired, b.core.stats().ephemerals_expired), (1, 1));
    assert_eq!(b.stat(other, "/e"), Err(ErrorCode::NO_NODE));
}

#[test]
fn any_frame_keeps_a_session_and_the_next_tick_is_known() {
    let mut b = Bench::new();
    let conn = b.client();
    assert_eq!(b.core.next_tick(), Some(b.now.mono_ms + 4_001));
    for _ in 0..20 {
        assert!(b.pass(3_900).is_empty());
        b.send(conn, &Request::Sync { path: "/".into() });
        assert!(b.core.next_tick().unwrap() <= b.now.mono_ms + 4_001);
        assert!(b.core.next_tick().unwrap() > b.now.mono_ms, "no busy loop");
    }
    b.step(Input::Closed { conn });
    assert_eq!(b.core.stats().sessions, 1, "a session outlives its connection");
    b.pass(4_001);
    assert_eq!(b.core.stats().sessions, 0);
    assert_eq!(b.core.next_tick(), None);
}

#[test]
fn closing_a_session_is_answered_and_final() {
    let mut b = Bench::new();
    let (conn, _) = b.session();
    b.create(conn, "/e", CreateMode::EPHEMERAL).unwrap();
    let out = b.send(conn, &Request::CloseSession);
    assert_eq!(b.core.stats().sessions_expired, 0, "it was closed, and nothing was lost");
    assert!(matches!(&out[0], Output::Append(r) if r.header.kind == OpCode::CLOSE_SESSION));
    assert_eq!(reply(&out, conn, OpCode::CLOSE_SESSION), Ok(Response::Empty));
    assert_eq!(out.last(), Some(&Output::Close { conn }));
    assert!(b.send(conn, &Request::Ping).is_empty());
    assert_eq!(b.core.stats().znodes, 5);
}

#[test]
fn containers_and_ttl_nodes_go_when_they_are_empty() {
    let mut b = Bench::new();
    let mut config = config();
    config.max_session_timeout_ms = 10_000_000;
    b.core = Core::new(config);
    b.core.begin(b.now);
    let conn = b.open();
    b.connect_as(conn, &ConnectRequest { timeout_ms: 10_000_000, ..fresh() });
    for (kind, path, mode) in [
        (CreateKind::Container, "/c", CreateMode::CONTAINER),
        (CreateKind::Container, "/unused", CreateMode::CONTAINER),
        (CreateKind::Ttl(50_000), "/t", CreateMode::PERSISTENT_WITH_TTL),
        (CreateKind::Ttl(500_000), "/long", CreateMode::PERSISTENT_WITH_TTL),
    ] {
        let create = Create { kind, path: path.into(), data: None, acl: Acl::open(), mode };
        b.ask(conn, &Request::Create(create)).unwrap();
        assert_eq!(b.stat(conn, path).unwrap().ephemeral_owner, 0);
    }
    b.make(conn, "/c/x");
    b.pass(60_000);
    assert_eq!(b.stat(conn, "/t"), Err(ErrorCode::NO_NODE));
    b.delete(conn, "/c/x").unwrap();
    assert!(b.stat(conn, "/c").is_ok());
    let out = b.pass(60_000);
    assert!(matches!(&out[..], [Output::Append(r)] if r.header.kind == OpCode::DELETE_CONTAINER));
    assert_eq!(b.stat(conn, "/c"), Err(ErrorCode::NO_NODE));
    assert!(b.stat(conn, "/unused").is_ok() && b.stat(conn, "/long").is_ok());
}
