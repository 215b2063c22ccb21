//! What hurts those who wait, with other lock clients: herds, watches that stay behind, tries that write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::proxy::{Proxy, op};
use common::{Observer, client, eventually, path, telling};
use zooky::{Error, Lock};

/// So many clients that none keeps a mirror.
const CROWD: usize = 20;

backends!(pain_12_a_release_wakes_one_waiter:
    pain_12_ours_a_release_wakes_one_waiter,
    pain_12_apache_a_release_wakes_one_waiter);

async fn pain_12_a_release_wakes_one_waiter(hosts: String) {
    let (path, proxy) = (path("herd"), Proxy::start(&hosts).await);
    let observer = Observer::new(&hosts).await;
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..CROWD {
        let lock = Lock::new(&client(&proxy.hosts()).await, &path).unwrap();
        let (lock, mut waits) = telling(lock);
        waiting.push(tokio::spawn(async move { lock.acquire().await.unwrap() }));
        waits.recv().await.unwrap();
        observer.count(&path, n + 2).await;
    }
    proxy.forget();
    holder.release().await.unwrap();
    for task in waiting {
        task.await.unwrap().release().await.unwrap();
    }
    let seen = proxy.requests();
    // One listing for each grant, by the one who is granted.
    let count = |op| seen.iter().filter(|&&seen| seen == op).count();
    assert_eq!((count(op::GET_CHILDREN), count(op::DELETE)), (CROWD, CROWD), "{seen:?}");
}

/// How many watches the server keeps.
fn watch_count(hosts: &str) -> u64 {
    let answer = zooky_testkit::four_letter(hosts.parse().unwrap(), "mntr").unwrap();
    let count = answer.lines().find_map(|line| line.strip_prefix("zk_watch_count"));
    count.expect("mntr tells zk_watch_count").trim().parse().unwrap()
}

backends!(pain_15_waiters_that_give_up_leave_no_watch:
    pain_15_ours_waiters_that_give_up_leave_no_watch,
    pain_15_apache_waiters_that_give_up_leave_no_watch);

async fn pain_15_waiters_that_give_up_leave_no_watch(hosts: String) {
    let path = path("watches");
    let observer = Observer::new(&hosts).await;
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    // The holder looks after its own node.
    eventually("the holder's watch", || async { (watch_count(&hosts) == 1).then_some(()) }).await;
    let impatient = client(&hosts).await;
    let (lock, mut waits) = telling(Lock::new(&impatient, &path).unwrap());
    for _ in 0..3 {
        let given_up = lock.acquire_timeout(Duration::from_millis(30)).await;
        assert!(matches!(given_up, Err(Error::Timeout { .. })), "{given_up:?}");
        let cancelled = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await }
        });
        waits.recv().await.unwrap();
        observer.count(&path, 2).await;
        cancelled.abort();
        let _ = cancelled.await;
        observer.count(&path, 1).await;
    }
    eventually("the watches' removal", || async { (watch_count(&hosts) == 1).then_some(()) }).await;

    // One who gives up takes nobody else's watch along.
    let stays = tokio::spawn({
        let lock = Lock::new(&impatient, &path).unwrap();
        async move { lock.acquire().await.unwrap() }
    });
    observer.count(&path, 2).await;
    // It would wait for the one that stays; a reader of the same session watches the holder, too.
    let other = lock.acquire_timeout(Duration::from_millis(30)).await;
    assert!(other.is_err());
    let session = impatient.session().await.unwrap();
    let (_, _, watch) = session.get_watch(holder.path()).await.unwrap();
    drop(watch);
    session.sync("/").await.unwrap();
    holder.release().await.unwrap();
    stays.await.unwrap().release().await.unwrap();
}

backends!(pain_16_trying_again_and_again_only_reads:
    pain_16_ours_trying_again_and_again_only_reads,
    pain_16_apache_trying_again_and_again_only_reads);

async fn pain_16_trying_again_and_again_only_reads(hosts: String) {
    let (path, proxy) = (path("tries"), Proxy::start(&hosts).await);
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    let observer = Observer::new(&hosts).await;
    let before = observer.changes(&path).await;
    let lock = Lock::new(&client(&proxy.hosts()).await, &path).unwrap();
    proxy.forget();
    for _ in 0..200 {
        assert!(lock.try_acquire().await.unwrap().is_none());
    }
    assert_eq!(proxy.requests(), [op::GET_CHILDREN; 200]);
    assert_eq!(observer.changes(&path).await, before, "nothing was created");
    holder.release().await.unwrap();
}
