//! Watches stay on the server when a waiter gives up, one for each try (CURATOR-14, -107, -654).

use std::time::Duration;

use zooky::{Error, Lock};

use crate::common::{self, Observer, client, eventually, path};

/// How many sessions the servers keep watches of this node for.
fn watchers(hosts: &str, node: &str) -> usize {
    let at = |host: &str| {
        let answer = zooky_testkit::four_letter(host.parse().unwrap(), "wchp").unwrap();
        let lines = answer.lines().skip_while(|line| *line != node).skip(1);
        lines.take_while(|line| line.starts_with('\t')).count()
    };
    hosts.split(',').map(at).sum()
}

backends!(waiters_that_give_up_leave_no_watch:
    pain_15_ours_waiters_that_give_up_leave_no_watch,
    pain_15_apache_waiters_that_give_up_leave_no_watch);

async fn waiters_that_give_up_leave_no_watch(hosts: String) {
    let path = path("watches");
    let observer = Observer::new(&hosts).await;
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    // The holder looks after its own node.
    eventually("the holder's watch", || async { (watchers(&hosts, holder.path()) == 1).then_some(()) }).await;
    let impatient = client(&hosts).await;
    let lock = Lock::new(&impatient, &path).unwrap();
    for _ in 0..3 {
        let given_up = lock.acquire_timeout(Duration::from_millis(30)).await;
        assert!(matches!(given_up, Err(Error::Timeout { .. })), "{given_up:?}");
        let cancelled = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await }
        });
        observer.count(&path, 2).await;
        eventually("its watch", || async { (watchers(&hosts, holder.path()) == 2).then_some(()) }).await;
        cancelled.abort();
        let _ = cancelled.await;
        observer.count(&path, 1).await;
    }
    eventually("the watches' removal", || async { (watchers(&hosts, holder.path()) == 1).then_some(()) })
        .await;

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
