//! Connections: whose they are, and what is answered on them.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use zooky_wire::{ErrorCode, Id, OpCode, Reader, ReplyHeader, Request, RequestHeader, Response, Writer, xid};

use super::node::NodeId;
use super::ops::exists;
use super::ops::set_watches::SetWatches;
use super::{ConnId, Core, Output};

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Conn {
    /// Who is at the other end, in each scheme; authentication belongs to the connection.
    pub(super) ids: Arc<[Id]>,
    /// The session; 0 before the handshake.
    pub(super) session: i64,
    /// The newest transaction of which it has been told.
    pub(super) shown: Cell<i64>,
    /// A request that takes several steps.
    pub(super) unfinished: Option<Box<SetWatches>>,
}

impl Conn {
    pub(super) fn new(peer: IpAddr) -> Conn {
        let id = Id { scheme: "ip".into(), id: peer.to_canonical().to_string() };
        Conn { ids: Arc::new([id]), session: 0, shown: Cell::new(0), unfinished: None }
    }

    /// One more identity.
    pub(super) fn add_id(&mut self, scheme: &str, id: String) {
        let new = Id { scheme: scheme.into(), id };
        self.ids = self.ids.iter().cloned().chain([new]).collect();
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) conn: ConnId,
    pub(super) session: i64,
    pub(super) xid: i32,
    pub(super) ids: Arc<[Id]>,
}

impl Core {
    /// A frame of a connection: the handshake, or a request.
    pub(super) fn frame(&mut self, conn: ConnId, frame: &Bytes, out: &mut Vec<Output>) {
        // Whoever does not wait for the end of the request before gets it here.
        while self.is_unfinished(conn) {
            self.go_on(conn, out);
        }
        let Some(open) = self.conns.get(&conn) else { return };
        self.packets_received += 1;
        if open.session == 0 {
            return self.handshake(conn, frame, out);
        }
        let mut caller = Caller { conn, session: open.session, xid: 0, ids: Arc::clone(&open.ids) };
        self.sessions.touch(caller.session, self.now.mono_ms);
        // What is read stays no longer than this step; the tree has copies of its own.
        let mut body = Reader::of(frame);
        let Ok(header) = RequestHeader::decode(&mut body) else { return self.close_conn(conn, out) };
        caller.xid = header.xid;
        match header.op {
            OpCode::PING => self.answer(&Caller { xid: xid::PING, ..caller }, &Ok(Response::Empty), out),
            OpCode::AUTH => self.auth(&caller, &mut body, out),
            OpCode::SASL => self.sasl(&caller, &mut body, out),
            OpCode::CLOSE_SESSION => self.close_session(&caller, out),
            OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => {
                self.set_watches(&caller, header.op, &mut body, frame, out);
            }
            op if !is_request(op) => self.refuse(&caller, self.last_zxid, ErrorCode::UNIMPLEMENTED, out),
            op => {
                if let Some((tells, error)) = self.leads_nowhere(op, &body) {
                    return self.answer_as_of(tells, &caller, &Err(error), out);
                }
                let Ok(request) = Request::decode_body(op, &mut body) else {
                    return self.answer(&caller, &Err(ErrorCode::MARSHALLING), out);
                };
                let tells = self.told_by(&request);
                let result = match request {
                    Request::GetData { path, watch } => {
                        let found = self.find_data(&caller, &path, watch);
                        return self.answer_with_data(tells, &caller, found, out);
                    }
                    Request::MultiRead(parts) => {
                        let zxid = self.zxid_of(tells, &caller);
                        let frame = frame_of(|w| {
                            ReplyHeader { xid: caller.xid, zxid, err: ErrorCode::OK }.encode(w);
                            self.multi_read(&caller, parts, w);
                        });
                        return self.send(caller.conn, frame, zxid, out);
                    }
                    request => self.serve(&caller, request, out),
                };
                if op == OpCode::CHECK && result == Err(ErrorCode::UNIMPLEMENTED) {
                    // One that holds: the original has no answer to it and closes.
                    return self.refuse(&caller, self.last_zxid, ErrorCode::UNIMPLEMENTED, out);
                }
                self.answer_as_of(tells, &caller, &result, out);
            }
        }
    }

    /// A read of a path longer than any that there is, so long that it is better not copied: how it ends, and of which
    /// transaction that tells. `None`: it is none of those, or it is to be served like any other for another reason.
    fn leads_nowhere(&self, op: OpCode, body: &Reader<'_>) -> Option<(i64, ErrorCode)> {
        if body.remaining() < LONG_PATH
            || !matches!(op, OpCode::EXISTS | OpCode::GET_DATA | OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2)
        {
            return None;
        }
        let mut body = body.clone();
        let path = body.str().ok()?.as_bytes();
        let watch = body.bool().ok()?;
        if watch || path.len() < LONG_PATH || self.tree.has_had(path.len()) {
            return None;
        }
        let refused = op == OpCode::EXISTS && exists::holds_nul(path);
        Some((self.told_of(path), if refused { ErrorCode::BAD_ARGUMENTS } else { ErrorCode::NO_NODE }))
    }

    /// Sends a reply that may tell of anything.
    pub(super) fn answer(
        &mut self,
        caller: &Caller,
        result: &Result<Response, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        self.answer_as_of(self.last_zxid, caller, result, out);
    }

    /// Sends a reply that tells of no transaction behind `tells`.
    fn answer_as_of(
        &mut self,
        tells: i64,
        caller: &Caller,
        result: &Result<Response, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let err = result.as_ref().err().copied().unwrap_or(ErrorCode::OK);
        let zxid = self.zxid_of(tells, caller);
        let header = ReplyHeader { xid: caller.xid, zxid, err };
        let frame = frame_of(|w| {
            header.encode(w);
            if let Ok(body) = result {
                body.encode(w);
            }
        });
        self.send(caller.conn, frame, zxid, out);
    }

    /// Sends a node's data, copied once: they may be a megabyte.
    fn answer_with_data(
        &mut self,
        tells: i64,
        caller: &Caller,
        found: Result<NodeId, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let id = match found {
            Ok(id) => id,
            Err(error) => return self.answer_as_of(tells, caller, &Err(error), out),
        };
        let zxid = self.zxid_of(tells, caller);
        let node = self.tree.node(id);
        let data = node.data.as_deref();
        let room = FRAME_BYTES + data.map_or(0, <[u8]>::len);
        let frame = frame_with_room(room, |w| {
            ReplyHeader { xid: caller.xid, zxid, err: ErrorCode::OK }.encode(w);
            w.buffer(data);
            node.client_stat().encode(w);
        });
        self.send(caller.conn, frame, zxid, out);
    }

    /// What the header of a reply names that tells of no transaction behind `tells`.
    fn zxid_of(&self, tells: i64, caller: &Caller) -> i64 {
        let shown = self.conns.get(&caller.conn).map_or(self.last_zxid, |open| open.shown.get());
        tells.max(shown).max(self.durable).min(self.last_zxid)
    }

    /// Sends an error and closes the connection; the session lives on.
    pub(super) fn refuse(&mut self, caller: &Caller, zxid: i64, err: ErrorCode, out: &mut Vec<Output>) {
        let header = ReplyHeader { xid: caller.xid, zxid, err };
        self.send(caller.conn, frame_of(|w| header.encode(w)), self.last_zxid, out);
        self.close_conn(caller.conn, out);
    }

    /// Sends a frame that tells of the transactions up to `shows`.
    pub(super) fn send(&mut self, conn: ConnId, frame: Bytes, shows: i64, out: &mut Vec<Output>) {
        self.packets_sent += 1;
        if let Some(open) = self.conns.get(&conn) {
            open.shown.set(shows);
        }
        out.push(Output::Send { conn, frame, shows });
    }

    /// Closes a connection and forgets it.
    pub(super) fn close_conn(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        self.forget_conn(conn);
        out.push(Output::Close { conn });
    }

    /// Forgets a connection and its watches.
    pub(super) fn forget_conn(&mut self, conn: ConnId) {
        let Some(gone) = self.conns.remove(&conn) else { return };
        self.unfinished -= usize::from(gone.unfinished.is_some());
        self.data_watches.remove_conn(conn);
        self.child_watches.remove_conn(conn);
        if let Some(session) = self.sessions.get_mut(gone.session)
            && session.conn == Some(conn)
        {
            session.conn = None;
        }
    }
}

/// Whether the opcode is one of those that clients may ask outside of multi (a check is, of sorts). The original answers
/// all others with "unimplemented", and closes the connection.
fn is_request(op: OpCode) -> bool {
    op.text().is_some() && !matches!(op, OpCode::DELETE_CONTAINER | OpCode::CREATE_SESSION | OpCode::ERROR)
}

/// A path of so many bytes takes its time to copy.
const LONG_PATH: usize = 16 << 10;

/// Room for a frame that holds nothing long: a path or two, and a stat.
const FRAME_BYTES: usize = 256;

/// A frame with its length in front.
pub(super) fn frame_of(body: impl FnOnce(&mut Writer)) -> Bytes {
    frame_with_room(FRAME_BYTES, body)
}

/// The same with room for so many bytes made at once.
fn frame_with_room(room: usize, body: impl FnOnce(&mut Writer)) -> Bytes {
    let mut w = Writer::from_buf(BytesMut::with_capacity(room));
    let mark = w.begin_frame();
    body(&mut w);
    w.end_frame(mark);
    w.into_bytes()
}
