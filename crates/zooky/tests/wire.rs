//! What passes over the wire, and connections that break at the worst moments: a proxy stands between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::task::{Context, Waker};
use std::time::Duration;

use common::proxy::{Cut, Proxy, op};
use common::{LONG, Observer, catch_up, client, client_with_timeout, eventually, in_time, path, telling};
use zooky::session::State;
use zooky::{Client, Guard, GuardState, Lock};

ensemble!();

backends!(a_free_lock_costs_one_round_trip: ours_a_free_lock_costs_one_round_trip, apache_a_free_lock_costs_one_round_trip);

async fn a_free_lock_costs_one_round_trip(hosts: String) {
    let path = path("round-trip");
    let observer = Observer::new(&hosts).await;
    observer.make(&path).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = Lock::new(&client, &path).unwrap();
    for _ in 0..5 {
        // Both requests leave before any answer comes.
        proxy.withhold();
        proxy.forget();
        let acquiring = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await.unwrap() }
        });
        proxy.wait_for(&[op::CREATE2, op::GET_CHILDREN]).await;
        assert!(!acquiring.is_finished());
        proxy.deliver();
        let guard = acquiring.await.unwrap();
        // A guard looks after its own node once it has been held for a while; that is not waited for.
        let seen = proxy.requests();
        assert_eq!(seen.iter().filter(|&&op| op != op::GET_DATA).count(), 2, "{seen:?}");

        // A release is one request, and its answer is waited for.
        proxy.withhold();
        proxy.forget();
        let releasing = tokio::spawn(guard.release());
        eventually("the deletion", || async { proxy.requests().contains(&op::DELETE).then_some(()) }).await;
        assert!(!releasing.is_finished());
        proxy.deliver();
        releasing.await.unwrap().unwrap();
        let seen = proxy.requests();
        assert_eq!(seen.iter().filter(|&&op| op != op::GET_DATA).count(), 1, "{seen:?}");

        // Dropping sends the same and does not wait.
        let guard = lock.acquire().await.unwrap();
        proxy.withhold();
        proxy.forget();
        drop(guard);
        eventually("the deletion", || async { proxy.requests().contains(&op::DELETE).then_some(()) }).await;
        proxy.deliver();
        observer.count(&path, 0).await;
        let seen = proxy.requests();
        assert_eq!(seen.iter().filter(|&&op| op != op::GET_DATA).count(), 1, "{seen:?}");
    }
}

backends!(a_release_and_the_next_acquire_are_one_transaction: ours_a_release_and_the_next_acquire_are_one_transaction, apache_a_release_and_the_next_acquire_are_one_transaction);

/// Lets go and asks for the lock again before anything leaves.
async fn again(client: &Client, lock: &Lock, guard: Guard) -> Guard {
    let session = client.session().await.unwrap();
    let mut acquiring = Box::pin(lock.acquire());
    {
        let _flight = session.flight();
        drop(guard);
        let begun = acquiring.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(begun.is_pending());
    }
    acquiring.await.unwrap()
}

async fn is_alone_with_its_token(observer: &Observer, guard: &Guard) {
    let children = observer.children(guard.lock_path()).await;
    let [only] = &children[..] else { panic!("{children:?}") };
    assert_eq!(guard.path(), format!("{}/{only}", guard.lock_path()));
    let stat = observer.exists(guard.path()).await.unwrap().unwrap();
    assert_eq!(u64::try_from(stat.czxid).unwrap(), guard.fencing_token().czxid());
}

async fn a_release_and_the_next_acquire_are_one_transaction(hosts: String) {
    let path = path("exchange");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = Lock::new(&client, &path).unwrap();
    let mut guard = lock.acquire().await.unwrap();
    for _ in 0..10 {
        let before = guard.fencing_token();
        proxy.forget();
        guard = again(&client, &lock, guard).await;
        assert!(guard.fencing_token() > before);
        let seen = proxy.requests();
        assert!(seen.starts_with(&[op::MULTI, op::GET_CHILDREN]), "{seen:?}");
        is_alone_with_its_token(&observer, &guard).await;
    }

    // Its node is gone already, so that neither is done; and answers and requests that are lost.
    observer.session.delete(guard.path(), -1).await.unwrap();
    guard = again(&client, &lock, guard).await;
    is_alone_with_its_token(&observer, &guard).await;
    for (n, cut) in [Cut::Reply(op::MULTI), Cut::Request(op::MULTI)].into_iter().enumerate() {
        proxy.cut(cut);
        guard = again(&client, &lock, guard).await;
        assert_eq!(proxy.cuts(), n + 1, "{cut:?}");
        // The old node is removed behind the reconnect.
        observer.count(&path, 1).await;
        is_alone_with_its_token(&observer, &guard).await;
    }
    guard.release().await.unwrap();
    assert!(observer.children(&path).await.is_empty());
}

backends!(exchanges_under_load_bear_their_own_zxid: ours_exchanges_under_load_bear_their_own_zxid, apache_exchanges_under_load_bear_their_own_zxid);

/// A server that sends no stat in a multi's answer tells the czxid by the answer's zxid only: also while others write.
async fn exchanges_under_load_bear_their_own_zxid(hosts: String) {
    let mut working = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (hosts, path) = (hosts.clone(), path(&format!("exchange-{n}")));
        working.spawn(async move {
            let observer = Observer::new(&hosts).await;
            let client = client(&hosts).await;
            let lock = Lock::new(&client, &path).unwrap();
            let mut guard = lock.acquire().await.unwrap();
            for _ in 0..50 {
                guard = again(&client, &lock, guard).await;
                is_alone_with_its_token(&observer, &guard).await;
            }
            guard.release().await.unwrap();
        });
    }
    while let Some(worked) = working.join_next().await {
        worked.unwrap();
    }
}

backends!(a_try_on_a_held_lock_is_one_read: ours_a_try_on_a_held_lock_is_one_read, apache_a_try_on_a_held_lock_is_one_read);

async fn a_try_on_a_held_lock_is_one_read(hosts: String) {
    let path = path("try-reads");
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    catch_up(&client).await;
    proxy.forget();
    assert!(Lock::new(&client, &path).unwrap().try_acquire().await.unwrap().is_none());
    assert_eq!(proxy.requests(), [op::GET_CHILDREN]);
    holder.release().await.unwrap();
}

backends!(a_create_whose_answer_is_lost_makes_one_contender: ours_a_create_whose_answer_is_lost, apache_a_create_whose_answer_is_lost);

async fn a_create_whose_answer_is_lost_makes_one_contender(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let cuts = [
        Cut::Reply(op::CREATE2),
        Cut::Request(op::CREATE2),
        Cut::Reply(op::GET_CHILDREN),
        Cut::Request(op::GET_CHILDREN),
    ];
    for (n, cut) in cuts.into_iter().enumerate() {
        let path = path("lost-answer");
        observer.make(&path).await;
        proxy.cut(cut);
        let guard = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
        assert_eq!(proxy.cuts(), n + 1, "{cut:?}");
        let children = observer.children(&path).await;
        let [only] = &children[..] else { panic!("{cut:?}: {children:?}") };
        assert_eq!(guard.path(), format!("{path}/{only}"));
        assert_ne!(guard.state(), GuardState::Lost);
        let stat = observer.exists(guard.path()).await.unwrap().unwrap();
        assert_eq!(u64::try_from(stat.czxid).unwrap(), guard.fencing_token().czxid());
        guard.release().await.unwrap();
        assert!(observer.children(&path).await.is_empty());
    }
}

backends!(a_cancelled_create_whose_answer_is_lost_leaves_nothing: ours_a_cancelled_create_whose_answer_is_lost, apache_a_cancelled_create_whose_answer_is_lost);

async fn a_cancelled_create_whose_answer_is_lost_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    for cut in [Cut::Reply(op::CREATE2), Cut::Request(op::CREATE2)] {
        let path = path("cancelled");
        observer.make(&path).await;
        proxy.forget();
        proxy.cut(cut);
        // Created or thrown away, and before it could know, it is cancelled.
        let lock = Lock::new(&client, &path).unwrap();
        let acquiring = tokio::spawn(async move { lock.acquire().await });
        eventually("the create", || async { proxy.requests().contains(&op::CREATE2).then_some(()) }).await;
        acquiring.abort();
        let _ = acquiring.await;
        // The cleaning up goes behind the reconnect; a request of ours goes behind its first one.
        let session = client.session().await.unwrap();
        eventually("the session", || async { session.sync("/").await.ok() }).await;
        observer.count(&path, 0).await;
    }
}

backends!(a_release_whose_answer_is_lost_is_a_release: ours_a_release_whose_answer_is_lost, apache_a_release_whose_answer_is_lost);

async fn a_release_whose_answer_is_lost_is_a_release(hosts: String) {
    let path = path("lost-release");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = Lock::new(&client, &path).unwrap();
    for (n, cut) in [Cut::Reply(op::DELETE), Cut::Request(op::DELETE)].into_iter().enumerate() {
        let guard = lock.acquire().await.unwrap();
        proxy.cut(cut);
        guard.release().await.unwrap();
        assert_eq!(proxy.cuts(), 2 * n + 1);
        assert!(observer.children(&path).await.is_empty());

        let guard = lock.acquire().await.unwrap();
        proxy.cut(cut);
        drop(guard);
        observer.count(&path, 0).await;
        eventually("the cut", || async { (proxy.cuts() == 2 * n + 2).then_some(()) }).await;
    }
}

backends!(a_release_during_a_disconnect_strands_no_node: ours_a_release_during_a_disconnect, apache_a_release_during_a_disconnect);

async fn a_release_during_a_disconnect_strands_no_node(hosts: String) {
    let path = path("disconnected-release");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = Lock::new(&client, &path).unwrap();
    for waits in [true, false] {
        let guard = lock.acquire().await.unwrap();
        proxy.refuse();
        let session = client.current();
        eventually("the disconnect", || async { (session.state() == State::Suspended).then_some(()) }).await;
        assert_eq!(guard.state(), GuardState::Suspect);
        let releasing = waits.then_some(guard).map(|guard| tokio::spawn(guard.release()));
        assert_eq!(observer.children(&path).await.len(), 1);
        proxy.admit();
        if let Some(releasing) = releasing {
            releasing.await.unwrap().unwrap();
        }
        observer.count(&path, 0).await;
        assert_eq!(client.current().id(), session.id(), "the session goes on");
    }
}

backends!(a_waiter_looks_again_after_a_disconnect: ours_a_waiter_looks_again_after_a_disconnect, apache_a_waiter_looks_again_after_a_disconnect);

async fn a_waiter_looks_again_after_a_disconnect(hosts: String) {
    let path = path("re-list");
    let proxy = Proxy::start(&hosts).await;
    let (direct, through) = (client(&hosts).await, client(&proxy.hosts()).await);
    let holder = Lock::new(&direct, &path).unwrap().acquire().await.unwrap();
    let (lock, mut waits) = telling(Lock::new(&through, &path).unwrap());
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    assert_eq!(waits.recv().await.unwrap().path, holder.path());

    proxy.refuse();
    let session = through.current();
    eventually("the disconnect", || async { (session.state() == State::Suspended).then_some(()) }).await;
    holder.release().await.unwrap();
    proxy.admit();
    let guard = in_time(LONG / 2, "the waiter's turn", waiting).await.unwrap();
    assert_eq!(through.current().id(), session.id(), "the session goes on");
    guard.release().await.unwrap();
}

backends!(a_waiter_whose_session_is_lost_joins_again: ours_a_waiter_whose_session_is_lost_joins_again, apache_a_waiter_whose_session_is_lost_joins_again);

async fn a_waiter_whose_session_is_lost_joins_again(hosts: String) {
    let path = path("join-again");
    let proxy = Proxy::start(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let direct = client(&hosts).await;
    let through = client_with_timeout(&proxy.hosts(), Duration::from_secs(2)).await;
    let holder = Lock::new(&direct, &path).unwrap().acquire().await.unwrap();
    let (lock, mut waits) = telling(Lock::new(&through, &path).unwrap());
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    waits.recv().await.unwrap();
    let [_, old] = &observer.count(&path, 2).await[..] else { panic!() };
    let lost = through.current();

    proxy.refuse();
    lost.lost().await;
    observer.count(&path, 1).await;
    proxy.admit();
    let [_, new] = &observer.count(&path, 2).await[..] else { panic!() };
    assert_ne!(old, new);
    assert_ne!(old[..32], new[..32], "a new session makes a new name");
    assert!(!waiting.is_finished());
    holder.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert_ne!(through.current().id(), lost.id());
    assert_eq!(guard.path(), format!("{path}/{new}"));
    guard.release().await.unwrap();
}
