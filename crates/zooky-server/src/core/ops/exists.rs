//! exists. Its watch is set whether or not there is a node.

use zooky_wire::{ErrorCode, Response, perms};

use super::Reply;
use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    pub(super) fn exists(&mut self, caller: &Caller, path: &str, watch: bool) -> Reply {
        if holds_nul(path.as_bytes()) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let node = match self.permitted(caller, path, perms::READ) {
            Err(ErrorCode::NO_NODE) => None,
            found => Some(found?),
        };
        if watch {
            self.watch_data(caller.conn, path)?;
        }
        node.map(|id| Response::Stat(self.stat(id))).ok_or(ErrorCode::NO_NODE)
    }
}

/// Whether there is a zero byte in it; many are looked at at a time, for it may be a megabyte.
pub(in crate::core) fn holds_nul(path: &[u8]) -> bool {
    path.chunks(64).any(|part| part.iter().fold(false, |found, &byte| found | (byte == 0)))
}
