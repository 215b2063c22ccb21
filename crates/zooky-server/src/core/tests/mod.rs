//! Tests of the whole core, by frames: what goes in as a client sends it, what comes out as a
//! client reads it.

mod access;
mod capture;
mod handshake;
mod multi;
mod quota;
mod recovery;
mod room;
mod time;
mod watch;
mod writes;

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateKind, CreateMode, ErrorCode, EventType, OpCode,
    Reader, ReplyHeader, Request, Response, Stat, TxnRecord, WatcherEvent, Writer, xid,
};

use super::*;

pub(in crate::core) const FIRST: i64 = 0x0100_0000_0000_0001;

/// A core, its clock, and what it has put out.
pub(in crate::core) struct Bench {
    pub(in crate::core) core: Core,
    pub(in crate::core) now: Now,
    pub(in crate::core) log: Vec<TxnRecord>,
    pub(in crate::core) last: Vec<Output>,
    next_conn: u64,
    xid: i32,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::core) enum Got {
    Event(EventType, String, i64),
    Reply(ReplyHeader, Bytes),
}

pub(in crate::core) fn config() -> CoreConfig {
    CoreConfig::new(FIRST, PasswordRule::Keyed([9; 32]))
}

impl Bench {
    pub(in crate::core) fn new() -> Bench {
        Bench::with(config())
    }

    pub(in crate::core) fn with(config: CoreConfig) -> Bench {
        let now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut core = Core::new(config);
        core.begin(now);
        Bench { core, now, log: Vec::new(), last: Vec::new(), next_conn: 1, xid: 0 }
    }

    pub(in crate::core) fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        for o in &out {
            if let Output::Append(record) = o {
                self.log.push(record.clone());
            }
        }
        self.last = out.clone();
        out
    }

    pub(in crate::core) fn open(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.step(Input::Opened { conn, peer: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)) });
        conn
    }

    pub(in crate::core) fn connect_as(&mut self, conn: ConnId, request: &ConnectRequest) -> Vec<Output> {
        let mut w = Writer::new();
        request.encode(&mut w);
        self.step(Input::Frame { conn, frame: w.into_bytes() })
    }

    /// A connection with a new session of the smallest timeout.
    pub(in crate::core) fn session(&mut self) -> (ConnId, ConnectResponse) {
        let conn = self.open();
        let out = self.connect_as(conn, &fresh());
        (conn, connected(&out).unwrap())
    }

    pub(in crate::core) fn client(&mut self) -> ConnId {
        self.session().0
    }

    pub(in crate::core) fn send(&mut self, conn: ConnId, request: &Request) -> Vec<Output> {
        self.xid += 1;
        let mut w = Writer::new();
        request.encode(request.fixed_xid().unwrap_or(self.xid), &mut w);
        self.step(Input::Frame { conn, frame: w.into_bytes() })
    }

    /// Sends a request and reads its reply; events for others are left in `last`.
    pub(in crate::core) fn ask(&mut self, conn: ConnId, request: &Request) -> Result<Response, ErrorCode> {
        let out = self.send(conn, request);
        reply(&out, conn, request.op())
    }

    pub(in crate::core) fn create(
        &mut self,
        conn: ConnId,
        path: &str,
        mode: CreateMode,
    ) -> Result<(String, Stat), ErrorCode> {
        let request = create(path, mode, Acl::open());
        match self.ask(conn, &request)? {
            Response::PathStat(path, stat) => Ok((path, stat)),
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::core) fn make(&mut self, conn: ConnId, path: &str) -> Stat {
        self.create(conn, path, CreateMode::PERSISTENT).unwrap().1
    }

    pub(in crate::core) fn delete(&mut self, conn: ConnId, path: &str) -> Result<Response, ErrorCode> {
        self.ask(conn, &Request::Delete { path: path.into(), version: -1 })
    }

    pub(in crate::core) fn stat(&mut self, conn: ConnId, path: &str) -> Result<Stat, ErrorCode> {
        match self.ask(conn, &Request::Exists { path: path.into(), watch: false })? {
            Response::Stat(stat) => Ok(stat),
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::core) fn login(&mut self, conn: ConnId, credential: &str) -> Vec<Output> {
        let auth = credential.as_bytes().to_vec();
        self.send(conn, &Request::Auth { kind: 0, scheme: "digest".into(), auth })
    }

    pub(in crate::core) fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
        self.step(Input::Tick)
    }

    /// Everything observable of the state.
    pub(in crate::core) fn dump(&self) -> String {
        dump(&self.core)
    }
}

/// Everything that must survive, in a form that two states can be compared by.
pub(in crate::core) fn dump(core: &Core) -> String {
    let image = core.image();
    let acls: std::collections::BTreeMap<i64, _> = image.acls().into_iter().collect();
    let mut nodes: Vec<String> = image
        .nodes()
        .map(|n| format!("{} {:?} {:?} {:?}\n", n.path, n.data, acls.get(&n.acl), n.stat))
        .collect();
    nodes.sort();
    let stats = core.stats();
    format!(
        "{:#x} {:?}\n{} {} {}\n{}",
        core.last_zxid(),
        image.sessions(),
        stats.znodes,
        stats.ephemerals,
        stats.approximate_data_size,
        nodes.concat()
    )
}

pub(in crate::core) fn fresh() -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 1,
        session_id: 0,
        password: vec![0; 16],
        read_only: Some(false),
    }
}

pub(in crate::core) fn create(path: &str, mode: CreateMode, acl: Vec<Acl>) -> Request {
    let kind = CreateKind::Create2;
    Request::Create(Create { kind, path: path.into(), data: Some(Bytes::from_static(b"d")), acl, mode })
}

/// The connect answer among the outputs.
pub(in crate::core) fn connected(out: &[Output]) -> Option<ConnectResponse> {
    out.iter().find_map(|o| match o {
        Output::Send { frame, .. } => ConnectResponse::decode(&mut Reader::new(&frame[4..])).ok(),
        _ => None,
    })
}

/// What the outputs bring to a connection, in order.
pub(in crate::core) fn gets(out: &[Output], conn: ConnId) -> Vec<Got> {
    let frames = out.iter().filter_map(|o| match o {
        Output::Send { conn: to, frame, .. } if *to == conn => Some(frame),
        _ => None,
    });
    let read = |frame: &Bytes| {
        let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        let mut r = Reader::new(&frame[4..]);
        let header = ReplyHeader::decode(&mut r).unwrap();
        if header.xid == xid::EVENT {
            let event = WatcherEvent::decode(&mut r).unwrap();
            return Got::Event(event.kind, event.path, header.zxid);
        }
        Got::Reply(header, Bytes::copy_from_slice(r.rest()))
    };
    frames.map(read).collect()
}

pub(in crate::core) fn events(out: &[Output], conn: ConnId) -> Vec<(EventType, String)> {
    let only_events = |got| match got {
        Got::Event(kind, path, _) => Some((kind, path)),
        Got::Reply(..) => None,
    };
    gets(out, conn).into_iter().filter_map(only_events).collect()
}

pub(in crate::core) fn reply(out: &[Output], conn: ConnId, op: OpCode) -> Result<Response, ErrorCode> {
    let Some(Got::Reply(header, body)) = gets(out, conn).pop() else { panic!("no reply in {out:?}") };
    if header.err != ErrorCode::OK {
        assert!(body.is_empty());
        return Err(header.err);
    }
    let mut r = Reader::new(&body);
    let response = Response::decode(op, &mut r).unwrap();
    assert!(r.is_empty() || op == OpCode::ADD_WATCH, "{op:?} leaves {:?}", r.rest());
    Ok(response)
}

pub(in crate::core) fn closes(out: &[Output], conn: ConnId) -> bool {
    out.contains(&Output::Close { conn })
}
