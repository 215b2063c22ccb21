//! The semaphore: never more leases than there are, none leaked, and kazoo's beside ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::kazoo::Kazoo;
use common::proxy::{Cut, Proxy, op};
use common::{LONG, Observer, catch_up, client, client_with_timeout, eventually, path, polled, run};
use tokio::task::JoinSet;
use zooky::{Error, GuardState, Owner, Semaphore};
use zooky_testkit::Ensemble;

const SHORT: Duration = Duration::from_millis(300);
const SESSION: Duration = Duration::from_secs(10);

/// Nobody holds or waits any more.
async fn is_free(observer: &Observer, path: &str) {
    observer.count(path, 0).await;
    observer.count(&format!("{path}-__lock__"), 0).await;
}

ensemble!();

backends!(leases_are_kazoos: ours_leases_are_kazoos, apache_leases_are_kazoos);

async fn leases_are_kazoos(hosts: String) {
    let path = path("semaphore");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let owner = Owner::this_process().with_id("first");
    let semaphore = Semaphore::new(&client, &path, 2).unwrap().with_owner(owner);
    assert!(semaphore.lease_holders().await.unwrap().is_empty());
    let one = semaphore.acquire().await.unwrap();
    let two = semaphore.try_acquire().await.unwrap().unwrap();
    assert_eq!((one.state(), two.state()), (GuardState::Held, GuardState::Held));
    assert!(two.fencing_token() > one.fencing_token());
    observer.session.sync("/").await.unwrap();
    assert_eq!(observer.get(&path).await.unwrap().0, "2");
    for (guard, name) in [&one, &two].into_iter().zip(semaphore.lease_holders().await.unwrap()) {
        assert_eq!(guard.lock_path(), path);
        assert_eq!(guard.path(), name.path);
        assert!(name.name.len() == 32 && name.name.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(guard.fencing_token().czxid(), u64::try_from(name.stat.czxid).unwrap());
        assert_eq!((name.identifier(), name.session()), ("first".to_owned(), client.current().id()));
    }
    observer.count(&format!("{path}-__lock__"), 0).await;

    // All are out: no try, no time limit, and nothing is created by trying.
    let changes = observer.changes(&format!("{path}-__lock__")).await;
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    assert_eq!(observer.changes(&format!("{path}-__lock__")).await, changes);
    for timeout in [SHORT, Duration::ZERO] {
        let fault = semaphore.acquire_timeout(timeout).await.unwrap_err();
        assert!(matches!(&fault, Error::Timeout { holder: Some(_), .. }), "{fault}");
        observer.count(&format!("{path}-__lock__"), 0).await;
    }
    let waiting = tokio::spawn({
        let semaphore = semaphore.clone();
        async move { semaphore.acquire().await.unwrap() }
    });
    observer.count(&format!("{path}-__lock__"), 1).await;
    one.release().await.unwrap();
    let three = waiting.await.unwrap();

    // A lease that somebody deletes is lost.
    observer.session.delete(two.path(), -1).await.unwrap();
    two.lost().await;
    assert!(matches!(two.release().await, Err(Error::Lost { .. })));
    drop(three);
    is_free(&observer, &path).await;
}

backends!(a_number_that_differs_is_refused: ours_a_number_that_differs_is_refused, apache_a_number_that_differs_is_refused);

async fn a_number_that_differs_is_refused(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let here = path("agreed");
    Semaphore::new(&client, &here, 3).unwrap().acquire().await.unwrap().release().await.unwrap();
    let differs = Semaphore::new(&client, &here, 4).unwrap().acquire().await.unwrap_err();
    assert!(matches!(differs, Error::LeasesDiffer { ours: 4, stored: 3, .. }), "{differs}");
    let text = differs.to_string();
    assert!(text.contains(&here) && text.contains("with 3 leases") && text.contains("not with 4"), "{text}");
    is_free(&observer, &here).await;

    // A client that died between making the node and writing the number: whoever comes writes it.
    let here = path("half-made");
    observer.make(&here).await;
    let guard = Semaphore::new(&client, &here, 3).unwrap().acquire().await.unwrap();
    assert_eq!(observer.get(&here).await.unwrap().0, "3");
    guard.release().await.unwrap();

    // Used for something else, by its data or by its children.
    let here = path("other");
    observer.make(&here).await;
    observer.session.set(&here, "motd", -1).await.unwrap();
    let other = Semaphore::new(&client, &here, 3).unwrap().acquire().await.unwrap_err();
    assert!(matches!(&other, Error::NoSemaphore { data, .. } if data == "motd"), "{other}");
    is_free(&observer, &here).await;
    let here = path("a-lock");
    let lock = zooky::Lock::new(&client, &here).unwrap().acquire().await.unwrap();
    let foreign = Semaphore::new(&client, &here, 3).unwrap().acquire().await.unwrap_err();
    assert!(matches!(foreign, Error::ForeignContender { .. }), "{foreign}");
    lock.release().await.unwrap();

    assert!(matches!(Semaphore::new(&client, &here, 0), Err(Error::Path { .. })));
}

backends!(kazoos_and_ours_share_the_leases: ours_kazoos_and_ours_share_the_leases, apache_kazoos_and_ours_share_the_leases);

async fn kazoos_and_ours_share_the_leases(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let mut kazoo = Kazoo::start(&hosts, SESSION);
    // Whoever is first writes the number.
    for (n, kazoo_first) in [true, false].into_iter().enumerate() {
        let path = path("shared");
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        kazoo.new_semaphore(&a, &path, 2);
        kazoo.new_semaphore(&b, &path, 2);
        let semaphore = Semaphore::new(&client, &path, 2).unwrap();
        let guard = if kazoo_first {
            assert!(kazoo.acquire(&a, LONG / 4));
            semaphore.acquire().await.unwrap()
        } else {
            let guard = semaphore.acquire().await.unwrap();
            assert!(kazoo.acquire(&a, LONG / 4));
            guard
        };
        // The others' leases are no strangers to ours.
        assert!(tokio::time::timeout(2 * SHORT, guard.foreign()).await.is_err());
        assert!(guard.foreign_contender().is_none());
        let holders = kazoo.lease_holders(&a);
        assert!(holders.iter().any(|holder| Owner::from_line(holder.as_bytes()).is_some()), "{holders:?}");
        catch_up(&client).await;
        let ours = semaphore.lease_holders().await.unwrap();
        assert!(ours.iter().any(|holder| holder.identifier() == format!("kazoo says {a}")), "{ours:?}");

        // Both are out.
        assert!(semaphore.try_acquire().await.unwrap().is_none());
        assert!(semaphore.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
        assert!(!kazoo.acquire(&b, SHORT));

        // kazoo waits for ours, then ours for kazoo.
        kazoo.talk.send_line(&format!("acquire {b} 20"));
        observer.count(&format!("{path}-__lock__"), 1).await;
        assert!(!kazoo.talk.hears_line("acquired", SHORT));
        guard.release().await.unwrap();
        assert_eq!(kazoo.talk.expect_line("acquired", LONG), "True");
        let waiting = tokio::spawn({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire().await.unwrap() }
        });
        observer.count(&format!("{path}-__lock__"), 1).await;
        assert!(!waiting.is_finished());
        kazoo.release(&a);
        waiting.await.unwrap().release().await.unwrap();
        kazoo.release(&b);
        is_free(&observer, &path).await;

        // kazoo says another number: it refuses, and so do we.
        kazoo.new_semaphore("five", &path, 5);
        assert_eq!(kazoo.acquire_answer("five", SHORT), "Inconsistent max leases: 2, expected: 5");
        let five = Semaphore::new(&client, &path, 5).unwrap();
        assert!(matches!(five.acquire().await, Err(Error::LeasesDiffer { ours: 5, stored: 2, .. })));
    }
}

/// How many are inside, and how many there have been at most.
#[derive(Default)]
struct Room {
    inside: AtomicUsize,
    most: AtomicUsize,
    entries: AtomicUsize,
    over: AtomicBool,
}

impl Room {
    async fn visit(&self, stay_ms: u64) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.entries.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(stay_ms)).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

backends!(never_more_than_there_are: ours_never_more_than_there_are, apache_never_more_than_there_are);

async fn never_more_than_there_are(hosts: String) {
    let path = path("crowd");
    let observer = Observer::new(&hosts).await;
    let room = Arc::new(Room::default());
    let mut tasks = JoinSet::new();
    for n in 0..8_usize {
        let semaphore = Semaphore::new(&client(&hosts).await, &path, 3).unwrap();
        let room = room.clone();
        tasks.spawn(async move {
            for round in 0..12 {
                if (n + round) % 4 == 0 {
                    // Some give up at any point.
                    drop(polled(semaphore.acquire(), n + round).await);
                    continue;
                }
                let guard = semaphore.acquire_timeout(LONG / 2).await.unwrap();
                room.visit(20).await;
                if round % 2 == 0 { drop(guard) } else { guard.release().await.unwrap() }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let most = room.most.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most} were inside");
    // All of them can be had, however slowly they come.
    let semaphore = Semaphore::new(&client(&hosts).await, &path, 3).unwrap();
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(semaphore.acquire_timeout(LONG / 2).await.unwrap());
    }
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    drop(leases);
    is_free(&observer, &path).await;
}

backends!(a_turn_that_was_lost_gives_no_lease: ours_a_turn_that_was_lost_gives_no_lease, apache_a_turn_that_was_lost_gives_no_lease);

/// Somebody deletes the node of our mutex while we, who have not heard of it, are about to take a lease by what we saw before.
async fn a_turn_that_was_lost_gives_no_lease(hosts: String) {
    let path = path("turn");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&proxy.hosts()).await);
    let semaphore = Semaphore::new(&one, &path, 1).unwrap();
    semaphore.acquire().await.unwrap().release().await.unwrap();
    observer.count(&format!("{path}-__lock__"), 0).await;

    // Its look at the free lease is answered, but not delivered.
    proxy.withhold_at(op::GET_DATA);
    let late = Semaphore::new(&two, &path, 1).unwrap();
    let waiting = tokio::spawn(async move { late.acquire().await.unwrap() });
    proxy.withheld().await;
    let turn = observer.count(&format!("{path}-__lock__"), 1).await.remove(0);
    observer.session.delete(&format!("{path}-__lock__/{turn}"), -1).await.unwrap();
    let holder = semaphore.acquire().await.unwrap();
    proxy.deliver();
    observer.count(&format!("{path}-__lock__"), 1).await;
    assert!(!waiting.is_finished());
    assert_eq!(observer.children(&path).await.len(), 1, "one lease, not two");
    holder.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
    is_free(&observer, &path).await;
}

backends!(a_broken_connection_leaks_no_lease: ours_a_broken_connection_leaks_no_lease, apache_a_broken_connection_leaks_no_lease);

async fn a_broken_connection_leaks_no_lease(hosts: String) {
    let path = path("broken");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let semaphore = Semaphore::new(&client, &path, 2).unwrap();
    for (n, cut) in [Cut::Request(op::MULTI), Cut::Reply(op::MULTI)].into_iter().enumerate() {
        proxy.cut(cut);
        let guard = semaphore.acquire().await.unwrap();
        assert_eq!(proxy.cuts(), n + 1);
        observer.count(&path, 1).await;
        assert!(guard.is_held());
        guard.release().await.unwrap();
        is_free(&observer, &path).await;
    }
}

backends!(dropped_at_any_await_it_leaves_nothing: ours_dropped_at_any_await_it_leaves_nothing, apache_dropped_at_any_await_it_leaves_nothing);

async fn dropped_at_any_await_it_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for (exists, trying) in [(false, false), (true, false), (true, true), (false, true)] {
        for polls in 0.. {
            assert!(polls < 200, "it is never ready");
            let path = path("dropped");
            let semaphore = Semaphore::new(&client, &path, 1).unwrap();
            if exists {
                semaphore.acquire().await.unwrap().release().await.unwrap();
            }
            let done = if trying {
                polled(semaphore.try_acquire(), polls).await.map(|done| done.unwrap())
            } else {
                polled(semaphore.acquire(), polls).await.map(|done| Some(done.unwrap()))
            };
            let ready = done.is_some();
            drop(done);
            session.sync("/").await.unwrap();
            is_free(&observer, &path).await;
            if ready {
                assert!(polls >= 4);
                break;
            }
        }
    }
}

backends!(a_dropped_wait_leaves_nothing: ours_a_dropped_wait_leaves_nothing, apache_a_dropped_wait_leaves_nothing);

async fn a_dropped_wait_leaves_nothing(hosts: String) {
    let path = path("wait-dropped");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = two.session().await.unwrap();
    let holders = Semaphore::new(&one, &path, 1).unwrap();
    for polls in 0.. {
        assert!(polls < 200, "it is never ready");
        let holder = holders.acquire().await.unwrap();
        let (sender, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let told = move |_: &zooky::inspect::Contender| {
            let _ = sender.send(());
        };
        let semaphore = Semaphore::new(&two, &path, 1).unwrap().on_wait(told);
        let leaving = tokio::spawn(async move {
            if waits.recv().await.is_some() {
                holder.release().await.unwrap();
            }
        });
        let done = polled(semaphore.acquire(), polls).await.map(Result::unwrap);
        drop(semaphore);
        leaving.await.unwrap();
        let ready = done.is_some();
        drop(done);
        session.sync("/").await.unwrap();
        is_free(&observer, &path).await;
        if ready {
            break;
        }
    }
}

backends!(a_lost_session_queues_again: ours_a_lost_session_queues_again, apache_a_lost_session_queues_again);

async fn a_lost_session_queues_again(hosts: String) {
    let path = path("session");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) =
        (client(&hosts).await, client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await);
    let holder = Semaphore::new(&one, &path, 1).unwrap().acquire().await.unwrap();
    let semaphore = Semaphore::new(&two, &path, 1).unwrap();
    let waiting = tokio::spawn(async move { semaphore.acquire().await.unwrap() });
    let before = observer.count(&format!("{path}-__lock__"), 1).await;
    proxy.refuse();
    two.current().lost().await;
    proxy.admit();
    eventually("a new turn", || async {
        let now = observer.children(&format!("{path}-__lock__")).await;
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
    holder.release().await.unwrap();
    let guard = waiting.await.unwrap();

    // A lease goes with its session.
    proxy.refuse();
    guard.lost().await;
    observer.count(&path, 0).await;
    proxy.admit();
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));
}

#[test]
fn ensemble_leader_killed_while_a_crowd_wants_leases() {
    let mut ensemble = Ensemble::start();
    run(2 * LONG, crowd_through_an_election(&mut ensemble));
}

async fn crowd_through_an_election(ensemble: &mut Ensemble) {
    let path = path("election");
    let room = Arc::new(Room::default());
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let semaphore = Semaphore::new(&client(&ensemble.hosts()).await, &path, 2).unwrap();
        let room = room.clone();
        tasks.spawn(async move {
            while !room.over.load(Ordering::SeqCst) {
                let guard = semaphore.acquire().await.unwrap();
                if guard.is_held() {
                    room.visit(40).await;
                }
                drop(guard);
            }
        });
    }
    let reaches = |goal| {
        let room = room.clone();
        eventually("entries", move || {
            let entries = room.entries.load(Ordering::SeqCst);
            async move { (entries >= goal).then_some(()) }
        })
    };
    reaches(30).await;
    let leader = ensemble.leader();
    ensemble.member(leader).kill();
    let now = room.entries.load(Ordering::SeqCst);
    reaches(now + 40).await;
    room.over.store(true, Ordering::SeqCst);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let most = room.most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} were inside");
    let observer = Observer::new(&ensemble.hosts()).await;
    is_free(&observer, &path).await;
}
