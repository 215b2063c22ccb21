//! One contender per process: tasks hand the lock to each other locally, up to a bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::proxy::Proxy;
use common::{LONG, Observer, Resource, client, client_with_timeout, eventually, in_time, path, polled};
use tokio::task::JoinSet;
use zooky::session::State;
use zooky::{Client, Error, Guard, GuardState, Handover, Lock, Owner, RwLock};
use zooky_testkit::Mode as Entering;

/// No time in it: a busy machine must not end a term.
fn grants(grants: u32) -> Handover {
    Handover::DEFAULT.grants(grants).time(LONG)
}

fn sharing(client: &Client, path: &str, bound: Handover) -> Lock {
    Lock::new(client, path).unwrap().local_handover(bound)
}

/// A task that has begun to wait, by the time this returns.
async fn waiting(lock: &Lock) -> tokio::task::JoinHandle<Result<Guard, Error>> {
    let lock = lock.clone();
    let (sender, begun) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut acquire = Box::pin(lock.acquire());
        let mut sender = Some(sender);
        std::future::poll_fn(move |cx| {
            let polled = acquire.as_mut().poll(cx);
            sender.take().map(|sender| sender.send(()));
            polled
        })
        .await
    });
    begun.await.unwrap();
    task
}

ensemble!();

backends!(tasks_of_a_process_take_turns_on_one_node:
    ours_tasks_of_a_process_take_turns_on_one_node,
    apache_tasks_of_a_process_take_turns_on_one_node);

async fn tasks_of_a_process_take_turns_on_one_node(hosts: String) {
    const TASKS: usize = 32;
    const ROUNDS: usize = 8;
    let (path, resource) = (path("turns"), Arc::new(Resource::new()));
    let observer = Observer::new(&hosts).await;
    observer.make(&path).await;
    let clients = [client(&hosts).await, client(&hosts).await];
    let terms = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        // Handles of their own: they find each other by what they say.
        let lock = sharing(&clients[n % 2], &path, grants(64));
        let (resource, terms) = (resource.clone(), terms.clone());
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let guard = lock.acquire().await.unwrap();
                let token = guard.fencing_token();
                terms.fetch_add(usize::from(token.count() == 0), Ordering::SeqCst);
                let entry =
                    resource.register.enter(token.as_u128(), Entering::Write, &n.to_string()).unwrap();
                tokio::task::yield_now().await;
                drop(entry);
                if round % 2 == 0 {
                    guard.release().await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    resource.assert_exclusive(TASKS * ROUNDS);
    observer.count(&path, 0).await;
    // A create and a delete for each term, none for a task.
    let terms = terms.load(Ordering::SeqCst);
    assert_eq!(observer.changes(&path).await, i32::try_from(2 * terms).unwrap());
    assert!(terms <= TASKS * ROUNDS / 4, "{terms} terms");
}

backends!(each_holder_has_a_larger_token_up_to_the_bound:
    ours_each_holder_has_a_larger_token_up_to_the_bound,
    apache_each_holder_has_a_larger_token_up_to_the_bound);

async fn each_holder_has_a_larger_token_up_to_the_bound(hosts: String) {
    let (path, client) = (path("bound"), client(&hosts).await);
    let observer = Observer::new(&hosts).await;
    let lock = sharing(&client, &path, grants(3));
    let mut guard = lock.acquire().await.unwrap();
    let mut tokens = vec![guard.fencing_token()];
    for _ in 0..7 {
        let next = waiting(&lock).await;
        guard.release().await.unwrap();
        guard = next.await.unwrap().unwrap();
        assert_eq!(guard.state(), GuardState::Held);
        tokens.push(guard.fencing_token());
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    let counts: Vec<u64> = tokens.iter().map(|token| token.count()).collect();
    assert_eq!(counts, [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(observer.count(&path, 1).await.len(), 1, "one node for all");
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(another_process_gets_its_turn_after_the_bound:
    ours_another_process_gets_its_turn_after_the_bound,
    apache_another_process_gets_its_turn_after_the_bound);

async fn another_process_gets_its_turn_after_the_bound(hosts: String) {
    let path = path("starved");
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    for bound in [grants(20), Handover::DEFAULT.grants(u32::MAX).time(Duration::from_millis(50))] {
        let over = Arc::new(AtomicBool::new(false));
        // There is always one more who waits: without a bound this never comes to an end.
        let (lock, ends) = (sharing(&one, &path, bound), over.clone());
        let turns = tokio::spawn(async move {
            let mut guard = lock.acquire().await.unwrap();
            while !ends.load(Ordering::SeqCst) {
                let next = waiting(&lock).await;
                guard.release().await.unwrap();
                guard = next.await.unwrap().unwrap();
            }
            guard.release().await.unwrap();
        });
        let stranger = Lock::new(&two, &path).unwrap();
        for _ in 0..5 {
            let guard = in_time(LONG / 4, "the other process's turn", stranger.acquire()).await;
            guard.unwrap().release().await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        turns.await.unwrap();
    }
}

backends!(a_lost_lock_is_not_handed_on: ours_a_lost_lock_is_not_handed_on, apache_a_lost_lock_is_not_handed_on);

async fn a_lost_lock_is_not_handed_on(hosts: String) {
    let path = path("lost");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = sharing(&client, &path, grants(100));

    // The waiters leave a holder that has lost the lock, even if it never lets go.
    let holder = lock.acquire().await.unwrap();
    let next = waiting(&lock).await;
    observer.session.delete(holder.path(), -1).await.unwrap();
    let guard = in_time(LONG / 2, "one that queues anew", next).await.unwrap().unwrap();
    assert_eq!((holder.state(), guard.state()), (GuardState::Lost, GuardState::Held));
    assert_ne!(holder.path(), guard.path());
    assert!(holder.fencing_token() < guard.fencing_token());

    // And the one who has lost it hands nothing on.
    let next = waiting(&lock).await;
    assert!(matches!(holder.release().await, Err(Error::Lost { .. })));
    assert!(!next.is_finished());
    assert_eq!(guard.state(), GuardState::Held);
    guard.release().await.unwrap();
    next.await.unwrap().unwrap().release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_lock_in_doubt_is_not_handed_on: ours_a_lock_in_doubt_is_not_handed_on, apache_a_lock_in_doubt_is_not_handed_on);

async fn a_lock_in_doubt_is_not_handed_on(hosts: String) {
    let path = path("suspect");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = sharing(&client, &path, grants(100));
    let holder = lock.acquire().await.unwrap();
    let (old, token) = (holder.path().to_owned(), holder.fencing_token());
    let next = waiting(&lock).await;
    proxy.refuse();
    let session = client.current();
    eventually("the disconnect", || async { (session.state() == State::Suspended).then_some(()) }).await;
    assert_eq!(holder.state(), GuardState::Suspect);
    drop(holder);
    tokio::task::yield_now().await;
    assert!(!next.is_finished(), "nobody knows whether it is still ours");
    proxy.admit();
    let guard = next.await.unwrap().unwrap();
    assert_ne!(guard.path(), old);
    assert!(guard.fencing_token().czxid() > token.czxid());
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(waiters_whose_session_is_lost_queue_anew: ours_waiters_whose_session_is_lost_queue_anew, apache_waiters_whose_session_is_lost_queue_anew);

async fn waiters_whose_session_is_lost_queue_anew(hosts: String) {
    let path = path("session");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client_with_timeout(&proxy.hosts(), Duration::from_secs(2)).await;
    let lock = sharing(&client, &path, grants(100));
    let holder = lock.acquire().await.unwrap();
    let others = [waiting(&lock).await, waiting(&lock).await, waiting(&lock).await];
    proxy.refuse();
    holder.lost().await;
    observer.count(&path, 0).await;
    proxy.admit();
    let mut last = holder.fencing_token();
    for other in others {
        let guard = in_time(LONG / 2, "another task's turn", other).await.unwrap().unwrap();
        assert!(guard.fencing_token() > last);
        last = guard.fencing_token();
        guard.release().await.unwrap();
    }
    assert!(matches!(holder.release().await, Err(Error::Lost { .. })));
    observer.count(&path, 0).await;
}

backends!(a_dropped_wait_hands_the_lock_on: ours_a_dropped_wait_hands_the_lock_on, apache_a_dropped_wait_hands_the_lock_on);

/// At every poll: in front at the server, behind a task, granted and not yet told.
async fn a_dropped_wait_hands_the_lock_on(hosts: String) {
    let path = path("dropped");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    let lock = sharing(&client, &path, grants(1_000));
    let stranger = Lock::new(&client, &path).unwrap();
    for held_by in ["nobody", "another process", "a task"] {
        for polls in 0.. {
            assert!(polls < 100, "it is never ready");
            let holder = match held_by {
                "nobody" => None,
                "another process" => Some(stranger.acquire().await.unwrap()),
                _ => Some(lock.acquire().await.unwrap()),
            };
            let mut first = Box::pin(lock.acquire());
            let before = polled(first.as_mut(), polls.min(2)).await;
            let second = waiting(&lock).await;
            drop(holder);
            let after = if before.is_some() { before } else { polled(first.as_mut(), polls).await };
            let ready = after.is_some();
            drop(first);
            drop(after.map(Result::unwrap));
            // Whatever became of the first, the second is served, and then nothing is left.
            let guard = in_time(LONG / 2, "the second one's turn", second).await.unwrap().unwrap();
            guard.release().await.unwrap();
            session.sync("/").await.unwrap();
            observer.count(&path, 0).await;
            if ready {
                break;
            }
        }
    }
}

backends!(a_lone_dropped_wait_leaves_nothing: ours_a_lone_dropped_wait_leaves_nothing, apache_a_lone_dropped_wait_leaves_nothing);

async fn a_lone_dropped_wait_leaves_nothing(hosts: String) {
    let path = path("lone");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    let lock = sharing(&client, &path, Handover::DEFAULT);
    for polls in 0.. {
        assert!(polls < 100, "it is never ready");
        let done = polled(lock.acquire(), polls).await;
        let ready = done.is_some();
        drop(done.map(Result::unwrap));
        session.sync("/").await.unwrap();
        observer.count(&path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(tries_and_time_limits_see_the_local_holder: ours_tries_and_time_limits_see_the_local_holder, apache_tries_and_time_limits_see_the_local_holder);

async fn tries_and_time_limits_see_the_local_holder(hosts: String) {
    let path = path("limits");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = sharing(&client, &path, grants(100)).with_owner(Owner::this_process().with_id("job 7"));
    let guard = lock.try_acquire().await.unwrap().expect("it is free");
    assert!(lock.try_acquire().await.unwrap().is_none());
    for limit in [Duration::ZERO, Duration::from_millis(500)] {
        let fault = lock.acquire_timeout(limit).await.unwrap_err();
        let Error::Timeout { holder: Some(holder), .. } = fault else { panic!("{fault}") };
        assert_eq!(holder.path, guard.path());
        assert_eq!(holder.owner.unwrap().id.as_deref(), Some("job 7"));
    }
    // Handles that say something else of themselves have a contender of their own.
    assert!(sharing(&client, &path, grants(100)).try_acquire().await.unwrap().is_none());
    assert_eq!(observer.count(&path, 1).await.len(), 1);
    let next = waiting(&lock).await;
    guard.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    assert_eq!(guard.fencing_token().count(), 1, "a time limit leaves no gap in the line");
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(readers_share_one_node_up_to_the_bound: ours_readers_share_one_node_up_to_the_bound, apache_readers_share_one_node_up_to_the_bound);

async fn readers_share_one_node_up_to_the_bound(hosts: String) {
    let path = path("readers");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let lock = RwLock::new(&one, &path).unwrap().local_handover(grants(3));
    let readers =
        [lock.read().await.unwrap(), lock.read().await.unwrap(), lock.try_read().await.unwrap().unwrap()];
    assert_eq!(observer.count(&path, 1).await.len(), 1, "one node for three");
    let counts: Vec<u64> = readers.iter().map(|guard| guard.fencing_token().count()).collect();
    assert_eq!(counts, [0, 1, 2]);

    // The fourth is behind the bound, and behind a writer of another process that waits.
    let (writer, mut waits) = common::telling_rw(RwLock::new(&two, &path).unwrap());
    let writing = tokio::spawn(async move { writer.write().await.unwrap() });
    waits.recv().await.unwrap();
    assert!(lock.try_read().await.unwrap().is_none());
    let reading = tokio::spawn({
        let lock = lock.clone();
        async move { lock.read().await.unwrap() }
    });
    observer.count(&path, 3).await;
    let [first, second, third] = readers;
    let (one_path, last) = (first.path().to_owned(), third.fencing_token());
    first.release().await.unwrap();
    third.release().await.unwrap();
    assert!(!writing.is_finished() && second.is_held());
    assert!(observer.exists(&one_path).await.unwrap().is_some(), "the last of them releases the node");
    second.release().await.unwrap();
    let written = writing.await.unwrap();
    assert!(written.fencing_token() > last && !reading.is_finished());
    written.release().await.unwrap();
    reading.await.unwrap().release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_closed_client_ends_all_who_share: ours_a_closed_client_ends_all_who_share, apache_a_closed_client_ends_all_who_share);

async fn a_closed_client_ends_all_who_share(hosts: String) {
    let path = path("closed");
    let client = client(&hosts).await;
    let lock = sharing(&client, &path, grants(100));
    let holder = lock.acquire().await.unwrap();
    let others = [waiting(&lock).await, waiting(&lock).await];
    client.close().await.unwrap();
    for other in others {
        let fault = in_time(LONG / 2, "the others to be told", other).await.unwrap().unwrap_err();
        assert!(matches!(fault, Error::Session(zooky::session::Error::Closed)), "{fault}");
    }
    assert_eq!(holder.state(), GuardState::Lost);
}
