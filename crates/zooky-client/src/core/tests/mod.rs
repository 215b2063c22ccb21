//! The core with time as numbers and a server that the test plays by hand.

mod connection;
mod life;
mod watching;

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

    fn again(&self) -> Option<Self> {
        Some(self.clone())
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
                OpCode::GET_CHILDREN => Response::Names(vec![]),
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
