//! zooky for Python beside kazoo: the same two programs, one with threads and one with asyncio, on both servers.

use crate::bars::{Bar, Limit, bar};
use crate::failure::Failure;
use crate::peers::PeerKind::{self, Kazoo, KazooAsyncio, ZookyPython, ZookyPythonAsyncio};
use crate::report::{bars, figure, names, table, whole};
use crate::rounds::{Metric, Plan, Results, Workload};
use crate::servers::ServerKind::{self, Apache, Ours};
use crate::workspace;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The profile that the extension module is built with: this program's own.
const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

use Workload::{Awaited, Handoff};

/// Ours, and kazoo in its place.
type Pair = (PeerKind, PeerKind);

const THREADS: Pair = (ZookyPython, Kazoo);
const ASYNCIO: Pair = (ZookyPythonAsyncio, KazooAsyncio);

const fn rate(what: &'static str, at_least: f64, workload: Workload, pair: Pair, server: ServerKind) -> Bar {
    let (ours, theirs) = ((workload, pair.0, server), (workload, pair.1, server));
    bar(what, Limit::AtLeast(at_least), Metric::PerSecond, ours, theirs)
}

/// Acquisitions per second, beside kazoo's.
const BARS: [Bar; 8] = [
    rate("a free lock, threads, on zooky's server", 3.0, Awaited, THREADS, Ours),
    rate("a free lock, threads, on Apache", 1.5, Awaited, THREADS, Apache),
    rate("a free lock, asyncio, on zooky's server", 3.0, Awaited, ASYNCIO, Ours),
    rate("a free lock, asyncio, on Apache", 1.5, Awaited, ASYNCIO, Apache),
    rate("handoff, threads, on zooky's server", 3.0, Handoff, THREADS, Ours),
    rate("handoff, threads, on Apache", 1.5, Handoff, THREADS, Apache),
    rate("handoff, asyncio, on zooky's server", 3.0, Handoff, ASYNCIO, Ours),
    rate("handoff, asyncio, on Apache", 1.5, Handoff, ASYNCIO, Apache),
];

/// Everything, in about four minutes.
pub(crate) fn plan(quick: bool) -> Plan {
    let mut plan = if quick { Plan::quick() } else { Plan::full() };
    plan.workloads = vec![Awaited, Handoff];
    plan.peers = PeerKind::PYTHON.to_vec();
    if !quick {
        plan.rounds = 15;
        plan.slice = Duration::from_millis(500);
        plan.budget = Duration::from_secs(300);
    }
    plan
}

/// Builds the package and installs it beside kazoo, where it is not there as it is in this tree.
pub(crate) fn install() -> Result<(), Failure> {
    let script = workspace().join("python/install");
    let status = Command::new(&script).args([PROFILE.as_ref(), environment().as_os_str()]).status();
    let status = status.map_err(Failure::io("running python/install"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Refused(format!("{} ended with {status}: see above", script.display())))
}

/// The interpreter that has both zooky and kazoo.
pub(crate) fn interpreter() -> PathBuf {
    environment().join("bin/python")
}

fn environment() -> PathBuf {
    workspace().join(if cfg!(debug_assertions) { ".peers/python" } else { ".peers/python-release" })
}

/// The part of the report that is about Python.
pub(crate) fn report(plan: &Plan, results: &Results, when: &str) -> String {
    let mut text = format!("# Python\n\n{when}.\n\n");
    let versions = results.versions.iter().map(|(name, version)| format!("{name} {version}"));
    text += &versions.collect::<Vec<_>>().join(", ");
    text += ".\n\nOne program with threads and one with asyncio, each run with kazoo and with zooky in its place, alternately, as \
             above.\nkazoo knows no asyncio: there its calls wait in threads, as programs that have both do it. In all of \
             these the release\nis awaited. A ratio is one of two rates of the same round.\n";
    text += &bars("zooky's acquisitions per second / kazoo's", BARS.iter(), results);
    text += &rates("A free lock", results, Awaited);
    text + &rates(&format!("Handoff among {} sessions in one process", plan.sessions), results, Handoff)
}

fn rates(title: &str, results: &Results, workload: Workload) -> String {
    let rows = results.pairs(workload).into_iter().map(|pair| {
        let shown = |metric| figure(results, workload, pair, metric);
        let mut row = names(pair);
        row.push(shown(Metric::PerSecond));
        if workload == Awaited {
            row.extend([shown(Metric::Acquire), shown(Metric::Release)]);
        } else {
            row.push(shown(Metric::Handoff));
        }
        row.push(results.pooled(workload, pair, 99.0).map_or("–".to_string(), whole));
        row.push(shown(Metric::Cpu));
        row
    });
    let rows: Vec<_> = rows.collect();
    let cpu = "client CPU per acquisition";
    if workload == Awaited {
        let heads = ["client", "server", "acquisitions/s", "acquire p50", "release p50", "cycle p99", cpu];
        return table(title, &heads, &rows);
    }
    table(title, &["client", "server", "acquisitions/s", "handoff p50", "handoff p99", cpu], &rows)
}
