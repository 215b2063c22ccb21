//! `zooky tree`: all locks at any depth, with everybody who holds or waits, and for whom.

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::table::{Cell, Table};
use crate::{json, locks, time};
use serde::Serialize;
use zooky::inspect::{Contender, WaitGraph, wait_graph};

/// Show all locks at any depth, who holds them and who waits for whom
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where to look, instead of /locks and /ZktoolsLocks
    root: Option<String>,
}

/// One lock of `zooky tree --json`.
#[derive(Debug, Serialize)]
struct Lock {
    path: String,
    status: &'static str,
    contenders: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    #[serde(flatten)]
    member: json::Member,
    waits_for: Vec<String>,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(tree(config, args))
}

async fn tree(config: &Config, args: &Args) -> Result<u8, Failure> {
    let graphs = graphs(config, args.root.as_deref()).await?;
    let queues: Vec<Queue<'_>> = graphs.iter().flat_map(queues).collect();
    if args.json {
        json::print(&queues.iter().map(Queue::json).collect::<Vec<_>>())?;
    } else {
        print(&queues)?;
    }
    for path in graphs.iter().flat_map(WaitGraph::unread) {
        exit::say(format_args!("{path} cannot be read; what is in it is missing"));
    }
    Ok(exit::OK)
}

/// The wait-for graph below each root, or below the one that is named.
pub(crate) async fn graphs(config: &Config, root: Option<&str>) -> Result<Vec<WaitGraph>, Failure> {
    let roots = root.map_or_else(|| config.roots(), |root| vec![root]);
    let graphs = locks::with(config, async |client| {
        let mut graphs = Vec::new();
        for root in roots {
            graphs.push(wait_graph(client, root).await?);
        }
        Ok(graphs)
    });
    graphs.await
}

/// One lock's contenders in their order, each with the names of those it waits for.
struct Queue<'a> {
    path: &'a str,
    places: Vec<(&'a Contender, Vec<&'a str>)>,
}

fn queues(graph: &WaitGraph) -> Vec<Queue<'_>> {
    let mut queues: Vec<Queue<'_>> = Vec::new();
    for contender in graph.contenders() {
        let waits = graph.waits().iter().filter(|wait| wait.waiter.path == contender.path);
        let place = (contender, waits.map(|wait| wait.blocker.name.as_str()).collect());
        match queues.last_mut().filter(|queue| queue.path == contender.lock_path()) {
            Some(queue) => queue.places.push(place),
            None => queues.push(Queue { path: contender.lock_path(), places: vec![place] }),
        }
    }
    queues.sort_by_key(|queue| queue.path);
    queues
}

impl Queue<'_> {
    fn status(&self) -> &'static str {
        locks::status(self.places.iter().any(|(one, _)| one.holding == Some(true)))
    }

    fn json(&self) -> Lock {
        let place = |(contender, waits): &(&Contender, Vec<&str>)| Place {
            member: json::Member::from(*contender),
            waits_for: waits.iter().map(|name| (*name).to_string()).collect(),
        };
        let contenders = self.places.iter().map(place).collect();
        Lock { path: self.path.to_string(), status: self.status(), contenders }
    }
}

/// Contenders are told by their place in the queue: their nodes' names are long and say nothing.
fn print(queues: &[Queue<'_>]) -> Result<(), Failure> {
    let mut table = Table::new(["LOCK", "STATUS", "MODE", "OWNER", "SINCE", "WAITS FOR"]);
    let mut before: Vec<&str> = Vec::new();
    for queue in queues {
        let parts: Vec<&str> = queue.path.split('/').skip(1).collect();
        let common = parts.iter().zip(&before).take_while(|(a, b)| a == b).count();
        for (depth, part) in parts.iter().enumerate().skip(common) {
            let status = if depth + 1 == parts.len() { queue.status() } else { "" };
            let name = format!("{}{}{part}", "  ".repeat(depth), if depth == 0 { "/" } else { "" });
            table.row([name.as_str(), status, "", "", "", ""]);
        }
        for (n, (contender, waits)) in queue.places.iter().enumerate() {
            let number = |name: &&str| queue.places.iter().position(|(one, _)| one.name == **name);
            let waits: Vec<String> = waits.iter().filter_map(number).map(|n| (n + 1).to_string()).collect();
            table.row([
                Cell::from(format!("{}{}.", "  ".repeat(parts.len()), n + 1)),
                locks::standing(contender),
                locks::mode(contender).into(),
                locks::describe(contender).into(),
                time::ago(contender.since_ms()).into(),
                waits.join(", ").into(),
            ]);
        }
        before = parts;
    }
    Ok(table.print()?)
}
