//! What servers send: the handshake's answer, replies, events.

use bytes::BytesMut;
use zooky_wire::{
    ConnectResponse, ErrorCode, MultiResult, OpCode, Reader, ReplyHeader, Request, Response, WatcherEvent,
    take_frame, xid,
};

use super::deadline::Deadline;
use super::requests::{Sent, encode};
use super::session::answer;
use super::state::{Identity, Life, Link, Up};
use super::watches::{Kind, Target};
use super::{Answer, Core, Output, Watcher};
use crate::boottime::BootInstant;
use crate::error::Error;
use crate::session::State;
use crate::watch::WatchEvent;

/// The connection cannot be gone on with; the text says why.
pub(super) struct Broken(&'static str);

const GARBLED: Broken = Broken("it sent what cannot be read");

impl<R, W: Watcher> Core<R, W> {
    /// Bytes have come; whole frames are taken off `bytes`. `Some` says why the connection was dropped.
    pub(crate) fn received(
        &mut self,
        now: BootInstant,
        bytes: &mut BytesMut,
        out: &mut Vec<Output<R, W>>,
    ) -> Option<&'static str> {
        self.check_deadline(now, out);
        loop {
            let taken = match self.link {
                Link::Down { .. } | Link::Connecting { .. } => return None,
                _ => take_frame(bytes, self.settings.max_reply),
            };
            let handled = match taken {
                Ok(None) => return None,
                Ok(Some(frame)) if matches!(self.link, Link::Up(_)) => self.reply(now, &frame, out),
                Ok(Some(frame)) => self.handshake(now, &frame, out),
                Err(_) => Err(GARBLED),
            };
            if let Err(Broken(why)) = handled {
                self.drop_link(now, out);
                return Some(why);
            }
        }
    }

    fn handshake(
        &mut self,
        now: BootInstant,
        frame: &[u8],
        out: &mut Vec<Output<R, W>>,
    ) -> Result<(), Broken> {
        let Link::Shaking { sent_at, .. } = self.link else { return Ok(()) };
        let answer = ConnectResponse::decode(&mut Reader::new(frame)).map_err(|_| GARBLED)?;
        let timeout_ms = u64::try_from(answer.timeout_ms).unwrap_or(0);
        if timeout_ms == 0 {
            return self.expired(now, out);
        }
        if answer.read_only == Some(true) {
            return Err(Broken("it is read-only, cut off from its leader"));
        }
        let timeout = std::time::Duration::from_millis(timeout_ms);
        let is_new = self.identity.is_none();
        match &mut self.identity {
            Some(identity) if identity.id != answer.session_id => {
                return Err(Broken("it answered with another session"));
            }
            Some(identity) => {
                identity.deadline.shorten(timeout);
                identity.password = answer.password;
            }
            None => {
                let deadline = Deadline::new(sent_at, timeout, self.settings.margin);
                self.identity = Some(Identity { id: answer.session_id, password: answer.password, deadline });
            }
        }
        let sync_at = sent_at + self.timeout() / 6;
        self.link = Link::Up(Up { heard_at: now, sync_at, unproven: 0, announced: false });
        if matches!(self.life, Life::Ending { .. }) {
            self.send_close(now);
            return Ok(());
        }
        self.life = Life::Open;
        // A slow handshake may have used the new timeout up already.
        self.check_deadline(now, out);
        if matches!(self.life, Life::Open) {
            self.resume(now, is_new, out);
        }
        Ok(())
    }

    /// What goes first on a new connection: identities, watches, a proof of life, and then what has waited.
    fn resume(&mut self, now: BootInstant, is_new: bool, out: &mut Vec<Output<R, W>>) {
        for (scheme, auth) in &self.settings.auth {
            let request = Request::Auth { kind: 0, scheme: scheme.clone(), auth: auth.clone() };
            encode(&request, xid::AUTH, &mut self.wire, usize::MAX);
            self.auths.push_back(None);
        }
        if let Link::Up(up) = &mut self.link {
            up.unproven = self.settings.auth.len();
        }
        for request in self.watches.set_again(self.last_zxid) {
            encode(&request, xid::SET_WATCHES, &mut self.wire, usize::MAX);
        }
        if !is_new {
            self.send_sync(now);
        }
        for ask in std::mem::take(&mut self.waiting) {
            self.send(now, ask, out);
        }
        self.announce(out);
    }

    /// Connected, once the server has accepted our identities.
    fn announce(&mut self, out: &mut Vec<Output<R, W>>) {
        if let Link::Up(up) = &mut self.link
            && up.unproven == 0
            && !up.announced
        {
            up.announced = true;
            out.push(Output::State(State::Connected));
        }
    }

    /// The server does not know the session (any more).
    fn expired(&mut self, now: BootInstant, out: &mut Vec<Output<R, W>>) -> Result<(), Broken> {
        match self.life {
            Life::Opening => return Err(Broken("it refused to open a session")),
            Life::Open => {
                // Nothing is left to be closed, so what was read or written no longer matters.
                self.wire.clear();
                self.link = Link::Down { retry_at: BootInstant::NEVER };
                self.lose(now, &Error::SessionLost, out);
            }
            _ => {}
        }
        self.over(Ok(()), out);
        Ok(())
    }

    fn reply(&mut self, now: BootInstant, frame: &[u8], out: &mut Vec<Output<R, W>>) -> Result<(), Broken> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).map_err(|_| GARBLED)?;
        if let Link::Up(up) = &mut self.link {
            up.heard_at = now;
        }
        match header.xid {
            xid::EVENT => {
                let event = WatcherEvent::decode(&mut reader).map_err(|_| GARBLED)?;
                self.fire(event, out);
                Ok(())
            }
            xid::PING => Ok(()),
            xid::AUTH => {
                self.authenticated(now, header.err, out);
                Ok(())
            }
            number => {
                self.chooser.works();
                if header.zxid > 0 {
                    if header.zxid < self.last_zxid {
                        return Err(Broken("it is behind what was seen before"));
                    }
                    self.last_zxid = header.zxid;
                }
                if number == xid::SET_WATCHES {
                    // Without its watches the session would wait for events that never come.
                    let set = header.err == ErrorCode::OK;
                    return if set { Ok(()) } else { Err(Broken("it did not set the watches again")) };
                }
                let mut asked = self.requests.answered(number);
                if asked.is_none() && header.err == ErrorCode::UNIMPLEMENTED {
                    // Servers say this at once, out of turn, and then hang up.
                    asked = self.requests.out_of_turn(number);
                }
                match asked {
                    Some(sent) => self.answered(now, header, sent, &mut reader, out),
                    // What was under way when the session was lost has been answered already.
                    None if matches!(self.life, Life::Ending { .. }) => Ok(()),
                    None => Err(Broken("it answered what was not asked")),
                }
            }
        }
    }

    fn fire(&mut self, event: WatcherEvent, out: &mut Vec<Output<R, W>>) {
        let mut fired = self.watches.fire(event.kind, &event.path);
        fired.extend(self.watches.below(&event.path));
        let Some(last) = fired.pop() else { return };
        let event = WatchEvent { kind: event.kind, path: self.settings.chroot.outward(event.path) };
        out.extend(fired.into_iter().map(|watcher| Output::Event(watcher, Ok(event.clone()))));
        out.push(Output::Event(last, Ok(event)));
    }

    fn authenticated(&mut self, now: BootInstant, err: ErrorCode, out: &mut Vec<Output<R, W>>) {
        let Some(asked) = self.auths.pop_front() else { return };
        if err != ErrorCode::OK {
            if let Some((reply, ..)) = asked {
                answer(Some(reply), Err(Error::AuthFailed), out);
            }
            if matches!(self.life, Life::Opening | Life::Open) {
                self.lose(now, &Error::AuthFailed, out);
            }
            return;
        }
        match asked {
            None => {
                if let Link::Up(up) = &mut self.link {
                    up.unproven = up.unproven.saturating_sub(1);
                }
                self.announce(out);
            }
            Some((reply, scheme, auth)) => {
                let identity = (scheme, auth);
                if !self.settings.auth.contains(&identity) {
                    self.settings.auth.push(identity);
                }
                answer(Some(reply), Ok(Answer { zxid: self.last_zxid, response: Response::Empty }), out);
            }
        }
    }

    fn answered(
        &mut self,
        now: BootInstant,
        header: ReplyHeader,
        sent: Sent<R, W>,
        reader: &mut Reader<'_>,
        out: &mut Vec<Output<R, W>>,
    ) -> Result<(), Broken> {
        match header.err {
            ErrorCode::SESSION_MOVED => {
                self.requests.unanswered(sent);
                return Err(Broken("the session has moved to another server"));
            }
            ErrorCode::SESSION_EXPIRED => {
                self.requests.unanswered(sent);
                return self.expired(now, out);
            }
            ErrorCode::SESSION_CLOSED_REQUIRE_SASL if matches!(self.life, Life::Opening | Life::Open) => {
                self.requests.unanswered(sent);
                self.lose(now, &Error::AuthRequired, out);
                return Ok(());
            }
            _ if sent.op == OpCode::CLOSE_SESSION => {
                self.over(Ok(()), out);
                return Ok(());
            }
            _ => {}
        }
        let result = match header.err {
            ErrorCode::OK => match Response::decode(sent.op, reader) {
                Ok(response) => {
                    if sent.counts && was_done(&response) {
                        self.acknowledged(sent.sent_at);
                    }
                    Ok(Answer { zxid: header.zxid, response: self.outward(response) })
                }
                Err(_) => {
                    self.requests.unanswered(sent);
                    return Err(GARBLED);
                }
            },
            code if sent.reply.is_some() => {
                Err(Error::from_code(code, self.settings.chroot.outward(sent.path.clone())))
            }
            // Our own `sync`: it proves nothing then.
            _ => return Ok(()),
        };
        let mut unwanted = None;
        match (sent.watch, Kind::set_by(sent.op, header.err)) {
            (Some(watcher), kind) if watcher.is_gone() => {
                let set = kind.is_some() || (sent.op == OpCode::ADD_WATCH && header.err == ErrorCode::OK);
                unwanted = set.then_some(sent.path);
            }
            (Some(watcher), Some(kind)) => self.watches.add(kind, sent.path, watcher),
            (Some(watcher), None) if sent.op == OpCode::ADD_WATCH && header.err == ErrorCode::OK => {
                if self.is_watched_once(&sent.path) {
                    let path = self.settings.chroot.outward(sent.path);
                    out.push(Output::Event(watcher, Err(Error::Watched { path })));
                } else {
                    self.watches.add_tree(sent.path, watcher);
                }
            }
            _ => {}
        }
        answer(sent.reply, result, out);
        if let Some(path) = unwanted {
            self.forget(now, &path, Target::of(sent.op));
        }
        Ok(())
    }

    fn acknowledged(&mut self, sent_at: BootInstant) {
        if let Some(identity) = &mut self.identity {
            identity.deadline.acknowledged(sent_at);
        }
    }

    /// A body with the paths that the session knows.
    fn outward(&self, response: Response) -> Response {
        let chroot = &self.settings.chroot;
        if chroot.is_root() {
            return response;
        }
        match response {
            Response::Path(path) => Response::Path(chroot.outward(path)),
            Response::PathStat(path, stat) => Response::PathStat(chroot.outward(path), stat),
            Response::Multi(results) => Response::Multi(
                results
                    .into_iter()
                    .map(|result| match result {
                        MultiResult::Create(path) => MultiResult::Create(chroot.outward(path)),
                        MultiResult::Create2(path, stat, op) => {
                            MultiResult::Create2(chroot.outward(path), stat, op)
                        }
                        other => other,
                    })
                    .collect(),
            ),
            other => other,
        }
    }
}

/// Whether a write was done: a multi that failed is answered without an error.
fn was_done(response: &Response) -> bool {
    match response {
        Response::Multi(results) => !results.iter().any(|result| matches!(result, MultiResult::Error(_))),
        _ => true,
    }
}
