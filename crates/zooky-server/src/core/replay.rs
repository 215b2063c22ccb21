//! From log and snapshot back to the state.

use zooky_wire::{Acl, TxnRecord, parent};

use super::node::AclId;
use super::tree::ROOT;
use super::{Core, CoreConfig, RestoredNode};

/// A transaction that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log repeats numbers or goes back.
    #[error("transaction {zxid:#x} stands behind {last:#x}: the log is out of order; restore it from a copy")]
    OutOfOrder {
        /// Its zxid.
        zxid: i64,
        /// The newest one before it.
        last: i64,
    },
}

/// Parts of a snapshot that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A node comes before its parent, or is listed twice.
    #[error("the node {path:?} is out of place in the snapshot; use an older snapshot")]
    Misplaced {
        /// The node.
        path: String,
    },
    /// A node has an ACL that the snapshot does not list, and no log tells of it either.
    #[error("the node {path:?} has the unknown ACL number {acl}; use an older snapshot")]
    UnknownAcl {
        /// The node.
        path: String,
        /// The ACL's number.
        acl: i64,
    },
}

impl Core {
    /// Applies a transaction of the log. What a snapshot that was taken while serving already shows
    /// is tolerated, so replaying may start before the snapshot's end.
    ///
    /// # Errors
    /// Its zxid is not greater than the last one.
    pub fn replay(&mut self, record: &TxnRecord) -> Result<(), ReplayError> {
        let (zxid, last) = (record.header.zxid, self.last_zxid);
        if zxid <= last {
            return Err(ReplayError::OutOfOrder { zxid, last });
        }
        self.now.wall_ms = record.header.time_ms;
        self.apply(&record.header, &record.txn);
        Ok(())
    }

    /// The state of a snapshot: sessions with their timeouts in milliseconds, the numbered ACLs, and
    /// the nodes, parents before children. `last_zxid` is the one in the snapshot's file name.
    ///
    /// # Errors
    /// The parts do not fit together.
    pub fn restore(
        config: CoreConfig,
        last_zxid: i64,
        sessions: impl IntoIterator<Item = (i64, i32)>,
        acls: impl IntoIterator<Item = (i64, Vec<Acl>)>,
        nodes: impl IntoIterator<Item = RestoredNode>,
    ) -> Result<Core, RestoreError> {
        let mut core = Core::bare(config);
        core.last_zxid = last_zxid;
        for (id, timeout_ms) in sessions {
            core.sessions.set(id, timeout_ms);
        }
        // Each listed ACL is held until the nodes are in, so that its number stays.
        let tree = &mut core.tree;
        let mut numbers: std::collections::BTreeMap<i64, AclId> = std::collections::BTreeMap::new();
        for (number, acl) in acls {
            // A number that comes twice means the later list, and the earlier one is nobody's.
            if let Some(earlier) = numbers.insert(number, tree.acls.acquire(&acl)) {
                tree.acls.release(earlier);
            }
        }
        numbers.entry(-1).or_insert(super::acl::OPEN);
        for node in nodes {
            let RestoredNode { path, data, acl, stat } = node;
            // A snapshot that was taken while serving lists the ACLs of its beginning only; the log has the others.
            let acl_id = match numbers.get(&acl) {
                Some(&known) => {
                    tree.acls.share(known);
                    known
                }
                None => {
                    core.unknown_acls.push((path.clone(), acl));
                    tree.acls.acquire(&unknown_acl())
                }
            };
            if path.is_empty() || path == "/" {
                tree.set_root(data.as_deref(), acl_id, stat);
                continue;
            }
            let parent = parent(&path).and_then(|p| tree.find(p));
            match parent {
                Some(parent) if tree.find(&path).is_none() => {
                    tree.place(&path, data.as_deref().map(Box::from), acl_id, parent, stat);
                }
                _ => return Err(RestoreError::Misplaced { path }),
            }
        }
        for acl in numbers.into_values() {
            tree.acls.release(acl);
        }
        debug_assert!(tree.find("/") == Some(ROOT));
        tree.find_quotas();
        Ok(core)
    }

    /// After the replay: checks that it has told everything that the snapshot left open.
    ///
    /// # Errors
    /// A node's ACL is still unknown.
    pub fn check_restored(&mut self) -> Result<(), RestoreError> {
        for (path, acl) in std::mem::take(&mut self.unknown_acls) {
            if self.tree.find(&path).is_some_and(|id| self.tree.acl(id) == unknown_acl()) {
                return Err(RestoreError::UnknownAcl { path, acl });
            }
        }
        Ok(())
    }
}

/// Stands for an ACL that is not known yet: nobody may do anything.
fn unknown_acl() -> [Acl; 1] {
    [Acl::new(0, "unknown", "")]
}
