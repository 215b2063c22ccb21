//! Clients, locks, network and server in simulated worlds: every seed is another story of lost connections, programs
//! that stand still, clocks, crashes and bad disks.
//!
//! `ZOOKY_SIM_SEEDS=N` runs N seeds instead of 500; `ZOOKY_SIM_SEED=S` runs that one alone and tells its story if it
//! fails.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Range;
use std::process::Command;

use zooky_sim::{Counts, Summary, run};
use zooky_testkit::{number_from_env, run_seeds, seeds_from_env};

/// Makes this very binary, run again, tell the story of that seed.
const TOLD: &str = "ZOOKY_SIM_TOLD";

fn run_all(seeds: Range<u64>) -> Summary {
    let alone = "ZOOKY_SIM_SEED=SEED cargo test -p zooky-sim --test end_to_end seeds";
    let total = run_seeds(seeds.clone(), alone, run);
    println!("{} seeds: {total:?}", seeds.end - seeds.start);
    total
}

#[test]
fn seeds() {
    if let Some(seed) = number_from_env("ZOOKY_SIM_SEED") {
        run_all(seed..seed + 1);
        return;
    }
    let seeds = number_from_env("ZOOKY_SIM_SEEDS").unwrap_or(500);
    let total = run_all(0..seeds);
    let Counts { grants, lost, writes, refused, .. } = total.counts;
    assert!(grants > 0 && lost > 0 && writes > 0 && refused > 0, "too little has happened: {total:?}");
    if seeds >= 500 {
        let Counts { upgrades, downgrades, heeded, revocations, waited_out, taken_back, leases, .. } =
            total.counts;
        let each = [upgrades, downgrades, heeded, revocations, waited_out, taken_back, leases];
        assert!(!each.contains(&0), "too little of something has happened: {total:?}");
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
fn tell_as_child() {
    let Some(seed) = number_from_env(TOLD) else { return };
    println!("\ntold {:?}", run(seed));
}

/// What a process is called, who runs it and which number it has is no part of a story: else a seed that fails
/// among others may not fail alone.
#[test]
fn another_process_tells_the_same_story() {
    let here = std::env::current_exe().unwrap();
    let there = tempfile::tempdir_in(here.parent().unwrap()).unwrap();
    let other = there.path().join("the-same-under-a-name-of-another-length");
    std::fs::hard_link(&here, &other).unwrap();
    for seed in 1_000_004..1_000_008 {
        let mut child = Command::new(&other);
        child.args(["--exact", "tell_as_child", "--nocapture"]);
        child.env(TOLD, seed.to_string()).env("USER", "somebody-with-quite-a-long-name");
        let said = child.output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let told = said.lines().find_map(|line| line.strip_prefix("told "));
        assert_eq!(told, Some(format!("{:?}", run(seed)).as_str()), "seed {seed}: {said}");
    }
}

#[test]
#[ignore = "long: 50,000 seeds"]
fn soak() {
    run_all(seeds_from_env(2_000_000..2_050_000));
}
