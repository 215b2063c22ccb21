//! A znode in memory, and how its stat looks to clients.

use std::ops::Deref;

use zooky_wire::{Stat, StatPersisted};

/// The number of a node's place in the tree; used again after the node is gone.
pub(super) type NodeId = u32;

/// The stored owner of a container.
pub(super) const CONTAINER_OWNER: i64 = i64::MIN;
/// The highest byte of a TTL node's stored owner.
const TTL_MARK: u64 = 0xff << 56;
/// The largest time to live, in milliseconds: what the mark and two reserved bytes leave.
pub(super) const MAX_TTL_MS: i64 = 0xff_ffff_ffff;

/// What an `ephemeral_owner` says about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Until it is deleted.
    Persistent,
    /// Until the session ends.
    Ephemeral(i64),
    /// Until its last child is gone.
    Container,
    /// Until it was left alone for so many milliseconds.
    Ttl(i64),
}

impl Lifetime {
    pub(super) fn of(owner: i64) -> Lifetime {
        match owner {
            0 => Lifetime::Persistent,
            CONTAINER_OWNER => Lifetime::Container,
            owner if owner as u64 & TTL_MARK == TTL_MARK => Lifetime::Ttl(owner & MAX_TTL_MS),
            session => Lifetime::Ephemeral(session),
        }
    }

    pub(super) fn owner(self) -> i64 {
        match self {
            Lifetime::Persistent => 0,
            Lifetime::Ephemeral(session) => session,
            Lifetime::Container => CONTAINER_OWNER,
            Lifetime::Ttl(ttl_ms) => (TTL_MARK | (ttl_ms & MAX_TTL_MS) as u64) as i64,
        }
    }
}

/// A znode. Links to other nodes are by number, so a node costs little more than its data.
#[derive(Debug)]
pub(super) struct Node {
    /// The whole path; "/" for the root.
    pub(super) path: Box<str>,
    pub(super) data: Option<Box<[u8]>>,
    /// In no particular order; each child knows its place here (`slot`).
    pub(super) children: Children,
    pub(super) stat: StatPersisted,
    pub(super) acl: AclId,
    pub(super) parent: NodeId,
    pub(super) slot: u32,
    /// Its place in its session's list, if it is ephemeral.
    pub(super) owner_slot: u32,
}

/// The children of a node. Most nodes have none, and then it is as small as can be.
#[derive(Debug, Clone, Default)]
// The vector is what is boxed: three words in each node would be a tenth of a tree of leaves.
#[allow(clippy::box_collection)]
pub(super) struct Children(Option<Box<Vec<NodeId>>>);

impl Children {
    pub(super) fn push(&mut self, child: NodeId) {
        self.0.get_or_insert_default().push(child);
    }

    /// Takes the child in a slot out; the last one moves there.
    pub(super) fn swap_remove(&mut self, slot: usize) {
        if let Some(children) = &mut self.0 {
            children.swap_remove(slot);
        }
    }

    pub(super) fn swap(&mut self, a: usize, b: usize) {
        if let Some(children) = &mut self.0 {
            children.swap(a, b);
        }
    }
}

impl Deref for Children {
    type Target = [NodeId];

    fn deref(&self) -> &[NodeId] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// The number of an ACL in [`super::acl::AclTable`]; 0 is the open one.
pub(super) type AclId = u32;

impl Node {
    /// The stat as clients see it: only sessions show as owners, and `cversion` counts deletions
    /// of children as well as creations.
    pub(super) fn client_stat(&self) -> Stat {
        let s = &self.stat;
        let children = self.children.len() as i32;
        Stat {
            czxid: s.czxid,
            mzxid: s.mzxid,
            ctime_ms: s.ctime_ms,
            mtime_ms: s.mtime_ms,
            version: s.version,
            cversion: s.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: s.aversion,
            ephemeral_owner: match Lifetime::of(s.ephemeral_owner) {
                Lifetime::Ephemeral(session) => session,
                _ => 0,
            },
            data_length: self.data.as_ref().map_or(0, |d| d.len() as i32),
            num_children: children,
            pzxid: s.pzxid,
        }
    }

    /// The last component of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What it adds to the approximate data size, as the original counts it.
    pub(super) fn weight(&self) -> u64 {
        (self.path.len() + self.data.as_ref().map_or(0, |d| d.len())) as u64
    }
}

/// The stat of a node that was just created.
pub(super) fn fresh_stat(zxid: i64, time_ms: i64, lifetime: Lifetime) -> StatPersisted {
    StatPersisted {
        czxid: zxid,
        mzxid: zxid,
        ctime_ms: time_ms,
        mtime_ms: time_ms,
        ephemeral_owner: lifetime.owner(),
        pzxid: zxid,
        ..StatPersisted::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_say_how_long_a_node_lives() {
        for lifetime in [
            Lifetime::Persistent,
            Lifetime::Container,
            Lifetime::Ttl(1),
            Lifetime::Ttl(MAX_TTL_MS),
            Lifetime::Ephemeral(0x0100_0000_0000_0001),
        ] {
            assert_eq!(Lifetime::of(lifetime.owner()), lifetime);
        }
        assert_eq!(Lifetime::Ttl(5).owner() as u64, 0xff00_0000_0000_0005);
        assert_eq!(Lifetime::Container.owner(), i64::MIN);
    }
}
