//! `zooky bench`: how fast the servers that are named give and take locks.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::run::command::killed_by;
use crate::run::signals::Signals;
use crate::table::Table;
use crate::{cli, json, locks};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use zooky::{Client, Error, RwLock};

/// Measure how fast the servers give and take locks
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// How long each part goes on
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = cli::seconds)]
    seconds: Duration,
    /// How many sessions contend for one lock in the second part
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Times are of one operation, from asking until the answer. The locks are zooky-bench-… where locks live, and are removed again. \
It loads the servers: not for an ensemble that others work with.";

/// `zooky bench --json`.
#[derive(Debug, Serialize)]
struct Report {
    servers: String,
    clients: u32,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    operations: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(bench(config, args))
}

async fn bench(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let path = config.lock_path(&format!("zooky-bench-{}", std::process::id()));
    zooky::check_lock_path(&path)?;
    let measured = locks::with(config, async |client| {
        let measured = tokio::select! {
            parts = measure(config, client, &path, args) => Ok(parts),
            signal = signals.end() => Err(killed_by(signal)),
        };
        let _ = zooky::remove(client, &path, true).await;
        Ok(measured)
    });
    let parts = match measured.await? {
        Ok(parts) => parts?,
        Err(code) => return Ok(code),
    };
    let report = Report { servers: config.servers.text().to_string(), clients: args.clients, parts };
    if args.json {
        json::print(&report)?;
    } else {
        report.print()?;
    }
    Ok(exit::OK)
}

async fn measure(config: &Config, client: &Client, path: &str, args: &Args) -> Result<Vec<Part>, Failure> {
    let total = args.seconds.as_secs_f64() * 3.0;
    say(format_args!("measuring for {total:.1} s"));
    let session = client.session().await?;
    let sync = alone(args.seconds, || async { Ok(session.sync(path).await?) }).await?;
    let lock = RwLock::new(client, path)?;
    let free = alone(args.seconds, || async { lock.write().await?.release().await }).await?;
    let crowd = crowd(config, path, args).await?;
    Ok(vec![
        Part::new("sync", args.seconds, sync),
        Part::new("a free lock taken and given back", args.seconds, free),
        Part::new("a contended lock waited for", args.seconds, crowd),
    ])
}

/// One operation after the other.
async fn alone<F: Future<Output = Result<(), Error>>>(
    time: Duration,
    operation: impl Fn() -> F,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let start = Instant::now();
        operation().await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Sessions that want the same lock, each again as soon as it has given it back; what each waited for it.
async fn crowd(config: &Config, path: &str, args: &Args) -> Result<Vec<Duration>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..args.clients {
        clients.push(locks::connect(config).await?);
    }
    let mut all = JoinSet::new();
    for client in clients {
        let (stop, path) = (stop.clone(), path.to_string());
        all.spawn(async move {
            let times = contend(&client, &path, &stop).await;
            locks::close(client).await;
            times
        });
    }
    tokio::time::sleep(args.seconds).await;
    stop.store(true, Relaxed);
    let mut times = Vec::new();
    while let Some(done) = all.join_next().await {
        // They do not panic.
        if let Ok(done) = done {
            times.extend(done?);
        }
    }
    Ok(times)
}

async fn contend(client: &Client, path: &str, stop: &AtomicBool) -> Result<Vec<Duration>, Error> {
    let lock = RwLock::new(client, path)?;
    let mut times = Vec::new();
    while !stop.load(Relaxed) {
        let start = Instant::now();
        let guard = lock.write().await?;
        times.push(start.elapsed());
        guard.release().await?;
    }
    Ok(times)
}

impl Part {
    fn new(name: &'static str, time: Duration, mut times: Vec<Duration>) -> Part {
        times.sort();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        let ms = |share| at(share).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let per_second = times.len() as f64 / time.as_secs_f64();
        let (p50_ms, p99_ms, longest_ms) = (ms(50), ms(99), ms(100));
        Part { name, operations: times.len(), per_second, p50_ms, p99_ms, longest_ms }
    }
}

impl Report {
    fn print(&self) -> Result<(), Failure> {
        let mut table = Table::new(["WHAT", "TIMES", "PER SECOND", "P50", "P99", "LONGEST"]);
        for part in &self.parts {
            table.row([
                part.name.to_string(),
                part.operations.to_string(),
                format!("{:.0}", part.per_second),
                format!("{:.2} ms", part.p50_ms),
                format!("{:.2} ms", part.p99_ms),
                format!("{:.2} ms", part.longest_ms),
            ]);
        }
        Ok(table.print()?)
    }
}
