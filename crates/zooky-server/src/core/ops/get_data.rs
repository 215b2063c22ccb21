//! getData.

use bytes::Bytes;
use zooky_wire::{ErrorCode, Stat, perms};

use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    pub(super) fn get_data(
        &mut self,
        caller: &Caller,
        path: &str,
        watch: bool,
    ) -> Result<(Option<Bytes>, Stat), ErrorCode> {
        let id = self.permitted(caller, path, perms::READ)?;
        if watch {
            self.watch_data(caller.conn, path)?;
        }
        let node = self.tree.node(id);
        Ok((node.data.as_deref().map(Bytes::copy_from_slice), node.client_stat()))
    }
}
