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

#[test]
fn many_watches_are_set_a_portion_at_a_time_and_others_are_served_between() {
    let mut b = Bench::new();
    let (many, other) = (b.client(), b.client());
    let exist: Vec<String> = (0..1_000).map(|i| format!("/n{i}")).collect();
    let request = Request::SetWatches { relative_zxid: 0, data: vec![], exist: exist.clone(), child: vec![] };
    assert!(b.send(many, &request).is_empty(), "no answer yet");
    assert!(b.core.is_unfinished(many));
    let set = b.core.stats().watches;
    assert!((1..1_000).contains(&set), "{set} in the first step");
    b.make(other, "/n0");
    let mut steps = 1;
    let out = loop {
        let out = b.step(Input::Continue { conn: many });
        steps += 1;
        if !out.is_empty() {
            break out;
        }
    };
    assert!(matches!(gets(&out, many).last(), Some(Got::Reply(h, _)) if h.xid == xid::SET_WATCHES));
    assert!(steps > 3 && !b.core.is_unfinished(many));
    assert_eq!(b.core.stats().watches, 999, "all but the one that has fired");
    // A frame that comes too early waits for the end of the request before it.
    let (hasty, gone) = (b.client(), b.client());
    let out = b.send(hasty, &request);
    assert_eq!(events(&out, hasty), [ev(EventType::CREATED, "/n0")]);
    let out = b.send(hasty, &Request::Exists { path: "/".into(), watch: false });
    let replies: Vec<bool> = gets(&out, hasty).iter().map(|got| matches!(got, Got::Reply(..))).collect();
    assert_eq!(replies, [true, true]);
    // And one that is gone takes its request along.
    b.send(gone, &request);
    b.step(Input::Closed { conn: gone });
    assert!(!b.core.is_unfinished(gone) && b.step(Input::Continue { conn: gone }).is_empty());
}

#[test]
fn watches_of_the_gone_are_cleared_away_by_ticks() {
    let mut b = Bench::new();
    let conn = b.client();
    let exist = (0..2_000).map(|i| format!("/n{i}")).collect();
    b.send(conn, &Request::SetWatches { relative_zxid: 0, data: vec![], exist, child: vec![] });
    while b.core.is_unfinished(conn) {
        b.step(Input::Continue { conn });
    }
    b.step(Input::Closed { conn });
    assert_eq!((b.core.stats().watches, b.core.stats().watch_bytes), (0, 0));
    let mut ticks = 0;
    while b.core.next_tick() == Some(b.now.mono_ms) {
        b.step(Input::Tick);
        ticks += 1;
    }
    // No more than the portions make, with what the steps before have left.
    assert!((2..=2_000 / BURIED_BY_TICK + 2).contains(&ticks), "{ticks}");
}

#[test]
fn what_watches_take_is_bounded_for_each_session_and_in_all() {
    let mut config = config();
    config.limits.max_watch_bytes_per_session = 10_000;
    config.limits.max_watch_bytes = 15_000;
    let mut b = Bench::with(config);
    let (modest, greedy) = (b.client(), b.client());
    let watch = |i: usize| Request::Exists { path: format!("/{i}{}", "x".repeat(990)), watch: true };
    b.ask(modest, &watch(0)).unwrap_err();
    let set = (0..20).filter(|&i| b.ask(greedy, &watch(i)) == Err(ErrorCode::NO_NODE)).count();
    assert_eq!(set, 8, "the ninth would go over its own bound");
    // A second greedy one brings all over the common bound: whoever has most is closed, the modest one stays.
    let another = b.client();
    let closed = (0..8).find_map(|i| {
        let out = b.send(another, &watch(i));
        out.iter().find_map(|o| if let Output::Close { conn } = o { Some(*conn) } else { None })
    });
    assert_eq!(closed, Some(greedy));
    assert!(b.core.stats().watch_bytes <= 15_000);
    assert!(matches!(b.ask(modest, &watch(1)), Err(ErrorCode::NO_NODE)));
}
