//! Removes snapshots and logs that are not needed any more.

use super::{LogError, Storage, log_name, numbered, snapshot_name};

/// Keeps the newest `kept` snapshots that are not in `invalid`, and the logs that are needed to go on from the oldest of
/// them. Everything older goes, snapshots before logs, so that no snapshot stays without its logs.
pub(super) fn purge(storage: &dyn Storage, kept: usize, invalid: &[i64]) -> Result<(), LogError> {
    let io = |what, name: &str, source| LogError::Io { what, path: storage.path(name), source };
    let names = storage.list().map_err(|e| io("list", "", e))?;
    let snapshots = numbered(&names, "snapshot.");
    let valid = snapshots.iter().rev().filter(|zxid| !invalid.contains(zxid));
    let Some(&oldest) = valid.take(kept).last() else { return Ok(()) };
    let old = snapshots.iter().take_while(|&&zxid| zxid < oldest).map(|&zxid| snapshot_name(zxid));
    // As in the original: the last log that starts at or before the snapshot may go on behind it.
    let logs = numbered(&names, "log.");
    let needed = logs.partition_point(|&zxid| zxid <= oldest).saturating_sub(1);
    let old = old.chain(logs[..needed].iter().map(|&zxid| log_name(zxid)));
    for name in old {
        tracing::debug!(path = %storage.path(&name).display(), "removed; newer snapshots have taken its place");
        storage.remove(&name).map_err(|e| io("remove", &name, e))?;
    }
    storage.sync_dir().map_err(|e| io("sync", "", e))
}
