//! The server in simulated worlds: every seed is another story of clients, crashes and bad disks.
//!
//! `ZOOKY_SIM_SEEDS=N` runs N seeds instead of 500; `ZOOKY_SIM_SEED=S` runs that one alone.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod core_model_reference;
mod sim;

use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// Runs the seeds on all processors; names the first that fails.
fn run_all(seeds: Range<u64>) {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let (transactions, starts) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match catch_unwind(|| sim::run(seed)) {
                Ok(summary) => {
                    transactions.fetch_add(summary.transactions as u64, Ordering::Relaxed);
                    starts.fetch_add(summary.starts as u64, Ordering::Relaxed);
                }
                Err(_) => _ = failed.fetch_min(seed, Ordering::Relaxed),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let seed = failed.into_inner();
    assert!(
        seed == u64::MAX,
        "seed {seed} fails; alone: ZOOKY_SIM_SEED={seed} cargo test -p zooky-server --test simulation seeds"
    );
    let (transactions, starts) = (transactions.into_inner(), starts.into_inner());
    println!("{} seeds, {transactions} transactions, {starts} starts", seeds.end - seeds.start);
    assert!(transactions > 0 && starts > 0, "nothing happened");
}

#[test]
fn seeds() {
    match number("ZOOKY_SIM_SEED") {
        Some(seed) => run_all(seed..seed + 1),
        None => run_all(0..number("ZOOKY_SIM_SEEDS").unwrap_or(500)),
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1_000_000..1_000_010 {
        assert_eq!(sim::run(seed), sim::run(seed), "seed {seed}");
    }
    assert_ne!(sim::run(1).trace, sim::run(2).trace);
}

#[test]
#[ignore = "long: 50,000 seeds"]
fn soak() {
    run_all(2_000_000..2_000_000 + number("ZOOKY_SIM_SEEDS").unwrap_or(50_000));
}
