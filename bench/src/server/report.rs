//! The part of the report that is about servers.

use super::bars::{Bound, bars};
use super::order::What;
use super::process::{Stage, Stock};
use super::{Key, Plan, Results};
use crate::peers::PeerKind;
use crate::report::{digits, ratio_digits, table, whole};
use crate::servers::ServerKind::{self, Apache, Ours, Redis};
use crate::stats::Spread;

const SERVING: &str = "\
As above: one machine, loopback, the same disk, fsync on in all servers, alternately in rounds; a figure is the median
over the rounds, with the smallest and the largest in parentheses, and a ratio is one of two figures of the same
round. All requests come from one process with one thread (for sessions that come and go: a thread for each), which
writes prepared bytes and counts replies; on two cores it takes its share from the server's.

- *writes*: creates of sequential ephemerals with 47 bytes, and their deletes, each session in a directory of its own.
  *reads*: getData of 47 bytes.
- *locks*: 64 locks at once on one session, as above.
- *fan-out*: from the sending of a setData to the arrival of the last event at sessions that watch the node for good.
";

const STARTS: &str = "\
- *start*: from the start of the process to the answer to a first request of a first session. Both servers start on
  copies of the same files: the newest snapshot, and logs of what came later.
- *memory*: the process's resident set. Apache ZooKeeper has 1 GiB of heap, of which it touches as much as its garbage
  collector likes.
";

/// The part about servers as they serve.
pub(crate) fn serving(plan: &Plan, results: &Results, command: &str, date: &str, machine: &str) -> String {
    let versions = results.versions.join(", ");
    let mut text = format!("# The server\n\n`{command}`, {date}: {machine}.\n\n{versions}.\n\n{SERVING}");
    text += &bar_table("The server's bars", results);
    text += &floods(results);
    text += &alone(results);
    text += &locks(results);
    text += &others(plan, results);
    text
}

/// The part about their starts and their memory.
pub(crate) fn starts(plan: &Plan, results: &Results, command: &str, date: &str, machine: &str) -> String {
    let mut text = format!("# Starts and memory\n\n`{command}`, {date}: {machine}.\n\n{STARTS}");
    text += &bar_table("The bars of starts and memory", results);
    text += &times(plan, results);
    text += &memory(plan, results);
    text
}

fn bar_table(title: &str, results: &Results) -> String {
    let rows = bars().into_iter().filter_map(|bar| {
        let figure = bar.figure(results)?;
        let verdict = if bar.bound.is_met(figure.median) { "met" } else { "**missed**" };
        let bound = match bar.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        };
        Some(vec![bar.what.to_string(), ratio_digits(figure), bound, verdict.to_string()])
    });
    table(title, &["what", "ratio", "wanted", ""], &rows.collect::<Vec<_>>())
}

fn floods(results: &Results) -> String {
    let rows = results.figures.keys().filter_map(|&(key, server)| match key {
        Key::Flood(what, sessions, in_flight) if server == Ours => {
            let what = if what == What::Writes { "writes" } else { "reads" };
            Some(compared(results, key, &[what, &sessions.to_string(), &in_flight.to_string()]))
        }
        _ => None,
    });
    let heads = ["requests per second", "sessions", "in flight on each", "Apache", "zooky server", "ratio"];
    table("Writes and reads", &heads, &rows.collect::<Vec<_>>())
}

fn alone(results: &Results) -> String {
    let rows = [
        ("create of an ephemeral", Apache, Key::Create),
        ("create of an ephemeral", Ours, Key::Create),
        ("setData", Apache, Key::SetData),
        ("setData", Ours, Key::SetData),
        ("SET", Redis, Key::RedisSet),
    ]
    .map(|(what, server, key)| {
        vec![what.to_string(), server.name().to_string(), figure(results, key, server)]
    });
    table("One write alone", &["write", "server", "p50 in us"], &rows)
}

fn locks(results: &Results) -> String {
    let rows = [
        (PeerKind::Zooky, Apache),
        (PeerKind::Zooky, Ours),
        (PeerKind::Floor, Apache),
        (PeerKind::Floor, Ours),
        (PeerKind::Redis, Redis),
    ]
    .map(|(peer, server)| {
        vec![peer.name().to_string(), server.name().to_string(), figure(results, Key::Locks(peer), server)]
    });
    table("64 locks, beside redis in the same rounds", &["client", "server", "cycles/s"], &rows)
}

fn others(plan: &Plan, results: &Results) -> String {
    let fan_out = format!("fan-out to {} watchers, ms", whole(plan.watchers as f64));
    let rows = [
        ("sessions opened and closed per second, 1 thread", Key::Connects(1)),
        ("sessions opened and closed per second, 16 threads", Key::Connects(16)),
        (&fan_out, Key::FanOut(plan.watchers)),
    ]
    .map(|(what, key)| compared(results, key, &[what]));
    table("Sessions and watches", &["what", "Apache", "zooky server", "ratio"], &rows)
}

fn times(plan: &Plan, results: &Results) -> String {
    let (few, many) = (whole(plan.znodes as f64), whole(plan.many_znodes as f64));
    let sessions = whole(plan.idle_sessions as f64);
    let rows = [
        ("an empty directory".to_string(), Key::Start),
        (format!("{few} znodes"), Key::Restart(Stock::Znodes)),
        (format!("{few} znodes and {sessions} sessions"), Key::Restart(Stock::ZnodesAndSessions)),
        (format!("{many} znodes"), Key::Restart(Stock::ManyZnodes)),
    ]
    .map(|(what, key)| compared(results, key, &[&what]));
    table("Start to the first answer, in ms", &["with", "Apache", "zooky server", "ratio"], &rows)
}

fn memory(plan: &Plan, results: &Results) -> String {
    let (few, many) = (whole(plan.znodes as f64), whole(plan.many_znodes as f64));
    let sessions = whole(plan.idle_sessions as f64);
    let rows = [
        ("nothing".to_string(), Stage::Empty),
        (format!("{few} znodes"), Stage::Znodes),
        (format!("{few} znodes and {sessions} idle sessions"), Stage::ZnodesAndSessions),
        (format!("{many} znodes, after a restart"), Stage::ManyZnodes),
    ]
    .map(|(what, stage)| compared(results, Key::Memory(stage), &[&what]));
    table("Resident memory, in MiB", &["with", "Apache", "zooky server", "ratio"], &rows)
}

/// What it is, Apache's figure, ours, and the ratio ours / Apache's.
fn compared(results: &Results, key: Key, what: &[&str]) -> Vec<String> {
    let mut row: Vec<String> = what.iter().map(ToString::to_string).collect();
    row.extend([Apache, Ours].map(|server| figure(results, key, server)));
    let pairs = results.of(key, Ours).iter().zip(results.of(key, Apache));
    let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
    row.push(Spread::of(&ratios).map_or("–".to_string(), ratio_digits));
    row
}

fn figure(results: &Results, key: Key, server: ServerKind) -> String {
    Spread::of(results.of(key, server)).map_or("–".to_string(), digits)
}
