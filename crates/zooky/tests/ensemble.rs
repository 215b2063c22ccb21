//! Three real servers: the leader killed and frozen under load, a follower cut off under a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::contest::{self, Contest};
use common::{LONG, catch_up, client, client_with_timeout, eventually, path, run, telling};
use tokio::task::JoinHandle;
use zooky::{Client, Error, Guard, GuardState, Lock};
use zooky_testkit::{Ensemble, MachineClock};

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
    let mut failed = MachineClock::start();
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
    let (guard, waiting) = loop {
        // On a machine that stands still for seconds a session of this timeout may be lost before anything is cut.
        if let Some(ready) = held_and_waited_for(&cut_off, &connected, &path).await {
            break ready;
        }
    };

    ensemble.cut_off(lone);
    // Which comes first is told by one clock, what is in time by another: a busy machine wakes nobody in time.
    let (cut, mut clock, mut another) = (Instant::now(), MachineClock::start(), MachineClock::start());
    let lost = async {
        guard.lost().await;
        (cut.elapsed(), clock.elapsed())
    };
    let granted = async {
        let next = waiting.await.unwrap();
        (guard.state(), cut.elapsed(), another.elapsed(), next)
    };
    let ((lost_at, lost_after), (state, granted_at, granted_after, next)) = tokio::join!(lost, granted);
    println!("after the cut: lost after {lost_at:?}, granted to another after {granted_at:?}");
    assert_eq!(state, GuardState::Lost, "two held, {granted_at:?} after the cut");
    assert!(lost_at < granted_at, "lost after {lost_at:?}, granted after {granted_at:?}");
    assert!(lost_after < TIMEOUT, "lost only after {lost_after:?}");
    assert_eq!(next.state(), GuardState::Held);
    assert!(granted_after < TIMEOUT + 3 * TICK + Duration::from_secs(1), "granted after {granted_after:?}");
    next.release().await.unwrap();
    assert!(guard.release().await.is_err());
    ensemble.heal();
}

/// A server that is cut off shows who was there before; whoever clears a lock means those who are there now.
#[test]
fn ensemble_clear_reaches_those_whom_its_server_does_not_know() {
    let mut ensemble = Ensemble::builder().sync_limit(60).start();
    run(2 * LONG, async {
        let path = path("unknown");
        let (leader, lone) = (ensemble.leader(), ensemble.followers()[0]);
        let behind = client(&ensemble.member(lone).hosts()).await;
        let ahead = client(&ensemble.member(leader).hosts()).await;
        let lock = Lock::new(&behind, &path).unwrap();
        let held = Lock::new(&ahead, &path).unwrap().acquire().await.unwrap();
        catch_up(&behind).await;

        ensemble.cut_off(lone);
        let (waiter, mut waits) = telling(Lock::new(&ahead, &path).unwrap().revocable(true));
        let waiting = tokio::spawn(async move { waiter.acquire().await });
        waits.recv().await.unwrap();
        let mut clearing = tokio::spawn(async move { lock.clear().await.unwrap() });
        // Nothing is removed without the leader; but what there is to remove, its server would tell at once.
        let early = tokio::time::timeout(TICK, &mut clearing).await;
        assert!(early.is_err(), "cleared without the leader: {early:?}");
        ensemble.heal();
        assert_eq!(clearing.await.unwrap(), 2);
        held.lost().await;
        assert!(matches!(waiting.await.unwrap(), Err(Error::Revoked { .. })));
    });
}

/// A guard in the rhythm of one that has been held for a while, and who waits for it.
async fn held_and_waited_for(one: &Client, two: &Client, path: &str) -> Option<(Guard, JoinHandle<Guard>)> {
    let guard = Lock::new(one, path).unwrap().acquire().await.unwrap();
    let (next, mut waits) = telling(Lock::new(two, path).unwrap());
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    let first = guard.deadline();
    tokio::select! {
        blocker = waits.recv() => assert_eq!(blocker.unwrap().path, guard.path()),
        () = guard.lost() => {}
    }
    let settled = || guard.deadline() > first + TIMEOUT || !guard.is_held();
    eventually("the deadline to move on", || async { settled().then_some(()) }).await;
    if guard.state() == GuardState::Held {
        return Some((guard, waiting));
    }
    drop(guard);
    let _ = waiting.await.unwrap().release().await;
    None
}
