//! The bounds that the core itself enforces.

/// Bounds on what clients can make the core hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many sessions there may be; further connects are closed without an answer.
    pub max_sessions: usize,
    /// How many watches one session may have; a request that would set one more fails.
    pub max_watches_per_session: usize,
    /// How many bytes one session's watches may take: their paths, and 128 for each; a request that would set one
    /// more fails.
    pub max_watch_bytes_per_session: u64,
    /// How many bytes all watches may take. Over it, the connection with most of them is closed.
    pub max_watch_bytes: u64,
    /// How many bytes the tree may take: paths, data, 256 for each node, and each different ACL once. A
    /// request that would need more fails with "quota exceeded"; what is there already stays.
    pub max_tree_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_sessions: 100_000,
            max_watches_per_session: 100_000,
            max_watch_bytes_per_session: 32 << 20,
            max_watch_bytes: 256 << 20,
            max_tree_bytes: 1 << 30,
        }
    }
}
