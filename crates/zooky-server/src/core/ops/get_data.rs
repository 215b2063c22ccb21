//! getData.

use bytes::Bytes;
use zooky_wire::{ErrorCode, Stat, perms};

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

    /// A copy of them.
    pub(super) fn get_data(
        &mut self,
        caller: &Caller,
        path: &str,
        watch: bool,
    ) -> Result<(Option<Bytes>, Stat), ErrorCode> {
        let id = self.find_data(caller, path, watch)?;
        let node = self.tree.node(id);
        Ok((node.data.as_deref().map(Bytes::copy_from_slice), node.client_stat()))
    }
}
