//! setData.

use bytes::Bytes;
use zooky_wire::{ErrorCode, OpCode, Response, Txn, perms};

use super::{Reply, checked_path, next_version};
use crate::core::conn::Caller;
use crate::core::tree::Tree;
use crate::core::{Core, Output, acl};

impl Core {
    pub(super) fn set_data(
        &mut self,
        caller: &Caller,
        path: String,
        data: Option<Bytes>,
        version: i32,
        out: &mut Vec<Output>,
    ) -> Reply {
        let txn = plan(&self.tree, caller, path, data, version)?;
        Ok(Response::Stat(self.write(caller, OpCode::SET_DATA, txn, out).stat()))
    }
}

/// Checks a setData.
pub(super) fn plan(
    tree: &Tree,
    caller: &Caller,
    path: String,
    data: Option<Bytes>,
    version: i32,
) -> Result<Txn, ErrorCode> {
    checked_path(&path)?;
    let id = tree.need(&path)?;
    acl::check(tree.acl(id), perms::WRITE, &caller.ids)?;
    let length = |data: Option<&[u8]>| data.map_or(0, |data| data.len() as i64);
    let more = length(data.as_deref()) - length(tree.node(id).data.as_deref());
    tree.check_quota(&path, 0, more)?;
    let version = next_version(tree.node(id).stat.version, version)?;
    tree.room_for_data(tree.node(id).data.as_deref(), data.as_deref())?;
    Ok(Txn::SetData { path, data, version })
}
