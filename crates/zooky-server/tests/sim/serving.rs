//! What the server decides, beside the reference model.

use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};
use zooky_server::core::{ConnId, Input, Output};
use zooky_wire::{
    ConnectRequest, ConnectResponse, ErrorCode, EventType, Reader, ReplyHeader, Request, Response, Txn,
    TxnRecord, WatcherEvent, xid,
};

use super::client::subject;
use super::{Sent, Sim};

type Event = (EventType, String, i64);

impl Sim {
    pub(super) fn server_opens(&mut self, conn: ConnId) {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut out = self.step(Input::Opened { conn, peer });
        if let Some(subject) = self.subject(conn) {
            out.extend(self.step(Input::Certified { conn, subject: subject.to_owned() }));
        }
        assert!(out.is_empty());
    }

    /// Whom the certificate names that stands behind a connection.
    fn subject(&self, conn: ConnId) -> Option<&'static str> {
        subject(self.links[&conn].client)
    }

    pub(super) fn server_closes(&mut self, conn: ConnId) {
        let out = self.step(Input::Closed { conn });
        assert!(out.is_empty());
        self.detach(conn);
    }

    fn detach(&mut self, conn: ConnId) {
        if let Some(session) = self.attached.remove(&conn)
            && let Some(&(number, _)) = self.world.sessions.get(&session)
        {
            self.world.model.forget_watches(number);
        }
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Output> {
        let Some(server) = &mut self.server else { return Vec::new() };
        let out = server.step(self.now, input);
        for output in &out {
            self.trace.note(format!("  {output:?}"));
        }
        out
    }

    /// The server takes some of what has arrived.
    pub(super) fn server_reads(&mut self) {
        let Some(conn) = self.any_link() else { return };
        for _ in 0..1 + self.rng.below(5) {
            self.server_reads_from(conn);
        }
        // In the end it notices that nobody is there.
        if self.links.get(&conn).is_some_and(|link| link.deserted && link.to_server.is_empty()) {
            self.links.remove(&conn);
            self.server_closes(conn);
        }
    }

    /// Serves one frame; false if there was none.
    pub(super) fn server_reads_from(&mut self, conn: ConnId) -> bool {
        if self.server.is_none() {
            return false;
        }
        let Some((frame, sent)) = self.links.get_mut(&conn).and_then(|link| link.to_server.pop_front())
        else {
            return false;
        };
        self.now.wall_ms += 1;
        self.trace.note(format!("{} ms, {conn:?}: {sent:?}", self.now.mono_ms));
        let zxid = self.world.model.zxid;
        let out = self.step(Input::Frame { conn, frame });
        match sent {
            Sent::Connect(request) => self.check_handshake(conn, &request, &out),
            Sent::Ask(request) => match self.attached.get(&conn) {
                None => assert!(out.is_empty(), "a closed connection is served"),
                Some(&session) => {
                    self.heard_ms.insert(session, self.now.mono_ms);
                    self.check_request(conn, session, &request, &out);
                }
            },
        }
        self.remember(zxid);
        true
    }

    /// Keeps the world as it is after a step that may have made one transaction.
    fn remember(&mut self, before: i64) {
        let made = self.world.model.zxid - before;
        if let Some(server) = &self.server {
            let (core, model) = (&server.core, &self.world.model);
            assert_eq!(core.last_zxid(), model.zxid, "the core's zxid is not the model's");
            assert_eq!(core.stats().watches, model.watches());
        }
        assert!(made <= 1);
        if made == 1 {
            self.history.push(self.world.clone());
        }
    }

    fn check_handshake(&mut self, conn: ConnId, request: &ConnectRequest, out: &[Output]) {
        let zxid = self.world.model.zxid;
        assert!(
            request.last_zxid_seen <= zxid,
            "a client has seen {:#x}, ahead of us",
            request.last_zxid_seen
        );
        let timeout_ms = request.timeout_ms as u64;
        let known = self.world.sessions.get(&request.session_id).copied();
        let answer =
            sent(out, conn).pop().map(|f| ConnectResponse::decode(&mut Reader::new(&f[4..])).unwrap());
        let answer = answer.expect("every client is answered");
        if request.session_id != 0 && known.is_none() {
            assert_eq!((answer.session_id, answer.timeout_ms), (0, 0), "a dead session comes back");
            assert_eq!(out.last(), Some(&Output::Close { conn }));
            return assert_eq!(out.len(), 2);
        }
        let session = answer.session_id;
        assert_eq!(answer.timeout_ms as u64, timeout_ms);
        if let Some((&old, _)) = self.attached.iter().find(|(_, s)| **s == session) {
            assert!(out.contains(&Output::Close { conn: old }), "the session has two connections");
            self.detach(old);
        }
        let number = match known {
            Some((number, _)) => {
                assert_eq!(session, request.session_id);
                assert_eq!(answer.password, request.password);
                number
            }
            None => {
                assert!(!self.heard_ms.contains_key(&session), "session id {session:#x} is used again");
                self.heard_ms.len()
            }
        };
        let logged = appended(out);
        if known.is_none_or(|(_, ms)| ms != timeout_ms) {
            assert!(matches!(logged[..], [TxnRecord { txn: Txn::CreateSession { .. }, .. }]), "{logged:?}");
            self.world.model.begin_session(number, session, self.subject(conn));
            self.world.sessions.insert(session, (number, timeout_ms));
        } else {
            assert!(logged.is_empty());
        }
        self.check_zxids(&logged, zxid);
        self.attached.insert(conn, session);
        self.heard_ms.insert(session, self.now.mono_ms);
    }

    fn check_request(&mut self, conn: ConnId, session: i64, request: &Request, out: &[Output]) {
        let before = self.world.model.zxid;
        let number = self.world.sessions[&session].0;
        let logged = appended(out);
        let expected = if matches!(request, Request::CloseSession) {
            self.world.model.end_session(number);
            self.world.sessions.remove(&session);
            Ok(Response::Empty)
        } else {
            self.world.model.serve(number, request, self.now.wall_ms)
        };
        self.check_zxids(&logged, before);
        let replayed = matches!(request, Request::SetWatches { .. } | Request::SetWatches2 { .. });
        self.check_events(out, matches!(request, Request::CloseSession), replayed);
        if matches!(request, Request::CloseSession) {
            assert_eq!(out.last(), Some(&Output::Close { conn }));
            self.attached.remove(&conn);
            self.world.model.forget_watches(number);
        }
        let frame = sent(out, conn).pop().expect("every request is answered");
        let mut r = Reader::new(&frame[4..]);
        let header = ReplyHeader::decode(&mut r).unwrap();
        self.check_label(number, request, &expected, header.zxid);
        let got = match header.err {
            ErrorCode::OK => Ok(sorted(Response::decode(request.op(), &mut r).unwrap())),
            err => Err(err),
        };
        assert_eq!(got, expected, "{request:?}");
    }

    /// The zxid in an answer is the newest there is, or an earlier one at which the same would have been answered.
    fn check_label(
        &mut self,
        number: usize,
        request: &Request,
        answer: &Result<Response, ErrorCode>,
        label: i64,
    ) {
        if label == self.world.model.zxid {
            return;
        }
        assert!(label < self.world.model.zxid, "{request:?} tells of the future");
        let mut then = self.history[label as usize].model.clone();
        assert_eq!(&then.serve(number, request, self.now.wall_ms), answer, "{request:?} at {label:#x}");
        assert_eq!(then.zxid, label, "{request:?} is a write");
    }

    fn check_zxids(&self, logged: &[TxnRecord], before: i64) {
        let numbers: Vec<i64> = logged.iter().map(|record| record.header.zxid).collect();
        let expected: Vec<i64> = (before + 1..=self.world.model.zxid).collect();
        assert_eq!(numbers, expected, "transactions are numbered one by one");
    }

    /// The events are those of the model; each stands in front of the reply and behind its transaction.
    pub(super) fn check_events(&mut self, out: &[Output], any_order: bool, replayed: bool) {
        let expected = std::mem::take(&mut self.world.model.events);
        let zxid = if replayed { -1 } else { self.world.model.zxid };
        for (conn, session) in &self.attached {
            let number = self.world.sessions.get(session).map(|s| s.0);
            let own = expected.iter().filter(|e| Some(e.0) == number);
            let mut want: Vec<Event> = own.map(|e| (e.1, e.2.clone(), zxid)).collect();
            let mut got: Vec<Event> = Vec::new();
            for frame in sent(out, *conn) {
                let mut r = Reader::new(&frame[4..]);
                let header = ReplyHeader::decode(&mut r).unwrap();
                if header.xid == xid::EVENT {
                    let event = WatcherEvent::decode(&mut r).unwrap();
                    got.push((event.kind, event.path, header.zxid));
                }
            }
            // A replay tells data, existence and children in an order of its own.
            if any_order || replayed {
                want.sort();
                got.sort();
            }
            if number.is_some() {
                assert_eq!(got, want, "events of {conn:?}");
            }
        }
    }
}

fn sent(out: &[Output], to: ConnId) -> Vec<Bytes> {
    let frames = out.iter().filter_map(|output| match output {
        Output::Send { conn, frame, .. } if *conn == to => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

pub(super) fn appended(out: &[Output]) -> Vec<TxnRecord> {
    let records = out.iter().filter_map(|output| match output {
        Output::Append(record) => Some(record.clone()),
        _ => None,
    });
    records.collect()
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
