//! Three real servers: the leader killed and frozen under load, a follower cut off under a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::contest::{self, Contest};
use common::{LONG, client_with_timeout, eventually, path, run};
use zooky::{GuardState, Lock};
use zooky_testkit::Ensemble;

const TIMEOUT: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(500);
/// An election, and everybody's way to another server, on a busy machine.
const ELECTION: Duration = Duration::from_secs(20);

#[test]
fn ensemble_leader_killed_while_eight_clients_contend() {
    let mut ensemble = Ensemble::start();
    run(2 * LONG, contend(&mut ensemble, |ensemble, leader| ensemble.member(leader).kill()));
}

#[test]
fn ensemble_leader_frozen_while_eight_clients_contend() {
    let mut ensemble = Ensemble::start();
    run(2 * LONG, contend(&mut ensemble, |ensemble, leader| ensemble.member(leader).pause()));
}

/// Eight clients contend, the leader fails, and they go on.
async fn contend(ensemble: &mut Ensemble, fail: impl FnOnce(&mut Ensemble, usize)) {
    let mut contest = Contest::start(&ensemble.hosts(), TIMEOUT);
    contest.reaches(40).await;
    let leader = ensemble.leader();
    fail(ensemble, leader);
    let failed = Instant::now();
    // What was granted under the old leader may still come in; after this many, they have been served since.
    contest.reaches(contest.grants() + 3 * contest::CLIENTS).await;
    let gap = failed.elapsed();
    assert!(gap < TIMEOUT + 2 * TICK + ELECTION, "it went on only after {gap:?}");
    contest.end().await;
}

#[test]
fn ensemble_follower_cut_off_under_a_guard() {
    // The lone follower does not notice for long, and goes on answering its clients' pings.
    let mut ensemble = Ensemble::builder().sync_limit(60).start();
    run(2 * LONG, follower_cut_off_under_a_guard(&mut ensemble));
}

async fn follower_cut_off_under_a_guard(ensemble: &mut Ensemble) {
    let path = path("cut-off");
    let leader = ensemble.leader();
    let lone = ensemble.followers()[0];
    let lone_hosts = ensemble.member(lone).hosts();
    let cut_off = client_with_timeout(&lone_hosts, TIMEOUT).await;
    let connected = client_with_timeout(&ensemble.member(leader).hosts(), TIMEOUT).await;
    let guard = Lock::new(&cut_off, &path).unwrap().acquire().await.unwrap();
    let (next, mut waits) = common::telling(Lock::new(&connected, &path).unwrap());
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    assert_eq!(waits.recv().await.unwrap().path, guard.path());
    // In the rhythm of a guard that has been held for a while.
    let first = guard.deadline();
    eventually("the deadline to move on", || async { (guard.deadline() > first + TIMEOUT).then_some(()) })
        .await;
    assert_eq!(guard.state(), GuardState::Held);

    ensemble.cut_off(lone);
    let cut = Instant::now();
    let lost = async {
        guard.lost().await;
        cut.elapsed()
    };
    let granted = async {
        let next = waiting.await.unwrap();
        (guard.state(), cut.elapsed(), next)
    };
    let (lost_after, (state, granted_after, next)) = tokio::join!(lost, granted);
    println!("after the cut: lost after {lost_after:?}, granted to another after {granted_after:?}");
    assert_eq!(state, GuardState::Lost, "two held, {granted_after:?} after the cut");
    assert!(lost_after < granted_after, "lost after {lost_after:?}, granted after {granted_after:?}");
    assert!(lost_after < TIMEOUT, "lost only after {lost_after:?}");
    assert_eq!(next.state(), GuardState::Held);
    assert!(granted_after < TIMEOUT + 3 * TICK + Duration::from_secs(1), "granted after {granted_after:?}");
    next.release().await.unwrap();
    assert!(guard.release().await.is_err());
    ensemble.heal();
}
