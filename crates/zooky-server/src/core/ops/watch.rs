//! addWatch, removeWatches, checkWatches; and the one-shot watches that reads set.

use zooky_wire::{ErrorCode, Response};

use super::Reply;
use crate::core::conn::Caller;
use crate::core::watches::{Mode, Watches};
use crate::core::{ConnId, Core, Output};

/// Which watches removeWatches and checkWatches mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Children,
    Data,
    Any,
}

impl Kind {
    /// A number that stands for nothing is answered like a request that cannot be read.
    fn from_wire(number: i32) -> Result<Kind, ErrorCode> {
        match number {
            1 => Ok(Kind::Children),
            2 => Ok(Kind::Data),
            3 => Ok(Kind::Any),
            _ => Err(ErrorCode::MARSHALLING),
        }
    }
}

/// How long a watched path may be, in bytes: watches are counted, and a node need not exist to be watched.
const MAX_PATH: usize = 4096;

/// Refuses to watch what is longer.
fn check_watchable(path: &str) -> Result<(), ErrorCode> {
    if path.len() > MAX_PATH { Err(ErrorCode::INVALID_CALLBACK) } else { Ok(()) }
}

impl Core {
    /// Refuses watches over a limit: `more` of them are wanted on a path.
    fn room_for_watches(&self, conn: ConnId, path: &str, more: usize) -> Result<(), ErrorCode> {
        check_watchable(path)?;
        let limits = &self.config.limits;
        let present = self.data_watches.len_of(conn) + self.child_watches.len_of(conn);
        let bytes = self.data_watches.bytes_of(conn) + self.child_watches.bytes_of(conn);
        if present.saturating_add(more) > limits.max_watches_per_session
            || bytes.saturating_add(more as u64 * Watches::cost(path)) > limits.max_watch_bytes_per_session
        {
            return Err(ErrorCode::INVALID_CALLBACK);
        }
        Ok(())
    }

    /// What all watches count.
    pub(in crate::core) fn watch_bytes(&self) -> u64 {
        self.data_watches.bytes() + self.child_watches.bytes()
    }

    /// While all watches together count too much, whoever has most of them is closed: who has few is not to pay.
    pub(in crate::core) fn shed_watches(&mut self, out: &mut Vec<Output>) {
        while self.watch_bytes() > self.config.limits.max_watch_bytes {
            let bytes =
                |conn: &ConnId| self.data_watches.bytes_of(*conn) + self.child_watches.bytes_of(*conn);
            let all = self.data_watches.watchers().chain(self.child_watches.watchers());
            let Some(most) = all.max_by_key(|conn| (bytes(conn), *conn)) else { return };
            self.close_conn(most, out);
        }
    }

    pub(super) fn watch_data(&mut self, conn: ConnId, path: &str) -> Result<(), ErrorCode> {
        self.room_for_watches(conn, path, 1)?;
        self.data_watches.add(path, conn, Mode::OneShot);
        Ok(())
    }

    pub(super) fn watch_children(&mut self, conn: ConnId, path: &str) -> Result<(), ErrorCode> {
        self.room_for_watches(conn, path, 1)?;
        self.child_watches.add(path, conn, Mode::OneShot);
        Ok(())
    }

    pub(super) fn watch_all(&mut self, conn: ConnId, path: &str, mode: Mode) -> Result<(), ErrorCode> {
        self.room_for_watches(conn, path, 2)?;
        self.data_watches.add(path, conn, mode);
        self.child_watches.add(path, conn, mode);
        Ok(())
    }

    /// A watch that stays. What it may see is checked whenever it fires.
    pub(super) fn add_watch(&mut self, caller: &Caller, path: &str, mode: i32) -> Reply {
        let mode = match mode {
            0 => Mode::Persistent,
            1 => Mode::Recursive,
            _ => return Err(ErrorCode::MARSHALLING),
        };
        self.watch_all(caller.conn, path, mode)?;
        // The original's answer has a body: an error code of its own, 0.
        Ok(Response::Count(0))
    }

    pub(super) fn remove_watches(&mut self, caller: &Caller, path: &str, kind: i32) -> Reply {
        let kind = Kind::from_wire(kind)?;
        let child = kind != Kind::Data && self.child_watches.remove(path, caller.conn);
        let data = kind != Kind::Children && self.data_watches.remove(path, caller.conn);
        if child || data { Ok(Response::Empty) } else { Err(ErrorCode::NO_WATCHER) }
    }

    pub(super) fn check_watches(&self, caller: &Caller, path: &str, kind: i32) -> Reply {
        let kind = Kind::from_wire(kind)?;
        let child = kind != Kind::Data && self.child_watches.has(path, caller.conn);
        let data = kind != Kind::Children && self.data_watches.has(path, caller.conn);
        if child || data { Ok(Response::Empty) } else { Err(ErrorCode::NO_WATCHER) }
    }
}
