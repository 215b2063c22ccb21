//! Watch events: from a change to the connections that are to be told of it.
//!
//! The ACL is checked again when a watch fires: a session that may not read a node (any more) is
//! not told of it, and its one-shot watch is gone all the same, as in the original.

use bytes::Bytes;
use zooky_wire::{ErrorCode, EventType, KeeperState, ReplyHeader, WatcherEvent, parent, perms, xid};

use super::acl::{self, AclTable};
use super::conn::{Conn, frame_of};
use super::hash::Map;
use super::node::AclId;
use super::tree::{Change, Tree};
use super::{ConnId, Core, Output};

/// The zxid in the header of an event that tells what was missed rather than what happens.
pub(super) const NO_ZXID: i64 = -1;

impl Core {
    /// Fires the watches that a change concerns: the node's, then the parent's.
    pub(super) fn notify(&mut self, change: &Change, zxid: i64) {
        let Core { tree, data_watches, child_watches, conns, events, told, packets_sent, .. } = self;
        if data_watches.len() + child_watches.len() == 0 {
            return;
        }
        let before = events.len();
        let mut teller = Teller { acls: &tree.acls, conns, events, zxid };
        match change {
            Change::Created { id, .. } => {
                let node = tree.node(*id);
                data_watches.fire(&node.path, false, told);
                teller.tell(EventType::CREATED, &node.path, node.acl, told);
                teller.tell_parent(tree, child_watches, &node.path, node.parent, told);
            }
            Change::Deleted { node, .. } => {
                data_watches.fire(&node.path, false, told);
                teller.tell(EventType::DELETED, &node.path, node.acl, told);
                // Who watches data and children is told once.
                let already = std::mem::take(told);
                child_watches.fire(&node.path, false, told);
                told.retain(|conn| already.binary_search(conn).is_err());
                teller.tell(EventType::DELETED, &node.path, node.acl, told);
                teller.tell_parent(tree, child_watches, &node.path, node.parent, told);
            }
            Change::Data { id, .. } => {
                let node = tree.node(*id);
                data_watches.fire(&node.path, false, told);
                teller.tell(EventType::DATA_CHANGED, &node.path, node.acl, told);
            }
            Change::Acl { .. } => {}
        }
        *packets_sent += (events.len() - before) as u64;
    }
}

struct Teller<'a> {
    acls: &'a AclTable,
    conns: &'a Map<ConnId, Conn>,
    events: &'a mut Vec<Output>,
    zxid: i64,
}

impl Teller<'_> {
    fn tell(&mut self, kind: EventType, path: &str, acl: AclId, told: &[ConnId]) {
        let mut frame = None;
        for &conn in told {
            let Some(open) = self.conns.get(&conn) else { continue };
            if acl != acl::OPEN && acl::check(self.acls.get(acl), perms::READ, &open.ids).is_err() {
                continue;
            }
            let frame = frame.get_or_insert_with(|| event(kind, path, self.zxid)).clone();
            open.shown.set(self.zxid);
            self.events.push(Output::Send { conn, frame, shows: self.zxid });
        }
    }

    fn tell_parent(
        &mut self,
        tree: &Tree,
        watches: &mut super::Watches,
        path: &str,
        parent_id: u32,
        told: &mut Vec<ConnId>,
    ) {
        let path = parent(path).unwrap_or("/");
        watches.fire(path, true, told);
        self.tell(EventType::CHILDREN_CHANGED, path, tree.node(parent_id).acl, told);
    }
}

/// The frame of an event.
pub(super) fn event(kind: EventType, path: &str, zxid: i64) -> Bytes {
    let header = ReplyHeader { xid: xid::EVENT, zxid, err: ErrorCode::OK };
    frame_of(|w| {
        header.encode(w);
        WatcherEvent::encode_of(kind, KeeperState::SYNC_CONNECTED, path, w);
    })
}
