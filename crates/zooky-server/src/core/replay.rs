//! From the log back to the state.

/// A transaction that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log skips or repeats numbers in a way that no server writes.
    #[error("transaction {zxid:#x} stands behind {last:#x}; the log is out of order")]
    OutOfOrder {
        /// Its zxid.
        zxid: i64,
        /// The newest one before it.
        last: i64,
    },
}

/// Parts of a snapshot that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A node comes before its parent, or is listed twice.
    #[error("the node {path} is out of place in the snapshot; use an older snapshot")]
    Misplaced {
        /// The node.
        path: String,
    },
    /// A node names an ACL that the snapshot does not list.
    #[error("the node {path} has the unknown ACL number {acl}; use an older snapshot")]
    UnknownAcl {
        /// The node.
        path: String,
        /// The ACL's number.
        acl: i64,
    },
}
