//! setWatches and setWatches2: after a reconnect a client sets its watches again, and is told at
//! once of what happened meanwhile.
//!
//! One frame holds up to a hundred thousand paths, and the other clients are not to wait for all of them. So they
//! are read off the frame and set a portion at a time; the owner of the core asks for the next one with
//! [`Input::Continue`](crate::core::Input::Continue) when it is the connection's turn again.

use bytes::Bytes;
use zooky_wire::{DecodeError, ErrorCode, EventType, OpCode, Reader, Response, perms};

use crate::core::conn::Caller;
use crate::core::node::NodeId;
use crate::core::notify::{NO_ZXID, event};
use crate::core::watches::Mode;
use crate::core::{ConnId, Core, Output, acl};

/// How many paths are set in one step.
pub(in crate::core) const PORTION: usize = 64;

/// The lists of paths, in their order on the wire. setWatches has the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

const LISTS: [List; 5] = [List::Data, List::Exist, List::Child, List::Persistent, List::Recursive];

/// A request whose paths are not all set yet.
#[derive(Debug)]
pub(in crate::core) struct SetWatches {
    xid: i32,
    /// The zxid up to which the client knows.
    since: i64,
    frame: Bytes,
    /// Where in the frame to go on.
    at: usize,
    /// The lists that follow the present one, and how many paths of the present one are left.
    lists: &'static [List],
    present: List,
    left: usize,
}

impl Core {
    /// Begins with a request, whose header has been read from `frame`, and does its first portion.
    pub(in crate::core) fn set_watches(
        &mut self,
        caller: &Caller,
        op: OpCode,
        body: &mut Reader<'_>,
        frame: &Bytes,
        out: &mut Vec<Output>,
    ) {
        let Ok(since) = body.i64() else { return self.answer(caller, &Err(ErrorCode::MARSHALLING), out) };
        let lists = if op == OpCode::SET_WATCHES { &LISTS[..3] } else { &LISTS[..] };
        let at = frame.len() - body.remaining();
        let request = SetWatches {
            xid: caller.xid,
            since,
            frame: frame.clone(),
            at,
            lists,
            present: List::Data,
            left: 0,
        };
        self.go_on_setting(caller, Box::new(request), out);
    }

    /// Whether a connection's request is not answered yet because it takes several steps.
    pub fn is_unfinished(&self, conn: ConnId) -> bool {
        self.unfinished > 0 && self.conns.get(&conn).is_some_and(|open| open.unfinished.is_some())
    }

    /// The next portion of a connection's request, if it has such a one.
    pub(in crate::core) fn go_on(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        let Some(open) = self.conns.get_mut(&conn) else { return };
        let Some(request) = open.unfinished.take() else { return };
        self.unfinished -= 1;
        let caller = Caller { conn, session: open.session, xid: request.xid, ids: open.ids.clone() };
        self.go_on_setting(&caller, request, out);
    }

    fn go_on_setting(&mut self, caller: &Caller, mut request: Box<SetWatches>, out: &mut Vec<Output>) {
        match self.set_portion(caller, &mut request, out) {
            Ok(true) => self.answer(caller, &Ok(Response::Empty), out),
            Ok(false) => {
                if let Some(open) = self.conns.get_mut(&caller.conn) {
                    open.unfinished = Some(request);
                    self.unfinished += 1;
                }
            }
            Err(error) => self.answer(caller, &Err(error), out),
        }
    }

    /// Whether that was all.
    fn set_portion(
        &mut self,
        caller: &Caller,
        request: &mut SetWatches,
        out: &mut Vec<Output>,
    ) -> Result<bool, ErrorCode> {
        let frame = request.frame.clone();
        for _ in 0..PORTION {
            let mut reader = Reader::new(frame.get(request.at..).unwrap_or_default());
            let path = request.next_path(&mut reader).map_err(|_| ErrorCode::MARSHALLING)?;
            request.at = frame.len() - reader.remaining();
            let Some(path) = path else { return Ok(true) };
            self.set_again(caller, request.present, path, request.since, out)?;
        }
        Ok(false)
    }

    /// Sets one watch, or tells what was missed.
    fn set_again(
        &mut self,
        caller: &Caller,
        list: List,
        path: &str,
        since: i64,
        out: &mut Vec<Output>,
    ) -> Result<(), ErrorCode> {
        let conn = caller.conn;
        match (list, self.visible(caller, path)) {
            (List::Data | List::Child, None) => self.tell(caller, EventType::DELETED, path, out),
            (List::Data, Some(Some(id))) if self.tree.node(id).stat.mzxid > since => {
                self.tell(caller, EventType::DATA_CHANGED, path, out);
            }
            (List::Child, Some(Some(id))) if self.tree.node(id).stat.pzxid > since => {
                self.tell(caller, EventType::CHILDREN_CHANGED, path, out);
            }
            (List::Exist, Some(Some(_))) => self.tell(caller, EventType::CREATED, path, out),
            (List::Data | List::Exist, _) => self.watch_data(conn, path)?,
            (List::Child, _) => self.watch_children(conn, path)?,
            (List::Persistent, _) => self.watch_all(conn, path, Mode::Persistent)?,
            (List::Recursive, _) => self.watch_all(conn, path, Mode::Recursive)?,
        }
        Ok(())
    }

    /// `None`: no such node. `Some(None)`: there is one, but the caller may not read it, so it is
    /// told nothing of it (here the original is more talkative).
    fn visible(&self, caller: &Caller, path: &str) -> Option<Option<NodeId>> {
        let id = self.tree.find(path)?;
        let readable = acl::check(self.tree.acl(id), perms::READ, &caller.ids).is_ok();
        Some(readable.then_some(id))
    }

    fn tell(&mut self, caller: &Caller, kind: EventType, path: &str, out: &mut Vec<Output>) {
        self.send(caller.conn, event(kind, path, NO_ZXID), self.last_zxid, out);
    }
}

impl SetWatches {
    /// The next path on the wire and, in `present`, the list that it stands in.
    fn next_path<'a>(&mut self, reader: &mut Reader<'a>) -> Result<Option<&'a str>, DecodeError> {
        while self.left == 0 {
            let Some((&next, rest)) = self.lists.split_first() else { return Ok(None) };
            (self.present, self.lists) = (next, rest);
            self.left = reader.count(4)?;
        }
        self.left -= 1;
        reader.str().map(Some)
    }
}
