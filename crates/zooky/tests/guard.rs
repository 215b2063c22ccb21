//! What a guard says, and when: held, suspect, lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::servers::{Ours, Single, TICK, apache};
use common::{LONG, Observer, client, client_with_timeout, eventually, in_time, path, telling};
use zooky::session::State;
use zooky::{BootInstant, Client, Error, Guard, GuardState, Lock};

/// How late a busy machine may notice something.
const SLACK: Duration = Duration::from_secs(1);

ensemble!();

backends!(a_guard_is_held_with_its_nodes_zxid_as_token:
    ours_a_guard_is_held_with_its_nodes_zxid_as_token,
    apache_a_guard_is_held_with_its_nodes_zxid_as_token);

async fn a_guard_is_held_with_its_nodes_zxid_as_token(hosts: String) {
    let path = path("token");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let guard = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Held, true));
    assert_eq!(guard.lock_path(), path);
    assert!(guard.deadline() > BootInstant::now());
    assert!(guard.deadline() < BootInstant::now() + guard.session_timeout());

    observer.session.sync("/").await.unwrap();
    let (data, stat) = observer.get(guard.path()).await.unwrap();
    assert_eq!(u64::try_from(stat.czxid).unwrap(), guard.fencing_token().czxid());
    assert_eq!(guard.fencing_token().count(), 0);
    assert_eq!(stat.ephemeral_owner, client.current().id());
    let owner = zooky::Owner::from_line(&data).expect("one line of JSON");
    assert_eq!(owner.pid, std::process::id());
    assert!(!data.contains(&b'\n'));

    let contenders = zooky::inspect::show(&client, &path).await.unwrap();
    let [one] = &contenders[..] else { panic!("{contenders:?}") };
    assert_eq!((one.path.as_str(), one.holding), (guard.path(), Some(true)));
    guard.release().await.unwrap();
    assert!(zooky::inspect::show(&client, &path).await.unwrap().is_empty());
}

backends!(a_guard_whose_node_is_deleted_is_lost:
    ours_a_guard_whose_node_is_deleted_is_lost,
    apache_a_guard_whose_node_is_deleted_is_lost);

async fn a_guard_whose_node_is_deleted_is_lost(hosts: String) {
    let path = path("deleted");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = Lock::new(&client, &path).unwrap();

    let guard = lock.acquire().await.unwrap();
    let told = tokio::spawn(guard.on_lost());
    observer.session.delete(guard.path(), -1).await.unwrap();
    guard.lost().await;
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Lost, false));
    assert!(told.await.unwrap());
    assert!(matches!(guard.release().await, Err(Error::Lost { path: lost }) if lost == path));

    // It is told, too, if the loss was noticed and the guard given up before its future was looked at.
    let guard = lock.acquire().await.unwrap();
    let told = guard.on_lost();
    observer.session.delete(guard.path(), -1).await.unwrap();
    guard.lost().await;
    drop(guard);
    assert!(told.await, "the loss came first");

    // At once, too: nobody had the time to notice.
    let guard = lock.acquire().await.unwrap();
    observer.session.delete(guard.path(), -1).await.unwrap();
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));

    // The session was not to blame: it goes on.
    let guard = lock.acquire().await.unwrap();
    assert_eq!(guard.state(), GuardState::Held);
    let told = tokio::spawn(guard.on_lost());
    guard.release().await.unwrap();
    assert!(!told.await.unwrap(), "a release is no loss");
}

backends!(a_dropped_guard_releases_in_the_background:
    ours_a_dropped_guard_releases_in_the_background,
    apache_a_dropped_guard_releases_in_the_background);

async fn a_dropped_guard_releases_in_the_background(hosts: String) {
    let path = path("drop");
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    drop(Lock::new(&one, &path).unwrap().acquire().await.unwrap());
    let lock = Lock::new(&two, &path).unwrap();
    lock.acquire_timeout(Duration::from_secs(5)).await.unwrap().release().await.unwrap();

    // Also when the client goes with it: the session is closed then.
    let guard = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    drop((guard, one));
    lock.acquire_timeout(Duration::from_secs(5)).await.unwrap().release().await.unwrap();
}

backends!(a_closed_client_loses_its_guards: ours_a_closed_client_loses_its_guards, apache_a_closed_client_loses_its_guards);

async fn a_closed_client_loses_its_guards(hosts: String) {
    let path = path("closed");
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let lock = Lock::new(&one, &path).unwrap();
    let guard = lock.acquire().await.unwrap();
    let waiting = lock.clone();
    let (waiting, mut waits) = telling(waiting);
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    waits.recv().await.unwrap();
    one.close().await.unwrap();
    guard.lost().await;
    assert_eq!(guard.state(), GuardState::Lost);
    // Closed on purpose: the waiter does not join again with a new session.
    let closed = |fault| matches!(fault, Error::Session(zooky::session::Error::Closed));
    assert!(closed(waiting.await.unwrap().unwrap_err()));
    assert!(closed(lock.acquire().await.unwrap_err()));
    assert!(closed(lock.try_acquire().await.unwrap_err()));
    Observer::new(&hosts).await.count(&path, 0).await;
    let next = Lock::new(&two, &path).unwrap().acquire_timeout(Duration::from_secs(5)).await.unwrap();
    next.release().await.unwrap();
}

/// Long enough for the start of a virtual machine on a busy machine.
const RESTART_TICK: Duration = Duration::from_secs(1);

#[test]
fn ours_a_server_that_is_restarted_in_time_costs_no_lock() {
    let mut server = Ours::start(RESTART_TICK);
    common::run(LONG, a_server_that_is_restarted_in_time_costs_no_lock(&mut server));
}

#[test]
fn apache_a_server_that_is_restarted_in_time_costs_no_lock() {
    let mut server = apache(RESTART_TICK);
    common::run(2 * LONG, a_server_that_is_restarted_in_time_costs_no_lock(&mut server));
}

async fn a_server_that_is_restarted_in_time_costs_no_lock(server: &mut dyn Single) {
    let path = path("restart");
    let timeout = 20 * RESTART_TICK;
    let one = client_with_timeout(&server.hosts(), timeout).await;
    let two = client_with_timeout(&server.hosts(), timeout).await;
    let guard = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let (waiter, mut waits) = telling(Lock::new(&two, &path).unwrap());
    let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
    waits.recv().await.unwrap();

    server.down();
    let state = || async { (guard.state() != GuardState::Held).then(|| guard.state()) };
    assert_eq!(eventually("the guard to notice", state).await, GuardState::Suspect);
    assert!(guard.is_held());
    let before = guard.deadline();

    server.up();
    let state = || async { (guard.state() != GuardState::Suspect).then(|| guard.state()) };
    assert_eq!(eventually("the guard to be sure again", state).await, GuardState::Held);
    eventually("the deadline to move on", || async { (guard.deadline() > before).then_some(()) }).await;

    // It excludes as before: another one that looks sees it, and the waiter still waits.
    assert!(Lock::new(&two, &path).unwrap().try_acquire().await.unwrap().is_none());
    assert!(!waiting.is_finished());
    assert_eq!(guard.state(), GuardState::Held);
    let token = guard.fencing_token();
    guard.release().await.unwrap();
    let next = waiting.await.unwrap();
    assert!(next.fencing_token() > token);
    next.release().await.unwrap();
}

#[test]
fn ours_a_server_that_stays_away_costs_the_lock_in_time() {
    let mut server = Ours::start(TICK);
    common::run(LONG, a_server_that_stays_away_costs_the_lock_in_time(&mut server));
}

#[test]
fn apache_a_server_that_stays_away_costs_the_lock_in_time() {
    let mut server = apache(TICK);
    common::run(2 * LONG, a_server_that_stays_away_costs_the_lock_in_time(&mut server));
}

async fn a_server_that_stays_away_costs_the_lock_in_time(server: &mut dyn Single) {
    let path = path("away");
    let timeout = Duration::from_secs(3);
    let one = client_with_timeout(&server.hosts(), timeout).await;
    let two = client_with_timeout(&server.hosts(), timeout).await;
    let guard = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let lost_session = one.current().id();
    assert_eq!(guard.session_timeout(), timeout);
    let (waiter, mut waits) = telling(Lock::new(&two, &path).unwrap());
    let old_session = two.current().id();
    let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
    waits.recv().await.unwrap();

    server.down();
    let down = BootInstant::now();
    // Answers that were on their way are counted until the connection is seen to be gone.
    let suspended = || async { (one.current().state() != State::Connected).then_some(()) };
    eventually("the session to notice", suspended).await;
    let deadline = guard.deadline();
    assert!(deadline < down + timeout, "the newest acknowledged sending was before the end");
    says_lost_from(&guard, deadline).await;
    tokio::time::timeout(SLACK, guard.lost()).await.expect("it is lost");
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));

    // What is lost stays lost; the waiter joins again with a new session, and is served when the old nodes go.
    let fault =
        Lock::new(&one, &path).unwrap().acquire_timeout(Duration::from_millis(200)).await.unwrap_err();
    assert!(fault.is_timeout(), "{fault}");
    let two_lost = || async { (two.current().state() == State::Lost).then_some(()) };
    eventually("the waiter's session to be lost", two_lost).await;
    server.up();
    let next = in_time(LONG, "the waiter's turn", waiting).await.unwrap();
    assert_eq!(next.state(), GuardState::Held);
    assert_ne!(two.current().id(), old_session);
    next.release().await.unwrap();
    held_by_a_new_session(&one, lost_session, &path).await;
}

/// The clock is read at each call: not lost until the deadline, lost from then on, whoever looks.
async fn says_lost_from(guard: &Guard, deadline: BootInstant) {
    loop {
        let before = BootInstant::now();
        let state = guard.state();
        let after = BootInstant::now();
        assert_eq!(guard.deadline(), deadline, "nothing acknowledges any more");
        match state {
            GuardState::Lost => {
                assert!(after >= deadline, "lost {:?} too early", deadline.saturating_since(after));
                return;
            }
            GuardState::Suspect => assert!(before < deadline, "still {state:?} past the deadline"),
            state => panic!("{state:?} although it is not connected"),
        }
        tokio::task::yield_now().await;
    }
}

/// The process stands still past the deadline and nothing in it has noticed: the first look tells, and what the
/// server has answered meanwhile changes nothing any more. On our server alone: the session is so short that one by which
/// others are served, too, may lose it before it is looked at.
#[test]
fn ours_a_guard_is_lost_at_the_first_look_after_a_standstill() {
    let server = Ours::start(TICK);
    // One thread: while the test does not await, the session's task cannot run.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scenario = async {
        let scenario = lost_at_the_first_look_after_a_standstill(server.hosts());
        tokio::time::timeout(LONG / 2, scenario).await.expect("it ends in time");
    };
    runtime.block_on(scenario);
}

async fn lost_at_the_first_look_after_a_standstill(hosts: String) {
    let client = client_with_timeout(&hosts, 2 * TICK).await;
    let lock = Lock::new(&client, &path("standstill")).unwrap();
    let guard = lock.acquire().await.unwrap();
    let session = client.current();
    // Acknowledged by the server, but heard of too late.
    let late = session.sync("/");
    tokio::task::yield_now().await;
    assert_eq!(guard.state(), GuardState::Held);
    while guard.deadline() > BootInstant::now() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(guard.state(), GuardState::Lost);
    assert!(late.await.is_err(), "the session is over for its requests, too");
    assert_eq!((guard.state(), session.state()), (GuardState::Lost, State::Lost));
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));
    held_by_a_new_session(&client, session.id(), lock.path()).await;
}

async fn held_by_a_new_session(client: &Client, lost: i64, path: &str) {
    let guard = Lock::new(client, path).unwrap().acquire().await.unwrap();
    assert_ne!(client.current().id(), lost);
    assert_eq!(guard.state(), GuardState::Held);
    guard.release().await.unwrap();
}
