//! A lock that its owner may take again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{Observer, client, outside_a_runtime, path, polled};
use zooky::{Error, Lock, ReentrantLock, blocking};

ensemble!();

backends!(an_owner_takes_its_lock_again:
    ours_an_owner_takes_its_lock_again,
    apache_an_owner_takes_its_lock_again);

async fn an_owner_takes_its_lock_again(hosts: String) {
    let path = path("reentrant");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = ReentrantLock::new(Lock::new(&client, &path).unwrap());
    let outer = lock.acquire("a").await.unwrap();
    let inner = lock.clone().acquire("a").await.unwrap();
    let third = lock.try_acquire("a").await.unwrap().unwrap();
    assert_eq!((inner.depth(), inner.fencing_token()), (3, outer.fencing_token()));
    observer.count(&path, 1).await;
    assert!(lock.try_acquire("b").await.unwrap().is_none());
    assert!(lock.acquire_timeout("b", Duration::from_millis(100)).await.unwrap_err().is_timeout());
    assert!(!outer.release().await.unwrap());
    drop(third);
    assert!(lock.try_acquire("b").await.unwrap().is_none());
    assert!(inner.release().await.unwrap(), "the last one releases");
    let other = lock.acquire("b").await.unwrap();
    assert!(lock.try_acquire("a").await.unwrap().is_none());

    // A lost hold is not entered again until all of it is gone.
    observer.session.delete(other.path(), -1).await.unwrap();
    other.lost().await;
    assert!(matches!(lock.acquire("b").await, Err(Error::Lost { .. })));
    assert!(matches!(other.release().await, Err(Error::Lost { .. })));
    assert!(lock.acquire("b").await.unwrap().release().await.unwrap());

    // Two tasks of one owner at once: one asks the server, both have it.
    let (one, two) = tokio::join!(lock.acquire("c"), lock.acquire("c"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.depth(), one.path()), (2, two.path()));
    drop((one, two));
    observer.count(&path, 0).await;
    for polls in 0.. {
        let ready = polled(lock.acquire("d"), polls).await.map(Result::unwrap).is_some();
        client.session().await.unwrap().sync("/").await.unwrap();
        observer.count(&path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(threads_take_their_lock_again: ours_threads_take_their_lock_again, apache_threads_take_their_lock_again);

async fn threads_take_their_lock_again(hosts: String) {
    outside_a_runtime(move || take_it_again(&hosts)).await;
}

fn take_it_again(hosts: &str) {
    let client = blocking::Client::connect(hosts).unwrap();
    let lock = ReentrantLock::new(Lock::new(client.asynchronous(), &path("threads")).unwrap());
    let me = || std::thread::current().id();
    let outer = client.run(lock.acquire(me())).unwrap().unwrap();
    let inner = client.run(lock.acquire(me())).unwrap().unwrap();
    let other = std::thread::spawn({
        let (client, lock) = (client.clone(), lock.clone());
        move || client.run(lock.try_acquire(std::thread::current().id())).unwrap().unwrap().is_none()
    });
    assert!(other.join().unwrap());
    assert!(!client.run(outer.release()).unwrap().unwrap());
    assert!(client.run(inner.release()).unwrap().unwrap());
}
