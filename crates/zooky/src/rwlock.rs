//! The shared read/write lock.

use std::time::Duration;

use zooky_client::Acl;

use crate::acquire::{Recipe, WaitingFor};
use crate::core::dialect::Role;
use crate::delay::lock_delay;
use crate::guard::Guard;
use crate::handover::{Handover, Local};
use crate::inspect::Contender;
use crate::lock::{revocation, settings, within};
use crate::{Client, Error, Owner, Revocation, Revoke, Standing};

/// A lock that readers share and writers have alone, first come first served: a reader that comes
/// after a waiting writer waits for it, so that writers do not starve.
///
/// It is ZooKeeper's shared-lock recipe in kazoo's layout, and excludes kazoo's `ReadLock` and
/// `WriteLock` on the same path. (kazoo's plain `Lock` does not see readers, neither kazoo's nor
/// ours: never mix it with readers.)
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// let dataset = zooky::RwLock::new(&client, "/locks/dataset")?;
/// let reading = dataset.read().await?;
/// assert!(dataset.try_write().await?.is_none());
/// reading.release().await?;
/// let writing = dataset.write().await?;
/// writing.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RwLock {
    recipe: Recipe,
}

impl RwLock {
    /// A handle for the lock at `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
    pub fn new(client: &Client, path: &str) -> Result<RwLock, Error> {
        Ok(RwLock { recipe: Recipe::new(client, path)? })
    }

    settings!();
    revocation!();
    lock_delay!();

    /// Have the tasks of this process share one contender and hand the lock to each other locally, up to
    /// a bound, readers together; see [`Handover`]. Off unless asked for.
    #[must_use]
    pub fn local_handover(mut self, bound: Handover) -> Self {
        self.recipe.local = Some(Local::new(bound));
        self
    }

    /// Waits, for ever, until no earlier writer is left. Otherwise as [`crate::Lock::acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`].
    pub async fn read(&self) -> Result<Guard, Error> {
        self.recipe.acquire(Role::Reader, &WaitingFor::nobody_asks()).await
    }

    /// Waits, for ever, until nobody earlier is left. Otherwise as [`crate::Lock::acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`].
    pub async fn write(&self) -> Result<Guard, Error> {
        self.recipe.acquire(Role::Writer, &WaitingFor::nobody_asks()).await
    }

    /// A reader's guard if no writer holds or waits at this moment; as [`crate::Lock::try_acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`].
    pub async fn try_read(&self) -> Result<Option<Guard>, Error> {
        self.recipe.try_acquire(Role::Reader, None).await
    }

    /// A writer's guard if nobody holds or waits at this moment; as [`crate::Lock::try_acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`].
    pub async fn try_write(&self) -> Result<Option<Guard>, Error> {
        self.recipe.try_acquire(Role::Writer, None).await
    }

    /// [`RwLock::read`], up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire_timeout`].
    pub async fn read_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        within(&self.recipe, Role::Reader, timeout).await
    }

    /// [`RwLock::write`], up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire_timeout`].
    pub async fn write_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        within(&self.recipe, Role::Writer, timeout).await
    }
}
