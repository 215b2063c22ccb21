//! Watches, as clients see them.

use super::*;

fn ev(kind: EventType, path: &str) -> (EventType, String) {
    (kind, path.to_owned())
}

#[test]
fn events_come_before_the_reply_that_shows_the_change() {
    let mut b = Bench::new();
    let conn = b.client();
    b.ask(conn, &Request::Exists { path: "/a".into(), watch: true }).unwrap_err();
    b.ask(conn, &Request::GetChildren { path: "/".into(), watch: true }).unwrap();
    let out = b.send(conn, &create("/a", CreateMode::PERSISTENT, Acl::open()));
    assert!(matches!(out[0], Output::Append(_)));
    let got = gets(&out, conn);
    assert_eq!(got[0], Got::Event(EventType::CREATED, "/a".into(), 2), "with the zxid, as 3.9 does");
    assert_eq!(got[1], Got::Event(EventType::CHILDREN_CHANGED, "/".into(), 2));
    assert!(matches!(got[2], Got::Reply(..)));
    b.send(conn, &Request::Delete { path: "/a".into(), version: -1 });
    assert!(events(&b.last, conn).is_empty(), "one-shot");
}

#[test]
fn a_deletion_fires_all_three_kinds_once_each() {
    let mut b = Bench::new();
    let (a, c) = (b.client(), b.client());
    b.make(a, "/p");
    b.make(a, "/p/x");
    for conn in [a, c] {
        b.ask(conn, &Request::GetChildren { path: "/p/x".into(), watch: true }).unwrap();
        b.ask(conn, &Request::GetChildren { path: "/p".into(), watch: true }).unwrap();
    }
    b.ask(a, &Request::GetData { path: "/p/x".into(), watch: true }).unwrap();
    let out = b.send(c, &Request::Delete { path: "/p/x".into(), version: -1 });
    let expected = [ev(EventType::DELETED, "/p/x"), ev(EventType::CHILDREN_CHANGED, "/p")];
    assert_eq!(events(&out, a), expected, "who watches data and children is told once");
    assert_eq!(events(&out, c), expected);
    assert_eq!(b.core.stats().watches, 0);
}

#[test]
fn set_watches_tells_what_was_missed() {
    let mut b = Bench::new();
    let (a, c) = (b.client(), b.client());
    for path in ["/same", "/set", "/kids", "/quiet"] {
        b.make(a, path);
    }
    let seen = b.core.last_zxid();
    b.ask(a, &Request::SetData { path: "/set".into(), data: None, version: -1 }).unwrap();
    b.make(a, "/kids/k");
    let strings = |paths: &[&str]| paths.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
    let out = b.send(
        c,
        &Request::SetWatches {
            relative_zxid: seen,
            data: strings(&["/same", "/set", "/gone"]),
            exist: strings(&["/kids", "/none"]),
            child: strings(&["/kids", "/quiet", "/gone2"]),
        },
    );
    assert_eq!(
        events(&out, c),
        [
            ev(EventType::DATA_CHANGED, "/set"),
            ev(EventType::DELETED, "/gone"),
            ev(EventType::CREATED, "/kids"),
            ev(EventType::CHILDREN_CHANGED, "/kids"),
            ev(EventType::DELETED, "/gone2"),
        ]
    );
    assert!(matches!(gets(&out, c).last(), Some(Got::Reply(h, _)) if h.xid == xid::SET_WATCHES));
    assert_eq!(b.core.stats().watches, 3);
    b.send(a, &Request::SetData { path: "/same".into(), data: None, version: -1 });
    assert_eq!(events(&b.last, c), [ev(EventType::DATA_CHANGED, "/same")]);
    b.send(a, &create("/quiet/k", CreateMode::PERSISTENT, Acl::open()));
    assert_eq!(events(&b.last, c), [ev(EventType::CHILDREN_CHANGED, "/quiet")]);
    b.send(a, &create("/none", CreateMode::PERSISTENT, Acl::open()));
    assert_eq!(events(&b.last, c), [ev(EventType::CREATED, "/none")]);
}

#[test]
fn persistent_and_recursive_watches() {
    let mut b = Bench::new();
    let (a, c) = (b.client(), b.client());
    b.make(a, "/t");
    assert_eq!(b.ask(c, &Request::AddWatch { path: "/t".into(), mode: 9 }), Err(ErrorCode::MARSHALLING));
    b.ask(c, &Request::AddWatch { path: "/t".into(), mode: 1 }).unwrap();
    for _ in 0..2 {
        b.send(a, &create("/t/x", CreateMode::PERSISTENT, Acl::open()));
        assert_eq!(events(&b.last, c), [ev(EventType::CREATED, "/t/x")]);
        b.send(a, &Request::Delete { path: "/t/x".into(), version: -1 });
        assert_eq!(events(&b.last, c), [ev(EventType::DELETED, "/t/x")]);
    }
    b.ask(c, &Request::AddWatch { path: "/t".into(), mode: 0 }).unwrap();
    b.send(a, &create("/t/x", CreateMode::PERSISTENT, Acl::open()));
    assert_eq!(events(&b.last, c), [ev(EventType::CHILDREN_CHANGED, "/t")]);
    let (check, remove) = (
        Request::CheckWatches { path: "/t".into(), kind: 3 },
        Request::RemoveWatches { path: "/t".into(), kind: 3 },
    );
    assert!(b.ask(c, &check).is_ok());
    assert_eq!(b.ask(a, &check), Err(ErrorCode::NO_WATCHER), "they are the other's");
    assert!(b.ask(c, &remove).is_ok());
    assert_eq!(b.ask(c, &remove), Err(ErrorCode::NO_WATCHER));
    assert_eq!(b.core.stats().watches, 0);
}

#[test]
fn watches_go_with_their_connection_and_have_a_limit() {
    let mut config = config();
    config.limits.max_watches_per_session = 2;
    let mut b = Bench::with(config);
    let conn = b.client();
    let watch = |path: &str| Request::Exists { path: path.into(), watch: true };
    assert_eq!(b.ask(conn, &watch("/1")), Err(ErrorCode::NO_NODE));
    assert_eq!(b.ask(conn, &watch("/2")), Err(ErrorCode::NO_NODE));
    assert_eq!(b.ask(conn, &watch("/3")), Err(ErrorCode::INVALID_CALLBACK));
    assert_eq!(b.core.stats().watches, 2);
    b.step(Input::Closed { conn });
    assert_eq!(b.core.stats().watches, 0);
}
