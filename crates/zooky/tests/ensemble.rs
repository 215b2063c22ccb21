//! Three real servers: the leader killed and frozen under load, a follower cut off under a guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::contest::{self, Contest};
use common::{LONG, catch_up, client, client_with_timeout, config, eventually, path, run, telling};
use tokio::task::JoinHandle;
use zooky::session::{CreateMode, Session, Stat};
use zooky::{Acl, Client, Error, Guard, GuardState, Lock, PersistentLock};
use zooky_server::{Config, Server};
use zooky_testkit::{Ensemble, MachineClock, free_port};

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

/// A member can show for ever what the others have removed: Apache ZooKeeper 3.8.0 was seen to lose transactions when leaders
/// were killed in a row.
#[test]
fn ensemble_a_member_that_has_lost_transactions_keeps_nobody_waiting() {
    let mut ensemble = Ensemble::start();
    run(4 * LONG, one_who_waits_at_a_damaged_member(&mut ensemble));
}

async fn one_who_waits_at_a_damaged_member(ensemble: &mut Ensemble) {
    let directory = path("ghost");
    let ghost = format!("{directory}/{:032x}__lock__{:010}", 7, 0);
    let elsewhere = at_the_leader(ensemble).await;
    let lock = Lock::new(&elsewhere, &directory).unwrap();
    for _ in 0..2 {
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    let session = elsewhere.session().await.unwrap();
    let made = session.exists(&directory).await.unwrap().unwrap();
    damage(ensemble, made.czxid, async |session| {
        session.create(&ghost, "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
        session.exists(&ghost).await.unwrap().unwrap().mzxid
    })
    .await;

    let client = at_the_damaged(&ensemble.hosts(), &ghost, |stat| stat.is_some()).await;
    let session = elsewhere.session().await.unwrap();
    assert_eq!(session.exists(&ghost).await.unwrap(), None, "nobody else sees it");
    let before = client.session().await.unwrap().id();
    let guard = Lock::new(&client, &directory).unwrap().acquire().await.unwrap();
    let session = client.session().await.unwrap();
    assert_eq!(session.exists(&ghost).await.unwrap(), None, "it is still there, and has the lock");
    assert_eq!(session.id(), before, "it had to go to another member, and nothing else");
    guard.release().await.unwrap();
}

/// What it shows in another version cannot be changed by that version.
#[test]
fn ensemble_a_member_that_has_lost_transactions_keeps_no_persistent_lock() {
    let mut ensemble = Ensemble::start();
    run(4 * LONG, one_who_takes_back_at_a_damaged_member(&mut ensemble));
}

async fn one_who_takes_back_at_a_damaged_member(ensemble: &mut Ensemble) {
    let directory = path("another-version");
    let elsewhere = at_the_leader(ensemble).await;
    let guard = PersistentLock::new(&elsewhere, &directory, "key").unwrap().acquire().await.unwrap();
    let (node, token) = (guard.path().to_owned(), guard.fencing_token());
    drop(guard);
    let session = elsewhere.session().await.unwrap();
    let (data, made) = session.get(&node).await.unwrap();
    damage(ensemble, made.mzxid, async |session| {
        session.set(&node, data.clone(), made.version).await.unwrap().mzxid
    })
    .await;

    let differs = |stat: Option<Stat>| stat.is_some_and(|stat| stat.version != made.version);
    let client = at_the_damaged(&ensemble.hosts(), &node, differs).await;
    let taken = PersistentLock::new(&client, &directory, "key").unwrap().take_back().await.unwrap().unwrap();
    assert!(taken.fencing_token() > token);
    taken.release().await.unwrap();
    catch_up(&elsewhere).await;
    assert_eq!(elsewhere.session().await.unwrap().exists(&node).await.unwrap(), None);
}

async fn at_the_leader(ensemble: &mut Ensemble) -> Client {
    let leader = ensemble.leader();
    client_with_timeout(&ensemble.member(leader).hosts(), LONG).await
}

/// A client who has come by a member that shows this.
async fn at_the_damaged(hosts: &str, node: &str, shows: impl Fn(Option<Stat>) -> bool) -> Client {
    let shows = &shows;
    eventually("a session at the damaged member", || async move {
        // Long enough not to be lost on a busy machine.
        let client = client_with_timeout(hosts, 2 * TIMEOUT).await;
        // It may be on its way into the ensemble still, and close connections.
        if client.session().await.unwrap().exists(node).await.is_ok_and(shows) {
            return Some(client);
        }
        let _ = client.close().await;
        None
    })
    .await
}

/// Has one of the followers stopped, its data changed and itself started again; the change goes under the number of a transaction that it
/// had. `change` tells that of its own.
async fn damage(ensemble: &mut Ensemble, zxid: i64, change: impl AsyncFnOnce(&Session) -> i64) {
    let leader = ensemble.leader();
    let damaged = (0..ensemble.len()).find(|&member| member != leader).unwrap();
    let there = client(&ensemble.member(damaged).hosts()).await;
    catch_up(&there).await;
    there.close().await.unwrap();
    ensemble.member(damaged).stop();
    let data = ensemble.member(damaged).data_dir().to_path_buf();
    let server = Server::start(Config::new(([127, 0, 0, 1], free_port()).into(), &data)).unwrap();
    let session = Session::connect(config(&server.addr().to_string())).await.unwrap();
    let changed = change(&session).await;
    server.stopper().take_snapshot();
    let snapshot = eventually("a snapshot with the change", || async {
        let shows = |file: &PathBuf| number(file, "snapshot.").is_some_and(|number| number >= changed);
        files(&data).into_iter().find(shows)
    })
    .await;
    session.close().await.unwrap();
    server.stop().unwrap();
    for file in files(&data) {
        if file != snapshot && (number(&file, "snapshot.").is_some() || number(&file, "log.").is_some()) {
            fs::remove_file(file).unwrap();
        }
    }
    fs::rename(&snapshot, snapshot.with_file_name(format!("snapshot.{zxid:x}"))).unwrap();
    ensemble.relaunch(damaged);
}

fn files(data: &Path) -> Vec<PathBuf> {
    fs::read_dir(data.join("version-2")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The transaction that a file is named after.
fn number(file: &Path, kind: &str) -> Option<i64> {
    i64::from_str_radix(file.file_name()?.to_str()?.strip_prefix(kind)?, 16).ok()
}
