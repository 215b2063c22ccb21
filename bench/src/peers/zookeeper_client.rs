//! The lock of the crate `zookeeper-client`. Its release happens in the background only.

use super::on_tokio::Locks;
use crate::failure::Failure;
use std::time::Duration;
use zookeeper_client::{Acls, Client, CreateMode, LockPrefix, OwnedLockClient};

pub(super) struct Theirs {
    client: Client,
}

impl Locks for Theirs {
    type Lock = String;
    type Guard = OwnedLockClient;
    const NAME: &'static str = "zookeeper-client";

    async fn connect(hosts: &str) -> Result<Self, Failure> {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
        Ok(Theirs { client: connector.connect(hosts).await? })
    }

    async fn lock(&self, path: &str) -> Result<String, Failure> {
        let directory = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.client.mkdir(path, &directory).await?;
        Ok(path.to_string())
    }

    async fn acquire(&self, lock: &String) -> Result<OwnedLockClient, Failure> {
        let prefix = LockPrefix::new_curator(lock, "lock-")?;
        let guard = self.client.lock(prefix, b"bench", Acls::anyone_all()).await?;
        Ok(guard.into_owned())
    }

    /// There is no such thing here, so it asks until the node is gone.
    async fn release(&self, guard: OwnedLockClient) -> Result<(), Failure> {
        let path = guard.lock_path().to_string();
        drop(guard);
        while self.client.check_stat(&path).await?.is_some() {}
        Ok(())
    }

    async fn settle(&self) -> Result<(), Failure> {
        // The deletes are sent by tasks of their own, which this lets run before it.
        tokio::task::yield_now().await;
        Ok(self.client.sync("/").await?)
    }

    async fn contenders(&self, path: &str) -> Result<usize, Failure> {
        let stat = self.client.check_stat(path).await?;
        Ok(stat.map_or(0, |stat| usize::try_from(stat.num_children).unwrap_or(0)))
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl From<zookeeper_client::Error> for Failure {
    fn from(error: zookeeper_client::Error) -> Self {
        Failure::Refused(format!("zookeeper-client: {error}"))
    }
}
