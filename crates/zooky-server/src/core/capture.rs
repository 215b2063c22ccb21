//! One moment of the state, handed out in slices while the state goes on.
//!
//! The nodes come in preorder, as they were when the capture began. A node that changes or goes before its turn has
//! come is copied first, so a slice costs what it holds, and a change at most the copy of the nodes that it
//! touches. What comes out is the state of exactly one zxid.

use zooky_wire::{Acl, StatPersisted};

use super::hash::{Hashing, Map};
use super::image::number;
use super::node::{AclId, Children, Node, NodeId};
use super::tree::{ROOT, Tree};
use super::{Core, ImageNode};

/// What a capture begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The newest transaction in it.
    pub zxid: i64,
    /// Sessions with their timeouts in milliseconds.
    pub sessions: Vec<(i64, i32)>,
    /// How many ACLs follow; the nodes come behind them.
    pub acls: usize,
}

/// One piece of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A numbered ACL; the open one (-1) does not come.
    Acl(i64, &'a [Acl]),
    /// A node; parents come before their children, the root first.
    Node(ImageNode<'a>),
}

/// How far a capture is, and what it has to remember.
#[derive(Debug)]
pub(super) struct Capture {
    /// A bit for each place that there was: its turn has come, or it was copied, or it was not in use.
    settled: Vec<u64>,
    copies: Map<NodeId, Copy>,
    /// Nodes whose turn comes, the next one last.
    ahead: Vec<NodeId>,
    next_acl: AclId,
    end_of_acls: AclId,
}

/// A node as it was.
#[derive(Debug)]
struct Copy {
    path: Box<str>,
    data: Option<Box<[u8]>>,
    children: Children,
    stat: StatPersisted,
    acl: AclId,
}

impl Capture {
    pub(super) fn new(places: usize, acls: AclId, hashing: &Hashing) -> Capture {
        let settled = vec![0; places.div_ceil(64)];
        Capture { settled, copies: hashing.map(), ahead: vec![ROOT], next_acl: 1, end_of_acls: acls }
    }

    /// A node is about to change or to go.
    pub(super) fn keep(&mut self, id: NodeId, node: &Node) {
        if self.settle(id) {
            let Node { path, data, children, stat, acl, .. } = node;
            let copy = Copy {
                path: path.clone(),
                data: data.clone(),
                children: children.clone(),
                stat: *stat,
                acl: *acl,
            };
            self.copies.insert(id, copy);
        }
    }

    /// Whether nothing was known of this place; from now on it is settled. A place that there was not yet is.
    pub(super) fn settle(&mut self, id: NodeId) -> bool {
        let Some(word) = self.settled.get_mut(id as usize / 64) else { return false };
        let bit = 1 << (id % 64);
        let before = *word;
        *word |= bit;
        before & bit == 0
    }
}

impl Core {
    /// Begins to capture the present state, in place of any capture before.
    pub fn begin_capture(&mut self) -> Captured {
        self.tree.capture = None;
        let acls = self.tree.acls.freeze();
        let (places, end) = (self.tree.places(), self.tree.acls.end());
        self.tree.capture = Some(Capture::new(places, end, &self.tree.hashing));
        Captured { zxid: self.last_zxid, sessions: self.sessions.list(), acls }
    }

    /// Hands the next piece to `take`. `false`: there is none any more, and the capture is over.
    pub fn capture_next(&mut self, take: impl FnOnce(Piece<'_>)) -> bool {
        let more = self.tree.capture_next(take);
        if !more {
            self.end_capture();
        }
        more
    }

    /// Gives a capture up. Harmless if there is none.
    pub fn end_capture(&mut self) {
        self.tree.capture = None;
        self.tree.acls.thaw();
    }
}

impl Tree {
    fn capture_next(&mut self, take: impl FnOnce(Piece<'_>)) -> bool {
        let Some(mut capture) = self.capture.take() else { return false };
        let more = self.take_piece(&mut capture, take);
        self.capture = Some(capture);
        more
    }

    fn take_piece(&self, capture: &mut Capture, take: impl FnOnce(Piece<'_>)) -> bool {
        while capture.next_acl < capture.end_of_acls {
            let id = capture.next_acl;
            capture.next_acl += 1;
            if let Some(acl) = self.acls.frozen(id) {
                take(Piece::Acl(number(id), acl));
                return true;
            }
        }
        let Some(id) = capture.ahead.pop() else { return false };
        capture.settle(id);
        let copy = capture.copies.remove(&id);
        let (path, data, children, stat, acl) = match &copy {
            Some(copy) => (&copy.path, &copy.data, &copy.children, copy.stat, copy.acl),
            None => {
                let node = self.node(id);
                (&node.path, &node.data, &node.children, node.stat, node.acl)
            }
        };
        capture.ahead.extend(children.iter().rev());
        let path = if id == ROOT { "" } else { &**path };
        take(Piece::Node(ImageNode { path, data: data.as_deref(), acl: number(acl), stat }));
        true
    }
}
