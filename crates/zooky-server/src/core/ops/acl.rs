//! getACL and setACL.

use zooky_wire::{Acl, OpCode, Response, Txn, perms};

use super::{Reply, checked_path, next_version};
use crate::core::conn::Caller;
use crate::core::{Core, Output, acl};

impl Core {
    pub(super) fn get_acl(&self, caller: &Caller, path: &str) -> Reply {
        let id = self.permitted(caller, path, perms::READ | perms::ADMIN)?;
        let shown = acl::masked(self.tree.acl(id), &caller.ids).into_owned();
        Ok(Response::Acl(shown, self.stat(id)))
    }

    pub(super) fn set_acl(
        &mut self,
        caller: &Caller,
        path: String,
        acl: Vec<Acl>,
        version: i32,
        out: &mut Vec<Output>,
    ) -> Reply {
        checked_path(&path)?;
        let acl = acl::fix(acl, &caller.ids)?;
        let id = self.permitted(caller, &path, perms::ADMIN)?;
        let version = next_version(self.tree.node(id).stat.aversion, version)?;
        self.tree.room_for_acl(&acl)?;
        let txn = Txn::SetAcl { path, acl, version };
        Ok(Response::Stat(self.write(caller, OpCode::SET_ACL, txn, out).stat()))
    }
}
