//! Ours.

use super::on_tokio::Locks;
use crate::failure::Failure;
use zooky::{Client, Guard, Lock, RwLock};

pub(super) struct Zooky {
    client: Client,
}

impl Locks for Zooky {
    type Lock = Lock;
    type Guard = Guard;
    const NAME: &'static str = "zooky";

    async fn connect(hosts: &str) -> Result<Self, Failure> {
        Ok(Zooky { client: Client::connect(hosts).await? })
    }

    async fn lock(&self, path: &str) -> Result<Lock, Failure> {
        Ok(Lock::new(&self.client, path)?)
    }

    async fn acquire(&self, lock: &Lock) -> Result<Guard, Failure> {
        Ok(lock.acquire().await?)
    }

    async fn release(&self, guard: Guard) -> Result<(), Failure> {
        Ok(guard.release().await?)
    }

    async fn settle(&self) -> Result<(), Failure> {
        let session = self.client.session().await?;
        let through = session.sync("/").await;
        through.map_err(|error| Failure::Refused(format!("zooky: {error}")))
    }

    async fn contenders(&self, path: &str) -> Result<usize, Failure> {
        let stat = self.client.session().await?.exists(path).await;
        let stat = stat.map_err(|error| Failure::Refused(format!("zooky: {error}")))?;
        Ok(stat.map_or(0, |stat| usize::try_from(stat.num_children).unwrap_or(0)))
    }

    async fn share(&self, lock: &Lock, writes: bool) -> Result<Guard, Failure> {
        let lock = RwLock::new(&self.client, lock.path())?;
        Ok(if writes { lock.write().await? } else { lock.read().await? })
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(self.client.close().await?)
    }
}

impl From<zooky::Error> for Failure {
    fn from(error: zooky::Error) -> Self {
        Failure::Refused(format!("zooky: {error}"))
    }
}
