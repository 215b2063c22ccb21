//! The same locks for programs without an asynchronous runtime.
//!
//! A [`Client`] runs its own small runtime on one background thread; each call blocks the calling
//! thread until it is done. Used on a thread that runs asynchronous tasks, the calls fail with
//! [`Error::InsideRuntime`] instead of blocking it.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
//! # let hosts = server.addr().to_string();
//! let client = zooky::blocking::Client::connect(&hosts)?;
//! let lock = zooky::blocking::Lock::new(&client, "/locks/nightly-backup")?;
//! let guard = lock.acquire()?;
//! println!("ours, with token {}", guard.fencing_token());
//! guard.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod node;
mod recipes;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use zooky_client::{BootInstant, SessionConfig, send_at_once};

use crate::{Error, FencingToken, GuardState, Owner};

pub use node::Node;
pub use recipes::{
    AsyncLock, Candidate, Election, LeaderObserver, MultiGuard, MultiLock, PersistentGuard, PersistentLock,
    Semaphore,
};

/// How long the last handle of a client waits, when it is dropped, for its session to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A connection to ZooKeeper for locks; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: crate::Client,
    runtime: Option<Runtime>,
}

impl Client {
    /// Connects; see [`crate::Client::connect`].
    ///
    /// # Errors
    /// As there, and [`Error::InsideRuntime`].
    pub fn connect(servers: &str) -> Result<Client, Error> {
        Client::connect_with(SessionConfig::new(servers.parse()?))
    }

    /// Connects as `config` says; see [`crate::Client::connect_with`].
    ///
    /// # Errors
    /// As there, and [`Error::InsideRuntime`].
    pub fn connect_with(config: SessionConfig) -> Result<Client, Error> {
        outside_runtime()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("zooky")
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let client = runtime.block_on(crate::Client::connect_with(config))?;
        Ok(Client { inner: Arc::new(Inner { client, runtime: Some(runtime) }) })
    }

    /// The asynchronous client underneath, to be used on its own runtime only.
    pub fn asynchronous(&self) -> &crate::Client {
        &self.inner.client
    }

    /// Runs a future of the asynchronous face to its end.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        outside_runtime()?;
        // This thread stands outside of the runtime: its requests need not wait until a thread inside has woken up.
        let mut future = pin!(future);
        let sending = poll_fn(|cx| send_at_once(|| future.as_mut().poll(cx)));
        Ok(self.inner.client.runtime().block_on(sending))
    }
}

impl Drop for Inner {
    /// Closes the session, so that what it held is free at once; for at most two seconds.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if Handle::try_current().is_err() {
            let close = self.client.clone().close();
            let bounded = async { tokio::time::timeout(CLOSE_WITHIN, close).await };
            if !matches!(runtime.block_on(bounded), Ok(Ok(()))) {
                tracing::debug!("the session was not closed in time; it ends by its timeout");
            }
        }
        runtime.shutdown_background();
    }
}

fn outside_runtime() -> Result<(), Error> {
    if Handle::try_current().is_ok() { Err(Error::InsideRuntime) } else { Ok(()) }
}

/// The exclusive lock; see [`crate::Lock`].
#[derive(Debug, Clone)]
pub struct Lock {
    client: Client,
    lock: crate::Lock,
}

impl Lock {
    /// A handle for the lock at `path`.
    ///
    /// # Errors
    /// As [`crate::Lock::new`].
    pub fn new(client: &Client, path: &str) -> Result<Lock, Error> {
        Ok(Lock { client: client.clone(), lock: crate::Lock::new(&client.inner.client, path)? })
    }

    /// Written in another dialect; see [`crate::Lock::dialect`].
    ///
    /// # Errors
    /// As there.
    pub fn dialect(self, dialect: crate::Dialect) -> Result<Lock, Error> {
        Ok(Lock { lock: self.lock.dialect(dialect)?, ..self })
    }

    /// With other metadata; see [`crate::Lock::with_owner`].
    #[must_use]
    pub fn with_owner(self, owner: Owner) -> Lock {
        Lock { lock: self.lock.with_owner(owner), ..self }
    }

    /// Waits for the lock, for ever.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`], and [`Error::InsideRuntime`].
    pub fn acquire(&self) -> Result<Guard, Error> {
        self.client.guard(self.lock.acquire())
    }

    /// Takes the lock if it is free at this moment.
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`], and [`Error::InsideRuntime`].
    pub fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        self.client.maybe_guard(self.lock.try_acquire())
    }

    /// Waits for the lock, up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire_timeout`], and [`Error::InsideRuntime`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        self.client.guard(self.lock.acquire_timeout(timeout))
    }
}

/// The shared read/write lock; see [`crate::RwLock`].
#[derive(Debug, Clone)]
pub struct RwLock {
    client: Client,
    lock: crate::RwLock,
}

impl RwLock {
    /// A handle for the lock at `path`.
    ///
    /// # Errors
    /// As [`crate::RwLock::new`].
    pub fn new(client: &Client, path: &str) -> Result<RwLock, Error> {
        Ok(RwLock { client: client.clone(), lock: crate::RwLock::new(&client.inner.client, path)? })
    }

    /// Written in another dialect; see [`crate::RwLock::dialect`].
    ///
    /// # Errors
    /// As there.
    pub fn dialect(self, dialect: crate::Dialect) -> Result<RwLock, Error> {
        Ok(RwLock { lock: self.lock.dialect(dialect)?, ..self })
    }

    /// With other metadata; see [`crate::RwLock::with_owner`].
    #[must_use]
    pub fn with_owner(self, owner: Owner) -> RwLock {
        RwLock { lock: self.lock.with_owner(owner), ..self }
    }

    /// Waits, for ever, until no earlier writer is left.
    ///
    /// # Errors
    /// As [`crate::RwLock::read`], and [`Error::InsideRuntime`].
    pub fn read(&self) -> Result<Guard, Error> {
        self.client.guard(self.lock.read())
    }

    /// Waits, for ever, until nobody earlier is left.
    ///
    /// # Errors
    /// As [`crate::RwLock::write`], and [`Error::InsideRuntime`].
    pub fn write(&self) -> Result<Guard, Error> {
        self.client.guard(self.lock.write())
    }

    /// A reader's guard if no writer holds or waits at this moment.
    ///
    /// # Errors
    /// As [`crate::RwLock::try_read`], and [`Error::InsideRuntime`].
    pub fn try_read(&self) -> Result<Option<Guard>, Error> {
        self.client.maybe_guard(self.lock.try_read())
    }

    /// A writer's guard if nobody holds or waits at this moment.
    ///
    /// # Errors
    /// As [`crate::RwLock::try_write`], and [`Error::InsideRuntime`].
    pub fn try_write(&self) -> Result<Option<Guard>, Error> {
        self.client.maybe_guard(self.lock.try_write())
    }

    /// [`RwLock::read`], up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::RwLock::read_timeout`], and [`Error::InsideRuntime`].
    pub fn read_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        self.client.guard(self.lock.read_timeout(timeout))
    }

    /// [`RwLock::write`], up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::RwLock::write_timeout`], and [`Error::InsideRuntime`].
    pub fn write_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        self.client.guard(self.lock.write_timeout(timeout))
    }
}

impl Client {
    fn guard(&self, acquire: impl Future<Output = Result<crate::Guard, Error>>) -> Result<Guard, Error> {
        Ok(Guard { guard: self.run(acquire)??, client: self.clone() })
    }

    fn maybe_guard(
        &self,
        acquire: impl Future<Output = Result<Option<crate::Guard>, Error>>,
    ) -> Result<Option<Guard>, Error> {
        let guard = self.run(acquire)??;
        Ok(guard.map(|guard| Guard { guard, client: self.clone() }))
    }
}

/// A held lock; see [`crate::Guard`]. Dropped, it is released in the background; the last handle
/// of the client, when it is dropped outside of an asynchronous runtime, waits for that.
#[must_use = "dropping a guard releases the lock"]
#[derive(Debug)]
pub struct Guard {
    // In this order: the guard's release must find its runtime.
    guard: crate::Guard,
    client: Client,
}

impl Guard {
    /// The token to fence writes with.
    pub fn fencing_token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// Whether the lock is held, as of now.
    pub fn state(&self) -> GuardState {
        self.guard.state()
    }

    /// Whether the lock is not lost, as of now.
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// Until when the lock is held even if no server is ever heard of again.
    pub fn deadline(&self) -> BootInstant {
        self.guard.deadline()
    }

    /// The path of the contender's node.
    pub fn path(&self) -> &str {
        self.guard.path()
    }

    /// Waits up to `timeout` for the lock to be lost; whether it is.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn wait_lost(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { tokio::time::timeout(timeout, self.guard.lost()).await.is_ok() })
    }

    /// A contender that came meanwhile and does not respect the lock; see [`crate::Guard::foreign_contender`].
    pub fn foreign_contender(&self) -> Option<crate::ForeignContender> {
        self.guard.foreign_contender()
    }

    /// Calls `told` on a thread of its own when a contender is seen that surely does not respect the lock; never, if it
    /// is released or lost before.
    pub fn on_foreign(&self, told: impl FnOnce(crate::ForeignContender) + Send + 'static) {
        let foreign = self.guard.on_foreign();
        self.client.inner.client.runtime().spawn(async move {
            if let Some(contender) = foreign.await {
                std::thread::spawn(move || told(contender));
            }
        });
    }

    /// Calls `told` on a thread of its own when the lock is lost; never, if it is released before.
    pub fn on_lost(&self, told: impl FnOnce() + Send + 'static) {
        let lost = self.guard.on_lost();
        self.client.inner.client.runtime().spawn(async move {
            if lost.await {
                std::thread::spawn(told);
            }
        });
    }

    /// Whether somebody has asked for the lock; see [`crate::Guard::is_revoked`].
    pub fn is_revoked(&self) -> bool {
        self.guard.is_revoked()
    }

    /// Waits up to `timeout` for somebody to ask for the lock; whether somebody did.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn wait_revoked(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { tokio::time::timeout(timeout, self.guard.revoked()).await.is_ok() })
    }

    /// A reader becomes a writer; see [`crate::Guard::upgrade`].
    ///
    /// # Errors
    /// As there, with the guard as it was, and [`Error::InsideRuntime`].
    pub fn upgrade(self) -> Result<Guard, Unchanged> {
        self.change(crate::Guard::upgrade)
    }

    /// [`Guard::upgrade`], up to `timeout`; see [`crate::Guard::upgrade_timeout`].
    ///
    /// # Errors
    /// As [`Guard::upgrade`].
    pub fn upgrade_timeout(self, timeout: Duration) -> Result<Guard, Unchanged> {
        self.change(async move |guard| guard.upgrade_timeout(timeout).await)
    }

    /// A writer becomes a reader; see [`crate::Guard::downgrade`].
    ///
    /// # Errors
    /// As there, with the guard as it was, and [`Error::InsideRuntime`].
    pub fn downgrade(self) -> Result<Guard, Unchanged> {
        self.change(crate::Guard::downgrade)
    }

    fn change(
        self,
        change: impl AsyncFnOnce(crate::Guard) -> Result<crate::Guard, crate::Unchanged>,
    ) -> Result<Guard, Unchanged> {
        if let Err(fault) = outside_runtime() {
            return Err(Unchanged { guard: self, fault });
        }
        let Guard { guard, client } = self;
        match client.inner.client.runtime().block_on(change(guard)) {
            Ok(guard) => Ok(Guard { guard, client }),
            Err(crate::Unchanged { guard, fault }) => {
                Err(Unchanged { guard: Guard { guard, client }, fault })
            }
        }
    }

    /// Releases the lock and waits until its node is deleted.
    ///
    /// # Errors
    /// As [`crate::Guard::release`], and [`Error::InsideRuntime`].
    pub fn release(self) -> Result<(), Error> {
        self.client.run(self.guard.release())?
    }
}

/// A guard that was not changed; see [`crate::Unchanged`].
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
#[must_use = "it holds the guard"]
pub struct Unchanged {
    /// The guard, as it was.
    pub guard: Guard,
    /// What stood in the way.
    #[source]
    pub fault: Error,
}
