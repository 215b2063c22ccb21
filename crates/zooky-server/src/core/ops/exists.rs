//! exists. Its watch is set whether or not there is a node.

use zooky_wire::{ErrorCode, Response, perms};

use super::Reply;
use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    pub(super) fn exists(&mut self, caller: &Caller, path: &str, watch: bool) -> Reply {
        if path.contains('\0') {
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
