//! addWatch, removeWatches, checkWatches; and the one-shot watches that reads set.

use zooky_wire::{ErrorCode, Response};

use super::Reply;
use crate::core::conn::Caller;
use crate::core::watches::Mode;
use crate::core::{ConnId, Core};

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
pub(super) fn check_watchable(path: &str) -> Result<(), ErrorCode> {
    if path.len() > MAX_PATH { Err(ErrorCode::INVALID_CALLBACK) } else { Ok(()) }
}

impl Core {
    /// Refuses watches over the limit: `more` of them are wanted.
    pub(super) fn room_for_watches(&self, conn: ConnId, more: usize) -> Result<(), ErrorCode> {
        let present = self.data_watches.len_of(conn) + self.child_watches.len_of(conn);
        if present.saturating_add(more) > self.config.limits.max_watches_per_session {
            return Err(ErrorCode::INVALID_CALLBACK);
        }
        Ok(())
    }

    pub(super) fn watch_data(&mut self, conn: ConnId, path: &str) -> Result<(), ErrorCode> {
        check_watchable(path)?;
        self.room_for_watches(conn, 1)?;
        self.data_watches.add(path, conn, Mode::OneShot);
        Ok(())
    }

    pub(super) fn watch_children(&mut self, conn: ConnId, path: &str) -> Result<(), ErrorCode> {
        check_watchable(path)?;
        self.room_for_watches(conn, 1)?;
        self.child_watches.add(path, conn, Mode::OneShot);
        Ok(())
    }

    /// A watch that stays. What it may see is checked whenever it fires.
    pub(super) fn add_watch(&mut self, caller: &Caller, path: &str, mode: i32) -> Reply {
        let mode = match mode {
            0 => Mode::Persistent,
            1 => Mode::Recursive,
            _ => return Err(ErrorCode::MARSHALLING),
        };
        check_watchable(path)?;
        self.room_for_watches(caller.conn, 2)?;
        self.data_watches.add(path, caller.conn, mode);
        self.child_watches.add(path, caller.conn, mode);
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
