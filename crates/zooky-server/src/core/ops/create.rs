//! create, create2, createContainer, createTTL.

use zooky_wire::{Create, CreateKind, CreateMode, ErrorCode, OpCode, Response, Txn, perms};

use super::{Reply, checked_path, parent_of};
use crate::core::conn::Caller;
use crate::core::node::{Lifetime, MAX_TTL_MS};
use crate::core::tree::Tree;
use crate::core::{Core, Output, acl};

impl Core {
    pub(super) fn create(&mut self, caller: &Caller, create: Create, out: &mut Vec<Output>) -> Reply {
        let kind = create.op();
        let (path, txn) = plan(&self.tree, caller, create)?;
        let stat = self.write(caller, kind, txn, out).stat();
        Ok(if kind == OpCode::CREATE { Response::Path(path) } else { Response::PathStat(path, stat) })
    }
}

/// Checks a create; gives the path, sequence number included, and the transaction.
pub(super) fn plan(tree: &Tree, caller: &Caller, create: Create) -> Result<(String, Txn), ErrorCode> {
    let Create { kind, mut path, data, acl, mode } = create;
    check_mode(mode, kind)?;
    let parent_path = parent_of(&path)?;
    let acl = acl::fix(acl, &caller.ids)?;
    let parent_id = tree.need(parent_path)?;
    acl::check(tree.acl(parent_id), perms::CREATE, &caller.ids)?;
    let parent = &tree.node(parent_id).stat;
    if mode.is_sequential() {
        use std::fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(path, "{:010}", parent.cversion);
    }
    checked_path(&path)?;
    if tree.find(&path).is_some() {
        return Err(ErrorCode::NODE_EXISTS);
    }
    if matches!(Lifetime::of(parent.ephemeral_owner), Lifetime::Ephemeral(_)) {
        return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
    }
    tree.check_quota(&path, 1, data.as_ref().map_or(0, |data| data.len() as i64))?;
    tree.room_for_node(&path, data.as_deref(), &acl)?;
    let parent_cversion = parent.cversion.wrapping_add(1);
    let txn_path = path.clone();
    let txn = match kind {
        // A container asked for by create or create2 is a plain node, as in the original.
        CreateKind::Create | CreateKind::Create2 => {
            Txn::Create { path: txn_path, data, acl, ephemeral: mode.is_ephemeral(), parent_cversion }
        }
        CreateKind::Container => Txn::CreateContainer { path: txn_path, data, acl, parent_cversion },
        CreateKind::Ttl(ttl_ms) => Txn::CreateTtl { path: txn_path, data, acl, parent_cversion, ttl_ms },
    };
    Ok((path, txn))
}

/// Refuses unknown modes, and times to live where there can be none.
fn check_mode(mode: CreateMode, kind: CreateKind) -> Result<(), ErrorCode> {
    let wants_ttl =
        matches!(mode, CreateMode::PERSISTENT_WITH_TTL | CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL);
    let fine = mode.is_known()
        && match kind {
            CreateKind::Ttl(ttl_ms) => wants_ttl && (1..=MAX_TTL_MS).contains(&ttl_ms),
            _ => !wants_ttl,
        };
    if fine { Ok(()) } else { Err(ErrorCode::BAD_ARGUMENTS) }
}
