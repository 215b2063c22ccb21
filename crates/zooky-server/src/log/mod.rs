//! Durability: the transaction log, snapshots and recovery, in Apache ZooKeeper's own file formats.
//!
//! `docs/log-format.md` describes the bytes and the protocol of a commit. What this module promises:
//! a batch for which [`LogWriter::append`] returned `Ok` survives the loss of power; after a failure
//! nothing is ever written again; and recovery either restores everything that was promised, or names
//! the file and the offset that do not check.

mod batch;
mod batches;
mod check;
mod error;
mod purge;
mod read_only;
mod recover;
mod scan;
mod snapshot;
mod snapshotter;
mod storage;
mod syncer;
mod writer;

pub use batch::{BATCH_MARK_VERSION, Batch};
pub use batches::Batches;
pub(crate) use check::check;
pub use check::{
    Checked, CheckedLog, CheckedSnapshot, Content, Gap, Verdict, WouldStart, is_unfinished_snapshot,
};
pub use error::LogError;
pub(crate) use read_only::ReadOnly;
pub use recover::{Recovered, TornTail, recover};
pub use snapshot::{Snapshot, encode_snapshot};
pub(crate) use snapshotter::{SnapshotRule, Snapshotter};
pub(crate) use storage::sync_directory;
pub use storage::{FileStorage, Storage, StorageFile};
pub(crate) use syncer::Syncer;
pub use writer::{LogWriter, ROLL_BYTES_DEFAULT};

/// The name of a snapshot while it is written.
const UNFINISHED: &str = "unfinished-snapshot";

/// The name of the log whose first transaction is `zxid`.
fn log_name(zxid: i64) -> String {
    format!("log.{zxid:x}")
}

/// The name of the snapshot that shows everything up to `zxid`.
fn snapshot_name(zxid: i64) -> String {
    format!("snapshot.{zxid:x}")
}

/// The zxid in a file's name, if it starts with `prefix`.
fn zxid_of(name: &str, prefix: &str) -> Option<i64> {
    i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()
}

/// The numbers of the files with this prefix, ascending. The hexadecimal digits must be written as we
/// write them, so that the name can be made again from the number.
fn numbered(names: &[String], prefix: &str) -> Vec<i64> {
    let mut zxids: Vec<i64> = names
        .iter()
        .filter_map(|name| {
            let zxid = zxid_of(name, prefix)?;
            (*name == format!("{prefix}{zxid:x}")).then_some(zxid)
        })
        .collect();
    zxids.sort_unstable();
    zxids
}
