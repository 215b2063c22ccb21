//! Not waiting for ever: try, and acquiring with a time limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{Observer, catch_up, client, path};
use zooky::{Error, Lock, Owner, RwLock};

ensemble!();

backends!(try_looks_before_it_creates: ours_try_looks_before_it_creates, apache_try_looks_before_it_creates);

async fn try_looks_before_it_creates(hosts: String) {
    let path = path("try");
    let observer = Observer::new(&hosts).await;
    let (client_one, client_two) = (client(&hosts).await, client(&hosts).await);
    let (one, two) = (Lock::new(&client_one, &path).unwrap(), Lock::new(&client_two, &path).unwrap());

    let held = one.try_acquire().await.unwrap().expect("free, though its directory does not exist");
    let changes = observer.changes(&path).await;
    catch_up(&client_two).await;
    for _ in 0..20 {
        assert!(two.try_acquire().await.unwrap().is_none());
    }
    assert!(two.acquire_timeout(Duration::ZERO).await.unwrap_err().is_timeout());
    assert_eq!(observer.changes(&path).await, changes, "a try created something");

    held.release().await.unwrap();
    catch_up(&client_two).await;
    let again = two.try_acquire().await.unwrap().expect("it is free");
    assert!(one.try_acquire().await.unwrap().is_none());
    again.release().await.unwrap();
    catch_up(&client_one).await;
    one.acquire_timeout(Duration::ZERO).await.unwrap().release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_time_limit_names_the_holder: ours_a_time_limit_names_the_holder, apache_a_time_limit_names_the_holder);

async fn a_time_limit_names_the_holder(hosts: String) {
    let path = path("limit");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let owner = Owner::this_process().with_id("job 7");
    let holder = Lock::new(&one, &path).unwrap().with_owner(owner.clone()).acquire().await.unwrap();

    let limit = Duration::from_millis(1_500);
    for limit in [limit, Duration::ZERO] {
        // The last one to give up has left.
        observer.count(&path, 1).await;
        let begun = Instant::now();
        let fault = Lock::new(&two, &path).unwrap().acquire_timeout(limit).await.unwrap_err();
        assert!(begun.elapsed() >= limit);
        let text = fault.to_string();
        let Error::Timeout { path: named, waited, holder: Some(contender) } = fault else { panic!("{text}") };
        assert_eq!((named, contender.path.as_str()), (path.clone(), holder.path()));
        assert!(waited >= limit);
        let said = contender.owner.expect("one of ours");
        assert_eq!(
            (said.pid, &said.host, said.id.as_deref()),
            (std::process::id(), &owner.host, Some("job 7"))
        );
        for part in [path.as_str(), &format!("pid {}", std::process::id()), &owner.host] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
    observer.count(&path, 1).await;

    let rw = RwLock::new(&two, &path).unwrap();
    assert!(rw.read_timeout(limit).await.unwrap_err().is_timeout());
    assert!(rw.write_timeout(limit).await.unwrap_err().is_timeout());
    observer.count(&path, 1).await;
    holder.release().await.unwrap();
    rw.write_timeout(Duration::from_secs(20)).await.unwrap().release().await.unwrap();
    rw.read_timeout(Duration::from_secs(20)).await.unwrap().release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_lock_that_comes_free_in_time_is_taken: ours_a_lock_that_comes_free_in_time_is_taken, apache_a_lock_that_comes_free_in_time_is_taken);

async fn a_lock_that_comes_free_in_time_is_taken(hosts: String) {
    let path = path("in-time");
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let (lock, mut waits) = common::telling(Lock::new(&two, &path).unwrap());
    let waiting = tokio::spawn(async move { lock.acquire_timeout(common::LONG).await.unwrap() });
    waits.recv().await.unwrap();
    holder.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
}
