//! setWatches and setWatches2: after a reconnect a client sets its watches again, and is told at
//! once of what happened meanwhile.

use zooky_wire::{EventType, Response, perms};

use super::Reply;
use super::watch::check_watchable;
use crate::core::conn::Caller;
use crate::core::node::NodeId;
use crate::core::notify::{NO_ZXID, event};
use crate::core::watches::Mode;
use crate::core::{Core, Output, acl};

/// What a client watched, and the zxid up to which it knows.
#[derive(Debug, Default)]
pub(super) struct Missed {
    pub(super) relative_zxid: i64,
    pub(super) data: Vec<String>,
    pub(super) exist: Vec<String>,
    pub(super) child: Vec<String>,
    pub(super) persistent: Vec<String>,
    pub(super) recursive: Vec<String>,
}

impl Core {
    pub(super) fn set_watches(&mut self, caller: &Caller, missed: &Missed, out: &mut Vec<Output>) -> Reply {
        let one_shot = missed.data.len() + missed.exist.len() + missed.child.len();
        let both = 2 * (missed.persistent.len() + missed.recursive.len());
        self.room_for_watches(caller.conn, one_shot + both)?;
        let Missed { data, exist, child, persistent, recursive, .. } = missed;
        for path in [data, exist, child, persistent, recursive].into_iter().flatten() {
            check_watchable(path)?;
        }
        let since = missed.relative_zxid;
        for path in &missed.data {
            match self.visible(caller, path) {
                None => self.tell(caller, EventType::DELETED, path, out),
                Some(Some(id)) if self.tree.node(id).stat.mzxid > since => {
                    self.tell(caller, EventType::DATA_CHANGED, path, out);
                }
                Some(_) => self.data_watches.add(path, caller.conn, Mode::OneShot),
            }
        }
        for path in &missed.exist {
            match self.visible(caller, path) {
                Some(Some(_)) => self.tell(caller, EventType::CREATED, path, out),
                _ => self.data_watches.add(path, caller.conn, Mode::OneShot),
            }
        }
        for path in &missed.child {
            match self.visible(caller, path) {
                None => self.tell(caller, EventType::DELETED, path, out),
                Some(Some(id)) if self.tree.node(id).stat.pzxid > since => {
                    self.tell(caller, EventType::CHILDREN_CHANGED, path, out);
                }
                Some(_) => self.child_watches.add(path, caller.conn, Mode::OneShot),
            }
        }
        let stay = missed.persistent.iter().map(|path| (path, Mode::Persistent));
        for (path, mode) in stay.chain(missed.recursive.iter().map(|path| (path, Mode::Recursive))) {
            self.child_watches.add(path, caller.conn, mode);
            self.data_watches.add(path, caller.conn, mode);
        }
        Ok(Response::Empty)
    }

    /// `None`: no such node. `Some(None)`: there is one, but the caller may not read it, so it is
    /// told nothing of it (here the original is more talkative).
    fn visible(&self, caller: &Caller, path: &str) -> Option<Option<NodeId>> {
        let id = self.tree.find(path)?;
        let readable = acl::check(self.tree.acl(id), perms::READ, &caller.ids).is_ok();
        Some(readable.then_some(id))
    }

    fn tell(&mut self, caller: &Caller, kind: EventType, path: &str, out: &mut Vec<Output>) {
        self.send(caller.conn, event(kind, path, NO_ZXID), out);
    }
}
