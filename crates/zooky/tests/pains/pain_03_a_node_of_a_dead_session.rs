//! A lock was "acquired" on the node of a session that was dying, after a reconnect (CURATOR-604, -498, -696; kazoo has
//! the same shape).

use std::time::Duration;

use zooky::GuardState;

use crate::common::proxy::Proxy;
use crate::common::{self, Observer, client, client_with_timeout, path, telling};
use crate::{DIALECTS, lock};

backends!(a_new_session_makes_a_new_contender: pain_03_ours_a_new_session_makes_a_new_contender, pain_03_apache_a_new_session_makes_a_new_contender);

/// The waiter is cut off until its session is given up. The server still has its node, now the first in the queue, when
/// the waiter comes back: that node must not count.
async fn a_new_session_makes_a_new_contender(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for dialect in DIALECTS {
        let path = path("dead-session");
        let holder = lock(&client(&hosts).await, &path, dialect).acquire().await.unwrap();
        let proxy = Proxy::start(&hosts).await;
        let waiting_client = client_with_timeout(&proxy.hosts(), Duration::from_secs(2)).await;
        let old = waiting_client.current();
        let (waiter, mut waits) = telling(lock(&waiting_client, &path, dialect));
        let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
        waits.recv().await.unwrap();
        proxy.refuse();
        old.lost().await;
        holder.release().await.unwrap();
        proxy.admit();

        let guard = waiting.await.unwrap();
        let stat = observer.exists(guard.path()).await.unwrap().unwrap();
        let present = waiting_client.current().id();
        assert_ne!(present, old.id());
        assert_eq!(stat.ephemeral_owner, present, "{dialect}: granted on another session's node");
        assert_eq!(guard.state(), GuardState::Held);
        // The old one goes with its session, and nothing of it stays.
        observer.count(&path, 1).await;
        guard.release().await.unwrap();
    }
}
