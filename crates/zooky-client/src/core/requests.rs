//! Requests that wait for their answers: numbered, in the order of sending.

use std::collections::VecDeque;

use bytes::BytesMut;
use zooky_wire::{MultiOp, OpCode, Request, Writer};

use crate::boottime::BootInstant;

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask<R, W> {
    /// What is asked, with the paths that the server knows.
    pub(crate) request: Request,
    /// Where the answer goes; nowhere for what the session asks for itself.
    pub(crate) reply: Option<R>,
    /// Where the event goes, if the request sets a watch.
    pub(crate) watch: Option<W>,
}

impl<R, W> Ask<R, W> {
    /// The node that is to be watched, if one is.
    pub(super) fn watched(&self) -> Option<&str> {
        match &self.request {
            Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::GetChildren { path, .. }
            | Request::GetChildren2 { path, .. }
            | Request::AddWatch { path, .. }
                if self.watch.is_some() =>
            {
                Some(path)
            }
            _ => None,
        }
    }

    /// The path that errors name.
    pub(crate) fn take_path(self) -> String {
        path_of(self.request)
    }
}

/// A request that was written and is not answered yet.
#[derive(Debug)]
pub(super) struct Sent<R, W> {
    pub(super) xid: i32,
    pub(super) op: OpCode,
    pub(super) path: String,
    pub(super) sent_at: BootInstant,
    /// Whether its acknowledgement proves that the leader has seen it.
    pub(super) counts: bool,
    pub(super) reply: Option<R>,
    pub(super) watch: Option<W>,
}

/// A request that is longer than allowed.
#[derive(Debug)]
pub(super) struct TooLong<R> {
    pub(super) reply: Option<R>,
    pub(super) path: String,
    pub(super) size: usize,
}

/// The numbering of requests and those that are under way.
#[derive(Debug)]
pub(super) struct Requests<R, W> {
    last_xid: i32,
    sent: VecDeque<Sent<R, W>>,
}

impl<R, W> Requests<R, W> {
    pub(super) fn new() -> Self {
        Requests { last_xid: 0, sent: VecDeque::new() }
    }

    /// Writes a request behind `wire`.
    ///
    /// # Errors
    /// It is longer than `limit`; nothing was written.
    pub(super) fn send(
        &mut self,
        now: BootInstant,
        ask: Ask<R, W>,
        wire: &mut BytesMut,
        limit: usize,
    ) -> Result<(), TooLong<R>> {
        let xid = if self.last_xid == i32::MAX { 1 } else { self.last_xid + 1 };
        let size = encode(&ask.request, xid, wire, limit);
        let op = ask.request.op();
        let counts = op == OpCode::SYNC || (ask.request.is_write() && op != OpCode::CLOSE_SESSION);
        let (path, reply, watch) = (path_of(ask.request), ask.reply, ask.watch);
        if size > limit {
            return Err(TooLong { reply, path, size });
        }
        self.last_xid = xid;
        self.sent.push_back(Sent { xid, op, path, sent_at: now, counts, reply, watch });
        Ok(())
    }

    /// The oldest request, if the answer with this number can be its.
    pub(super) fn answered(&mut self, xid: i32) -> Option<Sent<R, W>> {
        if self.sent.front()?.xid == xid { self.sent.pop_front() } else { None }
    }

    /// The request with this number, wherever it stands.
    pub(super) fn out_of_turn(&mut self, xid: i32) -> Option<Sent<R, W>> {
        let at = self.sent.iter().position(|sent| sent.xid == xid)?;
        self.sent.remove(at)
    }

    /// Takes back an answer that turned out to be none.
    pub(super) fn unanswered(&mut self, sent: Sent<R, W>) {
        self.sent.push_front(sent);
    }

    /// When the oldest was sent.
    pub(super) fn oldest(&self) -> Option<BootInstant> {
        self.sent.front().map(|sent| sent.sent_at)
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether one is under way about this path that is `like` this.
    pub(super) fn any(&self, path: &str, like: impl Fn(&Sent<R, W>) -> bool) -> bool {
        self.sent.iter().any(|sent| sent.path == path && like(sent))
    }

    /// Takes all of them, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Sent<R, W>> {
        std::mem::take(&mut self.sent)
    }
}

/// Writes a frame behind `wire` unless it is longer than `limit`, and returns its length.
pub(super) fn encode(request: &Request, xid: i32, wire: &mut BytesMut, limit: usize) -> usize {
    let start = wire.len();
    let mut writer = Writer::from_buf(std::mem::take(wire));
    let mark = writer.begin_frame();
    request.encode(xid, &mut writer);
    let size = writer.len() - start - 4;
    if size <= limit {
        writer.end_frame(mark);
    }
    *wire = writer.into_buf();
    if size > limit {
        wire.truncate(start);
    }
    size
}

/// The path that a request is about, for messages.
fn path_of(request: Request) -> String {
    match request {
        Request::Create(create) => create.path,
        Request::Delete { path, .. }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::SetData { path, .. }
        | Request::GetAcl { path }
        | Request::SetAcl { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::AddWatch { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::Sync { path } => path,
        Request::Multi(ops) => match ops.into_iter().next() {
            Some(MultiOp::Create(create)) => create.path,
            Some(
                MultiOp::Delete { path, .. } | MultiOp::SetData { path, .. } | MultiOp::Check { path, .. },
            ) => path,
            None => String::new(),
        },
        _ => String::new(),
    }
}
