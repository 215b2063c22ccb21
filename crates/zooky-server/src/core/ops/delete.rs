//! delete.

use zooky_wire::{ErrorCode, OpCode, Response, Txn, perms};

use super::{Reply, next_version, parent_of};
use crate::core::conn::Caller;
use crate::core::tree::Tree;
use crate::core::{Core, Output, acl};

impl Core {
    pub(super) fn delete(
        &mut self,
        caller: &Caller,
        path: String,
        version: i32,
        out: &mut Vec<Output>,
    ) -> Reply {
        let txn = plan(&self.tree, caller, path, version)?;
        self.write(caller, OpCode::DELETE, txn, out);
        Ok(Response::Empty)
    }
}

/// Checks a delete.
pub(super) fn plan(tree: &Tree, caller: &Caller, path: String, version: i32) -> Result<Txn, ErrorCode> {
    let parent = parent_of(&path)?;
    if matches!(path.as_str(), "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config") {
        return Err(ErrorCode::BAD_ARGUMENTS);
    }
    acl::check(tree.acl(tree.need(parent)?), perms::DELETE, &caller.ids)?;
    let node = tree.node(tree.need(&path)?);
    next_version(node.stat.version, version)?;
    if !node.children.is_empty() {
        return Err(ErrorCode::NOT_EMPTY);
    }
    Ok(Txn::Delete { path })
}
