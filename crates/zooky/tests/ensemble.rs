//! Three real servers: the leader killed and frozen under load, a follower cut off under a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{LONG, Resource, client_with_timeout, eventually, path, run};
use tokio::task::JoinSet;
use zooky::{Error, GuardState, Lock};
use zooky_testkit::{Ensemble, Mode};

const TIMEOUT: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(500);
const CLIENTS: usize = 8;
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
    let (path, resource) = (path("contend"), Arc::new(Resource::new()));
    let (over, grants) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for n in 0..CLIENTS {
        let contender = Contender {
            name: n.to_string(),
            hosts: ensemble.hosts(),
            path: path.clone(),
            resource: resource.clone(),
            over: over.clone(),
            grants: grants.clone(),
        };
        tasks.spawn(contender.run());
    }
    let count = || grants.load(Ordering::SeqCst);
    let reaches = |goal| eventually("more grants", move || async move { (count() >= goal).then_some(()) });
    reaches(40).await;
    let leader = ensemble.leader();
    fail(ensemble, leader);
    let (failed, before) = (Instant::now(), count());
    // What was granted under the old leader may still come in; after this many, every client has been served since.
    reaches(before + 3 * CLIENTS).await;
    let gap = failed.elapsed();
    assert!(gap < TIMEOUT + 2 * TICK + ELECTION, "it went on only after {gap:?}");
    over.store(true, Ordering::SeqCst);
    let mut served = 0;
    while let Some(done) = tasks.join_next().await {
        served += usize::from(done.unwrap() > 0);
    }
    assert_eq!(served, CLIENTS);
    assert_eq!(resource.register.overlaps(), []);
    let tokens = resource.entered();
    assert!(tokens.is_sorted_by(|a, b| a < b), "tokens do not grow: {tokens:x?}");
}

struct Contender {
    name: String,
    hosts: String,
    path: String,
    resource: Arc<Resource>,
    over: Arc<AtomicBool>,
    grants: Arc<AtomicUsize>,
}

impl Contender {
    /// Acquires again and again until it is over; how often it was inside.
    async fn run(self) -> usize {
        let client = client_with_timeout(&self.hosts, TIMEOUT).await;
        let lock = Lock::new(&client, &self.path).unwrap();
        let mut entered = 0;
        while !self.over.load(Ordering::SeqCst) {
            let guard = lock.acquire().await.unwrap();
            let token = guard.fencing_token().as_u128();
            match self.resource.register.enter(token, Mode::Write, &self.name) {
                Ok(entry) => {
                    entry.write().unwrap();
                    entered += 1;
                    self.grants.fetch_add(1, Ordering::SeqCst);
                }
                // Refused by the register: then the guard must know why.
                Err(stale) => assert_eq!(guard.state(), GuardState::Lost, "{stale}"),
            }
            match guard.release().await {
                Ok(()) | Err(Error::Lost { .. }) => {}
                Err(fault) => panic!("{fault}"),
            }
        }
        entered
    }
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
    assert_eq!(state, GuardState::Lost, "two held, {granted_after:?} after the cut");
    assert!(lost_after < granted_after, "lost after {lost_after:?}, granted after {granted_after:?}");
    assert!(lost_after < TIMEOUT, "lost only after {lost_after:?}");
    assert_eq!(next.state(), GuardState::Held);
    assert!(granted_after < TIMEOUT + 3 * TICK + Duration::from_secs(1), "granted after {granted_after:?}");
    next.release().await.unwrap();
    assert!(guard.release().await.is_err());
    ensemble.heal();
}
