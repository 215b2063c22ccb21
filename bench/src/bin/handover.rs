//! How much faster the tasks of one process hand a lock to each other than through the server: rounds of both,
//! alternately, on one runtime thread and on two. Prints the median time of a hand-over, its spread over the rounds,
//! and the ratios.
//!
//! `cargo run --release -p zooky-bench --bin handover [-- HOSTS]`; without hosts on the embedded server, durable.

use std::time::{Duration, Instant};

use zooky::{Client, Handover, Lock};

const TASKS: usize = 8;
const ROUNDS: usize = 9;
/// Hand-overs in a round, through the server and locally.
const FEW: usize = 400;
const MANY: usize = 40_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let mut server = None;
    let hosts = match std::env::args().nth(1) {
        Some(hosts) => hosts,
        None => {
            let config = zooky_server::Config::new("127.0.0.1:0".parse()?, directory.path());
            server.insert(zooky_server::Server::start(config)?).addr().to_string()
        }
    };
    for (threads, bar) in [(1, 100.0), (2, 15.0)] {
        let mut builder = match threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        if threads > 1 {
            builder.worker_threads(threads);
        }
        let runtime = builder.enable_all().build()?;
        let (server, local) = runtime.block_on(rounds(&hosts, threads))?;
        let ratio = server[ROUNDS / 2].as_secs_f64() / local[ROUNDS / 2].as_secs_f64();
        println!("{threads} thread(s): through the server {}, locally {}", spread(&server), spread(&local));
        println!(
            "  {ratio:.0} times faster, at least {bar} wanted: {}",
            if ratio >= bar { "met" } else { "MISSED" }
        );
    }
    drop(server);
    Ok(())
}

fn spread(sorted: &[Duration]) -> String {
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:?} ({least:?} to {most:?})", sorted[sorted.len() / 2])
}

/// The time of one hand-over in each round, sorted: through the server, locally.
async fn rounds(hosts: &str, threads: usize) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let client = Client::connect(hosts).await?;
    let apart = Lock::new(&client, &format!("/bench/apart-{threads}"))?;
    let shared = Lock::new(&client, &format!("/bench/shared-{threads}"))?.local_handover(Handover::DEFAULT);
    let (mut through, mut locally) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        through.push(round(&apart, FEW).await?);
        locally.push(round(&shared, MANY).await?);
    }
    client.close().await?;
    through.sort();
    locally.sort();
    Ok((through, locally))
}

async fn round(lock: &Lock, handovers: usize) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move {
                for _ in 0..handovers / TASKS {
                    // Released in the background, as most do.
                    drop(lock.acquire().await?);
                }
                Ok::<(), zooky::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed() / u32::try_from(handovers)?)
}
