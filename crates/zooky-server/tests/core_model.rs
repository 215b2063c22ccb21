//! Random requests through the core's step, against a reference model so plain that it can be
//! checked by eye: a map of paths, cloned before each write. Replies, events, logged transactions
//! and the state at the end must agree; and the log, replayed, must give the same state again.

// Everything here is test code, and panics are how tests fail.
#![allow(clippy::unwrap_used, clippy::panic)]

mod core_model_reference;

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use proptest::prelude::*;
use zooky_server::core::{ConnId, Core, CoreConfig, Input, Now, Output, PasswordRule, RestoredNode};
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateKind, CreateMode, ErrorCode, EventType, MultiOp,
    Reader, ReplyHeader, Request, Response, TxnRecord, WatcherEvent, Writer, xid,
};

use core_model_reference::Model;

const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Act {
    Ask(Request),
    Reconnect,
    Close,
    FallSilent,
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/a",
        "/b",
        "/a/x",
        "/a/y",
        "/b/x",
        "/a/x/p",
        "/a/s0000000001",
        "/",
        "/a/",
        "q",
        "/zookeeper",
    ])
    .prop_map(str::to_owned)
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from))
}

fn create() -> impl Strategy<Value = Create> {
    let kind = prop::sample::select(vec![CreateKind::Create, CreateKind::Create2]);
    // 9 is no mode.
    let mode = prop::sample::select(vec![0, 0, 1, 2, 3, 9]);
    (kind, path(), data(), mode).prop_map(|(kind, path, data, mode)| Create {
        kind,
        path,
        data,
        acl: Acl::open(),
        mode: CreateMode(mode),
    })
}

fn write() -> impl Strategy<Value = MultiOp> {
    let version = || prop::sample::select(vec![-1, -1, 0, 1]);
    prop_oneof![
        4 => create().prop_map(MultiOp::Create),
        2 => (path(), version()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        2 => (path(), data(), version())
            .prop_map(|(path, data, version)| MultiOp::SetData { path, data, version }),
        1 => (path(), version()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let single = write().prop_map(|op| match op {
        MultiOp::Create(create) => Request::Create(create),
        MultiOp::Delete { path, version } => Request::Delete { path, version },
        MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
        check @ MultiOp::Check { .. } => Request::Multi(vec![check]),
    });
    prop_oneof![
        8 => single,
        3 => prop::collection::vec(write(), 0..5).prop_map(Request::Multi),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::Exists { path, watch }),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::GetData { path, watch }),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
        // 2 is no mode.
        2 => (path(), 0..3).prop_map(|(path, mode)| Request::AddWatch { path, mode }),
        1 => (path(), 1..4).prop_map(|(path, kind)| Request::RemoveWatches { path, kind }),
        1 => Just(Request::Ping),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => request().prop_map(Act::Ask),
        1 => Just(Act::Reconnect),
        1 => Just(Act::Close),
        1 => Just(Act::FallSilent),
    ]
}

/// The core with its clients, driven beside the model.
struct Pair {
    core: Core,
    model: Model,
    now: Now,
    conns: Vec<(ConnId, ConnectResponse)>,
    log: Vec<TxnRecord>,
    next_conn: u64,
}

type Event = (EventType, String, i64);

fn config() -> CoreConfig {
    CoreConfig::new(0x0100_0000_0000_0001, PasswordRule::Keyed([3; 32]))
}

impl Pair {
    fn new() -> Pair {
        let mut core = Core::new(config());
        core.begin(Now::default());
        let (conns, log) = (Vec::new(), Vec::new());
        let mut pair = Pair { core, model: Model::new(), now: Now::default(), conns, log, next_conn: 1 };
        for client in 0..CLIENTS {
            let attached = pair.connect(client, None);
            pair.conns.push(attached);
        }
        pair
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        for output in &out {
            if let Output::Append(record) = output {
                let last = self.log.last().map_or(0, |r| r.header.zxid);
                assert_eq!(record.header.zxid, last + 1);
                self.log.push(record.clone());
                self.core.note_durable(record.header.zxid);
            }
        }
        out
    }

    fn connect(&mut self, client: usize, old: Option<ConnectResponse>) -> (ConnId, ConnectResponse) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.step(Input::Opened { conn, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) });
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.core.last_zxid(),
            timeout_ms: 4_000,
            session_id: old.as_ref().map_or(0, |o| o.session_id),
            password: old.as_ref().map_or(vec![], |o| o.password.clone()),
            read_only: None,
        };
        let mut w = Writer::new();
        request.encode(&mut w);
        let out = self.step(Input::Frame { conn, frame: w.into_bytes() });
        let Some(Output::Send { frame, .. }) = out.last() else { panic!("{out:?}") };
        let answer = ConnectResponse::decode(&mut Reader::new(&frame[4..])).unwrap();
        assert_eq!(answer.timeout_ms, 4_000);
        match old {
            Some(old) => assert_eq!(answer, old),
            None => self.model.begin_session(client, answer.session_id),
        }
        (conn, answer)
    }

    fn ask(&mut self, client: usize, request: &Request) {
        let (conn, _) = self.conns[client];
        let number = request.fixed_xid().unwrap_or(self.log.len() as i32 + 1);
        let mut w = Writer::new();
        request.encode(number, &mut w);
        self.now.wall_ms += 1;
        let out = self.step(Input::Frame { conn, frame: w.into_bytes() });
        let expected = self.model.serve(client, request, self.now.wall_ms);
        self.check_events(&out, false);
        let Some(Output::Send { conn: to, frame, .. }) = out.last() else { panic!("{out:?}") };
        assert_eq!(*to, conn);
        let mut r = Reader::new(&frame[4..]);
        let header = ReplyHeader::decode(&mut r).unwrap();
        assert_eq!((header.xid, header.zxid), (number, self.model.zxid));
        let got = if header.err == ErrorCode::OK {
            Ok(sorted(Response::decode(request.op(), &mut r).unwrap()))
        } else {
            Err(header.err)
        };
        if let (Request::AddWatch { .. }, Ok(_)) = (request, &got) {
            assert_eq!(r.i32(), Ok(0), "its answer has a body, an error code of its own");
        }
        assert!(r.is_empty());
        assert_eq!(got, expected, "{request:?}");
    }

    /// The events among the outputs are those of the model, each behind what it shows.
    fn check_events(&mut self, out: &[Output], any_order: bool) {
        let expected = std::mem::take(&mut self.model.events);
        let zxid = self.model.zxid;
        for client in 0..CLIENTS {
            let conn = self.conns[client].0;
            let own = expected.iter().filter(|e| e.0 == client);
            let mut want: Vec<Event> = own.map(|e| (e.1, e.2.clone(), zxid)).collect();
            let mut got: Vec<Event> = out.iter().filter_map(|o| event(o, conn)).collect();
            if any_order {
                want.sort();
                got.sort();
            }
            assert_eq!(got, want, "client {client}");
        }
        let first_event = out.iter().position(|o| self.conns.iter().any(|(c, _)| event(o, *c).is_some()));
        let last_append = out.iter().rposition(|o| matches!(o, Output::Append(_)));
        assert!(first_event.is_none() || last_append < first_event);
    }

    fn act(&mut self, client: usize, act: &Act) {
        let (conn, session) = self.conns[client].clone();
        let others = (0..CLIENTS).filter(|&c| c != client);
        match act {
            Act::Ask(request) => self.ask(client, request),
            Act::Reconnect => {
                self.step(Input::Closed { conn });
                self.model.forget_watches(client);
                self.conns[client] = self.connect(client, Some(session));
            }
            Act::Close => {
                let mut w = Writer::new();
                Request::CloseSession.encode(7, &mut w);
                let out = self.step(Input::Frame { conn, frame: w.into_bytes() });
                assert_eq!(out.last(), Some(&Output::Close { conn }));
                self.over(client, &out);
            }
            Act::FallSilent => {
                self.ask(client, &Request::Ping);
                self.now.mono_ms += 3_000;
                others.for_each(|other| self.ask(other, &Request::Ping));
                self.now.mono_ms += 1_000;
                assert!(self.step(Input::Tick).is_empty(), "nobody's time is over yet");
                self.now.mono_ms += 1;
                let out = self.step(Input::Tick);
                self.over(client, &out);
                (0..CLIENTS).for_each(|other| self.ask(other, &Request::Ping));
            }
        }
    }

    fn over(&mut self, client: usize, out: &[Output]) {
        self.model.end_session(client);
        self.check_events(out, true);
        self.model.forget_watches(client);
        assert!(out.contains(&Output::Close { conn: self.conns[client].0 }));
        self.conns[client] = self.connect(client, None);
    }
}

fn sorted(response: Response) -> Response {
    match response {
        Response::NamesStat(mut names, stat) => {
            names.sort();
            Response::NamesStat(names, stat)
        }
        other => other,
    }
}

fn event(output: &Output, to: ConnId) -> Option<Event> {
    let Output::Send { conn, frame, .. } = output else { return None };
    let mut r = Reader::new(&frame[4..]);
    let header = ReplyHeader::decode(&mut r).ok().filter(|h| h.xid == xid::EVENT && *conn == to)?;
    let event = WatcherEvent::decode(&mut r).unwrap();
    Some((event.kind, event.path, header.zxid))
}

fn dump(core: &Core) -> String {
    let image = core.image();
    let mut nodes: Vec<_> =
        image.nodes().map(|n| format!("{} {:?} {:?}\n", n.path, n.data, n.stat)).collect();
    nodes.sort();
    let s = core.stats();
    let counts = (s.znodes, s.ephemerals, s.approximate_data_size, core.last_zxid());
    format!("{counts:?} {:?}\n{}", image.sessions(), nodes.concat())
}

fn restored(core: &Core) -> Core {
    let image = core.image();
    let acls = image.acls().into_iter().map(|(id, acl)| (id, acl.to_vec()));
    let nodes = image.nodes().map(|n| RestoredNode {
        path: n.path.to_owned(),
        data: n.data.map(Bytes::copy_from_slice),
        acl: n.acl,
        stat: n.stat,
    });
    Core::restore(config(), image.last_zxid(), image.sessions(), acls, nodes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_core_does_what_the_model_does(acts in prop::collection::vec((0..CLIENTS, act()), 1..80)) {
        let mut pair = Pair::new();
        for (client, act) in &acts {
            let before = dump(&pair.core);
            let logged = pair.log.len();
            pair.act(*client, act);
            if pair.log.len() == logged {
                prop_assert_eq!(&dump(&pair.core), &before, "what is not logged changes nothing");
            }
            prop_assert_eq!(pair.core.stats().watches, pair.model.watches());
        }
        let state = dump(&pair.core);
        for node in pair.core.image().nodes() {
            let path = if node.path.is_empty() { "/" } else { node.path };
            prop_assert_eq!(pair.model.node(path).map(|(data, _)| data), Some(node.data));
        }
        let paths: Vec<String> = pair.core.image().nodes().map(|n| n.path.to_owned()).collect();
        prop_assert_eq!(paths.len(), pair.model.paths().len());
        prop_assert_eq!(pair.model.paths(), paths.into_iter().collect());

        let mut replayed = Core::new(config());
        for record in &pair.log {
            replayed.replay(record).unwrap();
        }
        prop_assert_eq!(&dump(&replayed), &state);
        prop_assert_eq!(&dump(&restored(&pair.core)), &state);
    }

    #[test]
    fn garbage_never_harms_others(frames in prop::collection::vec(
        (0..110i32, prop::collection::vec(any::<u8>(), 0..60)), 1..40,
    )) {
        let mut pair = Pair::new();
        let (good, _) = pair.conns[0];
        for (op, body) in frames {
            let (bad, _) = pair.connect(1, None);
            let mut w = Writer::new();
            w.i32(1);
            w.i32(op);
            w.raw(&body);
            let out = pair.step(Input::Frame { conn: bad, frame: w.into_bytes() });
            prop_assert!(!out.is_empty(), "it is answered, or closed");
            let touches_good = out.iter().any(|o| matches!(o, Output::Close { conn } if *conn == good));
            prop_assert!(!touches_good);
            let raw = pair.step(Input::Frame { conn: bad, frame: Bytes::from(body) });
            let reaches_good = raw.iter().any(|o| matches!(o, Output::Send { conn, .. } if *conn == good));
            prop_assert!(!reaches_good);
        }
    }
}
