//! From a transaction to the state: the one way, for live writes and for replay.

use zooky_wire::{ErrorCode, Stat, Txn, TxnHeader};

use super::Core;
use super::node::{CONTAINER_OWNER, Lifetime};
use super::tree::{Change, Tree};

/// What a transaction left: the stat of the node it made or changed, of each part for a multi.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Applied {
    One(Stat),
    Parts(Vec<Stat>),
}

impl Applied {
    pub(super) fn stat(self) -> Stat {
        match self {
            Applied::One(stat) => stat,
            Applied::Parts(_) => Stat::default(),
        }
    }
}

impl Core {
    /// Applies a transaction and collects the events it causes. What cannot be done is passed
    /// over: a live write was checked before, and a replay meets what the original tolerates.
    pub(super) fn apply(&mut self, header: &TxnHeader, txn: &Txn) -> Applied {
        let applied = match txn {
            // A refused multi is logged with errors in it; nothing of it was done.
            Txn::Multi(parts) if parts.iter().any(|(_, part)| matches!(part, Txn::Error { .. })) => {
                Applied::Parts(Vec::new())
            }
            Txn::Multi(parts) => {
                Applied::Parts(parts.iter().map(|(_, part)| self.apply_part(header, part)).collect())
            }
            Txn::CreateSession { timeout_ms } => {
                self.sessions.set(header.client_id, *timeout_ms);
                Applied::One(Stat::default())
            }
            Txn::CloseSession { ephemerals } => {
                self.apply_close(header, ephemerals.as_deref().unwrap_or_default());
                Applied::One(Stat::default())
            }
            part => Applied::One(self.apply_part(header, part)),
        };
        self.last_zxid = header.zxid;
        applied
    }

    fn apply_part(&mut self, header: &TxnHeader, txn: &Txn) -> Stat {
        let Ok(Some(change)) = mutate(&mut self.tree, header, txn) else { return Stat::default() };
        self.touch(&change, header.zxid);
        self.notify(&change, header.zxid);
        self.tree.count_change(&change);
        self.tree.commit(&change);
        match change {
            Change::Created { id, .. } | Change::Data { id, .. } | Change::Acl { id, .. } => {
                self.tree.node(id).client_stat()
            }
            Change::Deleted { .. } => Stat::default(),
        }
    }

    /// A session ends: the nodes that the transaction lists go, then any others it still owns.
    fn apply_close(&mut self, header: &TxnHeader, listed: &[String]) {
        let session = header.client_id;
        for path in listed {
            self.apply_delete(header, path);
        }
        while let Some(&id) = self.tree.ephemerals(session).last() {
            let path = self.tree.node(id).path.clone();
            self.apply_delete(header, &path);
        }
        self.tree.forget_owner(session);
        self.sessions.remove(session);
    }

    fn apply_delete(&mut self, header: &TxnHeader, path: &str) {
        if let Ok(change) = self.tree.delete(path, header.zxid) {
            self.touch(&change, header.zxid);
            self.notify(&change, header.zxid);
            self.tree.count_change(&change);
            self.tree.commit(&change);
        }
    }
}

/// Carries out one part on the tree alone. `None`: there is nothing to do for it.
pub(super) fn mutate(tree: &mut Tree, header: &TxnHeader, txn: &Txn) -> Result<Option<Change>, ErrorCode> {
    let (zxid, time_ms) = (header.zxid, header.time_ms);
    match txn {
        Txn::Create { path, data, acl, ephemeral, parent_cversion } => {
            let life = if *ephemeral { Lifetime::of(header.client_id) } else { Lifetime::Persistent };
            tree.create(path, data.as_deref(), acl, life, *parent_cversion, zxid, time_ms).map(Some)
        }
        Txn::CreateContainer { path, data, acl, parent_cversion } => {
            let life = Lifetime::of(CONTAINER_OWNER);
            tree.create(path, data.as_deref(), acl, life, *parent_cversion, zxid, time_ms).map(Some)
        }
        Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
            let life = Lifetime::Ttl(*ttl_ms);
            tree.create(path, data.as_deref(), acl, life, *parent_cversion, zxid, time_ms).map(Some)
        }
        Txn::Delete { path } => tree.delete(path, zxid).map(Some),
        Txn::SetData { path, data, version } => {
            tree.set_data(path, data.as_deref(), *version, zxid, time_ms).map(Some)
        }
        Txn::SetAcl { path, acl, version } => tree.set_acl(path, acl, *version).map(Some),
        Txn::Check { .. }
        | Txn::Error { .. }
        | Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Multi(_) => Ok(None),
    }
}
