//! A hundred thousand hand-overs among eight sessions: no two inside at once, each token larger than the last.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::contest::Contest;
use common::run;
use common::servers::{Ours, Single, TICK, apache};
use zooky_testkit::Ensemble;

/// Unless `ZOOKY_HANDOFFS` says otherwise.
const HANDOFFS: usize = 100_000;
const TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(3600);

#[test]
#[ignore = "for make soak: takes a minute or two"]
fn soak_ours_hands_over_a_hundred_thousand_times() {
    let ours = Ours::start(TICK);
    hand_over(&ours.hosts());
}

#[test]
#[ignore = "for make soak: takes some minutes"]
fn soak_apache_hands_over_a_hundred_thousand_times() {
    let apache = apache(TICK);
    hand_over(&apache.hosts());
}

#[test]
#[ignore = "for make soak: takes some minutes"]
fn soak_ensemble_hands_over_a_hundred_thousand_times() {
    let ensemble = Ensemble::start();
    hand_over(&ensemble.hosts());
}

fn hand_over(hosts: &str) {
    let goal = std::env::var("ZOOKY_HANDOFFS").map_or(HANDOFFS, |goal| goal.parse().unwrap());
    let begun = Instant::now();
    run(PATIENCE, async {
        let mut contest = Contest::start(hosts, TIMEOUT);
        // In steps: none of them may take longer than waiting for anything may, on a machine that does other things, too.
        for step in (100..goal).step_by(100).chain([goal]) {
            contest.reaches(step).await;
        }
        contest.end().await;
    });
    println!("{goal} hand-overs in {:.0?}", begun.elapsed());
}
