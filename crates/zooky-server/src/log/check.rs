//! Looks through all snapshots and logs of a directory, also those that a start would not read, and changes nothing.
//!
//! Each file is judged by the code that a start uses; what a start would make of all of them is not guessed: recovery itself
//! runs, on a storage that drops every change.

use std::sync::Arc;

use super::recover::{recover, restore};
use super::scan::{Damage, Stop, Tail, follows, scan};
use super::{LogError, Storage, TornTail, UNFINISHED, log_name, numbered, snapshot_name};
use crate::core::{CoreConfig, PasswordRule};

/// What was found in a data directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// Its snapshots, the oldest first.
    pub snapshots: Vec<CheckedSnapshot>,
    /// Its logs, in their order.
    pub logs: Vec<CheckedLog>,
    /// What a start would go on from, or why it would refuse.
    pub start: Result<WouldStart, LogError>,
    /// Files that no start reads, by name: a snapshot that was not finished, or what others have put there.
    pub ignored: Vec<String>,
}

/// A snapshot and what it shows.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedSnapshot {
    /// Its name.
    pub name: String,
    /// The newest transaction that it shows, by its name.
    pub zxid: i64,
    /// How many nodes and sessions it has, or what is wrong with it.
    pub content: Result<Content, LogError>,
}

/// How much a state has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// Nodes, the root and those of the server's own among them.
    pub nodes: usize,
    /// Of them, those that go with their session.
    pub ephemerals: usize,
    /// Sessions.
    pub sessions: usize,
}

/// A log and what it holds, up to its end or to what is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedLog {
    /// Its name.
    pub name: String,
    /// How many transactions it holds.
    pub transactions: u64,
    /// The first and the last of them.
    pub zxids: Option<(i64, i64)>,
    /// Where it is torn, in bytes: what was being written when the server died stands there, and was never acknowledged.
    pub torn: Option<u64>,
    /// Where transactions are missing before or within it.
    pub gaps: Vec<Gap>,
    /// What is wrong with it; nothing behind that is read.
    pub damage: Option<LogError>,
}

/// Transactions that no log has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last one before.
    pub last: i64,
    /// The first one behind.
    pub next: i64,
    /// A snapshot that shows them all, by name: then nothing is missing. An ensemble's server that got a snapshot from its leader
    /// leaves such a gap.
    pub bridged_by: Option<String>,
}

/// What a start would go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WouldStart {
    /// The snapshot that it would read, by name; `None`: the directory is empty.
    pub snapshot: Option<String>,
    /// How many transactions of the logs it would replay.
    pub replayed: u64,
    /// The newest transaction.
    pub zxid: i64,
    /// What the state has then.
    pub content: Content,
    /// What it would cut off the newest log.
    pub torn: Option<TornTail>,
}

/// The result in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything checks. A torn tail is sound: every crash may leave one.
    Sound,
    /// Something does not check, but a start does without it and loses nothing.
    Damaged,
    /// A start would refuse.
    Unusable,
}

impl Checked {
    /// The result in a word.
    pub fn verdict(&self) -> Verdict {
        let snapshots = self.snapshots.iter().all(|snapshot| snapshot.content.is_ok());
        let logs = self.logs.iter().all(CheckedLog::is_sound);
        match &self.start {
            Err(_) => Verdict::Unusable,
            Ok(_) if snapshots && logs => Verdict::Sound,
            Ok(_) => Verdict::Damaged,
        }
    }
}

impl CheckedLog {
    /// Whether everything in it checks and nothing is missing before it.
    pub fn is_sound(&self) -> bool {
        self.damage.is_none() && self.gaps.iter().all(|gap| gap.bridged_by.is_some())
    }
}

/// Checks what `storage` holds; it must drop changes.
///
/// # Errors
/// The directory cannot be listed. What is wrong with its files is no error but in the result.
pub(crate) fn check(storage: &Arc<dyn Storage>) -> Result<Checked, LogError> {
    let list = |source| LogError::Io { what: "list", path: storage.path(""), source };
    let names = storage.list().map_err(list)?;
    let snapshots: Vec<_> = numbered(&names, "snapshot.");
    let snapshots: Vec<_> =
        snapshots.into_iter().map(|zxid| check_snapshot(storage.as_ref(), zxid)).collect();
    let mut logs = check_logs(storage.as_ref(), &numbered(&names, "log."));
    for gap in logs.iter_mut().flat_map(|log| &mut log.gaps) {
        let bridge = snapshots.iter().find(|one| one.content.is_ok() && bridges(one.zxid, gap));
        gap.bridged_by = bridge.map(|one| one.name.clone());
    }
    let start = recover(storage, config()).map(|recovered| {
        let invalid: Vec<i64> = recovered.invalid.iter().map(|(zxid, _)| *zxid).collect();
        let read = snapshots.iter().rev().find(|one| !invalid.contains(&one.zxid));
        WouldStart {
            snapshot: read.map(|one| one.name.clone()),
            replayed: recovered.replayed,
            zxid: recovered.core.last_zxid(),
            content: Content::of(&recovered.core),
            torn: recovered.torn,
        }
    });
    let known: Vec<&str> = snapshots
        .iter()
        .map(|one| one.name.as_str())
        .chain(logs.iter().map(|log| log.name.as_str()))
        .collect();
    let mut ignored: Vec<String> =
        names.iter().filter(|name| !known.contains(&name.as_str())).cloned().collect();
    ignored.sort_unstable();
    Ok(Checked { snapshots, logs, start, ignored })
}

/// Whether the name is of a snapshot that was not finished; a start removes it.
pub fn is_unfinished_snapshot(name: &str) -> bool {
    name == UNFINISHED
}

impl Content {
    fn of(core: &crate::core::Core) -> Content {
        let stats = core.stats();
        // The original counts the root twice.
        Content { nodes: stats.znodes - 1, ephemerals: stats.ephemerals, sessions: stats.sessions }
    }
}

/// Nobody connects to what is only looked at: the passwords' rule does not matter.
fn config() -> CoreConfig {
    CoreConfig::new(1, PasswordRule::Original)
}

/// Whether a snapshot shows all that is missing in the gap, so that one can go on from it.
fn bridges(snapshot: i64, gap: &Gap) -> bool {
    snapshot > gap.last && (snapshot >= gap.next || follows(snapshot, gap.next))
}

fn check_snapshot(storage: &dyn Storage, zxid: i64) -> CheckedSnapshot {
    let content = restore(storage, zxid, config()).map(|core| Content::of(&core));
    CheckedSnapshot { name: snapshot_name(zxid), zxid, content }
}

fn check_logs(storage: &dyn Storage, numbers: &[i64]) -> Vec<CheckedLog> {
    let mut last = None;
    let tails = numbers.iter().skip(1).map(|&next| Tail::Before(next)).chain([Tail::Newest]);
    numbers.iter().zip(tails).map(|(&number, tail)| check_log(storage, number, tail, &mut last)).collect()
}

/// Checks one log. `last` is the newest transaction of those before it; `None`: not known.
fn check_log(storage: &dyn Storage, number: i64, tail: Tail, last: &mut Option<i64>) -> CheckedLog {
    let name = log_name(number);
    let path = storage.path(&name);
    let mut log =
        CheckedLog { name, transactions: 0, zxids: None, torn: None, gaps: Vec::new(), damage: None };
    let bytes = match storage.open(&log.name).and_then(|mut file| file.read_all()) {
        Ok(bytes) => bytes,
        Err(source) => {
            *last = None;
            log.damage = Some(LogError::Io { what: "read", path, source });
            return log;
        }
    };
    // A log is named after its first transaction.
    let mut before = last.unwrap_or_else(|| number.saturating_sub(1));
    let mut ascending = before;
    let end = scan(&bytes, tail, &mut ascending, |record| {
        let zxid = record.header.zxid;
        log.note_gap(before, zxid);
        before = zxid;
        log.transactions += 1;
        log.zxids = Some((log.zxids.map_or(zxid, |(first, _)| first), zxid));
        Ok::<(), std::convert::Infallible>(())
    });
    match end {
        Ok(end) => {
            log.torn = end.torn.then_some(end.offset);
            // One without an entry still tells by its name what came before it.
            if log.transactions == 0 && number > before {
                log.note_gap(before, number);
                before = number.saturating_sub(1);
            }
            *last = Some(before);
        }
        Err(Stop::Damage(Damage { offset, why })) => {
            *last = None;
            log.damage = Some(LogError::Corrupt { path, offset, why });
        }
        Err(Stop::Refused { error, .. }) => match error {},
    }
    log
}

impl CheckedLog {
    fn note_gap(&mut self, last: i64, next: i64) {
        if !follows(last, next) {
            self.gaps.push(Gap { last, next, bridged_by: None });
        }
    }
}
