//! What the four-letter words and metrics show.

use super::Core;

/// Counts of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Nodes in the tree, counted as the original does: the root counts twice.
    pub znodes: usize,
    /// Watches of all kinds, one for each path and connection.
    pub watches: usize,
    /// What they take of [`super::Limits::max_watch_bytes`].
    pub watch_bytes: u64,
    /// Sessions that are alive.
    pub sessions: usize,
    /// Ephemeral nodes.
    pub ephemerals: usize,
    /// Bytes of paths and data in the tree.
    pub approximate_data_size: u64,
    /// What the tree takes of [`super::Limits::max_tree_bytes`].
    pub tree_bytes: u64,
    /// Connections that are open.
    pub connections: usize,
    /// Frames that came in.
    pub packets_received: u64,
    /// Frames that went out.
    pub packets_sent: u64,
    /// Sessions that ended because nothing was heard of them, since the start.
    pub sessions_expired: u64,
    /// The ephemeral nodes that went with them: locks that were lost, or places in queues.
    pub ephemerals_expired: u64,
    /// The newest transaction.
    pub last_zxid: i64,
}

impl Core {
    /// Counts, for the four-letter words and metrics. Cheap.
    pub fn stats(&self) -> Stats {
        Stats {
            znodes: self.tree.len() + 1,
            watches: self.data_watches.len() + self.child_watches.len(),
            watch_bytes: self.watch_bytes(),
            sessions: self.sessions.len(),
            ephemerals: self.tree.ephemeral_count(),
            approximate_data_size: self.tree.data_size(),
            tree_bytes: self.tree.held_bytes(),
            connections: self.conns.len(),
            packets_received: self.packets_received,
            packets_sent: self.packets_sent,
            sessions_expired: self.sessions_expired,
            ephemerals_expired: self.ephemerals_expired,
            last_zxid: self.last_zxid,
        }
    }
}
