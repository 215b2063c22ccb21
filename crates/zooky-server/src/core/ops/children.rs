//! getChildren, getChildren2 and getAllChildrenNumber.

use zooky_wire::{ErrorCode, Response, Stat, perms};

use super::Reply;
use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    pub(super) fn children(
        &mut self,
        caller: &Caller,
        path: &str,
        watch: bool,
    ) -> Result<(Vec<String>, Stat), ErrorCode> {
        let id = self.permitted(caller, path, perms::READ)?;
        if watch {
            self.watch_children(caller.conn, path)?;
        }
        let node = self.tree.node(id);
        let names = node.children.iter().map(|&child| self.tree.node(child).name().to_owned()).collect();
        Ok((names, node.client_stat()))
    }

    pub(super) fn all_children_number(&self, caller: &Caller, path: &str) -> Reply {
        let id = self.permitted(caller, path, perms::READ)?;
        let mut ahead = vec![id];
        // The original's root has two names, and counts as below the empty one.
        let mut count = usize::from(path.is_empty());
        while let Some(id) = ahead.pop() {
            let children = &self.tree.node(id).children;
            count += children.len();
            ahead.extend_from_slice(children);
        }
        Ok(Response::Count(i32::try_from(count).unwrap_or(i32::MAX)))
    }
}
