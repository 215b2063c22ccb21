//! The life of a session and of its connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use zooky_wire::{ConnectRequest, OpCode, PASSWORD_LEN, Request, Writer, xid};

use super::connect::Chooser;
use super::requests::{Ask, Requests, encode};
use super::state::{Identity, Life, Link, Settings};
use super::watches::{Target, Watches};
use super::{Output, Watcher};
use crate::boottime::BootInstant;
use crate::error::Error;
use crate::session::State;

/// The least time that an attempt to connect is given.
const LEAST_ATTEMPT: Duration = Duration::from_millis(200);

/// How long a lost session is tried to be closed on a server. While there is no quorum nothing expires; who is back by
/// then frees what it held at once, instead of leaving others to wait for another whole timeout after the election.
const LINGER: Duration = Duration::from_secs(120);

/// The session as a state machine. `R` is where answers go, `W` where events go.
#[derive(Debug)]
pub(crate) struct Core<R, W> {
    pub(super) settings: Settings,
    pub(super) life: Life,
    pub(super) link: Link,
    pub(super) chooser: Chooser,
    pub(super) identity: Option<Identity>,
    pub(super) last_zxid: i64,
    pub(super) requests: Requests<R, W>,
    /// Who waits for the answer to an `auth`, and what was asked; own ones wait with `None`.
    pub(super) auths: VecDeque<Option<(R, String, Vec<u8>)>>,
    /// Requests that wait for a connection.
    pub(super) waiting: VecDeque<Ask<R, W>>,
    pub(super) watches: Watches<W>,
    /// Bytes to be written to the connection; the driver takes them off at the front.
    pub(crate) wire: BytesMut,
}

impl<R, W: Watcher> Core<R, W> {
    /// A session that opens from `now` on.
    pub(crate) fn new(now: BootInstant, settings: Settings) -> Self {
        Core {
            chooser: Chooser::new(settings.servers, settings.seed),
            settings,
            life: Life::Opening,
            link: Link::Down { retry_at: now },
            identity: None,
            last_zxid: 0,
            requests: Requests::new(),
            auths: VecDeque::new(),
            waiting: VecDeque::new(),
            watches: Watches::new(),
            wire: BytesMut::new(),
        }
    }

    /// The session's id and timeout, once it is open.
    pub(crate) fn identity(&self) -> Option<(i64, Duration)> {
        self.identity.as_ref().map(|identity| (identity.id, identity.deadline.timeout()))
    }

    /// The deadline, and how long before it an acknowledgement is overdue.
    pub(crate) fn deadline(&self) -> Option<(BootInstant, Duration)> {
        self.identity.as_ref().map(|identity| (identity.deadline.at(), identity.deadline.lead()))
    }

    /// Everything that time brings about. To be called at every [`next_at`](Core::next_at), after what has arrived
    /// by then was handed in: a program that stood still must not take its own silence for the server's.
    pub(crate) fn tick(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        self.check_deadline(now, out);
        if let Life::Ending { until, .. } = self.life
            && now >= until
        {
            return self.over(Err(Error::ConnectionLoss { path: "/".to_owned() }), out);
        }
        if matches!(self.life, Life::Over { .. }) {
            return;
        }
        match &self.link {
            Link::Down { retry_at } if now >= *retry_at => {
                let within = self.attempt();
                self.link = Link::Connecting { give_up_at: now + within };
                out.push(Output::Connect { server: self.chooser.choose(), within });
            }
            Link::Connecting { give_up_at } | Link::Shaking { give_up_at, .. } if now >= *give_up_at => {
                self.drop_link(now, out);
            }
            Link::Up(up) => {
                let sync_is_due = now >= up.sync_at;
                if now >= self.silent_at() {
                    self.drop_link(now, out);
                } else if sync_is_due {
                    self.send_sync(now);
                }
            }
            _ => {}
        }
    }

    /// When [`tick`](Core::tick) is wanted.
    pub(crate) fn next_at(&self) -> BootInstant {
        let link = match &self.link {
            Link::Down { retry_at } => *retry_at,
            Link::Connecting { give_up_at } | Link::Shaking { give_up_at, .. } => *give_up_at,
            Link::Up(up) => up.sync_at.min(self.silent_at()),
        };
        match (&self.life, &self.identity) {
            (Life::Over { .. }, _) => BootInstant::NEVER,
            (Life::Ending { until, .. }, _) => link.min(*until),
            (Life::Open, Some(identity)) => link.min(identity.deadline.at()),
            _ => link,
        }
    }

    /// The connection that was asked for is there.
    pub(crate) fn connected(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        self.check_deadline(now, out);
        let Link::Connecting { give_up_at } = self.link else { return };
        let identity = self.identity.as_ref();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(self.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            session_id: identity.map_or(0, |identity| identity.id),
            password: identity.map_or_else(|| vec![0; PASSWORD_LEN], |identity| identity.password.clone()),
            read_only: Some(false),
        };
        let mut writer = Writer::from_buf(std::mem::take(&mut self.wire));
        let mark = writer.begin_frame();
        request.encode(&mut writer);
        writer.end_frame(mark);
        self.wire = writer.into_buf();
        self.link = Link::Shaking { give_up_at, sent_at: now };
    }

    /// The connection broke, or could not be opened.
    pub(crate) fn disconnected(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        self.check_deadline(now, out);
        if matches!(self.life, Life::Over { .. }) || matches!(self.link, Link::Down { .. }) {
            return;
        }
        let pause = self.chooser.failed();
        let was = std::mem::replace(&mut self.link, Link::Down { retry_at: now + pause });
        self.wire.clear();
        // Before anybody hears of the loss by an answer: what stands on these watches is no longer true.
        for (path, watcher) in self.watches.take_trees() {
            let path = self.settings.chroot.outward(path);
            out.push(Output::Event(watcher, Err(Error::ConnectionLoss { path })));
        }
        self.fail_sent(|path| Error::ConnectionLoss { path }, out);
        if matches!((&was, &self.life), (Link::Up(up), Life::Open) if up.announced) {
            out.push(Output::State(State::Suspended));
        }
        if matches!(self.life, Life::Ending { .. }) && self.identity.is_none() {
            self.over(Ok(()), out);
        }
    }

    /// Somebody does not wait any more for what they asked to be told of. If nobody else does, the server is told.
    pub(crate) fn forget(&mut self, now: BootInstant, path: &str, target: Target) {
        // On a new connection only what is still wanted is set again.
        if self.watches.is_wanted(path, target)
            || !matches!((&self.life, &self.link), (Life::Open, Link::Up(_)))
            || self.requests.any(path, |sent| {
                // A watch that is being set is somebody's, or is looked at once its answer comes; and with the
                // node's deletion the watch goes by itself.
                let sets = sent.watch.is_some() && Target::of(sent.op) == target;
                sets || sent.op == OpCode::DELETE
            })
        {
            return;
        }
        // A watch of the other kind on this very node must not go with it.
        let kind = if target == Target::Tree && self.is_watched_once(path) { return } else { target.wire() };
        self.send_own(now, Request::RemoveWatches { path: path.to_owned(), kind });
    }

    /// Servers keep one mode for all watches of a session on a node, the newest (until 3.10): a one-shot watch on
    /// the top of a tree would end the tree's. So whoever asks for a tree finds no other there, or is told; and
    /// whoever asks later for a one-shot watch ends the tree's, whose watchers are told.
    fn settle_modes(&mut self, ask: Ask<R, W>, out: &mut Vec<Output<R, W>>) -> Option<Ask<R, W>> {
        let Some(path) = ask.watched() else { return Some(ask) };
        let path = path.to_owned();
        if Target::of(ask.request.op()) == Target::Tree {
            if self.is_watched_once(&path) {
                let path = self.settings.chroot.outward(path);
                refuse(ask, Error::Watched { path }, out);
                return None;
            }
        } else {
            for watcher in self.watches.take_tree(&path) {
                let path = self.settings.chroot.outward(path.clone());
                out.push(Output::Event(watcher, Err(Error::Watched { path })));
            }
        }
        Some(ask)
    }

    /// Whether a one-shot watch is set on this very node, or being set.
    pub(super) fn is_watched_once(&mut self, path: &str) -> bool {
        self.watches.is_wanted(path, Target::Node)
            || self.watches.is_wanted(path, Target::Children)
            || self.requests.any(path, |sent| sent.watch.is_some() && Target::of(sent.op) != Target::Tree)
    }

    /// Somebody asks for something.
    pub(crate) fn submit(&mut self, now: BootInstant, ask: Ask<R, W>, out: &mut Vec<Output<R, W>>) {
        match &self.life {
            Life::Ending { error, .. } | Life::Over { error } => {
                let error = error.clone();
                return refuse(ask, error, out);
            }
            Life::Opening | Life::Open => {}
        }
        let limit = self.settings.max_outstanding;
        if self.requests.len() + self.waiting.len() >= limit {
            let (reply, path) = (ask.reply, self.settings.chroot.outward(path_of_ask(ask.request)));
            return answer(reply, Err(Error::Overloaded { path, limit }), out);
        }
        if matches!(self.link, Link::Up(_)) {
            self.send(now, ask, out);
        } else {
            self.waiting.push_back(ask);
        }
    }

    /// Ends the session: what was sent before is still answered, then a server is told.
    pub(crate) fn close(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        self.check_deadline(now, out);
        match self.life {
            Life::Opening if !matches!(self.link, Link::Shaking { .. } | Link::Up(_)) => {
                self.begin_end(now, Error::Closed, out);
                self.over(Ok(()), out);
            }
            Life::Opening | Life::Open => {
                self.begin_end(now, Error::Closed, out);
                if matches!(self.link, Link::Up(_)) {
                    self.send_close(now);
                }
            }
            Life::Ending { .. } | Life::Over { .. } => {}
        }
    }

    /// Somebody waits for the end of the session: for its timeout at most.
    pub(crate) fn hurry(&mut self, now: BootInstant) {
        let latest = now + self.timeout();
        if let Life::Ending { until, .. } = &mut self.life {
            *until = (*until).min(latest);
        }
    }

    /// Past the deadline the session is lost, before anything else is looked at.
    pub(crate) fn check_deadline(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        let passed = self.identity.as_ref().is_some_and(|identity| now >= identity.deadline.at());
        if passed && matches!(self.life, Life::Open) {
            self.lose(now, &Error::SessionLost, out);
        }
    }

    /// Somebody who looked at the clock has found the deadline passed and was told so: that is final.
    pub(crate) fn seen_lost(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        if matches!(self.life, Life::Open) {
            self.lose(now, &Error::SessionLost, out);
        }
    }

    /// Why the session ends or has ended, if it does.
    pub(crate) fn end(&self) -> Option<&Error> {
        match &self.life {
            Life::Ending { error, .. } | Life::Over { error } => Some(error),
            Life::Opening | Life::Open => None,
        }
    }

    /// The session is lost to us but perhaps not to the servers: everybody is told, and it is closed there, so that
    /// others need not wait for its end.
    pub(super) fn lose(&mut self, now: BootInstant, error: &Error, out: &mut Vec<Output<R, W>>) {
        self.begin_end(now, error.clone(), out);
        if let Life::Ending { until, .. } = &mut self.life {
            *until = (*until).max(now + LINGER);
        }
        self.fail_sent(|_| error.clone(), out);
        if matches!(self.link, Link::Up(_)) {
            if self.wire.is_empty() {
                self.send_close(now);
            } else {
                // Requests that have not left must not leave now.
                self.drop_link(now, out);
            }
        }
    }

    fn begin_end(&mut self, now: BootInstant, error: Error, out: &mut Vec<Output<R, W>>) {
        out.push(Output::State(State::Lost));
        for ask in std::mem::take(&mut self.waiting) {
            refuse(ask, error.clone(), out);
        }
        for watcher in self.watches.take() {
            out.push(Output::Event(watcher, Err(error.clone())));
        }
        let timeout = self.identity().map_or(self.settings.timeout, |(_, timeout)| timeout);
        self.life = Life::Ending { error, until: now + timeout };
    }

    /// Nothing more happens. `result` is whether the session is known to be gone.
    pub(super) fn over(&mut self, result: Result<(), Error>, out: &mut Vec<Output<R, W>>) {
        let Life::Ending { error, .. } =
            std::mem::replace(&mut self.life, Life::Over { error: Error::SessionLost })
        else {
            return;
        };
        self.fail_sent(|path| Error::ConnectionLoss { path }, out);
        self.life = Life::Over { error };
        self.link = Link::Down { retry_at: BootInstant::NEVER };
        self.wire.clear();
        out.push(Output::Disconnect);
        out.push(Output::Over(result));
    }

    /// Drops the connection from this side.
    pub(super) fn drop_link(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) {
        out.push(Output::Disconnect);
        self.disconnected(now, out);
    }

    pub(super) fn send(&mut self, now: BootInstant, ask: Ask<R, W>, out: &mut Vec<Output<R, W>>) {
        let limit = self.settings.max_request;
        let Some(ask) = self.settle_modes(ask, out) else { return };
        if let Request::Auth { scheme, auth, .. } = &ask.request {
            let size = encode(&ask.request, xid::AUTH, &mut self.wire, limit);
            if size > limit {
                let error = Error::TooLarge { path: "/".to_owned(), size, limit };
                return answer(ask.reply, Err(error), out);
            }
            self.auths.push_back(ask.reply.map(|reply| (reply, scheme.clone(), auth.clone())));
        } else if let Err(long) = self.requests.send(now, ask, &mut self.wire, limit) {
            let path = self.settings.chroot.outward(long.path);
            answer(long.reply, Err(Error::TooLarge { path, size: long.size, limit }), out);
        }
    }

    /// A `sync` proves to us that the leader has seen us.
    pub(super) fn send_sync(&mut self, now: BootInstant) {
        self.send_own(now, Request::Sync { path: "/".to_owned() });
        let beat = self.timeout() / 6;
        if let Link::Up(up) = &mut self.link {
            up.sync_at = now + beat;
        }
    }

    pub(super) fn send_close(&mut self, now: BootInstant) {
        self.send_own(now, Request::CloseSession);
        if let Link::Up(up) = &mut self.link {
            up.sync_at = BootInstant::NEVER;
        }
    }

    fn send_own(&mut self, now: BootInstant, request: Request) {
        let ask = Ask { request, reply: None, watch: None };
        // These are short.
        let _ = self.requests.send(now, ask, &mut self.wire, usize::MAX);
    }

    fn fail_sent(&mut self, error: impl Fn(String) -> Error, out: &mut Vec<Output<R, W>>) {
        for sent in self.requests.take() {
            if sent.reply.is_some() {
                answer(sent.reply, Err(error(self.settings.chroot.outward(sent.path))), out);
            }
        }
        for (reply, ..) in std::mem::take(&mut self.auths).into_iter().flatten() {
            answer(Some(reply), Err(error("/".to_owned())), out);
        }
    }

    /// When the connection counts as dead. A `sync` goes out each sixth of the timeout, so that a third without a
    /// sign means that one has gone unanswered for a sixth; that leaves time to re-attach elsewhere.
    fn silent_at(&self) -> BootInstant {
        match (&self.link, self.requests.oldest()) {
            (Link::Up(up), Some(oldest)) => {
                (up.heard_at + self.timeout() / 3).max(oldest + self.timeout() / 6)
            }
            _ => BootInstant::NEVER,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.identity.as_ref().map_or(self.settings.timeout, |identity| identity.deadline.timeout())
    }

    /// How long an attempt may take, handshake included. A session that is to be re-attached has little time, so
    /// each server is given little at first.
    fn attempt(&self) -> Duration {
        let longest = (self.timeout() / 3).max(LEAST_ATTEMPT);
        match self.identity {
            Some(_) => {
                (self.timeout() / 12 * (1 << self.chooser.rounds().min(4))).max(LEAST_ATTEMPT).min(longest)
            }
            None => longest,
        }
    }
}

fn path_of_ask(request: Request) -> String {
    Ask::<(), ()> { request, reply: None, watch: None }.take_path()
}

pub(super) fn refuse<R, W>(ask: Ask<R, W>, error: Error, out: &mut Vec<Output<R, W>>) {
    answer(ask.reply, Err(error), out);
}

pub(super) fn answer<R, W>(
    reply: Option<R>,
    result: Result<super::Answer, Error>,
    out: &mut Vec<Output<R, W>>,
) {
    if let Some(reply) = reply {
        out.push(Output::Reply(reply, result));
    }
}
