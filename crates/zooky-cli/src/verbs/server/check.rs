//! `zooky server check DIR`: what a data directory holds, and whether a server would start on it.

use crate::embedded::serve;
use crate::exit::{self, Failure};
use crate::json;
use crate::table::printable;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use zooky_server::log::{
    Checked, CheckedLog, CheckedSnapshot, Content, Gap, Verdict, WouldStart, is_unfinished_snapshot,
};

const CODES: &str = "\
Exit codes: 0 everything checks (the torn end that a crash leaves included); 1 something does not check, but a start does \
without it and loses nothing; 65 a start would refuse; 71 it cannot be read, or a server of ours runs on it.";

/// Check a data directory, zooky's or Apache ZooKeeper's, that no server runs on; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(super) struct Args {
    /// The data directory, which holds `version-2`
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn main(args: &Args) -> Result<u8, Failure> {
    let checked = zooky_server::check(&args.dir).map_err(|error| serve::failure(&error))?;
    if args.json {
        json::print(&Report::new(&checked))?;
    } else {
        print(&checked)?;
    }
    Ok(match checked.verdict() {
        Verdict::Sound => exit::OK,
        Verdict::Damaged => exit::NO,
        Verdict::Unusable => exit::DATA,
    })
}

fn print(checked: &Checked) -> Result<(), Failure> {
    let snapshots = checked.snapshots.iter().map(snapshot_line);
    let logs = checked.logs.iter().flat_map(log_lines);
    let ignored = checked.ignored.iter().map(|name| match is_unfinished_snapshot(name) {
        true => format!("{name}: not finished; a start removes it"),
        false => format!("{name}: no start reads it"),
    });
    let lines =
        snapshots.chain(logs).chain(ignored).chain([start_line(&checked.start), verdict_line(checked)]);
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(())
}

fn snapshot_line(snapshot: &CheckedSnapshot) -> String {
    match &snapshot.content {
        Ok(content) => format!("{}: sound, {}", snapshot.name, words(*content)),
        Err(error) => format!("{}: DAMAGED, {error}", snapshot.name),
    }
}

fn log_lines(log: &CheckedLog) -> Vec<String> {
    let holds = match log.zxids {
        Some((first, last)) => format!("{} transactions, {first:#x} to {last:#x}", log.transactions),
        None => "no transactions".to_string(),
    };
    let state = match (&log.damage, log.torn) {
        (Some(error), _) => format!("DAMAGED behind {holds}: {error}"),
        (None, Some(at)) => {
            format!("sound, {holds}; torn at byte {at}, as a crash leaves it: nothing that was promised")
        }
        (None, None) => format!("sound, {holds}"),
    };
    let gaps = log.gaps.iter().map(|gap| {
        let between = format!("{}: nothing between {:#x} and {:#x}", log.name, gap.last, gap.next);
        match &gap.bridged_by {
            Some(snapshot) => format!("{between}, which is sound, as {snapshot} shows it"),
            None => format!("{between}: MISSING"),
        }
    });
    [format!("{}: {state}", log.name)].into_iter().chain(gaps).collect()
}

fn start_line(start: &Result<WouldStart, impl std::fmt::Display>) -> String {
    match start {
        Ok(start) => {
            let from = start.snapshot.as_deref().unwrap_or("nothing");
            let (zxid, count, content) = (start.zxid, start.replayed, words(start.content));
            format!("a start goes on from {zxid:#x}: {from} and {count} transactions behind it, {content}")
        }
        Err(error) => format!("a start refuses: {error}"),
    }
}

fn verdict_line(checked: &Checked) -> String {
    let words = match checked.verdict() {
        Verdict::Sound => "sound",
        Verdict::Damaged => {
            "damaged, but a start does without that and loses nothing; copy the directory before you go on"
        }
        Verdict::Unusable => "unusable as it is",
    };
    words.to_string()
}

fn words(content: Content) -> String {
    let Content { nodes, ephemerals, sessions, .. } = content;
    format!("{nodes} nodes ({ephemerals} ephemeral), {sessions} sessions")
}

/// `zooky server check --json`. Zxids are hexadecimal text, as in the files' names.
#[derive(Debug, Serialize)]
struct Report<'a> {
    verdict: &'static str,
    start: Option<Start<'a>>,
    refused: Option<String>,
    snapshots: Vec<Snapshot<'a>>,
    logs: Vec<Log<'a>>,
    ignored: &'a [String],
}

#[derive(Debug, Serialize)]
struct Start<'a> {
    snapshot: Option<&'a str>,
    replayed: u64,
    zxid: String,
    torn_at: Option<u64>,
    content: Counts,
}

#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    name: &'a str,
    zxid: String,
    damage: Option<String>,
    content: Option<Counts>,
}

#[derive(Debug, Serialize)]
struct Counts {
    nodes: usize,
    ephemerals: usize,
    sessions: usize,
}

#[derive(Debug, Serialize)]
struct Log<'a> {
    name: &'a str,
    transactions: u64,
    first: Option<String>,
    last: Option<String>,
    torn_at: Option<u64>,
    gaps: Vec<Missing<'a>>,
    damage: Option<String>,
}

#[derive(Debug, Serialize)]
struct Missing<'a> {
    last: String,
    next: String,
    bridged_by: Option<&'a str>,
}

impl<'a> Report<'a> {
    fn new(checked: &'a Checked) -> Report<'a> {
        let verdict = match checked.verdict() {
            Verdict::Sound => "sound",
            Verdict::Damaged => "damaged",
            Verdict::Unusable => "unusable",
        };
        Report {
            verdict,
            start: checked.start.as_ref().ok().map(Start::from),
            refused: checked.start.as_ref().err().map(ToString::to_string),
            snapshots: checked.snapshots.iter().map(Snapshot::from).collect(),
            logs: checked.logs.iter().map(Log::from).collect(),
            ignored: &checked.ignored,
        }
    }
}

impl<'a> From<&'a WouldStart> for Start<'a> {
    fn from(start: &'a WouldStart) -> Start<'a> {
        Start {
            snapshot: start.snapshot.as_deref(),
            replayed: start.replayed,
            zxid: hex(start.zxid),
            torn_at: start.torn.as_ref().map(|torn| torn.offset),
            content: start.content.into(),
        }
    }
}

impl From<Content> for Counts {
    fn from(Content { nodes, ephemerals, sessions, .. }: Content) -> Counts {
        Counts { nodes, ephemerals, sessions }
    }
}

impl<'a> From<&'a CheckedSnapshot> for Snapshot<'a> {
    fn from(snapshot: &'a CheckedSnapshot) -> Snapshot<'a> {
        Snapshot {
            name: &snapshot.name,
            zxid: hex(snapshot.zxid),
            damage: snapshot.content.as_ref().err().map(ToString::to_string),
            content: snapshot.content.as_ref().ok().map(|content| (*content).into()),
        }
    }
}

impl<'a> From<&'a CheckedLog> for Log<'a> {
    fn from(log: &'a CheckedLog) -> Log<'a> {
        Log {
            name: &log.name,
            transactions: log.transactions,
            first: log.zxids.map(|(first, _)| hex(first)),
            last: log.zxids.map(|(_, last)| hex(last)),
            torn_at: log.torn,
            gaps: log.gaps.iter().map(Missing::from).collect(),
            damage: log.damage.as_ref().map(ToString::to_string),
        }
    }
}

impl<'a> From<&'a Gap> for Missing<'a> {
    fn from(gap: &'a Gap) -> Missing<'a> {
        Missing { last: hex(gap.last), next: hex(gap.next), bridged_by: gap.bridged_by.as_deref() }
    }
}

fn hex(zxid: i64) -> String {
    format!("{zxid:#x}")
}
