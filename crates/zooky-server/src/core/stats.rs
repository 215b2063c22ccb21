//! What the four-letter words and metrics show.

/// Counts of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Nodes in the tree.
    pub znodes: usize,
    /// Watches of all kinds, one for each path and session.
    pub watches: usize,
    /// Sessions that are alive.
    pub sessions: usize,
    /// Ephemeral nodes.
    pub ephemerals: usize,
    /// Bytes of paths and data in the tree.
    pub approximate_data_size: u64,
    /// Connections that are open.
    pub connections: usize,
    /// Frames that came in.
    pub packets_received: u64,
    /// Frames that went out.
    pub packets_sent: u64,
    /// The newest transaction.
    pub last_zxid: i64,
}
