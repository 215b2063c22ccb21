//! A try creates a node each time: 30,000 tries a second load the ensemble with writes (kazoo#732).

use zooky::Lock;

use crate::common::proxy::{Proxy, op};
use crate::common::{self, Observer, catch_up, client, path};

backends!(trying_again_and_again_only_reads:
    pain_16_ours_trying_again_and_again_only_reads,
    pain_16_apache_trying_again_and_again_only_reads);

async fn trying_again_and_again_only_reads(hosts: String) {
    let (path, proxy) = (path("tries"), Proxy::start(&hosts).await);
    let holder = Lock::new(&client(&hosts).await, &path).unwrap().acquire().await.unwrap();
    let observer = Observer::new(&hosts).await;
    let before = observer.changes(&path).await;
    let client = client(&proxy.hosts()).await;
    catch_up(&client).await;
    let lock = Lock::new(&client, &path).unwrap();
    proxy.forget();
    for _ in 0..200 {
        assert!(lock.try_acquire().await.unwrap().is_none());
    }
    assert_eq!(proxy.requests(), [op::GET_CHILDREN; 200]);
    assert_eq!(observer.changes(&path).await, before, "nothing was created");
    holder.release().await.unwrap();
}
