//! The nemesis: three real servers, eight client processes that contend for locks of every kind, and faults from a
//! seed. What may never happen is judged by fenced registers; what must happen is timed after each healing, by a clock that
//! counts of each second what others left of the machine, so that its limits tell a fault of ours from a machine that is busy.
//!
//! `ZOOKY_NEMESIS_SEED=N` runs another seed, `ZOOKY_NEMESIS_ROUNDS=N` more or fewer faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "nemesis/client.rs"]
mod client;
mod common;
#[path = "nemesis/faults.rs"]
mod faults;
#[path = "nemesis/judge.rs"]
mod judge;
#[path = "nemesis/kinds.rs"]
mod kinds;
#[path = "nemesis/members.rs"]
mod members;

use std::time::Duration;

use faults::Nemesis;

/// Not a test: the process that the nemesis runs eight times.
#[test]
fn child_client() {
    if let Some(args) = common::again::args() {
        client::run(&args);
    }
}

#[test]
fn ensemble_nemesis() {
    play(number("ZOOKY_NEMESIS_SEED", 1), number("ZOOKY_NEMESIS_ROUNDS", 10));
}

#[test]
#[ignore = "for make soak: each seed takes about five minutes"]
fn ensemble_nemesis_soak() {
    let first = number("ZOOKY_NEMESIS_SEED", 100);
    for seed in first..first + number("ZOOKY_NEMESIS_SEEDS", 6) {
        play(seed, number("ZOOKY_NEMESIS_ROUNDS", 40));
    }
}

fn play(seed: u64, rounds: u64) {
    println!("ZOOKY_NEMESIS_SEED={seed} ZOOKY_NEMESIS_ROUNDS={rounds}");
    let mut nemesis = Nemesis::start(seed);
    for round in 0..rounds {
        nemesis.strike(round);
    }
    let grants = nemesis.end();
    println!("grants: {grants:?}");
    for (kind, grants) in grants {
        assert!(grants > usize::try_from(rounds).unwrap(), "{kind}: only {grants} grants");
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// After how long a session is given up.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(3);
/// The servers'.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// On top of each limit: two processors have three servers and eight clients to serve, each of whom has to find its way to
/// another server.
pub(crate) const SLACK: Duration = Duration::from_secs(2);
