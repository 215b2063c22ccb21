//! Readers and writers waited for each other (kazoo#649).

use std::time::Duration;

use tokio::task::JoinSet;
use zooky_testkit::Mode;

use crate::common::{self, Observer, Resource, client, path};
use crate::{DIALECTS, lock, rwlock};

backends!(only_smaller_numbers_block: pain_10_ours_only_smaller_numbers_block, pain_10_apache_only_smaller_numbers_block);

/// Reader, writer, reader, writer … all at once on three sessions: everybody comes through, in the order of the queue
/// and without overlap.
async fn only_smaller_numbers_block(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for dialect in DIALECTS {
        let path = path("readers-writers");
        let resource = std::sync::Arc::new(Resource::new());
        let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await];
        let mut tasks = JoinSet::new();
        for n in 0..24_usize {
            let (client, path) = (clients[n % 3].clone(), path.clone());
            let (rw, plain) = (rwlock(&client, &path, dialect), lock(&client, &path, dialect));
            let resource = resource.clone();
            tasks.spawn(async move {
                let guard = match n % 4 {
                    0 | 2 => rw.read().await.unwrap(),
                    // kazoo's and zktools' plain locks are in the same family; Curator's is not.
                    1 if dialect != zooky::Dialect::Curator => plain.acquire().await.unwrap(),
                    _ => rw.write().await.unwrap(),
                };
                let mode = if n % 2 == 0 { Mode::Read } else { Mode::Write };
                let entry =
                    resource.register.enter(guard.fencing_token().as_u128(), mode, &n.to_string()).unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                drop(entry);
                guard.release().await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(resource.register.overlaps(), [], "{dialect}");
        assert_eq!(resource.entered().len(), 24);
        observer.count(&path, 0).await;
    }
}
