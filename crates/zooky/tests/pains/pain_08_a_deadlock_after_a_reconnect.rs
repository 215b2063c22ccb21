//! After a reconnect everybody waited for a node that was gone (CURATOR-335).

use crate::common::proxy::Proxy;
use crate::common::{self, Observer, client, path, telling};
use crate::{DIALECTS, lock};

backends!(the_queue_is_listed_again: pain_08_ours_the_queue_is_listed_again, pain_08_apache_the_queue_is_listed_again);

/// Everybody before the waiter leaves while it is cut off.
async fn the_queue_is_listed_again(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let others = client(&hosts).await;
    for dialect in DIALECTS {
        let path = path("reconnect");
        let holder = lock(&others, &path, dialect).acquire().await.unwrap();
        let (between, mut waits) = telling(lock(&others, &path, dialect));
        let leaving = tokio::spawn(async move { between.acquire().await.unwrap() });
        waits.recv().await.unwrap();

        let proxy = Proxy::start(&hosts).await;
        let client = client(&proxy.hosts()).await;
        let session = client.current();
        let (waiter, mut waits) = telling(lock(&client, &path, dialect));
        let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
        waits.recv().await.unwrap();
        observer.count(&path, 3).await;

        proxy.refuse();
        leaving.abort();
        assert!(leaving.await.unwrap_err().is_cancelled());
        holder.release().await.unwrap();
        observer.count(&path, 1).await;
        assert!(!waiting.is_finished());
        proxy.admit();
        let guard = waiting.await.unwrap();
        assert_eq!(client.current().id(), session.id(), "the session went on");
        guard.release().await.unwrap();
    }
}
