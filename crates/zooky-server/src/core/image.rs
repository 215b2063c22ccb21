//! Everything that a snapshot holds, to read and to put back.

use bytes::Bytes;
use zooky_wire::{Acl, StatPersisted};

use super::Core;
use super::acl::OPEN;
use super::node::{AclId, NodeId};
use super::tree::ROOT;

/// Read access to the whole state.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    pub(super) core: &'a Core,
}

/// A node as a snapshot holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageNode<'a> {
    /// Its path; the root's is "", as in the original's snapshots.
    pub path: &'a str,
    /// Its data.
    pub data: Option<&'a [u8]>,
    /// The number of its ACL in [`Image::acls`]; -1 is the open one.
    pub acl: i64,
    /// Its stat.
    pub stat: StatPersisted,
}

/// A node from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredNode {
    /// Its path; the root's is "" or "/".
    pub path: String,
    /// Its data.
    pub data: Option<Bytes>,
    /// The number of its ACL; -1 is the open one.
    pub acl: i64,
    /// Its stat.
    pub stat: StatPersisted,
}

impl<'a> Image<'a> {
    /// The newest transaction in it.
    pub fn last_zxid(&self) -> i64 {
        self.core.last_zxid
    }

    /// Sessions with their timeouts in milliseconds, by id.
    pub fn sessions(&self) -> Vec<(i64, i32)> {
        self.core.sessions.list()
    }

    /// The ACLs in use, by number; the open one (-1) is not listed.
    pub fn acls(&self) -> Vec<(i64, &'a [Acl])> {
        self.core.tree.acls.iter().map(|(id, acl)| (number(id), acl)).collect()
    }

    /// The nodes in preorder, the root first.
    pub fn nodes(&self) -> impl Iterator<Item = ImageNode<'a>> {
        let tree = &self.core.tree;
        let mut ahead: Vec<NodeId> = vec![ROOT];
        std::iter::from_fn(move || {
            let id = ahead.pop()?;
            let node = tree.node(id);
            ahead.extend(node.children.iter().rev());
            Some(ImageNode {
                path: if id == ROOT { "" } else { &node.path },
                data: node.data.as_deref(),
                acl: number(node.acl),
                stat: node.stat,
            })
        })
    }
}

/// The number of an ACL in a snapshot.
pub(super) fn number(id: AclId) -> i64 {
    if id == OPEN { -1 } else { i64::from(id) }
}
