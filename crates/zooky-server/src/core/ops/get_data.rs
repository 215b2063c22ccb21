//! getData.

use zooky_wire::{ErrorCode, perms};

use crate::core::Core;
use crate::core::conn::Caller;
use crate::core::node::NodeId;

impl Core {
    /// The node whose data are asked for; its watch is set.
    pub(in crate::core) fn find_data(
        &mut self,
        caller: &Caller,
        path: &str,
        watch: bool,
    ) -> Result<NodeId, ErrorCode> {
        let id = self.permitted(caller, path, perms::READ)?;
        if watch {
            self.watch_data(caller.conn, path)?;
        }
        Ok(id)
    }
}
