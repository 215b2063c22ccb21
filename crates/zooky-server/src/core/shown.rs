//! What a reply shows, so that it waits for that much of the log and no more.
//!
//! Any reply shows the newest transaction by its header's zxid. But a read of one node shows nothing of what others
//! have written elsewhere: the same answer would have been given at any moment since the last transaction that
//! touched this node. So its header names the earliest such moment that will do, and it does not wait for a sync that
//! has nothing to do with it: not before that transaction, not before what is on the disk, and not before what its
//! connection was shown already, for zxids never go back.

use zooky_wire::{Request, parent};

use super::Core;
use super::hash::Hashing;
use super::tree::Change;

/// How many transactions are told apart. Two paths may share a place: then a read waits for a sync that it need not.
const PLACES: usize = 1 << 15;

/// So much of a path's end counts, in bytes: one of a megabyte would take a while.
const TAIL: usize = 256;

/// For every path, at least the newest transaction that touched it: the node itself, or the list of its children.
#[derive(Debug)]
pub(super) struct Touched {
    newest: Box<[i64]>,
    hashing: Hashing,
}

impl Touched {
    pub(super) fn new(hashing: Hashing) -> Touched {
        Touched { newest: vec![0; PLACES].into_boxed_slice(), hashing }
    }

    fn place(&self, path: &[u8]) -> usize {
        self.hashing.of(&path[path.len().saturating_sub(TAIL)..]) as usize % PLACES
    }

    fn note(&mut self, path: &str, zxid: i64) {
        let place = self.place(path.as_bytes());
        self.newest[place] = zxid;
    }
}

impl Core {
    /// Every transaction up to this one is on the disk.
    pub fn note_durable(&mut self, zxid: i64) {
        self.durable = self.durable.max(zxid);
    }

    /// Notes which nodes a change touches.
    pub(super) fn touch(&mut self, change: &Change, zxid: i64) {
        let Core { tree, touched, .. } = self;
        let (path, with_parent) = match change {
            Change::Created { id, .. } => (&tree.node(*id).path, true),
            Change::Deleted { node, .. } => (&node.path, true),
            Change::Data { id, .. } | Change::Acl { id, .. } => (&tree.node(*id).path, false),
        };
        touched.note(path, zxid);
        if with_parent && let Some(parent) = parent(path) {
            touched.note(parent, zxid);
        }
    }

    /// The newest transaction of which the answer to a request tells.
    pub(super) fn told_by(&self, request: &Request) -> i64 {
        match request {
            Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::GetAcl { path }
            | Request::GetChildren { path, .. }
            | Request::GetChildren2 { path, .. } => self.told_of(path.as_bytes()),
            _ => i64::MAX,
        }
    }

    /// The newest transaction of which the answer to a read of this one path tells.
    pub(super) fn told_of(&self, path: &[u8]) -> i64 {
        // What stands below this changes with other nodes.
        if path.starts_with(b"/zookeeper") { i64::MAX } else { self.touched.newest[self.touched.place(path)] }
    }
}
