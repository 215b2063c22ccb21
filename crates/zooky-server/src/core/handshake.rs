//! The first frame of a connection: a new session, an old one, or none.

use zooky_wire::{ConnectRequest, ConnectResponse, OpCode, PASSWORD_LEN, Reader, Txn, TxnHeader};

use super::conn::frame_of;
use super::sessions::OVER;
use super::{ConnId, Core, Output};

impl Core {
    /// Takes a connect request.
    pub(super) fn handshake(&mut self, conn: ConnId, frame: &[u8], out: &mut Vec<Output>) {
        let Ok(request) = ConnectRequest::decode(&mut Reader::new(frame)) else {
            return self.close_conn(conn, out);
        };
        // This client has seen more than we know; it must find another server.
        if request.last_zxid_seen > self.last_zxid {
            return self.close_conn(conn, out);
        }
        let (min, max) = (self.config.min_session_timeout_ms, self.config.max_session_timeout_ms);
        let asked = u32::try_from(request.timeout_ms).unwrap_or(0);
        let timeout_ms = i32::try_from(asked.max(min).min(max)).unwrap_or(i32::MAX);
        let session = if request.session_id == 0 {
            if self.sessions.len() >= self.config.limits.max_sessions {
                return self.close_conn(conn, out);
            }
            self.new_session_id()
        } else {
            request.session_id
        };
        if request.session_id != 0 && !self.may_attach(session, &request.password) {
            let none = ConnectResponse {
                protocol_version: 0,
                timeout_ms: 0,
                session_id: 0,
                password: vec![0; PASSWORD_LEN],
                read_only: request.read_only.map(|_| false),
            };
            self.send(conn, frame_of(|w| none.encode(w)), self.last_zxid, out);
            return self.close_conn(conn, out);
        }
        self.attach(conn, session, timeout_ms, out);
        let answer = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session,
            password: self.config.password.password(session).to_vec(),
            read_only: request.read_only.map(|_| false),
        };
        self.send(conn, frame_of(|w| answer.encode(w)), self.last_zxid, out);
    }

    /// Whether a connection's first frame asks for a session that is not there yet. A client that has left already will
    /// never hear of it, so it need not begin.
    pub fn asks_for_new_session(frame: &[u8]) -> bool {
        ConnectRequest::decode(&mut Reader::new(frame)).is_ok_and(|request| request.session_id == 0)
    }

    /// Whether there is such a session, and this is its password.
    fn may_attach(&mut self, session: i64, password: &[u8]) -> bool {
        let right = self.config.password.check(session, password);
        let alive = self.sessions.get_mut(session).is_some_and(|s| s.timeout_ms != OVER);
        right && alive
    }

    /// Ties a session to a connection and cuts it off its old one. A new session, and a new
    /// timeout of an old one, is logged: after a restart the client must have the time it was told.
    fn attach(&mut self, conn: ConnId, id: i64, timeout_ms: i32, out: &mut Vec<Output>) {
        let (known_ms, old) = match self.sessions.get_mut(id) {
            Some(session) => (Some(session.timeout_ms), session.conn),
            None => (None, None),
        };
        if let Some(old) = old {
            self.close_conn(old, out);
        }
        if known_ms != Some(timeout_ms) {
            let kind = OpCode::CREATE_SESSION;
            let header = TxnHeader { client_id: id, cxid: 0, zxid: 0, time_ms: 0, kind };
            self.commit(header, Txn::CreateSession { timeout_ms }, out);
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.conn = Some(conn);
        }
        self.sessions.touch(id, self.now.mono_ms);
        self.sessions.queue(id);
        if let Some(open) = self.conns.get_mut(&conn) {
            open.session = id;
        }
    }

    /// The next id that no session has, and that marks neither containers nor TTL nodes.
    fn new_session_id(&mut self) -> i64 {
        loop {
            let id = self.next_session_id;
            self.next_session_id = id.wrapping_add(1);
            let reserved = id == 0 || matches!((id as u64 >> 56) as u8, 0x80 | 0xff);
            if !reserved && !self.sessions.contains(id) && self.tree.ephemerals(id).is_empty() {
                return id;
            }
        }
    }
}
