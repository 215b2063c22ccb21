//! The tree of nodes: found by path through one hash table, linked by number.
//!
//! The mutators here are all there is: live writes and replay both end in them. They tolerate what a
//! replay over a fuzzy snapshot meets (a node that is there already, or is gone already) by an
//! error that leaves what the original would leave. Each returns a [`Change`], which
//! [`Tree::undo`] takes back exactly or [`Tree::commit`] makes final.

use std::collections::BTreeSet;

use zooky_wire::{Acl, ErrorCode, StatPersisted, parent, perms};

use super::acl::{AclTable, OPEN};
use super::capture::Capture;
use super::hash::{Hashing, IdTable, Map};
use super::node::{AclId, Children, Lifetime, Node, NodeId, fresh_stat};
use super::quota::Quotas;

/// The root's number.
pub(super) const ROOT: NodeId = 0;

/// The nodes, their ACLs, and who owns which.
#[derive(Debug)]
pub(super) struct Tree {
    /// A free place has an empty path.
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    index: IdTable,
    /// No path was ever longer, in bytes: to look for one that is costs nothing.
    longest: usize,
    pub(super) hashing: Hashing,
    pub(super) acls: AclTable,
    /// The ephemerals of each session.
    ephemerals: Map<i64, Vec<NodeId>>,
    ephemeral_count: usize,
    /// Containers and TTL nodes.
    pub(super) transient: BTreeSet<NodeId>,
    data_size: u64,
    /// A snapshot that is being taken; it is told of every node before that changes.
    pub(super) capture: Option<Capture>,
    /// What `room` allows.
    pub(super) max_bytes: u64,
    pub(super) quotas: Quotas,
}

/// What a mutation did, with what it takes to undo it.
#[derive(Debug)]
pub(super) enum Change {
    Created { id: NodeId, parent_cversion: i32, parent_pzxid: i64 },
    Deleted { id: NodeId, node: Node, parent_pzxid: i64 },
    Data { id: NodeId, data: Option<Box<[u8]>>, stat: StatPersisted },
    Acl { id: NodeId, acl: AclId, aversion: i32 },
}

impl Tree {
    /// A tree of nothing but the root, as it is in a new database.
    pub(super) fn new(hashing: Hashing) -> Tree {
        let mut tree = Tree {
            nodes: Vec::new(),
            free: Vec::new(),
            index: IdTable::default(),
            longest: 0,
            acls: AclTable::new(hashing.clone()),
            ephemerals: hashing.map(),
            ephemeral_count: 0,
            transient: BTreeSet::new(),
            data_size: 0,
            capture: None,
            max_bytes: u64::MAX,
            quotas: Quotas::default(),
            hashing,
        };
        let acl = tree.acls.acquire(&Acl::open());
        tree.place("/", Some(Box::default()), acl, ROOT, StatPersisted::default());
        tree
    }

    /// The nodes that every server has, as the original makes them.
    pub(super) fn add_system_nodes(&mut self) {
        let stat = StatPersisted::default();
        let top = self.place("/zookeeper", Some(Box::default()), OPEN, ROOT, stat);
        self.place("/zookeeper/quota", Some(Box::default()), OPEN, top, stat);
        let acl = self.acls.acquire(&[Acl::new(perms::READ, "world", "anyone")]);
        let stat = StatPersisted { aversion: -1, ..stat };
        self.place("/zookeeper/config", Some(Box::default()), acl, top, stat);
    }

    /// The root's own contents, from a snapshot.
    pub(super) fn set_root(&mut self, data: Option<&[u8]>, acl: AclId, stat: StatPersisted) {
        self.before_change(ROOT);
        let root = &mut self.nodes[ROOT as usize];
        self.data_size -= root.weight();
        let old = std::mem::replace(&mut root.acl, acl);
        (root.data, root.stat) = (data.map(Box::from), stat);
        self.data_size += root.weight();
        self.acls.release(old);
    }

    /// The node at a path. The original knows the root by the empty path too.
    pub(super) fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        if !self.has_had(path.len()) {
            return None;
        }
        self.index.find(self.hashing.of(path), |id| &*self.nodes[id as usize].path == path)
    }

    /// Whether there was ever a path of so many bytes, or a longer one.
    pub(super) fn has_had(&self, length: usize) -> bool {
        length <= self.longest
    }

    /// The node at a path, or the error that says there is none.
    pub(super) fn need(&self, path: &str) -> Result<NodeId, ErrorCode> {
        self.find(path).ok_or(ErrorCode::NO_NODE)
    }

    /// A node by its number.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.before_change(id);
        &mut self.nodes[id as usize]
    }

    /// Every change of what a snapshot shows of a node goes through here first.
    fn before_change(&mut self, id: NodeId) {
        if let Some(capture) = &mut self.capture {
            capture.keep(id, &self.nodes[id as usize]);
        }
    }

    /// How many places there are, free ones included.
    pub(super) fn places(&self) -> usize {
        self.nodes.len()
    }

    /// The ACL of a node.
    pub(super) fn acl(&self, id: NodeId) -> &[Acl] {
        self.acls.get(self.node(id).acl)
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    pub(super) fn data_size(&self) -> u64 {
        self.data_size
    }

    /// The ephemerals of a session.
    pub(super) fn ephemerals(&self, session: i64) -> &[NodeId] {
        self.ephemerals.get(&session).map_or(&[], Vec::as_slice)
    }

    /// The sessions that own ephemerals, sorted.
    pub(super) fn owners(&self) -> Vec<i64> {
        let mut owners: Vec<i64> =
            self.ephemerals.iter().filter(|(_, nodes)| !nodes.is_empty()).map(|(&s, _)| s).collect();
        owners.sort_unstable();
        owners
    }

    /// Forgets the (empty) list of a session that has ended.
    pub(super) fn forget_owner(&mut self, session: i64) {
        if self.ephemerals(session).is_empty() {
            self.ephemerals.remove(&session);
        }
    }

    /// Creates a node below an existing one.
    #[allow(clippy::too_many_arguments)] // they are the fields of the transaction
    pub(super) fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        lifetime: Lifetime,
        parent_cversion: i32,
        zxid: i64,
        time_ms: i64,
    ) -> Result<Change, ErrorCode> {
        let parent_id = self.need(parent(path).unwrap_or_default())?;
        let acl = self.acls.acquire(acl);
        let existing = self.find(path);
        if let Some(id) = existing {
            let old = std::mem::replace(&mut self.node_mut(id).acl, acl);
            self.acls.release(old);
        }
        let parent = &mut self.node_mut(parent_id).stat;
        let (before, pzxid) = (parent.cversion, parent.pzxid);
        let cversion = if parent_cversion == -1 { before.wrapping_add(1) } else { parent_cversion };
        // A replay may create again what was created and deleted before the snapshot.
        if cversion > before {
            parent.cversion = cversion;
            parent.pzxid = zxid;
        }
        if existing.is_some() {
            return Err(ErrorCode::NODE_EXISTS);
        }
        let id = self.place(path, data.map(Box::from), acl, parent_id, fresh_stat(zxid, time_ms, lifetime));
        Ok(Change::Created { id, parent_cversion: before, parent_pzxid: pzxid })
    }

    /// Deletes a node. One that has children (which only a replay over a fuzzy snapshot meets)
    /// goes with all below it: what is really there comes later in the log.
    pub(super) fn delete(&mut self, path: &str, zxid: i64) -> Result<Change, ErrorCode> {
        let parent_id = self.need(parent(path).ok_or(ErrorCode::NO_NODE)?)?;
        let parent = &mut self.node_mut(parent_id).stat;
        let parent_pzxid = parent.pzxid;
        parent.pzxid = parent_pzxid.max(zxid);
        let id = self.need(path)?;
        if id == ROOT {
            return Err(ErrorCode::NO_NODE);
        }
        let mut doomed = self.node(id).children.to_vec();
        while let Some(&below) = doomed.last() {
            if let Some(&deeper) = self.node(below).children.last() {
                doomed.push(deeper);
                continue;
            }
            let node = self.displace(below);
            self.acls.release(node.acl);
            doomed.pop();
        }
        let node = self.displace(id);
        Ok(Change::Deleted { id, node, parent_pzxid })
    }

    /// Sets a node's data.
    pub(super) fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        zxid: i64,
        time_ms: i64,
    ) -> Result<Change, ErrorCode> {
        let id = self.need(path)?;
        let old = self.replace_data(id, data.map(Box::from));
        let node = self.node_mut(id);
        let stat = node.stat;
        node.stat = StatPersisted { version, mzxid: zxid, mtime_ms: time_ms, ..stat };
        Ok(Change::Data { id, data: old, stat })
    }

    /// Exchanges a node's data, and nothing else of it.
    pub(super) fn replace_data(&mut self, id: NodeId, data: Option<Box<[u8]>>) -> Option<Box<[u8]>> {
        self.before_change(id);
        let node = &mut self.nodes[id as usize];
        self.data_size -= node.weight();
        let old = std::mem::replace(&mut node.data, data);
        self.data_size += node.weight();
        old
    }

    /// Sets a node's ACL.
    pub(super) fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Result<Change, ErrorCode> {
        let id = self.need(path)?;
        let new = self.acls.acquire(acl);
        let node = self.node_mut(id);
        let aversion = std::mem::replace(&mut node.stat.aversion, version);
        let acl = std::mem::replace(&mut node.acl, new);
        Ok(Change::Acl { id, acl, aversion })
    }

    /// Makes a change final.
    pub(super) fn commit(&mut self, change: &Change) {
        match change {
            Change::Deleted { node, .. } => self.acls.release(node.acl),
            Change::Acl { acl, .. } => self.acls.release(*acl),
            Change::Created { .. } | Change::Data { .. } => {}
        }
    }

    /// Takes a change back. Changes must be taken back in reverse order.
    pub(super) fn undo(&mut self, change: Change) {
        match change {
            Change::Created { id, parent_cversion, parent_pzxid } => {
                let node = self.displace(id);
                self.acls.release(node.acl);
                let stat = &mut self.node_mut(node.parent).stat;
                (stat.cversion, stat.pzxid) = (parent_cversion, parent_pzxid);
            }
            Change::Deleted { id, node, parent_pzxid } => {
                self.node_mut(node.parent).stat.pzxid = parent_pzxid;
                self.replace(id, node);
            }
            Change::Data { id, data, stat } => {
                self.replace_data(id, data);
                self.node_mut(id).stat = stat;
            }
            Change::Acl { id, acl, aversion } => {
                let node = self.node_mut(id);
                node.stat.aversion = aversion;
                let new = std::mem::replace(&mut node.acl, acl);
                self.acls.release(new);
            }
        }
    }

    /// Puts a node into a free place and links it. Its ACL has been counted by the caller.
    pub(super) fn place(
        &mut self,
        path: &str,
        data: Option<Box<[u8]>>,
        acl: AclId,
        parent: NodeId,
        stat: StatPersisted,
    ) -> NodeId {
        let node = Node {
            path: path.into(),
            data,
            children: Children::default(),
            stat,
            acl,
            parent,
            slot: 0,
            owner_slot: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as NodeId
            }
        };
        if let Some(capture) = &mut self.capture {
            // Nobody will ask for it: what was in this place, if anything, is copied.
            capture.settle(id);
        }
        if id != ROOT {
            let siblings = &mut self.node_mut(parent).children;
            siblings.push(id);
            self.nodes[id as usize].slot = (siblings.len() - 1) as u32;
        }
        self.enlist(id);
        id
    }

    /// Enters a node into everything but its parent's children.
    fn enlist(&mut self, id: NodeId) {
        let Self { nodes, index, hashing, ephemerals, longest, .. } = self;
        let node = &mut nodes[id as usize];
        *longest = node.path.len().max(*longest);
        self.data_size += node.weight();
        match Lifetime::of(node.stat.ephemeral_owner) {
            Lifetime::Persistent => {}
            Lifetime::Container | Lifetime::Ttl(_) => {
                self.transient.insert(id);
            }
            Lifetime::Ephemeral(session) => {
                let list = ephemerals.entry(session).or_default();
                node.owner_slot = list.len() as u32;
                list.push(id);
                self.ephemeral_count += 1;
            }
        }
        let hash = hashing.of(&*node.path);
        index.insert(hash, id);
    }

    /// Takes a node out of everything and frees its place.
    fn displace(&mut self, id: NodeId) -> Node {
        let blank = Node {
            path: Box::default(),
            data: None,
            children: Children::default(),
            stat: StatPersisted::default(),
            acl: 0,
            parent: ROOT,
            slot: 0,
            owner_slot: 0,
        };
        let node = std::mem::replace(self.node_mut(id), blank);
        self.index.remove(self.hashing.of(&*node.path), id);
        self.data_size -= node.weight();
        let siblings = &mut self.node_mut(node.parent).children;
        siblings.swap_remove(node.slot as usize);
        if let Some(&moved) = siblings.get(node.slot as usize) {
            self.nodes[moved as usize].slot = node.slot;
        }
        match Lifetime::of(node.stat.ephemeral_owner) {
            Lifetime::Persistent => {}
            Lifetime::Container | Lifetime::Ttl(_) => {
                self.transient.remove(&id);
            }
            Lifetime::Ephemeral(session) => {
                self.ephemeral_count -= 1;
                if let Some(list) = self.ephemerals.get_mut(&session) {
                    list.swap_remove(node.owner_slot as usize);
                    if let Some(&moved) = list.get(node.owner_slot as usize) {
                        self.nodes[moved as usize].owner_slot = node.owner_slot;
                    }
                }
            }
        }
        self.free.push(id);
        node
    }

    /// Puts a displaced node back where it was; the last one displaced comes first.
    fn replace(&mut self, id: NodeId, node: Node) {
        self.free.pop();
        let (parent, slot) = (node.parent, node.slot);
        self.nodes[id as usize] = node;
        let siblings = &mut self.node_mut(parent).children;
        siblings.push(id);
        let last = (siblings.len() - 1) as u32;
        siblings.swap(slot as usize, last as usize);
        let moved = siblings[last as usize];
        self.nodes[moved as usize].slot = last;
        self.nodes[id as usize].slot = slot;
        self.enlist(id);
    }
}

#[cfg(test)]
mod tests;
