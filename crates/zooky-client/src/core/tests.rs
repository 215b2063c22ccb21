//! The core with time as numbers and a server that the test plays by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zooky_wire::{
    ConnectRequest, ConnectResponse, ErrorCode, EventType, KeeperState, OpCode, Reader, ReplyHeader, Request,
    Response, Stat, WatcherEvent, Writer, take_frame, xid,
};

use super::{Ask, Core, Output, Settings, Watcher};
use crate::boottime::BootInstant;
use crate::chroot::Chroot;
use crate::error::Error;

/// The session's timeout: a beat is 2 s, silence 4 s, the first deadline 11.4 s.
const T_MS: i32 = 12_000;

#[derive(Debug, Clone)]
struct Waiter(&'static str, Rc<Cell<bool>>);

impl Watcher for Waiter {
    fn is_gone(&self) -> bool {
        self.1.get()
    }
}

type Out = Output<&'static str, Waiter>;

/// A core, its clock, and the server's end of the connection.
struct Play {
    core: Core<&'static str, Waiter>,
    now: BootInstant,
    out: Vec<Out>,
}

fn settings() -> Settings {
    Settings {
        servers: 3,
        chroot: Chroot::new("/"),
        timeout: Duration::from_millis(T_MS as u64),
        margin: None,
        auth: Vec::new(),
        max_outstanding: 5,
        max_request: 1_000,
        max_reply: 1 << 20,
        seed: 1,
    }
}

fn waiter(name: &'static str) -> Waiter {
    Waiter(name, Rc::new(Cell::new(false)))
}

impl Play {
    fn new(settings: Settings) -> Play {
        let now = BootInstant::from_nanos(1_000_000_000_000);
        Play { core: Core::new(now, settings), now, out: Vec::new() }
    }

    /// A session that is open.
    fn open(settings: Settings) -> Play {
        let mut play = Play::new(settings);
        assert_eq!(play.attach().session_id, 0);
        play.welcome(7, T_MS);
        assert!(play.said("State(Connected)"));
        play.out.clear();
        play
    }

    /// Lets time pass, tick by tick.
    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut ticks = 0;
        while self.core.next_at() <= end {
            self.now = self.core.next_at().max(self.now);
            self.core.tick(self.now, &mut self.out);
            ticks += 1;
            assert!(ticks < 10_000, "it wants the same tick for ever");
        }
        self.now = end;
        self.core.tick(end, &mut self.out);
    }

    /// Waits until it connects; returns the connect request.
    fn attach(&mut self) -> ConnectRequest {
        self.out.retain(|output| !matches!(output, Output::Connect { .. }));
        while !self.said("Connect") {
            self.now = self.core.next_at().max(self.now);
            self.core.tick(self.now, &mut self.out);
        }
        self.core.connected(self.now, &mut self.out);
        let frame = take_frame(&mut self.core.wire, 1 << 20).unwrap().unwrap();
        assert!(self.core.wire.is_empty());
        ConnectRequest::decode(&mut Reader::new(&frame)).unwrap()
    }

    fn welcome(&mut self, session_id: i64, timeout_ms: i32) {
        let answer = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id,
            password: vec![5; 16],
            read_only: Some(false),
        };
        self.receive(|w| answer.encode(w));
    }

    fn receive(&mut self, body: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::new();
        let mark = writer.begin_frame();
        body(&mut writer);
        writer.end_frame(mark);
        let mut bytes = BytesMut::from(writer.as_slice());
        self.core.received(self.now, &mut bytes, &mut self.out);
    }

    fn reply(&mut self, xid: i32, zxid: i64, err: ErrorCode, response: &Response) {
        self.receive(|w| {
            ReplyHeader { xid, zxid, err }.encode(w);
            response.encode(w);
        });
    }

    fn event(&mut self, kind: EventType, path: &str) {
        self.receive(|w| {
            ReplyHeader { xid: xid::EVENT, zxid: -1, err: ErrorCode::OK }.encode(w);
            WatcherEvent { kind, state: KeeperState::SYNC_CONNECTED, path: path.into() }.encode(w);
        });
    }

    fn ask(&mut self, name: &'static str, request: Request, watch: Option<Waiter>) {
        self.core.submit(self.now, Ask { request, reply: Some(name), watch }, &mut self.out);
    }

    fn exists(&mut self, name: &'static str, path: &str) {
        self.ask(name, Request::Exists { path: path.into(), watch: true }, Some(waiter(name)));
    }

    fn get(&mut self, name: &'static str) {
        self.ask(name, Request::GetData { path: "/g".into(), watch: false }, None);
    }

    /// What the core has written.
    fn written(&mut self) -> Vec<(i32, Request)> {
        let mut requests = Vec::new();
        while let Some(frame) = take_frame(&mut self.core.wire, 1 << 20).unwrap() {
            let (header, request) = Request::decode(&mut Reader::new(&frame)).unwrap();
            requests.push((header.xid, request));
        }
        requests
    }

    /// Answers all that was written, in order, as a leader would.
    fn serve(&mut self, zxid: i64) {
        for (xid, request) in self.written() {
            let response = match request.op() {
                OpCode::SYNC => Response::Path("/".into()),
                OpCode::GET_DATA => Response::Data(Some(Bytes::new()), Stat::default()),
                OpCode::EXISTS => Response::Stat(Stat::default()),
                _ => Response::Empty,
            };
            self.reply(xid, zxid, ErrorCode::OK, &response);
        }
    }

    /// Whether one of the outputs so far begins so.
    fn said(&self, start: &str) -> bool {
        self.out.iter().any(|output| format!("{output:?}").starts_with(start))
    }

    fn failure(&self, name: &str) -> Option<Error> {
        self.out.iter().find_map(|output| match output {
            Output::Reply(reply, Err(error)) if *reply == name => Some(error.clone()),
            _ => None,
        })
    }

    fn lose_connection(&mut self) {
        self.core.disconnected(self.now, &mut self.out);
    }
}

fn loss(path: &str) -> Option<Error> {
    Some(Error::ConnectionLoss { path: path.into() })
}

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
fn a_quiet_session_syncs_and_lives() {
    let mut play = Play::open(settings());
    for beat in 1..100 {
        play.pass(2_000);
        let written = play.written();
        assert!(matches!(written[..], [(_, Request::Sync { .. })]), "beat {beat}: {written:?}");
        play.reply(written[0].0, 1, ErrorCode::OK, &Response::Path("/".into()));
        let (deadline, _) = play.core.deadline().unwrap();
        assert!(deadline >= play.now + Duration::from_millis(5_400));
    }
    assert!(!play.said("State") && !play.said("Disconnect"));
}

#[test]
fn pings_and_refused_syncs_prove_nothing() {
    let mut play = Play::open(settings());
    for _ in 0..5 {
        play.pass(2_000);
        for (number, _) in play.written() {
            play.reply(number, 1, ErrorCode::SYSTEM, &Response::Empty);
        }
        play.reply(xid::PING, 1, ErrorCode::OK, &Response::Empty);
    }
    assert!(!play.said("State"));
    play.pass(1_399);
    assert!(!play.said("State"));
    play.pass(1);
    assert!(play.said("State(Lost)"));
}

#[test]
fn a_silent_connection_is_given_up_in_time_to_reattach() {
    let mut play = Play::open(settings());
    for _ in 0..10 {
        play.pass(2_000);
        play.serve(1);
    }
    play.out.clear();
    play.pass(3_999);
    assert!(!play.said("Disconnect"));
    play.pass(1);
    assert!(play.said("Disconnect") && play.said("State(Suspended)"));
    let (deadline, _) = play.core.deadline().unwrap();
    let left = deadline.saturating_since(play.now);
    assert!(left >= Duration::from_millis(u64::try_from(T_MS).unwrap() / 4), "{left:?}");
}

#[test]
fn our_own_standstill_is_not_the_servers_silence() {
    let mut play = Play::open(settings());
    play.now = play.now + Duration::from_millis(9_000);
    play.core.tick(play.now, &mut play.out);
    assert!(!play.said("Disconnect"));
    play.serve(1);
    play.pass(1_999);
    assert!(!play.said("Disconnect"));
}

#[test]
fn past_the_deadline_everything_fails_and_only_the_close_leaves() {
    let mut play = Play::open(settings());
    play.exists("watch", "/a");
    play.serve(1);
    play.get("sent");
    play.written();
    play.now = play.now + Duration::from_millis(11_400);
    play.out.clear();
    // The answer is there, but so is the deadline: the clock is looked at first.
    play.reply(2, 2, ErrorCode::OK, &Response::Data(None, Stat::default()));
    assert_eq!(play.failure("sent"), Some(Error::SessionLost));
    assert!(play.said("State(Lost)") && play.said("Event(Waiter(\"watch\""));
    play.get("late");
    assert_eq!(play.failure("late"), Some(Error::SessionLost));
    let written = play.written();
    assert!(matches!(written[..], [(_, Request::CloseSession)]), "{written:?}");
    play.reply(written[0].0, 3, ErrorCode::OK, &Response::Empty);
    assert!(play.said("Over(Ok"));
}

#[test]
fn requests_that_have_not_left_at_the_deadline_never_leave() {
    let mut play = Play::open(settings());
    play.get("stuck");
    play.now = play.now + Duration::from_millis(11_400);
    play.core.tick(play.now, &mut play.out);
    assert_eq!(play.failure("stuck"), Some(Error::SessionLost));
    assert!(play.said("Disconnect") && play.core.wire.is_empty());
    play.out.clear();
    play.attach();
    play.welcome(7, T_MS);
    let written = play.written();
    assert!(matches!(written[..], [(_, Request::CloseSession)]), "{written:?}");
}

#[test]
fn an_expired_session_is_lost_and_over() {
    let mut play = Play::open(settings());
    play.lose_connection();
    play.get("waits");
    play.attach();
    play.welcome(0, 0);
    assert!(play.said("State(Lost)") && play.said("Over(Ok"));
    assert_eq!(play.failure("waits"), Some(Error::SessionLost));
    assert_eq!(play.core.next_at(), BootInstant::NEVER);
}

#[test]
fn a_lost_session_that_no_server_takes_back_ends_after_its_timeout() {
    let mut play = Play::open(settings());
    play.lose_connection();
    play.pass(11_400);
    assert!(play.said("State(Lost)"));
    play.out.clear();
    play.pass(11_000);
    assert!(!play.said("Over") && play.said("Connect"));
    play.pass(1_100);
    assert!(play.said("Over(Err"));
}

#[test]
fn a_reattachment_alone_moves_no_deadline() {
    let mut play = Play::open(settings());
    let (before, _) = play.core.deadline().unwrap();
    play.pass(1_000);
    play.lose_connection();
    play.attach();
    play.welcome(7, T_MS);
    assert_eq!(play.core.deadline().unwrap().0, before);
    play.lose_connection();
    play.attach();
    play.welcome(7, 6_000);
    assert_eq!(play.core.deadline().unwrap().0, before - Duration::from_millis(6_000 - 300));
}

#[test]
fn closing_answers_what_was_asked_before() {
    let mut play = Play::open(settings());
    play.get("before");
    play.core.close(play.now, &mut play.out);
    assert!(play.said("State(Lost)"));
    play.get("after");
    assert_eq!(play.failure("after"), Some(Error::Closed));
    play.serve(1);
    assert!(play.said("Reply(\"before\", Ok") && play.said("Over(Ok"));
}

#[test]
fn refused_credentials_end_it_before_it_begins() {
    let mut settings = settings();
    settings.auth.push(("digest".into(), b"a:b".to_vec()));
    let mut play = Play::new(settings);
    play.attach();
    play.welcome(7, T_MS);
    assert!(!play.said("State(Connected)"));
    let written = play.written();
    assert_eq!(written[0].0, xid::AUTH);
    play.reply(xid::AUTH, 0, ErrorCode::AUTH_FAILED, &Response::Empty);
    assert!(play.said("State(Lost)"));
    assert_eq!(play.core.end(), Some(&Error::AuthFailed));
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
