//! The listening sockets, and who comes in by which.

use mio::{Interest, Poll, Token};

use super::{FIRST_CONN, Run};
use crate::error::StartError;
use crate::net::{Accepted, Listener, Trade};

/// The token of the first door; the others follow.
const FIRST_DOOR: usize = 1;
/// So many doors there may be.
pub(super) const DOORS: usize = 3;
/// How long to wait when there is no room for another connection.
const ACCEPT_AGAIN_MS: u64 = 100;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Door {
    listener: Listener,
    /// What those who come in here want.
    trade: Trade,
    /// There may be connections to accept; `Some(time)`: not before that `mono_ms`.
    accept_at: Option<u64>,
}

impl Door {
    /// A door for such connections.
    pub(crate) fn new(listener: Listener, trade: Trade) -> Door {
        Door { listener, trade, accept_at: None }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Doors {
    doors: Vec<Door>,
    /// Connections that were closed at once, for want of room.
    pub(super) refused: u64,
}

impl Doors {
    pub(super) fn new(mut doors: Vec<Door>, poll: &Poll) -> Result<Doors, StartError> {
        debug_assert!(doors.len() <= DOORS);
        for (token, door) in (FIRST_DOOR..).zip(&mut doors) {
            poll.registry()
                .register(door.listener.source(), Token(token), Interest::READABLE)
                .map_err(|source| StartError::System { what: "watch the listening socket", source })?;
        }
        Ok(Doors { doors, refused: 0 })
    }

    /// The port of those who come in for this.
    pub(super) fn port(&self, trade: Trade) -> Option<u16> {
        self.doors.iter().find(|door| door.trade == trade)?.listener.port()
    }

    /// Somebody knocks.
    pub(super) fn note(&mut self, token: usize) {
        if let Some(door) = token.checked_sub(FIRST_DOOR).and_then(|at| self.doors.get_mut(at)) {
            door.accept_at = Some(0);
        }
    }

    /// A place has become free.
    pub(super) fn look_again(&mut self) {
        for door in &mut self.doors {
            door.accept_at = door.accept_at.map(|_| 0);
        }
    }

    /// Whether somebody may be waiting to come in now.
    pub(super) fn are_knocked_at(&self) -> bool {
        self.doors.iter().any(|door| door.accept_at == Some(0))
    }

    /// When somebody may be waiting to come in, in `mono_ms`.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.doors.iter().filter_map(|door| door.accept_at).min()
    }
}

impl Run {
    /// Takes new connections.
    pub(super) fn accept(&mut self) {
        for at in 0..self.doors.doors.len() {
            self.accept_at(at);
        }
    }

    fn accept_at(&mut self, at: usize) {
        let now_ms = self.now.mono_ms;
        if self.doors.doors[at].accept_at.is_none_or(|time| time > now_ms) {
            return;
        }
        for _ in 0..self.shares().accepts {
            let door = &mut self.doors.doors[at];
            let trade = door.trade;
            match door.listener.accept() {
                Accepted::Nothing => {
                    door.accept_at = None;
                    return;
                }
                Accepted::Full(error) => {
                    tracing::warn!(%error, "cannot accept a connection now");
                    door.accept_at = Some(now_ms + ACCEPT_AGAIN_MS);
                    return;
                }
                Accepted::Conn(socket, peer) => {
                    let peer = peer.ip().to_canonical();
                    if !self.conns.has_room(peer, &self.config.limits) {
                        self.doors.refused += 1;
                        tracing::warn!(%peer, "closed: too many connections");
                        continue;
                    }
                    match self.conns.add(socket, peer, self.poll.registry(), FIRST_CONN) {
                        Ok(key) => self.opened(key, trade),
                        Err(error) => tracing::warn!(%peer, %error, "cannot use a new connection"),
                    }
                }
            }
        }
        // There may be more; next turn.
        self.doors.doors[at].accept_at = Some(0);
    }
}
