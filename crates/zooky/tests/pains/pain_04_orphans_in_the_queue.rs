//! A time-out, a try or a cancelled task left its contender in the queue, where it blocked everybody (kazoo#732,
//! vitess#15756, aiozk PR#34).

use std::time::Duration;

use zooky::{AsyncLock, Client, Election, Lock, MultiLock, Part, PersistentLock, RwLock, Semaphore};

use crate::common::{self, Observer, client, path, polled};

const SHORT: Duration = Duration::from_millis(100);

backends!(nobody_stays_in_the_queue: pain_04_ours_nobody_stays_in_the_queue, pain_04_apache_nobody_stays_in_the_queue);

async fn nobody_stays_in_the_queue(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let path = path("orphans");
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    for polls in [1, 2, 3, 5, 8] {
        give_up(&two, &path, polls).await;
        two.session().await.unwrap().sync("/").await.unwrap();
        observer.count(&path, 1).await;
    }
    holder.release().await.unwrap();
    assert!(Lock::new(&one, &path).unwrap().try_acquire().await.unwrap().is_some(), "nobody is in the way");

    let path = common::path("leases");
    let holder = Semaphore::new(&one, &path, 1).unwrap().acquire().await.unwrap();
    for polls in [1, 2, 3, 5, 8] {
        let semaphore = Semaphore::new(&two, &path, 1).unwrap();
        assert!(semaphore.try_acquire().await.unwrap().is_none());
        assert!(semaphore.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
        dropped(semaphore.acquire(), polls).await;
        observer.count(&path, 1).await;
        observer.count(&format!("{path}-__lock__"), 0).await;
    }
    holder.release().await.unwrap();
}

/// Dropped after so many polls, or where it waits.
async fn dropped<T>(acquire: impl Future<Output = T>, polls: usize) {
    let gotten = tokio::time::timeout(SHORT, polled(acquire, polls)).await;
    assert!(!matches!(gotten, Ok(Some(_))));
}

/// Every recipe gives up in every way.
async fn give_up(client: &Client, path: &str, polls: usize) {
    let lock = Lock::new(client, path).unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
    dropped(lock.acquire(), polls).await;
    let rw = RwLock::new(client, path).unwrap();
    assert!(rw.try_read().await.unwrap().is_none());
    dropped(rw.read(), polls).await;
    let election = Election::new(client, path).unwrap();
    assert!(election.try_campaign().await.unwrap().is_none());
    assert!(election.campaign_timeout(SHORT).await.unwrap_err().is_timeout());
    dropped(election.campaign(), polls).await;
    let persistent = PersistentLock::new(client, path, "key").unwrap();
    assert!(persistent.try_acquire().await.unwrap().is_none());
    assert!(persistent.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
    dropped(persistent.acquire(), polls).await;
    let several = MultiLock::new(client, [Part::write(path), Part::write(format!("{path}-other"))]).unwrap();
    assert!(several.try_acquire().await.unwrap().is_none());
    assert!(several.acquire_timeout(SHORT).await.unwrap_err().is_timeout());
    dropped(several.acquire(), polls).await;
    let candidate = AsyncLock::new(client, path).unwrap().enqueue();
    assert!(!candidate.wait_timeout(SHORT).await.unwrap());
    candidate.release().await.unwrap();
}
