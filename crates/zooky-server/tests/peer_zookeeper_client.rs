//! The crate `zookeeper-client` as a client of our server.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use support::start;
use tempfile::TempDir;
use zookeeper_client::{Acls, Client, CreateMode, EventType, LockOptions, LockPrefix};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_creates_lists_watches_and_locks() {
    let dir = TempDir::new().unwrap();
    let server = start(dir.path());
    let client = Client::connect(&server.addr().to_string()).await.unwrap();
    let open = Acls::anyone_all();
    let persistent = CreateMode::Persistent.with_acls(open);
    client.create("/p", b"1", &persistent).await.unwrap();
    let (data, stat, watcher) = client.get_and_watch_data("/p").await.unwrap();
    assert_eq!((&data[..], stat.version), (&b"1"[..], 0));
    client.set_data("/p", b"2", None).await.unwrap();
    assert_eq!(watcher.changed().await.event_type, EventType::NodeDataChanged);
    client.create("/p/c", b"", &CreateMode::Ephemeral.with_acls(open)).await.unwrap();
    assert_eq!(client.list_children("/p").await.unwrap(), ["c"]);

    let held = lock(&client).await;
    let other = Client::connect(&server.addr().to_string()).await.unwrap();
    let waiting = lock(&other);
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("two hold the lock"),
        () = two_contend(&client) => {}
    }
    drop(held);
    drop(waiting.await);
}

async fn lock(client: &Client) -> zookeeper_client::LockClient<'_> {
    let open = Acls::anyone_all();
    let prefix = LockPrefix::new_curator("/locks", "lock-").unwrap();
    let options =
        LockOptions::new(open).with_ancestor_options(CreateMode::Persistent.with_acls(open)).unwrap();
    client.lock(prefix, b"", options).await.unwrap()
}

async fn two_contend(client: &Client) {
    loop {
        let (children, _, watcher) = client.get_and_watch_children("/locks").await.unwrap();
        if children.len() == 2 {
            return;
        }
        watcher.changed().await;
    }
}
