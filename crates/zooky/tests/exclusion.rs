//! One holder at a time, or readers only; tokens that grow; first come, first served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Observer, Resource, catch_up, client, path, telling, telling_rw};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use zooky::{Lock, Mode, RwLock};
use zooky_testkit::Mode as Entering;

const CLIENTS: usize = 8;
const ROUNDS: usize = 12;

ensemble!();

backends!(eight_clients_exclude_each_other:
    ours_eight_clients_exclude_each_other,
    apache_eight_clients_exclude_each_other);

async fn eight_clients_exclude_each_other(hosts: String) {
    let (path, resource) = (path("exclusion"), Arc::new(Resource::new()));
    let start = Arc::new(Barrier::new(CLIENTS));
    let mut tasks = JoinSet::new();
    for n in 0..CLIENTS {
        let (hosts, path, resource, start) = (hosts.clone(), path.clone(), resource.clone(), start.clone());
        tasks.spawn(async move {
            let client = client(&hosts).await;
            let lock = Lock::new(&client, &path).unwrap();
            start.wait().await;
            for round in 0..ROUNDS {
                let guard = lock.acquire().await.unwrap();
                let token = guard.fencing_token().as_u128();
                let entry = resource.register.enter(token, Entering::Write, &format!("{n}")).unwrap();
                tokio::task::yield_now().await;
                entry.write().unwrap();
                drop(entry);
                // Half of them do not wait for the release.
                if round % 2 == 0 {
                    guard.release().await.unwrap();
                }
            }
            client.close().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    resource.assert_exclusive(CLIENTS * ROUNDS);
    Observer::new(&hosts).await.count(&path, 0).await;
}

backends!(readers_share_and_writers_exclude:
    ours_readers_share_and_writers_exclude,
    apache_readers_share_and_writers_exclude);

async fn readers_share_and_writers_exclude(hosts: String) {
    let (path, resource) = (path("rwlock"), Arc::new(Resource::new()));
    let start = Arc::new(Barrier::new(CLIENTS));
    let (reading, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for n in 0..CLIENTS {
        let (hosts, path, resource, start) = (hosts.clone(), path.clone(), resource.clone(), start.clone());
        let (reading, together) = (reading.clone(), together.clone());
        tasks.spawn(async move {
            let client = client(&hosts).await;
            let lock = RwLock::new(&client, &path).unwrap();
            start.wait().await;
            for round in 0..ROUNDS {
                let writes = (n + round) % 4 == 0;
                let guard = if writes { lock.write().await.unwrap() } else { lock.read().await.unwrap() };
                let token = guard.fencing_token().as_u128();
                let mode = if writes { Entering::Write } else { Entering::Read };
                let entry = resource.register.enter(token, mode, &format!("{n}")).unwrap();
                if writes {
                    entry.write().unwrap();
                } else {
                    together.fetch_max(reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // A round trip, so that others come in.
                    client.session().await.unwrap().exists("/").await.unwrap();
                    reading.fetch_sub(1, Ordering::SeqCst);
                }
                drop(entry);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(resource.register.overlaps(), []);
    assert_eq!(resource.entered().len(), CLIENTS * ROUNDS);
    assert!(together.load(Ordering::SeqCst) > 1, "readers were never inside together");
}

backends!(two_readers_hold_at_once: ours_two_readers_hold_at_once, apache_two_readers_hold_at_once);

async fn two_readers_hold_at_once(hosts: String) {
    let path = path("readers");
    let (client, two) = (client(&hosts).await, client(&hosts).await);
    let (one, two) = (RwLock::new(&client, &path).unwrap(), RwLock::new(&two, &path).unwrap());
    let first = one.read().await.unwrap();
    let second = two.read().await.unwrap();
    assert!(first.fencing_token() < second.fencing_token());
    assert!(two.try_write().await.unwrap().is_none());
    let third = two.try_read().await.unwrap().expect("a third reader has nothing to wait for");
    for guard in [first, second, third] {
        guard.release().await.unwrap();
    }
    catch_up(&client).await;
    let writer = one.try_write().await.unwrap().expect("nobody is left");
    assert!(two.try_read().await.unwrap().is_none());
    assert!(two.try_write().await.unwrap().is_none());
    writer.release().await.unwrap();
}

backends!(first_come_first_served: ours_first_come_first_served, apache_first_come_first_served);

async fn first_come_first_served(hosts: String) {
    let (path, resource) = (path("fifo"), Arc::new(Resource::new()));
    let observer = Observer::new(&hosts).await;
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    let mut tasks = JoinSet::new();
    let mut last = holder.path().to_owned();
    for n in 0..CLIENTS {
        let (client, resource) = (client(&hosts).await, resource.clone());
        let (lock, mut waits) = telling(Lock::new(&client, &path).unwrap());
        tasks.spawn(async move {
            let guard = lock.acquire().await.unwrap();
            let token = guard.fencing_token().as_u128();
            drop(resource.register.enter(token, Entering::Write, &n.to_string()).unwrap());
            guard.release().await.unwrap();
        });
        // The next one joins when this one waits, and this one waits for the one before it and no other.
        assert_eq!(waits.recv().await.unwrap().path, last);
        let children = observer.count(&path, n + 2).await;
        last = format!("{path}/{}", children.last().unwrap());
    }
    holder.release().await.unwrap();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    resource.assert_exclusive(CLIENTS);
    let history = resource.register.history();
    let order: Vec<String> = history.iter().map(|one| one.who.clone()).step_by(2).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

backends!(a_writer_is_not_starved_by_later_readers:
    ours_a_writer_is_not_starved_by_later_readers,
    apache_a_writer_is_not_starved_by_later_readers);

async fn a_writer_is_not_starved_by_later_readers(hosts: String) {
    let path = path("starved");
    let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await];
    let reading = RwLock::new(&clients[0], &path).unwrap().read().await.unwrap();

    let (writer, mut writer_waits) = telling_rw(RwLock::new(&clients[1], &path).unwrap());
    let writing = tokio::spawn(async move { writer.write().await.unwrap() });
    assert_eq!(writer_waits.recv().await.unwrap().path, reading.path());

    let (reader, mut reader_waits) = telling_rw(RwLock::new(&clients[2], &path).unwrap());
    assert!(reader.try_read().await.unwrap().is_none(), "a writer waits");
    let late = tokio::spawn(async move { reader.read().await.unwrap() });
    let blocker = reader_waits.recv().await.unwrap();
    assert_eq!(blocker.mode, Mode::Exclusive);
    assert!(!late.is_finished() && !writing.is_finished());

    reading.release().await.unwrap();
    let written = writing.await.unwrap();
    assert_eq!(written.path(), blocker.path);
    assert!(!late.is_finished());
    let token = written.fencing_token();
    written.release().await.unwrap();
    let late = late.await.unwrap();
    assert!(late.fencing_token() > token);
    late.release().await.unwrap();
}

backends!(a_waiter_that_gives_up_lets_nobody_pass: ours_a_waiter_that_gives_up_lets_nobody_pass, apache_a_waiter_that_gives_up_lets_nobody_pass);

/// The deletion of the one before is no grant: it may have left without ever holding the lock.
async fn a_waiter_that_gives_up_lets_nobody_pass(hosts: String) {
    let path = path("gives-up");
    let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await];
    let holder = Lock::new(&clients[0], &path).unwrap().acquire().await.unwrap();

    let (middle, mut middle_waits) = telling(Lock::new(&clients[1], &path).unwrap());
    let middle = tokio::spawn(async move { middle.acquire().await });
    middle_waits.recv().await.unwrap();

    let (last, mut last_waits) = telling(Lock::new(&clients[2], &path).unwrap());
    let mut last = tokio::spawn(async move { last.acquire().await.unwrap() });
    assert_ne!(last_waits.recv().await.unwrap().path, holder.path());

    middle.abort();
    // The last one now waits for the holder, and says so: or it comes out of its task with a guard.
    tokio::select! {
        contender = last_waits.recv() => assert_eq!(contender.unwrap().path, holder.path()),
        guard = &mut last => panic!("{guard:?} beside {holder:?}"),
    }
    holder.release().await.unwrap();
    last.await.unwrap().release().await.unwrap();
}

backends!(handles_of_one_session_exclude_each_other: ours_handles_of_one_session_exclude_each_other, apache_handles_of_one_session_exclude_each_other);

async fn handles_of_one_session_exclude_each_other(hosts: String) {
    let (path, resource) = (path("one-session"), Arc::new(Resource::new()));
    let client = client(&hosts).await;
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let (lock, resource) = (Lock::new(&client, &path).unwrap(), resource.clone());
        // Others on the same session do not mind.
        let other = Lock::new(&client, &format!("{path}-{n}")).unwrap();
        tasks.spawn(async move {
            let (guard, other) = tokio::join!(lock.acquire(), other.acquire());
            let token = guard.as_ref().unwrap().fencing_token().as_u128();
            let entry = resource.register.enter(token, Entering::Write, &n.to_string()).unwrap();
            tokio::task::yield_now().await;
            drop(entry);
            guard.unwrap().release().await.unwrap();
            other.unwrap().release().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    resource.assert_exclusive(32);
}

backends!(a_chroot_leads_to_the_same_lock: ours_a_chroot_leads_to_the_same_lock, apache_a_chroot_leads_to_the_same_lock);

async fn a_chroot_leads_to_the_same_lock(hosts: String) {
    let path = path("chroot");
    Observer::new(&hosts).await.make(&path).await;
    let (below, whole) = (client(&format!("{hosts}{path}")).await, client(&hosts).await);
    let inner = Lock::new(&below, "/a/lock").unwrap();
    let outer = Lock::new(&whole, &format!("{path}/a/lock")).unwrap();
    let guard = inner.acquire().await.unwrap();
    assert!(guard.path().starts_with("/a/lock/"));
    assert!(outer.try_acquire().await.unwrap().is_none());
    let (outer, mut waits) = telling(outer);
    let waiting = tokio::spawn(async move { outer.acquire().await.unwrap() });
    assert_eq!(waits.recv().await.unwrap().path, format!("{path}{}", guard.path()));
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert!(inner.try_acquire().await.unwrap().is_none());
    let (inner, mut waits) = telling(inner);
    let waiting = tokio::spawn(async move { inner.acquire().await.unwrap() });
    assert_eq!(format!("{path}{}", waits.recv().await.unwrap().path), guard.path());
    drop(guard);
    waiting.await.unwrap().release().await.unwrap();
}

backends!(a_waiter_whose_node_is_deleted_joins_again: ours_a_waiter_whose_node_is_deleted_joins_again, apache_a_waiter_whose_node_is_deleted_joins_again);

async fn a_waiter_whose_node_is_deleted_joins_again(hosts: String) {
    let path = path("deleted-waiter");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let (lock, mut waits) = telling(Lock::new(&two, &path).unwrap());
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    waits.recv().await.unwrap();
    let gone = format!("{path}/{}", observer.count(&path, 2).await[1]);
    observer.session.delete(&gone, -1).await.unwrap();
    holder.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert_ne!(guard.path(), gone);
    assert_eq!(guard.state(), zooky::GuardState::Held);
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}
