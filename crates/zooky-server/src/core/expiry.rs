//! What time does: sessions end, empty containers and idle TTL nodes go.

use zooky_wire::{OpCode, Txn, TxnHeader};

use super::node::{Lifetime, NodeId};
use super::sessions::OVER;
use super::{Core, Now, Output};

/// How many nodes one look at containers and TTL nodes removes at most.
const MAX_REAPED: usize = 10_000;
/// How many sessions one tick ends at most; the next one follows at once. Thousands may be due together, those of a machine
/// that is gone or of clients that only come and go, and nobody is to wait for all of them.
const ENDED_BY_TICK: usize = 16;

impl Core {
    /// The end of recovery: every session gets its whole timeout from `now`. Ephemerals whose
    /// session is unknown go with the first tick, by a logged transaction.
    pub fn begin(&mut self, now: Now) {
        self.now = now;
        self.durable = self.last_zxid;
        self.next_reap_ms = now.mono_ms.saturating_add(self.config.container_check_ms);
        for owner in self.tree.owners() {
            if !self.sessions.contains(owner) {
                self.sessions.set(owner, OVER);
            }
        }
        self.sessions.restart(now.mono_ms);
    }

    /// Ends what is over.
    pub(super) fn tick(&mut self, out: &mut Vec<Output>) {
        for _ in 0..ENDED_BY_TICK {
            let Some(session) = self.sessions.pop_expired(self.now.mono_ms) else { break };
            self.sessions_expired += 1;
            self.ephemerals_expired += self.tree.ephemerals(session).len() as u64;
            self.end_session(session, 0, out);
        }
        if !self.tree.transient.is_empty() && self.next_reap_ms <= self.now.mono_ms {
            self.next_reap_ms = self.now.mono_ms.saturating_add(self.config.container_check_ms);
            self.reap(out);
        }
    }

    /// Ends a session: its ephemerals go, watches fire, its connection is closed.
    pub(super) fn end_session(&mut self, session: i64, cxid: i32, out: &mut Vec<Output>) {
        let conn = self.sessions.get_mut(session).and_then(|s| s.conn);
        self.log_close(session, cxid, out);
        if let Some(conn) = conn {
            self.close_conn(conn, out);
        }
    }

    /// The transaction that ends a session.
    pub(super) fn log_close(&mut self, session: i64, cxid: i32, out: &mut Vec<Output>) {
        let owned = self.tree.ephemerals(session).iter();
        let paths = owned.map(|&id| self.tree.node(id).path.to_string()).collect();
        let kind = OpCode::CLOSE_SESSION;
        let header = TxnHeader { client_id: session, cxid, zxid: 0, time_ms: 0, kind };
        self.commit(header, Txn::CloseSession { ephemerals: Some(paths) }, out);
    }

    /// Removes containers that have had children and have none, and TTL nodes that are childless
    /// and whose data is older than their time.
    fn reap(&mut self, out: &mut Vec<Output>) {
        let over = |&id: &NodeId| {
            let node = self.tree.node(id);
            node.children.is_empty()
                && match Lifetime::of(node.stat.ephemeral_owner) {
                    Lifetime::Container => node.stat.cversion > 0,
                    Lifetime::Ttl(ttl_ms) => {
                        ttl_ms != 0 && self.now.wall_ms.saturating_sub(node.stat.mtime_ms) > ttl_ms
                    }
                    Lifetime::Persistent | Lifetime::Ephemeral(_) => false,
                }
        };
        let candidates: Vec<NodeId> =
            self.tree.transient.iter().copied().filter(over).take(MAX_REAPED).collect();
        for id in candidates {
            let path = self.tree.node(id).path.to_string();
            let kind = OpCode::DELETE_CONTAINER;
            let header = TxnHeader { client_id: 0, cxid: 0, zxid: 0, time_ms: 0, kind };
            self.commit(header, Txn::Delete { path }, out);
        }
    }
}
