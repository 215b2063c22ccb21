//! A future that is dropped at any await point leaves no node behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Observer, client, path, polled, telling};
use zooky::session::Session;
use zooky::{Guard, Lock};

/// More polls than any acquisition here takes.
const MANY: usize = 100;

/// The cleaning up began after everything that the session had sent by now, and is over.
async fn nothing_is_left(session: &Session, observer: &Observer, path: &str, expected: usize) {
    session.sync("/").await.unwrap();
    observer.count(path, expected).await;
}

backends!(a_dropped_acquire_leaves_nothing: ours_a_dropped_acquire_leaves_nothing, apache_a_dropped_acquire_leaves_nothing);

async fn a_dropped_acquire_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for directory_exists in [true, false] {
        let mut paths = Vec::new();
        for polls in 0.. {
            assert!(polls < MANY, "it is never ready");
            let path = path("dropped");
            if directory_exists {
                observer.make(&path).await;
            }
            let lock = Lock::new(&client, &path).unwrap();
            let done = polled(lock.acquire(), polls).await;
            let ready = done.is_some();
            if let Some(guard) = done {
                observer.count(&path, 1).await;
                drop(guard.unwrap());
            }
            nothing_is_left(&session, &observer, &path, 0).await;
            paths.push(path);
            if ready {
                // A round trip takes at least two polls; without a directory there are more.
                assert!(polls >= if directory_exists { 2 } else { 3 });
                break;
            }
        }
        // Nothing came late.
        for path in paths {
            nothing_is_left(&session, &observer, &path, 0).await;
        }
    }
}

backends!(a_dropped_wait_leaves_nothing: ours_a_dropped_wait_leaves_nothing, apache_a_dropped_wait_leaves_nothing);

async fn a_dropped_wait_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = two.session().await.unwrap();
    let path = path("waiting");
    let holder_lock = Lock::new(&one, &path).unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let holder = holder_lock.acquire().await.unwrap();
        let (lock, mut waits) = telling(Lock::new(&two, &path).unwrap());
        // Once it waits, the holder leaves: so the polls go on through the whole way to the grant.
        let leaving = tokio::spawn(async move {
            if waits.recv().await.is_some() {
                holder.release().await.unwrap();
                return None;
            }
            Some(holder)
        });
        let done: Option<Guard> = polled(lock.acquire(), polls).await.map(Result::unwrap);
        drop(lock);
        let holder = leaving.await.unwrap();
        let ready = done.is_some();
        nothing_is_left(&session, &observer, &path, usize::from(ready || holder.is_some())).await;
        drop((done, holder));
        observer.count(&path, 0).await;
        if ready {
            assert!(polls > 3);
            break;
        }
    }
}

backends!(a_dropped_try_leaves_nothing: ours_a_dropped_try_leaves_nothing, apache_a_dropped_try_leaves_nothing);

async fn a_dropped_try_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let path = path("try-dropped");
        let lock = Lock::new(&client, &path).unwrap();
        let done = polled(lock.try_acquire(), polls).await;
        let ready = done.is_some();
        drop(done.map(Result::unwrap));
        nothing_is_left(&session, &observer, &path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(a_dropped_release_goes_on: ours_a_dropped_release_goes_on, apache_a_dropped_release_goes_on);

async fn a_dropped_release_goes_on(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    let path = path("release-dropped");
    let lock = Lock::new(&client, &path).unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let guard = lock.acquire().await.unwrap();
        let ready = polled(guard.release(), polls).await.is_some();
        nothing_is_left(&session, &observer, &path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(an_overloaded_session_leaves_nothing: ours_an_overloaded_session_leaves_nothing, apache_an_overloaded_session_leaves_nothing);

async fn an_overloaded_session_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let mut config = common::config(&hosts);
    config.max_outstanding = 3;
    let client = zooky::Client::connect_with(config).await.unwrap();
    let session = client.session().await.unwrap();
    let path = path("overloaded");
    let guard = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    observer.count(&path, 1).await;
    // Nothing is awaited from here to the drop, so the release finds no room.
    let pending: Vec<_> = (0..3).map(|_| session.children("/")).collect();
    drop(guard);
    assert!(matches!(session.children("/").await, Err(zooky::session::Error::Overloaded { .. })));
    for one in pending {
        one.await.unwrap();
    }
    observer.count(&path, 0).await;
}
