//! Everybody wakes up at each release, and all but one in vain (Consul's semaphores and locks).

use zooky::Lock;

use crate::common::proxy::{Proxy, op};
use crate::common::{self, Observer, client, path, telling};

/// So many clients that none keeps a mirror.
const CROWD: usize = 20;

backends!(a_release_wakes_one_waiter:
    pain_12_ours_a_release_wakes_one_waiter,
    pain_12_apache_a_release_wakes_one_waiter);

async fn a_release_wakes_one_waiter(hosts: String) {
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
