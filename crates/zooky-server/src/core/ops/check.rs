//! check, the part of a multi that only looks at a version.

use zooky_wire::{ErrorCode, Txn, perms};

use super::{checked_path, next_version};
use crate::core::acl;
use crate::core::conn::Caller;
use crate::core::tree::Tree;

/// Checks a check.
pub(super) fn plan(tree: &Tree, caller: &Caller, path: String, version: i32) -> Result<Txn, ErrorCode> {
    checked_path(&path)?;
    let id = tree.need(&path)?;
    acl::check(tree.acl(id), perms::READ, &caller.ids)?;
    let version = next_version(tree.node(id).stat.version, version)?;
    Ok(Txn::Check { path, version })
}
