//! From the files of a data directory back to the state: the newest snapshot, then the logs.

use std::path::PathBuf;
use std::sync::Arc;

use super::scan::{Damage, Stop, scan};
use super::{LogError, LogWriter, Snapshot, Storage, encode_snapshot, log_name, snapshot_name, zxid_of};
use crate::core::{Core, CoreConfig};

/// The name of a snapshot while it is written.
const UNFINISHED: &str = "unfinished-snapshot";

/// A state that goes on where the files end.
#[derive(Debug)]
pub struct Recovered {
    /// The state; [`Core::begin`] has not been called.
    pub core: Core,
    /// The log, ready for the next transaction.
    pub log: LogWriter,
    /// How many transactions were replayed.
    pub replayed: u64,
    /// What was cut off the newest log, if anything was.
    pub torn: Option<TornTail>,
}

/// The remains of a batch that was being written when the server died. None of it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where it was cut, in bytes.
    pub offset: u64,
}

/// Recovers what `storage` holds; if it is empty, writes the empty snapshot that Apache ZooKeeper wants to
/// find beside the first log. When this returns, all that was recovered is durable.
///
/// # Errors
/// The disk refuses, or files are corrupt: then nothing has been changed.
pub fn recover(storage: &Arc<dyn Storage>, config: CoreConfig) -> Result<Recovered, LogError> {
    let io = |what, name: &str, source| LogError::Io { what, path: storage.path(name), source };
    let names = storage.list().map_err(|e| io("list", "", e))?;
    let logs = numbered(&names, "log.");
    let Some(&snapshot_zxid) = numbered(&names, "snapshot.").last() else {
        if !logs.is_empty() {
            return Err(LogError::NoSnapshot { path: storage.path("") });
        }
        let core = Core::new(config);
        write_snapshot(storage.as_ref(), &core)?;
        return Ok(Recovered { core, log: LogWriter::new(Arc::clone(storage)), replayed: 0, torn: None });
    };
    let mut core = restore(storage.as_ref(), snapshot_zxid, config)?;
    let mut log = LogWriter::new(Arc::clone(storage));
    let (mut replayed, mut torn) = (0, None);

    // The snapshot may begin in the middle of a log.
    let first = logs.partition_point(|&zxid| zxid <= snapshot_zxid).saturating_sub(1);
    // A log is named after its first transaction: what is torn there is known by its number, too.
    let mut last_zxid = logs.get(first).map_or(0, |zxid| zxid.saturating_sub(1));
    for &number in &logs[first..] {
        let name = log_name(number);
        let newest = logs.last() == Some(&number);
        let mut file = storage.open(&name).map_err(|e| io("open", &name, e))?;
        let bytes = file.read_all().map_err(|e| io("read", &name, e))?;
        let end = scan(&bytes, newest, &mut last_zxid, |record| {
            if record.header.zxid <= snapshot_zxid {
                return Ok(());
            }
            replayed += 1;
            core.replay(&record)
        });
        let path = storage.path(&name);
        let end = end.map_err(|stop| match stop {
            Stop::Damage(Damage { offset, why }) => LogError::Corrupt { path: path.clone(), offset, why },
            Stop::Refused { offset, error: source } => {
                LogError::Replay { path: path.clone(), offset, source }
            }
        })?;
        if newest {
            if end.torn {
                torn = Some(TornTail { path, offset: end.offset });
            }
            log.resume(&name, file, &bytes[..end.offset as usize], end.last_batch)?;
        }
    }
    storage.sync_dir().map_err(|e| io("sync", "", e))?;
    Ok(Recovered { core, log, replayed, torn })
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

fn restore(storage: &dyn Storage, zxid: i64, config: CoreConfig) -> Result<Core, LogError> {
    let name = snapshot_name(zxid);
    let path = storage.path(&name);
    let bytes = storage.open(&name).and_then(|mut file| file.read_all());
    let bytes = bytes.map_err(|source| LogError::Io { what: "read", path: path.clone(), source })?;
    let snapshot = Snapshot::decode(&bytes).map_err(|Damage { offset, why }| LogError::Corrupt {
        path: path.clone(),
        offset,
        why,
    })?;
    Core::restore(config, zxid, snapshot.sessions, snapshot.acls, snapshot.nodes)
        .map_err(|source| LogError::Restore { path, source })
}

/// Writes a snapshot of the present state; it has its name only when it is whole and durable.
fn write_snapshot(storage: &dyn Storage, core: &Core) -> Result<(), LogError> {
    let image = core.image();
    let name = snapshot_name(image.last_zxid());
    let io = |what, source| LogError::Io { what, path: storage.path(&name), source };
    let bytes = encode_snapshot(image);
    if storage.list().map_err(|e| io("list", e))?.iter().any(|name| name == UNFINISHED) {
        storage.remove(UNFINISHED).map_err(|e| io("make room for", e))?;
    }
    let mut file = storage.create(UNFINISHED).map_err(|e| io("create", e))?;
    file.write_at(0, &bytes).map_err(|e| io("write", e))?;
    file.sync_data().map_err(|e| io("sync", e))?;
    storage.rename(UNFINISHED, &name).map_err(|e| io("name", e))?;
    storage.sync_dir().map_err(|e| io("sync the directory of", e))
}
