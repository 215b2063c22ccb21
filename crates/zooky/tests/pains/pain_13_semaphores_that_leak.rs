//! Semaphores handed out too many leases, or lost some for ever (kazoo#213, kazoo#429, CURATOR-595).

use std::time::Duration;

use zooky::Semaphore;

use crate::common::kazoo::Kazoo;
use crate::common::{self, Observer, client, path, polled};

backends!(no_lease_too_many_and_none_lost: pain_13_ours_no_lease_too_many_and_none_lost, pain_13_apache_no_lease_too_many_and_none_lost);

/// kazoo and we have one lease each; its process is killed; a task of ours gives up at each point on its way.
async fn no_lease_too_many_and_none_lost(hosts: String) {
    let path = path("leases");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let semaphore = Semaphore::new(&client, &path, 2).unwrap();
    let one = semaphore.acquire().await.unwrap();
    let mut kazoo = Kazoo::start(&hosts, Duration::from_secs(2));
    kazoo.new_semaphore("k", &path, 2);
    assert!(kazoo.acquire("k", Duration::from_secs(10)));
    assert!(semaphore.try_acquire().await.unwrap().is_none(), "not one too many");
    for polls in 0..12 {
        // Where it waits, it is not polled that often.
        let _ = tokio::time::timeout(Duration::from_millis(50), polled(semaphore.acquire(), polls)).await;
        assert!(observer.children(&path).await.len() <= 2);
    }
    kazoo.talk.kill();
    // Its lease comes back with the end of its session.
    let two = semaphore.acquire().await.unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    for polls in 0..12 {
        // Where it waits, it is not polled that often.
        let _ = tokio::time::timeout(Duration::from_millis(50), polled(semaphore.acquire(), polls)).await;
        assert!(observer.children(&path).await.len() <= 2);
    }
    one.release().await.unwrap();
    two.release().await.unwrap();
    // All of them are there again.
    let all = [semaphore.acquire().await.unwrap(), semaphore.acquire().await.unwrap()];
    observer.count(&path, 2).await;
    drop(all);
    observer.count(&path, 0).await;
    observer.count(&format!("{path}-__lock__"), 0).await;
}
