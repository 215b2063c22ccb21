//! `zooky deadlocks`: who waits for each other for ever.

use super::tree::graphs;
use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::table::Colour;
use crate::{json, locks};
use serde::Serialize;
use std::io::Write;
use zooky::inspect::{Contender, Cycle, Wait, WaitGraph};

/// Find those who wait for each other for ever
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where to look, instead of /locks and /ZktoolsLocks
    root: Option<String>,
}

const HELP: &str = "\
Only contenders that say who they are can be seen to hold one lock while they wait for another (Owner::with_id in the library; \
`zooky run` takes several locks in one order and has no need of it). Free the others with `zooky revoke` on one lock of the circle.

Exit codes: 0 there is none; 1 there is one; 64, 69, 77 as everywhere.";

/// One deadlock of `zooky deadlocks --json`.
#[derive(Debug, Serialize)]
struct Deadlock {
    waits: Vec<Edge>,
    victim: Option<String>,
}

#[derive(Debug, Serialize)]
struct Edge {
    lock: String,
    waiter: json::Member,
    blocker: json::Member,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(deadlocks(config, args))
}

async fn deadlocks(config: &Config, args: &Args) -> Result<u8, Failure> {
    let graphs = graphs(config, args.root.as_deref()).await?;
    let cycles: Vec<&Cycle> = graphs.iter().flat_map(WaitGraph::cycles).collect();
    if args.json {
        json::print(&cycles.iter().map(|cycle| Deadlock::from(*cycle)).collect::<Vec<_>>())?;
    } else {
        for cycle in &cycles {
            print(cycle)?;
        }
    }
    for path in graphs.iter().flat_map(WaitGraph::unread) {
        say(format_args!("{path} cannot be read; a deadlock may go through it"));
    }
    if cycles.is_empty() && !args.json {
        say("no deadlock");
    }
    Ok(if cycles.is_empty() { exit::OK } else { exit::NO })
}

impl From<&Cycle> for Deadlock {
    fn from(cycle: &Cycle) -> Deadlock {
        let edge = |Wait { waiter, blocker, .. }: &Wait| Edge {
            lock: blocker.lock_path().to_string(),
            waiter: (&**waiter).into(),
            blocker: (&**blocker).into(),
        };
        Deadlock {
            waits: cycle.waits.iter().map(edge).collect(),
            victim: cycle.victim().map(|victim| victim.path.clone()),
        }
    }
}

fn print(cycle: &Cycle) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", Colour::Bad.paint("deadlock"))?;
    for Wait { waiter, blocker, .. } in &cycle.waits {
        let how = if blocker.holding == Some(true) { "held" } else { "wanted earlier" };
        let (who, whom) = (locks::describe(waiter), locks::describe(blocker));
        writeln!(out, "  {who} waits for {}, {how} by {whom}", blocker.lock_path())?;
    }
    if let Some(victim) = cycle.victim().map(Contender::to_string) {
        writeln!(out, "  it resolves itself: {} lets itself be refused", crate::table::printable(&victim))?;
    }
    Ok(())
}
