//! How much faster the tasks of one process hand a lock to each other than through the server: rounds of both,
//! alternately, on one runtime thread and on two.

use crate::failure::Failure;
use crate::report::{digits, table};
use crate::servers::{Server, ServerKind};
use crate::stats::Spread;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use zooky::{Client, Handover, Lock};

const TASKS: usize = 64;
/// Runtime threads, and how many times faster it is to be.
const BARS: [(usize, f64); 2] = [(1, 100.0), (2, 15.0)];

/// How long to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Hand-overs of a round through the server.
    pub(crate) through: usize,
    /// And locally.
    pub(crate) locally: usize,
}

/// The nanoseconds of a hand-over, round by round.
struct Seen {
    server: ServerKind,
    threads: usize,
    bar: f64,
    through: Vec<f64>,
    locally: Vec<f64>,
}

/// Measures on both servers and returns the part of the report.
pub(crate) fn measure(plan: &Plan, data: &Path, when: &str) -> Result<String, Failure> {
    let mut all = Vec::new();
    for kind in [ServerKind::Apache, ServerKind::Ours] {
        let server = Server::start(kind, data)?;
        for (threads, bar) in BARS {
            eprintln!("handover: {}, {threads} thread(s)", kind.name());
            let hosts = server.hosts();
            let rounds = rounds(plan, &hosts, threads);
            let (through, locally) = runtime(threads)?.block_on(rounds).map_err(|fault| refused(&fault))?;
            all.push(Seen { server: kind, threads, bar, through, locally });
        }
    }
    Ok(report(plan, &all, when))
}

fn refused(fault: &zooky::Error) -> Failure {
    Failure::Refused(format!("handing over: {fault}"))
}

fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(Failure::io("starting a runtime"))
}

async fn rounds(plan: &Plan, hosts: &str, threads: usize) -> Result<(Vec<f64>, Vec<f64>), zooky::Error> {
    let client = Client::connect(hosts).await?;
    let apart = Lock::new(&client, &format!("/bench/apart-{threads}"))?;
    let shared = Lock::new(&client, &format!("/bench/shared-{threads}"))?.local_handover(Handover::DEFAULT);
    let (mut through, mut locally) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        through.push(round(&apart, plan.through).await?);
        locally.push(round(&shared, plan.locally).await?);
    }
    client.close().await?;
    Ok((through, locally))
}

/// The nanoseconds of one hand-over.
async fn round(lock: &Lock, handovers: usize) -> Result<f64, zooky::Error> {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let lock = lock.clone();
        tasks.spawn(async move {
            for _ in 0..handovers / TASKS {
                // Released in the background, as most do.
                drop(lock.acquire().await?);
            }
            Ok::<(), zooky::Error>(())
        });
    }
    for result in tasks.join_all().await {
        result?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / (handovers / TASKS * TASKS) as f64)
}

fn report(plan: &Plan, all: &[Seen], when: &str) -> String {
    let spread = |values: Vec<f64>| {
        Spread::of(&values).unwrap_or(Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN })
    };
    let rows: Vec<_> = all
        .iter()
        .map(|seen| {
            let ratios = seen.through.iter().zip(&seen.locally).map(|(through, locally)| through / locally);
            let ratio = spread(ratios.collect());
            let met = if ratio.median >= seen.bar { "met" } else { "**missed**" };
            vec![
                seen.server.name().to_owned(),
                seen.threads.to_string(),
                digits(spread(seen.through.iter().map(|ns| ns / 1e3).collect())),
                digits(spread(seen.locally.iter().map(|ns| ns / 1e3).collect())),
                digits(ratio),
                format!("{}, {met}", seen.bar),
            ]
        })
        .collect();
    let mut text = format!("# Handing over within a process\n\n{when}.\n\n");
    let _ = write!(
        text,
        "{TASKS} tasks of one client want one lock all the time, in {} rounds: {} hand-overs through the server and {} with\n\
         `local_handover`, alternately. Those include what the bound of `Handover::DEFAULT` sends to the server. Microseconds\n\
         for one hand-over, the guard's release and the next acquire.\n",
        plan.rounds, plan.through, plan.locally
    );
    let heads = ["server", "runtime threads", "through the server", "locally", "times faster", "at least"];
    text + &table("One hand-over", &heads, &rows)
}
