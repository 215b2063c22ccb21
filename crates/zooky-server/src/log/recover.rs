//! From the files of a data directory back to the state: the newest snapshot that is valid, then the logs.

use std::path::PathBuf;
use std::sync::Arc;

use super::scan::{Damage, Stop, Tail, follows, scan};
use super::snapshotter::{remove_unfinished, write_snapshot};
use super::{LogError, LogWriter, Snapshot, Storage, log_name, numbered, snapshot_name};
use crate::core::{Core, CoreConfig, ReplayError};

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
    /// Snapshots that cannot be used, the newest first, with the reasons. The logs made up for them.
    pub invalid: Vec<(i64, LogError)>,
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
/// The disk refuses, or files are corrupt or missing: then nothing has been changed.
pub fn recover(storage: &Arc<dyn Storage>, config: CoreConfig) -> Result<Recovered, LogError> {
    let io = |what, name: &str, source| LogError::Io { what, path: storage.path(name), source };
    let names = storage.list().map_err(|e| io("list", "", e))?;
    let logs = numbered(&names, "log.");
    let snapshots = numbered(&names, "snapshot.");
    if snapshots.is_empty() {
        if !logs.is_empty() {
            return Err(LogError::NoSnapshot { path: storage.path("") });
        }
        let mut core = Core::new(config);
        write_snapshot(storage.as_ref(), &mut core)?;
        let (log, invalid) = (LogWriter::new(Arc::clone(storage)), Vec::new());
        return Ok(Recovered { core, log, replayed: 0, torn: None, invalid });
    }
    let (core, invalid) = newest_valid(storage.as_ref(), &snapshots, &config)?;
    let mut recovered =
        Recovered { core, log: LogWriter::new(Arc::clone(storage)), replayed: 0, torn: None, invalid };
    replay(storage.as_ref(), &logs, &mut recovered)?;
    remove_unfinished(storage.as_ref())?;
    storage.sync_dir().map_err(|e| io("sync", "", e))?;
    Ok(recovered)
}

/// The state of the newest snapshot that can be used, and those newer than it.
fn newest_valid(
    storage: &dyn Storage,
    snapshots: &[i64],
    config: &CoreConfig,
) -> Result<(Core, Vec<(i64, LogError)>), LogError> {
    let mut invalid = Vec::new();
    for &zxid in snapshots.iter().rev() {
        match restore(storage, zxid, config.clone()) {
            Ok(core) => return Ok((core, invalid)),
            Err(error @ (LogError::Corrupt { .. } | LogError::Restore { .. })) => invalid.push((zxid, error)),
            Err(error) => return Err(error),
        }
    }
    let newest = invalid.into_iter().next().map(|(_, error)| error);
    Err(newest.unwrap_or_else(|| LogError::NoSnapshot { path: storage.path("") }))
}

/// The state of one snapshot.
pub(super) fn restore(storage: &dyn Storage, zxid: i64, config: CoreConfig) -> Result<Core, LogError> {
    let name = snapshot_name(zxid);
    let path = storage.path(&name);
    let bytes = storage.open(&name).and_then(|mut file| file.read_all());
    let bytes = bytes.map_err(|source| LogError::Io { what: "read", path: path.clone(), source })?;
    let corrupt = |Damage { offset, why }| LogError::Corrupt { path: path.clone(), offset, why };
    let snapshot = Snapshot::check(&bytes).map_err(corrupt)?;
    Core::restore(config, zxid, snapshot.sessions(), snapshot.acls(), snapshot.nodes())
        .map_err(|source| LogError::Restore { path: path.clone(), source })
}

/// Replays what the logs have behind the snapshot, and readies the newest log for more.
fn replay(storage: &dyn Storage, logs: &[i64], recovered: &mut Recovered) -> Result<(), LogError> {
    let snapshot_zxid = recovered.core.last_zxid();
    // The snapshot may begin in the middle of a log.
    let behind = logs.partition_point(|&zxid| zxid <= snapshot_zxid);
    let first =
        if logs.get(behind) == Some(&(snapshot_zxid + 1)) { behind } else { behind.saturating_sub(1) };
    // A log is named after its first transaction: what is torn there is known by its number, too.
    let mut last_zxid = logs.get(first).map_or(0, |zxid| zxid.saturating_sub(1));
    for (at, &number) in logs.iter().enumerate().skip(first) {
        let name = log_name(number);
        let path = storage.path(&name);
        let io = |what, source| LogError::Io { what, path: path.clone(), source };
        let mut file = storage.open(&name).map_err(|e| io("open", e))?;
        let bytes = file.read_all().map_err(|e| io("read", e))?;
        let tail = logs.get(at + 1).map_or(Tail::Newest, |&next| Tail::Before(next));
        let Recovered { core, replayed, .. } = recovered;
        let end = scan(&bytes, tail, &mut last_zxid, |record| {
            let (zxid, last) = (record.header.zxid, core.last_zxid());
            if zxid <= snapshot_zxid {
                return Ok(());
            }
            if !follows(last, zxid) {
                return Err(Refused::Missing { last, zxid });
            }
            *replayed += 1;
            core.replay(&record).map_err(Refused::Replay)
        });
        let end = end.map_err(|stop| refusal(path.clone(), stop))?;
        // A log without an entry still tells by its name what came before it.
        let last = recovered.core.last_zxid();
        if end.last_batch == 0 && number > last && !follows(last, number) {
            return Err(LogError::Missing { path, offset: end.offset, last, zxid: number });
        }
        if tail != Tail::Newest {
            continue;
        }
        check_reached(storage, recovered)?;
        if end.torn {
            recovered.torn = Some(TornTail { path, offset: end.offset });
        }
        recovered.log.resume(&name, file, &bytes[..end.offset as usize], end.last_batch)?;
        // Between the log's end and the snapshot something is missing, which the snapshot has.
        if last_zxid < recovered.core.last_zxid() {
            recovered.log.roll();
        }
    }
    if logs.is_empty() { check_reached(storage, recovered) } else { Ok(()) }
}

/// All that an invalid snapshot promised must have come from the logs, and nothing may be left half known.
fn check_reached(storage: &dyn Storage, recovered: &mut Recovered) -> Result<(), LogError> {
    let reached = recovered.core.last_zxid();
    if recovered.invalid.first().is_some_and(|(zxid, _)| *zxid > reached) {
        let (_, error) = recovered.invalid.swap_remove(0);
        return Err(LogError::NotMadeUp { reached, source: Box::new(error) });
    }
    recovered.core.check_restored().map_err(|source| LogError::Restore { path: storage.path(""), source })
}

/// Why a record that checks is not replayed.
#[derive(Debug)]
enum Refused {
    Missing { last: i64, zxid: i64 },
    Replay(ReplayError),
}

fn refusal(path: PathBuf, stop: Stop<Refused>) -> LogError {
    match stop {
        Stop::Damage(Damage { offset, why }) => LogError::Corrupt { path, offset, why },
        Stop::Refused { offset, error: Refused::Replay(source) } => LogError::Replay { path, offset, source },
        Stop::Refused { offset, error: Refused::Missing { last, zxid } } => {
            LogError::Missing { path, offset, last, zxid }
        }
    }
}
