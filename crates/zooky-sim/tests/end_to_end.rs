//! Clients, locks, network and server in simulated worlds: every seed is another story of lost connections, programs
//! that stand still, clocks, crashes and bad disks.
//!
//! `ZOOKY_SIM_SEEDS=N` runs N seeds instead of 500; `ZOOKY_SIM_SEED=S` runs that one alone and tells its story if it
//! fails.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use zooky_sim::{Summary, run};

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// Runs the seeds on all processors; names the first that fails.
fn run_all(seeds: Range<u64>) -> Summary {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let total = Mutex::new(Summary::default());
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match catch_unwind(|| run(seed)) {
                Ok(summary) => {
                    let mut total = total.lock().unwrap();
                    total.virtual_ms += summary.virtual_ms;
                    total.grants += summary.grants;
                    total.lost += summary.lost;
                    total.writes += summary.writes;
                    total.refused += summary.refused;
                    total.starts += summary.starts;
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
        "seed {seed} fails; alone: ZOOKY_SIM_SEED={seed} cargo test -p zooky-sim --test end_to_end seeds"
    );
    let total = total.into_inner().unwrap();
    println!("{} seeds: {total:?}", seeds.end - seeds.start);
    total
}

#[test]
fn seeds() {
    match number("ZOOKY_SIM_SEED") {
        Some(seed) => _ = run_all(seed..seed + 1),
        None => {
            let total = run_all(0..number("ZOOKY_SIM_SEEDS").unwrap_or(500));
            assert!(
                total.grants > 0 && total.lost > 0 && total.refused > 0,
                "too little has happened: {total:?}"
            );
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 1_000_000..1_000_004 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1).trace, run(2).trace);
}

#[test]
#[ignore = "long: 50,000 seeds"]
fn soak() {
    run_all(2_000_000..2_000_000 + number("ZOOKY_SIM_SEEDS").unwrap_or(50_000));
}
