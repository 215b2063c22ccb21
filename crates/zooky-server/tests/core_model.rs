//! Random requests through the core's step, against a reference model so plain that it can be
//! checked by eye: a map of paths, cloned before each write. Replies, events, logged transactions
//! and the state at the end must agree; and the log, replayed, must give the same state again.

// Everything here is test code, and panics are how tests fail.
#![allow(clippy::unwrap_used, clippy::panic)]

mod core_model_acts;
mod core_model_reference;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use proptest::prelude::*;
use zooky_server::core::{
    ConnId, Core, CoreConfig, ImageNode, Input, Now, Output, PasswordRule, RestoredNode,
};
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, ErrorCode, EventType, OpCode, Reader, ReplyHeader, Request,
    Response, Txn, TxnRecord, WatcherEvent, Writer, xid,
};

use core_model_acts::{Act, act};
use core_model_reference::Model;

const CLIENTS: usize = 3;
/// Whom their certificates name.
const SUBJECTS: [Option<&str>; CLIENTS] = [Some("CN=one"), Some("CN=two"), None];
/// How often containers and TTL nodes are looked at.
const LOOK_MS: u64 = 2_000;

/// The core with its clients, driven beside the model.
struct Pair {
    core: Core,
    model: Model,
    now: Now,
    conns: Vec<(ConnId, ConnectResponse)>,
    log: Vec<TxnRecord>,
    next_conn: u64,
    /// When containers and TTL nodes are looked at next, if there are any.
    next_look_ms: u64,
}

type Event = (EventType, String, i64);

fn config() -> CoreConfig {
    let mut config = CoreConfig::new(0x0100_0000_0000_0001, PasswordRule::Keyed([3; 32]));
    config.container_check_ms = LOOK_MS;
    config
}

impl Pair {
    fn new() -> Pair {
        let mut core = Core::new(config());
        core.begin(Now::default());
        let (now, model) = (Now::default(), Model::new());
        let (conns, log) = (Vec::new(), Vec::new());
        let mut pair = Pair { core, model, now, conns, log, next_conn: 1, next_look_ms: LOOK_MS };
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
        if let Some(subject) = SUBJECTS[client] {
            self.step(Input::Certified { conn, subject: subject.to_owned() });
        }
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
            None => self.model.begin_session(client, answer.session_id, SUBJECTS[client]),
        }
        (conn, answer)
    }

    fn ask(&mut self, client: usize, request: &Request) {
        let (conn, _) = self.conns[client];
        let number = request.fixed_xid().unwrap_or(self.log.len() as i32 + 1);
        let mut w = Writer::new();
        request.encode(number, &mut w);
        self.now.wall_ms += 1;
        let mut out = self.step(Input::Frame { conn, frame: w.into_bytes() });
        while self.core.is_unfinished(conn) {
            out.extend(self.step(Input::Continue { conn }));
        }
        let expected = self.model.serve(client, request, self.now.wall_ms);
        // What was missed is told in an order of its own, and of no moment.
        match request {
            Request::SetWatches { .. } | Request::SetWatches2 { .. } => self.check_events(&out, true, -1),
            _ => self.check_events(&out, false, self.model.zxid),
        }
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
    fn check_events(&mut self, out: &[Output], any_order: bool, zxid: i64) {
        let expected = std::mem::take(&mut self.model.events);
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
            Act::SetAgain { back, lists, with_those_that_stay } => {
                let relative_zxid = self.model.zxid - back;
                let [data, exist, child, persistent, recursive] = lists.clone();
                self.ask(
                    client,
                    &match with_those_that_stay {
                        true => {
                            Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive }
                        }
                        false => Request::SetWatches { relative_zxid, data, exist, child },
                    },
                );
            }
            Act::TimePasses(ms) => {
                (0..CLIENTS).for_each(|client| self.ask(client, &Request::Ping));
                self.pass(*ms);
                self.tick(None);
            }
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
                self.has_ended(client, &out);
                self.conns[client] = self.connect(client, None);
            }
            Act::FallSilent => {
                self.ask(client, &Request::Ping);
                self.pass(3_000);
                others.for_each(|other| self.ask(other, &Request::Ping));
                self.pass(1_000);
                self.tick(None);
                self.pass(1);
                self.tick(Some(client));
                self.conns[client] = self.connect(client, None);
                (0..CLIENTS).for_each(|other| self.ask(other, &Request::Ping));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
    }

    /// Time is looked at: the session of the silent one ends, if there is one, and nobody else's; then goes by itself what
    /// has had its time.
    fn tick(&mut self, silent: Option<usize>) {
        let out = self.step(Input::Tick);
        let reaps = |output: &Output| matches!(output, Output::Append(r) if r.header.kind == OpCode::DELETE_CONTAINER);
        let (ended, mut reaped) = out.split_at(out.iter().position(reaps).unwrap_or(out.len()));
        match silent {
            Some(client) => self.has_ended(client, ended),
            None => assert!(ended.is_empty(), "nobody's time is over yet"),
        }
        let mut over = BTreeSet::new();
        if self.model.has_mortals() && self.next_look_ms <= self.now.mono_ms {
            self.next_look_ms = self.now.mono_ms + LOOK_MS;
            over = self.model.over(self.now.wall_ms);
        }
        while let [Output::Append(TxnRecord { txn: Txn::Delete { path }, .. }), behind @ ..] = reaped {
            assert!(over.remove(path), "{path} goes before its time");
            self.model.reap(path);
            let end = behind.iter().position(reaps).unwrap_or(behind.len());
            self.check_events(&behind[..end], false, self.model.zxid);
            reaped = &behind[end..];
        }
        assert!(reaped.is_empty(), "{reaped:?}");
        assert!(over.is_empty(), "still there: {over:?}");
    }

    fn has_ended(&mut self, client: usize, out: &[Output]) {
        self.model.end_session(client);
        self.check_events(out, true, self.model.zxid);
        self.model.forget_watches(client);
        assert!(out.contains(&Output::Close { conn: self.conns[client].0 }));
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
    let acls: BTreeMap<i64, &[Acl]> = image.acls().into_iter().collect();
    let line = |n: ImageNode<'_>| format!("{} {:?} {:?} {:?}\n", n.path, n.data, n.stat, acls.get(&n.acl));
    let mut nodes: Vec<_> = image.nodes().map(line).collect();
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
        let acls: BTreeMap<i64, &[Acl]> = pair.core.image().acls().into_iter().collect();
        for node in pair.core.image().nodes() {
            let path = if node.path.is_empty() { "/" } else { node.path };
            let (data, stat) = pair.model.node(path).unwrap();
            prop_assert_eq!((node.data, node.stat.aversion), (data, stat.aversion), "{}", path);
            prop_assert_eq!(Some(node.stat.ephemeral_owner), pair.model.stored_owner(path), "{}", path);
            let acl = acls.get(&node.acl).map_or(Acl::open(), |acl| acl.to_vec());
            prop_assert_eq!(Some(&acl[..]), pair.model.acl(path), "{}", path);
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
