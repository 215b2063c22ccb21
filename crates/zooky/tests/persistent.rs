//! Persistent locks: they outlive their session, and are taken back by a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::kazoo::Kazoo;
use common::proxy::{Cut, Proxy, op};
use common::{LONG, Observer, client, client_with_timeout, eventually, in_time, path, polled};
use tokio::task::JoinSet;
use zooky::{Dialect, Error, GuardState, Lock, Owner, PersistentLock, Revoke};

const SHORT: Duration = Duration::from_millis(300);

ensemble!();

backends!(it_outlives_its_session_and_is_taken_back:
    ours_it_outlives_its_session_and_is_taken_back,
    apache_it_outlives_its_session_and_is_taken_back);

async fn it_outlives_its_session_and_is_taken_back(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for dialect in [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools] {
        let path = path("persistent");
        let (one, two) = (client(&hosts).await, client(&hosts).await);
        let lock = PersistentLock::new(&one, &path, "job 7").unwrap().dialect(dialect).unwrap();
        assert!(lock.take_back().await.unwrap().is_none() && !lock.release().await.unwrap());
        let guard = lock.acquire().await.unwrap();
        assert_eq!((guard.state(), guard.fencing_token().count()), (GuardState::Held, 0));
        let (data, stat) = observer.get(guard.path()).await.unwrap();
        assert_eq!(stat.ephemeral_owner, 0);
        assert!(String::from_utf8_lossy(&data).contains("\"key\":\"job 7\""), "{data:?}");
        let token = guard.fencing_token();
        // Its session goes, the lock stays; for other keys and for other locks of the dialect.
        one.close().await.unwrap();
        let plain = Lock::new(&two, &path).unwrap().dialect(dialect).unwrap();
        assert!(plain.try_acquire().await.unwrap().is_none());
        let other = PersistentLock::new(&two, &path, "job 8").unwrap().dialect(dialect).unwrap();
        assert!(other.try_acquire().await.unwrap().is_none() && other.take_back().await.unwrap().is_none());
        assert!(other.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
        assert!(!other.release().await.unwrap());
        observer.count(&path, 1).await;

        // With the key it is taken back at once; the count rises.
        let lock = PersistentLock::new(&two, &path, "job 7").unwrap().dialect(dialect).unwrap();
        let second = lock.try_acquire().await.unwrap().unwrap();
        assert_eq!((second.fencing_token().czxid(), second.fencing_token().count()), (token.czxid(), 1));
        assert_eq!(second.path(), guard.path());
        let third = lock.acquire().await.unwrap();
        assert!(third.fencing_token() > second.fencing_token());
        second.lost().await;
        assert_eq!(second.state(), GuardState::Lost);
        assert!(matches!(second.release().await, Err(Error::Lost { .. })));
        assert_eq!(third.state(), GuardState::Held);
        // Dropped, it stays held; a waiter waits until it is released.
        let waiting = tokio::spawn(async move { plain.acquire().await.unwrap() });
        observer.count(&path, 2).await;
        drop(third);
        assert!(!waiting.is_finished());
        assert!(lock.release().await.unwrap());
        let next = waiting.await.unwrap();
        assert!(next.fencing_token() > token);
        next.release().await.unwrap();
        observer.count(&path, 0).await;
    }
}

backends!(of_many_at_once_the_newest_holds: ours_of_many_at_once_the_newest_holds, apache_of_many_at_once_the_newest_holds);

async fn of_many_at_once_the_newest_holds(hosts: String) {
    let path = path("at-once");
    let first = PersistentLock::new(&client(&hosts).await, &path, "key").unwrap().acquire().await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let lock = PersistentLock::new(&client(&hosts).await, &path, "key").unwrap();
        tasks.spawn(async move { lock.acquire().await.unwrap() });
    }
    let mut guards = tasks.join_all().await;
    guards.sort_by_key(|guard| guard.fencing_token());
    let counts: Vec<_> = guards.iter().map(|guard| guard.fencing_token().count()).collect();
    assert!(counts.is_sorted_by(|a, b| a < b) && counts[0] >= 1, "{counts:?}");
    let newest = guards.pop().unwrap();
    for older in guards.iter().chain([&first]) {
        in_time(LONG / 2, "the loss", older.lost()).await;
    }
    assert_eq!(newest.state(), GuardState::Held);
    newest.release().await.unwrap();
}

backends!(no_gap_when_it_becomes_persistent: ours_no_gap_when_it_becomes_persistent, apache_no_gap_when_it_becomes_persistent);

/// kazoo waits right behind, and watches the very node that is replaced.
async fn no_gap_when_it_becomes_persistent(hosts: String) {
    let path = path("gap");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let mut kazoo = Kazoo::start(&hosts, Duration::from_secs(10));
    kazoo.new_lock("k", "WriteLock", &path);
    for _ in 0..3 {
        let holder = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
        let lock = PersistentLock::new(&client, &path, "key").unwrap();
        let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
        observer.count(&path, 2).await;
        kazoo.talk.send_line("acquire k 20");
        observer.count(&path, 3).await;
        holder.release().await.unwrap();
        let guard = waiting.await.unwrap();
        assert!(!kazoo.talk.hears_line("acquired", SHORT), "kazoo got in beside it");
        assert!(guard.is_held());
        guard.release().await.unwrap();
        assert_eq!(kazoo.talk.expect_line("acquired", LONG), "True");
        kazoo.release("k");
    }
}

backends!(a_waiter_with_the_key_takes_it_back: ours_a_waiter_with_the_key_takes_it_back, apache_a_waiter_with_the_key_takes_it_back);

/// Two with one key wait, somebody else between them. The first gets the lock and vanishes: the second must not wait for ever.
async fn a_waiter_with_the_key_takes_it_back(hosts: String) {
    let path = path("waiter");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let plain = Lock::new(&two, &path).unwrap();
    let holder = plain.acquire().await.unwrap();
    let lock = PersistentLock::new(&one, &path, "key").unwrap();
    let first = tokio::spawn(async move { lock.acquire().await.unwrap() });
    observer.count(&path, 2).await;
    let between = tokio::spawn(async move { plain.acquire().await.unwrap() });
    observer.count(&path, 3).await;
    let lock = PersistentLock::new(&two, &path, "key").unwrap();
    let second = tokio::spawn(async move { lock.acquire().await.unwrap() });
    observer.count(&path, 4).await;
    holder.release().await.unwrap();
    let first = first.await.unwrap();
    let second = second.await.unwrap();
    assert!(second.fencing_token() > first.fencing_token());
    first.lost().await;
    assert!(!between.is_finished());
    second.release().await.unwrap();
    between.await.unwrap().release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(its_guard_outlives_a_session: ours_its_guard_outlives_a_session, apache_its_guard_outlives_a_session);

async fn its_guard_outlives_a_session(hosts: String) {
    let path = path("sessions");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) =
        (client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await, client(&hosts).await);
    let guard = PersistentLock::new(&one, &path, "key").unwrap().acquire().await.unwrap();
    let session = one.current();
    proxy.refuse();
    session.lost().await;
    assert_eq!(guard.state(), GuardState::Suspect);
    proxy.admit();
    let held = || async { (guard.state() == GuardState::Held).then_some(()) };
    eventually("a new session's word", held).await;
    assert_ne!(one.current().id(), session.id());

    // Written over, as by a zktools client that asks for it: the guard is asked, and the key is not lost.
    observer.session.set(guard.path(), "unlock", -1).await.unwrap();
    eventually("the key", || async {
        let (data, _) = observer.get(guard.path()).await.unwrap();
        String::from_utf8_lossy(&data).contains("\"key\"").then_some(())
    })
    .await;
    assert!(guard.is_held());

    // Taken back while it is cut off: it learns of that.
    proxy.refuse();
    let second = PersistentLock::new(&two, &path, "key").unwrap().acquire().await.unwrap();
    proxy.admit();
    guard.lost().await;
    // A release under a lost connection is no release of the newer one's.
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));
    assert!(second.is_held());
    // Whoever deletes the node ends it.
    observer.session.delete(second.path(), -1).await.unwrap();
    second.lost().await;
    assert!(matches!(second.release().await, Err(Error::Lost { .. })));
}

backends!(its_guard_tells_who_asks_and_what_becomes_of_it:
    ours_its_guard_tells_who_asks_and_what_becomes_of_it,
    apache_its_guard_tells_who_asks_and_what_becomes_of_it);

async fn its_guard_tells_who_asks_and_what_becomes_of_it(hosts: String) {
    let path = path("asked");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let lock = PersistentLock::new(&one, &path, "key").unwrap();
    let asker = Lock::new(&two, &path).unwrap().with_owner(Owner::this_process().with_id("asker"));
    let guard = lock.acquire().await.unwrap();
    let (asked, lost, stranger) = (guard.on_revoked(), guard.on_lost(), guard.on_foreign());
    assert!(guard.has_lock().await.unwrap() && !guard.is_revoked() && guard.revoked_by().is_none());
    assert_eq!(asker.revoke_all(Revoke::ask()).await.unwrap().asked.len(), 1);
    in_time(LONG / 2, "being asked", guard.revoked()).await;
    assert!(guard.is_revoked() && asked.await);
    assert_eq!(guard.revoked_by().unwrap().id.as_deref(), Some("asker"));
    // It is asked, no more.
    assert!(guard.is_held() && guard.has_lock().await.unwrap());
    // Taken back: the next one is another, and not asked.
    let next = lock.acquire().await.unwrap();
    assert!(in_time(LONG / 2, "the loss", lost).await && stranger.await.is_none());
    assert!(!guard.has_lock().await.unwrap() && next.has_lock().await.unwrap());
    let (asked, lost, stranger) = (next.on_revoked(), next.on_lost(), next.on_foreign());
    next.release().await.unwrap();
    assert!(!asked.await && !lost.await && stranger.await.is_none(), "a release is no loss");
    // Deleted: a release that finds it so says it.
    let last = lock.acquire().await.unwrap();
    let lost = last.on_lost();
    observer.session.delete(last.path(), -1).await.unwrap();
    assert!(!last.has_lock().await.unwrap());
    assert!(matches!(last.release().await, Err(Error::Lost { .. })) && lost.await);
    // Dropped, it is nobody's to mind.
    let dropped = lock.acquire().await.unwrap();
    let (asked, lost) = (dropped.on_revoked(), dropped.on_lost());
    drop(dropped);
    assert!(!asked.await && !lost.await);
    assert!(lock.release().await.unwrap());
}

backends!(a_broken_connection_costs_nothing: ours_a_broken_connection_costs_nothing, apache_a_broken_connection_costs_nothing);

async fn a_broken_connection_costs_nothing(hosts: String) {
    const SET_DATA: i32 = 5;
    let path = path("broken");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let lock = PersistentLock::new(&client(&proxy.hosts()).await, &path, "key").unwrap();
    for cut in [Cut::Request(op::MULTI), Cut::Reply(op::MULTI)] {
        proxy.cut(cut);
        let guard = lock.acquire().await.unwrap();
        observer.count(&path, 1).await;
        let mut token = guard.fencing_token();
        for cut in [Cut::Request(SET_DATA), Cut::Reply(SET_DATA)] {
            proxy.cut(cut);
            let next = lock.acquire().await.unwrap();
            assert!(next.fencing_token() > token);
            token = next.fencing_token();
        }
        guard.lost().await;
        let last = lock.acquire().await.unwrap();
        proxy.cut(Cut::Reply(op::DELETE));
        last.release().await.unwrap();
        observer.count(&path, 0).await;
    }
    assert_eq!(proxy.cuts(), 8);
}

backends!(dropped_at_any_await_it_leaves_nothing: ours_dropped_at_any_await_it_leaves_nothing, apache_dropped_at_any_await_it_leaves_nothing);

async fn dropped_at_any_await_it_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for trying in [false, true] {
        for polls in 0.. {
            assert!(polls < 200, "it is never ready");
            let path = path("dropped");
            let lock = PersistentLock::new(&client, &path, "key").unwrap();
            let done = if trying {
                polled(lock.try_acquire(), polls).await.map(|done| done.unwrap().unwrap())
            } else {
                polled(lock.acquire(), polls).await.map(Result::unwrap)
            };
            let ready = done.is_some();
            if let Some(guard) = done {
                // A release that is dropped goes on.
                drop(polled(guard.release(), 1).await);
            }
            client.session().await.unwrap().sync("/").await.unwrap();
            observer.count(&path, 0).await;
            if ready {
                break;
            }
        }
    }
}
