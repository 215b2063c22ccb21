//! What can be wrong with the files.

use std::io;
use std::path::PathBuf;

use crate::core::{ReplayError, RestoreError};

/// Why the log or a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused. After a failed write or sync nothing is known about what the disk
    /// holds, so it is never tried again: the server has to be started anew, which recovers.
    #[error("cannot {what} {}: {source}; mend the disk, then start the server again", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Bytes that do not check, and that no crash explains.
    #[error(
        "{} is corrupt at byte {offset}: {why}; put back a copy of the data directory that is intact",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A transaction that is well-formed but cannot be applied.
    #[error("{} holds a transaction at byte {offset} that cannot be replayed: {source}", path.display())]
    Replay {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Why not.
        source: ReplayError,
    },
    /// A snapshot whose parts do not fit together.
    #[error("{} cannot be restored: {source}", path.display())]
    Restore {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: RestoreError,
    },
    /// There are logs but no snapshot to start from.
    #[error(
        "{} holds logs but no snapshot; put the snapshots back (a complete history has a snapshot.0)",
        path.display()
    )]
    NoSnapshot {
        /// The directory.
        path: PathBuf,
    },
    /// The logs go on behind a gap.
    #[error(
        "{} goes on at byte {offset} with transaction {zxid:#x}, but the last one before it is {last:#x}: a log is \
         missing; put it back",
        path.display()
    )]
    Missing {
        /// The file that goes on.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The last transaction before the gap.
        last: i64,
        /// The first one behind it.
        zxid: i64,
    },
    /// A snapshot is invalid, and the older snapshots and the logs do not reach as far as it did.
    #[error(
        "{source}. Older snapshots and the logs end at transaction {reached:#x} already; put the missing logs back"
    )]
    NotMadeUp {
        /// The last transaction that the other files have.
        reached: i64,
        /// What is wrong with the snapshot.
        source: Box<LogError>,
    },
    /// An earlier write or sync failed; see there.
    #[error("the log has failed before and takes nothing any more; start the server again")]
    Failed,
}
