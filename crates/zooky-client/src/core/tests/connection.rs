//! Requests, answers, events and watches over connections that come and go.

use super::*;

#[test]
fn requests_leave_in_order_and_answers_find_them() {
    let mut play = Play::open(settings());
    play.get("one");
    play.get("two");
    let xids: Vec<i32> = play.written().iter().map(|(xid, _)| *xid).collect();
    assert_eq!(xids, [1, 2]);
    play.reply(1, 5, ErrorCode::OK, &Response::Data(None, Stat::default()));
    play.reply(2, 5, ErrorCode::NO_NODE, &Response::Empty);
    assert!(matches!(play.out[0], Output::Reply("one", Ok(_))));
    assert_eq!(play.failure("two"), Some(Error::NoNode { path: "/g".into() }));
}

#[test]
fn what_was_under_way_is_ambiguous_and_what_waits_is_not() {
    let mut play = Play::open(settings());
    play.get("sent");
    play.written();
    play.lose_connection();
    assert_eq!(play.failure("sent"), loss("/g"));
    assert!(play.said("State(Suspended)"));
    play.get("waits");
    assert_eq!(play.failure("waits"), None);
    let again = play.attach();
    assert_eq!((again.session_id, again.password), (7, vec![5; 16]));
    play.welcome(7, T_MS);
    let asked: Vec<OpCode> = play.written().iter().map(|(_, request)| request.op()).collect();
    assert_eq!(asked, [OpCode::SYNC, OpCode::GET_DATA]);
}

#[test]
fn a_reattached_session_tells_what_it_has_seen_and_refuses_less() {
    let mut play = Play::open(settings());
    play.get("one");
    play.serve(0x50);
    play.lose_connection();
    assert_eq!(play.attach().last_zxid_seen, 0x50);
    play.welcome(7, T_MS);
    play.get("stale");
    play.out.clear();
    play.serve(0x4f);
    assert!(play.said("Disconnect"));
    assert_eq!(play.failure("stale"), loss("/g"));
}

#[test]
fn a_server_that_closes_without_an_answer_is_left_for_the_next() {
    let mut play = Play::open(settings());
    play.lose_connection();
    let mut tried = Vec::new();
    for _ in 0..3 {
        play.out.clear();
        play.attach();
        tried.extend(play.out.iter().filter_map(|output| match output {
            Output::Connect { server, .. } => Some(*server),
            _ => None,
        }));
        play.lose_connection();
    }
    tried.sort_unstable();
    assert_eq!(tried, [0, 1, 2]);
}

#[test]
fn watches_are_set_again_unless_nobody_waits() {
    let mut play = Play::open(settings());
    play.exists("data", "/data");
    play.exists("exist", "/exist");
    let goes = waiter("goes");
    play.ask("goes", Request::GetChildren { path: "/goes".into(), watch: true }, Some(goes.clone()));
    play.written();
    play.reply(1, 9, ErrorCode::OK, &Response::Stat(Stat::default()));
    play.reply(2, 9, ErrorCode::NO_NODE, &Response::Empty);
    play.reply(3, 9, ErrorCode::OK, &Response::Names(vec![]));
    goes.1.set(true);
    play.lose_connection();
    play.attach();
    play.welcome(7, T_MS);
    let expected = Request::SetWatches {
        relative_zxid: 9,
        data: vec!["/data".into()],
        exist: vec!["/exist".into()],
        child: vec![],
    };
    assert_eq!(play.written()[0], (xid::SET_WATCHES, expected));
    play.out.clear();
    play.event(EventType::CREATED, "/exist");
    play.reply(xid::SET_WATCHES, 12, ErrorCode::OK, &Response::Empty);
    assert!(
        matches!(&play.out[..], [Output::Event(Waiter("exist", _), Ok(event))] if event.path == "/exist")
    );
}

#[test]
fn an_event_comes_before_the_answer_that_shows_it() {
    let mut play = Play::open(settings());
    play.exists("watch", "/a");
    play.serve(1);
    play.get("newer");
    play.written();
    play.out.clear();
    play.event(EventType::DELETED, "/a");
    play.reply(2, 2, ErrorCode::NO_NODE, &Response::Empty);
    assert!(matches!(play.out[..], [Output::Event(..), Output::Reply("newer", _)]));
}

#[test]
fn what_cannot_be_read_costs_the_connection() {
    let spoil: [fn(&mut Play); 4] = [
        |play| play.receive(|w| w.raw(&[1, 2, 3])),
        |play| play.reply(1, 1, ErrorCode::OK, &Response::Empty),
        |play| play.reply(2, 1, ErrorCode::OK, &Response::Data(None, Stat::default())),
        |play| {
            let mut bytes = BytesMut::from(&[0xff; 4][..]);
            play.core.received(play.now, &mut bytes, &mut play.out);
        },
    ];
    for spoil in spoil {
        let mut play = Play::open(settings());
        play.get("one");
        play.written();
        spoil(&mut play);
        assert!(play.said("Disconnect"));
        assert_eq!(play.failure("one"), loss("/g"));
    }
}

#[test]
fn too_much_and_too_long_is_refused_unsent() {
    let mut play = Play::open(settings());
    let long = Request::SetData { path: "/long".into(), data: Some(vec![0; 2_000].into()), version: -1 };
    play.ask("long", long, None);
    assert!(matches!(play.failure("long"), Some(Error::TooLarge { size: 2_025, limit: 1_000, .. })));
    assert!(play.core.wire.is_empty());
    for _ in 0..5 {
        play.get("fits");
    }
    play.get("over");
    assert_eq!(play.failure("over"), Some(Error::Overloaded { path: "/g".into(), limit: 5 }));
    assert_eq!(play.written().len(), 5);
}

#[test]
fn a_moved_session_is_sought_elsewhere() {
    let mut play = Play::open(settings());
    play.get("one");
    play.written();
    play.reply(1, 1, ErrorCode::SESSION_MOVED, &Response::Empty);
    assert_eq!(play.failure("one"), loss("/g"));
    assert!(play.said("State(Suspended)"));
}

proptest::proptest! {
    /// Whatever a server sends, nothing panics, and nobody's answer is forgotten.
    #[test]
    fn any_bytes_are_survived(frames in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..40), 0..20)) {
        let mut play = Play::open(settings());
        play.exists("watch", "/a");
        play.get("get");
        play.written();
        for frame in frames {
            play.receive(|w| w.raw(&frame));
        }
        play.lose_connection();
        let answers = play.out.iter().filter(|output| matches!(output, Output::Reply(..))).count();
        proptest::prop_assert_eq!(answers, 2);
    }
}
