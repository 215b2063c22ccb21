//! The server in simulated worlds: every seed is another story of clients, crashes and bad disks.
//!
//! `ZOOKY_SIM_SEEDS=N` runs N seeds instead of 500; `ZOOKY_SIM_SEED=S` runs that one alone.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod core_model_reference;
mod sim;

use std::ops::Range;

use zooky_testkit::{number_from_env, run_seeds, seeds_from_env};

fn run_all(seeds: Range<u64>) {
    let alone = "ZOOKY_SIM_SEED=SEED cargo test -p zooky-server --test simulation seeds";
    let total = run_seeds(seeds.clone(), alone, sim::run);
    println!("{} seeds: {total:?}", seeds.end - seeds.start);
    assert!(total.transactions > 0 && total.starts > 0, "nothing happened");
}

#[test]
fn seeds() {
    match number_from_env("ZOOKY_SIM_SEED") {
        Some(seed) => run_all(seed..seed + 1),
        None => run_all(0..number_from_env("ZOOKY_SIM_SEEDS").unwrap_or(500)),
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
    run_all(seeds_from_env(2_000_000..2_050_000));
}
