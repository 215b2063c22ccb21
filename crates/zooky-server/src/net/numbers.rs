//! The counts of the whole server, as monitoring sees them: the four-letter words and the metrics show the same.

/// The present numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers {
    pub(crate) uptime_ms: u64,
    pub(crate) zxid: i64,
    pub(crate) znodes: usize,
    pub(crate) watches: usize,
    pub(crate) sessions: usize,
    pub(crate) ephemerals: usize,
    pub(crate) data_bytes: u64,
    pub(crate) tree_bytes: u64,
    pub(crate) watch_bytes: u64,
    pub(crate) buffer_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) refused: u64,
    /// Answers and events that wait for the disk.
    pub(crate) held: usize,
    pub(crate) log_waiting_bytes: usize,
    pub(crate) sessions_expired: u64,
    pub(crate) ephemerals_expired: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}
