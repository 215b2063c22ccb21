//! The report: tables in Markdown, the same on the terminal and in the documentation.

use crate::bars::{BARS, Bar, FLOOR_BARS, Limit};
use crate::disk::Limits;
use crate::peers::PeerKind;
use crate::rounds::{CROWD, Metric, Pair, Plan, Results, Workload};
use crate::servers::ServerKind;
use crate::stats::Spread;

const METHOD: &str = "\
Everything runs on this one machine, over loopback; each server and each client is a process of its own, and all
servers keep their data on the same disk. Servers and clients take turns in rounds (A B C … A B C …), after a
warm-up that is thrown away. A figure is the median over the rounds of that round's median, with the smallest and
the largest round in parentheses; p99 is taken over all rounds together. Times are microseconds. CPU is the client's
whole process, all threads. Requests are counted by a proxy that reads along while it holds replies back, so that
what leaves in one flight is told apart from what waits for a reply. Absolute figures do not carry over to other
machines; ratios do.

- *Apache*: Apache ZooKeeper alone, fsync on, 1 GiB heap. *zooky server*: every write synced before its answer.
  *redis*: `appendfsync always`; it knows no queue, no session and no fencing token, and is here as the measure of
  two durable writes.
- *etcd*: its own lock service, one request to take and one to give, by its JSON gateway, which adds a hop inside the
  server. For each of the tasks of one process it has a lease of its own. It is in no table of long queues, where those
  who stand in line are nodes of a ZooKeeper; nor are etcd and zookeeper-client, which know no read lock, in that of readers.
- *floor*: a bare protocol client: create and list in one flight, and nothing else. Clients that queue by listing
  cannot do better, but for zooky where a release goes in one transaction with the acquire that follows it.
- *zookeeper-client* cannot await its release: where others do, it asks until its node is gone.
- *kazoo*, *Curator*, *redis* and *etcd* wait for their release also in the table of releases in the background.
- *handoff*: from the call of the release to the return of the next holder's acquire, in another session.
";

/// The part of the report that is about locks.
pub(crate) fn markdown(plan: &Plan, results: &Results, command: &str, date: &str, machine: &str) -> String {
    let mut text = format!("# The locks\n\n`{command}`, {date}: {machine}.\n\n");
    let versions: Vec<String> =
        results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    text += &format!("{}; tokio runtime: {}.\n\n{METHOD}", versions.join(", "), plan.flavor.name());
    text += &bars("The bars", BARS.iter().chain(&FLOOR_BARS), results);
    text += &on_the_wire(results);
    text += &free_lock(results);
    text += &in_background(results);
    text += &many(plan, results);
    text += &handoff(plan, results);
    text += &rates(
        &format!("{} tasks of one process on one lock, one session", plan.locks),
        results,
        Workload::Tasks,
    );
    text += &rates(
        &format!("A read/write lock among {} sessions, 90 % readers", 2 * plan.sessions),
        results,
        Workload::Readers,
    );
    text += &drain(plan, results);
    text += &lengths(
        &format!("Handoff between 2 sessions, with so many queued behind ({} in a row)", plan.hands),
        results,
        (Workload::Behind, Metric::Handoff),
    );
    text += &lengths(
        &format!(
            "Handoff among {CROWD} sessions, with so many queued behind ({} in a row)",
            plan.hands * CROWD / 2
        ),
        results,
        (Workload::BehindCrowd, Metric::Handoff),
    );
    text += &lengths("Joining a queue of so many", results, (Workload::Join, Metric::Join));
    if !results.pairs(Workload::Join(0)).is_empty() {
        text += "\nFrom the first request to the last answer before the client waits, through a proxy; with nobody\n\
                 queued, until the lock is held.\n";
    }
    text += &limits(&results.limits);
    text
}

/// Each bar that was measured, and whether it is met.
pub(crate) fn bars<'a>(title: &str, bars: impl Iterator<Item = &'a Bar>, results: &Results) -> String {
    let row = |bar: &Bar| {
        let figure = bar.figure(results)?;
        let verdict = if bar.limit.is_met(figure.median) { "met" } else { "**missed**" };
        let limit = match bar.limit {
            Limit::AtMost(limit) => format!("at most {limit:.2}"),
            Limit::AtLeast(limit) => format!("at least {limit:.2}"),
        };
        Some(vec![bar.what.to_string(), ratio_digits(figure), limit, verdict.to_string()])
    };
    table(title, &["what", "ratio, or figure", "bar", ""], &bars.filter_map(row).collect::<Vec<_>>())
}

fn on_the_wire(results: &Results) -> String {
    let mut text = String::new();
    for server in [ServerKind::Apache, ServerKind::Ours] {
        if let Some(trace) = results.traces.get(&(PeerKind::Zooky, server)) {
            let trips = trace.acquire_round_trips();
            let where_ = server.name();
            let shown = trace.summary();
            text += &format!("\nOn {where_}, zooky takes a free lock in {trips} round trip(s): {shown}.\n");
        }
    }
    text
}

fn free_lock(results: &Results) -> String {
    let workload = Workload::Awaited;
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        let figures = [Metric::Acquire, Metric::Release, Metric::Cycle];
        row.extend(figures.map(|metric| figure(results, workload, pair, metric)));
        row.push(results.pooled(workload, pair, 99.0).map_or("–".to_string(), whole));
        let trace = results.traces.get(&pair);
        row.push(trace.map_or("–".to_string(), |trace| trace.requests().to_string()));
        row.push(trace.map_or("–".to_string(), |trace| trace.acquire_round_trips().to_string()));
        row.push(figure(results, workload, pair, Metric::Cpu));
        row
    });
    let heads = [
        "client",
        "server",
        "acquire p50",
        "release p50",
        "cycle p50",
        "cycle p99",
        "requests",
        "round trips to acquire",
        "client CPU per cycle",
    ];
    table("A free lock, release awaited", &heads, &rows.collect::<Vec<_>>())
}

fn in_background(results: &Results) -> String {
    let workload = Workload::Background;
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        let figures = [Metric::Acquire, Metric::Release, Metric::Cycle];
        row.extend(figures.map(|metric| figure(results, workload, pair, metric)));
        row.push(results.pooled(workload, pair, 99.0).map_or("–".to_string(), whole));
        row.push(figure(results, workload, pair, Metric::Cpu));
        row
    });
    let heads =
        ["client", "server", "acquire p50", "release p50", "cycle p50", "cycle p99", "client CPU per cycle"];
    let title = "A free lock, back to back, release in the background";
    let mut text = table(title, &heads, &rows.collect::<Vec<_>>());
    if !text.is_empty() {
        text += "\nAn acquire that follows at once waits for the release before it, too; zooky's goes in one transaction with it.\n";
    }
    text
}

fn many(plan: &Plan, results: &Results) -> String {
    let workload = Workload::Many;
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        row.extend([Metric::PerSecond, Metric::Cpu].map(|metric| figure(results, workload, pair, metric)));
        row
    });
    let title = format!("{} locks at once on one session", plan.locks);
    table(&title, &["client", "server", "cycles/s", "client CPU per cycle"], &rows.collect::<Vec<_>>())
}

fn handoff(plan: &Plan, results: &Results) -> String {
    let workload = Workload::Handoff;
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        row.extend(
            [Metric::PerSecond, Metric::Handoff].map(|metric| figure(results, workload, pair, metric)),
        );
        row.push(results.pooled(workload, pair, 99.0).map_or("–".to_string(), whole));
        row.push(figure(results, workload, pair, Metric::Cpu));
        row
    });
    let heads =
        ["client", "server", "acquisitions/s", "handoff p50", "handoff p99", "client CPU per acquisition"];
    table(&format!("Handoff among {} sessions on one lock", plan.sessions), &heads, &rows.collect::<Vec<_>>())
}

fn rates(title: &str, results: &Results, workload: Workload) -> String {
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        row.extend([Metric::PerSecond, Metric::Cpu].map(|metric| figure(results, workload, pair, metric)));
        row
    });
    let heads = ["client", "server", "acquisitions/s", "client CPU per acquisition"];
    table(title, &heads, &rows.collect::<Vec<_>>())
}

fn drain(plan: &Plan, results: &Results) -> String {
    let workload = Workload::Drain;
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let mut row = names(pair);
        let figures = [Metric::Millis, Metric::Handoff, Metric::Packets, Metric::Cpu];
        row.extend(figures.map(|metric| figure(results, workload, pair, metric)));
        row
    });
    let heads =
        ["client", "server", "drained in ms", "handoff p50", "packets per handoff", "client CPU per handoff"];
    let title = format!("{} waiters in one queue, from {} sessions", plan.waiters, plan.sessions);
    table(&title, &heads, &rows.collect::<Vec<_>>())
}

/// A table with a column for each length of queue.
fn lengths(title: &str, results: &Results, (workload, metric): (fn(usize) -> Workload, Metric)) -> String {
    let rows = results.pairs(workload(0)).into_iter().map(|pair| {
        let mut row = names(pair);
        row.extend(Workload::LENGTHS.map(|length| figure(results, workload(length), pair, metric)));
        row
    });
    let lengths = Workload::LENGTHS.map(|length| whole(length as f64));
    let heads: Vec<&str> =
        ["client", "server"].into_iter().chain(lengths.iter().map(String::as_str)).collect();
    table(title, &heads, &rows.collect::<Vec<_>>())
}

fn limits(limits: &[Limits]) -> String {
    let over = |pick: fn(&Limits) -> Option<f64>| {
        Spread::of(&limits.iter().filter_map(pick).collect::<Vec<_>>()).map(digits)
    };
    let rows = [
        ("fdatasync after an append of 200 bytes", over(|limits| limits.append_us)),
        ("fdatasync after 200 bytes over preallocated zeros", over(|limits| limits.overwrite_us)),
        ("loopback round trip, both ends on one core", over(|limits| limits.one_core_us)),
        ("loopback round trip across cores", over(|limits| limits.two_cores_us)),
    ];
    let rows = rows.into_iter().filter_map(|(what, figure)| Some(vec![what.to_string(), figure?]));
    table("The machine's limits", &["what", "p50"], &rows.collect::<Vec<_>>())
}

pub(crate) fn names((peer, server): Pair) -> Vec<String> {
    vec![peer.name().to_string(), server.name().to_string()]
}

pub(crate) fn figure(results: &Results, workload: Workload, pair: Pair, metric: Metric) -> String {
    Spread::of(&results.per_round(workload, pair, metric)).map_or("–".to_string(), digits)
}

/// Whole numbers, and a decimal where they are small.
pub(crate) fn digits(spread: Spread) -> String {
    let (median, min, max) = (whole(spread.median), whole(spread.min), whole(spread.max));
    format!("{median} ({min}–{max})")
}

pub(crate) fn ratio_digits(spread: Spread) -> String {
    format!("{:.3} ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

/// With separators between thousands, or with a decimal if it is small.
pub(crate) fn whole(value: f64) -> String {
    if value < 20.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table under its heading; nothing if it has no rows.
pub(crate) fn table(title: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let mut text = format!("\n## {title}\n\n{}", line(&heads));
    text += &format!("|{}\n", "---|".repeat(heads.len()));
    rows.iter().for_each(|row| text += &line(row));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(whole(4.04), "4.0");
        assert_eq!(whole(567.6), "568");
        assert_eq!(whole(1_234_567.0), "1,234,567");
        assert_eq!(digits(Spread { median: 380.0, min: 4.0, max: 1_118.0 }), "380 (4.0–1,118)");
    }

    #[test]
    fn tables_without_rows_are_left_out() {
        assert_eq!(table("t", &["a"], &[]), "");
        let text = table("t", &["a", "b"], &[vec!["1".to_string(), "2".to_string()]]);
        assert_eq!(text, "\n## t\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
