//! The blocking faces of the recipes beyond the plain locks.

use std::time::Duration;

use super::{Client, Guard};
use crate::inspect::Contender;
use crate::{Error, FencingToken, GuardState, Part, Trouble};

macro_rules! handle {
    ($name:ident, $inner:ty) => {
        impl $name {
            /// With settings of the asynchronous handle (owner, ACL, dialect, lock-delay …), which `change` makes.
            ///
            /// # Errors
            /// What `change` says.
            pub fn set(self, change: impl FnOnce($inner) -> Result<$inner, Error>) -> Result<$name, Error> {
                Ok($name { inner: change(self.inner)?, client: self.client })
            }
        }
    };
}

/// The semaphore; see [`crate::Semaphore`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::blocking::Client::connect(&hosts)?;
/// let downloads = zooky::blocking::Semaphore::new(&client, "/semaphores/downloads", 2)?;
/// let lease = downloads.acquire()?;
/// lease.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Semaphore {
    inner: crate::Semaphore,
    client: Client,
}

handle!(Semaphore, crate::Semaphore);

impl Semaphore {
    /// A handle for the semaphore at `path` with so many leases.
    ///
    /// # Errors
    /// As [`crate::Semaphore::new`].
    pub fn new(client: &Client, path: &str, leases: u32) -> Result<Semaphore, Error> {
        let inner = crate::Semaphore::new(client.asynchronous(), path, leases)?;
        Ok(Semaphore { inner, client: client.clone() })
    }

    /// Waits for a lease, for ever.
    ///
    /// # Errors
    /// As [`crate::Semaphore::acquire`], and [`Error::InsideRuntime`].
    pub fn acquire(&self) -> Result<Guard, Error> {
        self.client.guard(self.inner.acquire())
    }

    /// Takes a lease if one is free at this moment.
    ///
    /// # Errors
    /// As [`crate::Semaphore::try_acquire`], and [`Error::InsideRuntime`].
    pub fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        self.client.maybe_guard(self.inner.try_acquire())
    }

    /// Waits for a lease, up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::Semaphore::acquire_timeout`], and [`Error::InsideRuntime`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        self.client.guard(self.inner.acquire_timeout(timeout))
    }

    /// Who has the leases that are out.
    ///
    /// # Errors
    /// As [`crate::Semaphore::lease_holders`], and [`Error::InsideRuntime`].
    pub fn lease_holders(&self) -> Result<Vec<Contender>, Error> {
        self.client.run(self.inner.lease_holders())?
    }
}

/// Leader election; see [`crate::Election`].
#[derive(Debug, Clone)]
pub struct Election {
    inner: crate::Election,
    client: Client,
}

handle!(Election, crate::Election);

impl Election {
    /// A handle for the election at `path`.
    ///
    /// # Errors
    /// As [`crate::Election::new`].
    pub fn new(client: &Client, path: &str) -> Result<Election, Error> {
        let inner = crate::Election::new(client.asynchronous(), path)?;
        Ok(Election { inner, client: client.clone() })
    }

    /// Stands under this name; see [`crate::Election::identifier`].
    #[must_use]
    pub fn identifier(self, identifier: impl Into<String>) -> Election {
        Election { inner: self.inner.identifier(identifier), ..self }
    }

    /// Stands until it leads. The guard is the leadership: released, it resigns.
    ///
    /// # Errors
    /// As [`crate::Election::campaign`], and [`Error::InsideRuntime`].
    pub fn campaign(&self) -> Result<Guard, Error> {
        self.client.guard(async { Ok(self.inner.campaign().await?.into_guard()) })
    }

    /// Leads if nobody leads or stands at this moment.
    ///
    /// # Errors
    /// As [`crate::Election::try_campaign`], and [`Error::InsideRuntime`].
    pub fn try_campaign(&self) -> Result<Option<Guard>, Error> {
        let leading = async { Ok(self.inner.try_campaign().await?.map(crate::Leadership::into_guard)) };
        self.client.maybe_guard(leading)
    }

    /// Stands until it leads, up to `timeout`.
    ///
    /// # Errors
    /// As [`crate::Election::campaign_timeout`], and [`Error::InsideRuntime`].
    pub fn campaign_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        self.client.guard(async { Ok(self.inner.campaign_timeout(timeout).await?.into_guard()) })
    }

    /// Who leads.
    ///
    /// # Errors
    /// As [`crate::Election::leader`], and [`Error::InsideRuntime`].
    pub fn leader(&self) -> Result<Option<Contender>, Error> {
        self.client.run(self.inner.leader())?
    }

    /// Who leads and who stands, in their order.
    ///
    /// # Errors
    /// As [`crate::Election::candidates`], and [`Error::InsideRuntime`].
    pub fn candidates(&self) -> Result<Vec<Contender>, Error> {
        self.client.run(self.inner.candidates())?
    }

    /// Follows who leads, without standing.
    pub fn observe(&self) -> LeaderObserver {
        LeaderObserver { inner: self.inner.observe(), client: self.client.clone() }
    }
}

/// Follows who leads; see [`crate::LeaderObserver`].
#[derive(Debug)]
pub struct LeaderObserver {
    inner: crate::LeaderObserver,
    client: Client,
}

impl LeaderObserver {
    /// Waits for the next leader; at once the first time.
    ///
    /// # Errors
    /// As [`crate::LeaderObserver::changed`], and [`Error::InsideRuntime`].
    pub fn changed(&mut self) -> Result<Option<Contender>, Error> {
        self.client.run(self.inner.changed())?
    }

    /// As [`LeaderObserver::changed`], up to `timeout`; the outer `None` says that nothing changed.
    ///
    /// # Errors
    /// As [`LeaderObserver::changed`].
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<Option<Option<Contender>>, Error> {
        let changed = async { tokio::time::timeout(timeout, self.inner.changed()).await };
        self.client.run(changed)?.ok().transpose()
    }
}

/// What a holder is told of others: who asks for the lock, and who does not respect it.
macro_rules! told_of_others {
    ($held:ident: $of:literal) => {
        #[doc = concat!("Whether somebody has asked for the lock; see [`crate::", $of, "::is_revoked`].")]
        pub fn is_revoked(&self) -> bool {
            self.$held.is_revoked()
        }

        /// Waits up to `timeout` for somebody to ask for the lock; whether somebody did.
        ///
        /// # Errors
        /// [`Error::InsideRuntime`].
        pub fn wait_revoked(&self, timeout: Duration) -> Result<bool, Error> {
            self.client.run(async { tokio::time::timeout(timeout, self.$held.revoked()).await.is_ok() })
        }

        /// A contender that came meanwhile and does not respect the lock; see
        #[doc = concat!("[`crate::", $of, "::foreign_contender`].")]
        pub fn foreign_contender(&self) -> Option<crate::ForeignContender> {
            self.$held.foreign_contender()
        }

        /// Calls `told` on a thread of its own when a contender is seen that surely does not respect the lock; never, if
        /// it is released or lost before.
        pub fn on_foreign(&self, told: impl FnOnce(crate::ForeignContender) + Send + 'static) {
            let foreign = self.$held.on_foreign();
            self.client.asynchronous().runtime().spawn(async move {
                if let Some(contender) = foreign.await {
                    std::thread::spawn(move || told(contender));
                }
            });
        }

        /// Calls `told` on a thread of its own when the lock is lost; never, if it is released before.
        pub fn on_lost(&self, told: impl FnOnce() + Send + 'static) {
            let lost = self.$held.on_lost();
            self.client.asynchronous().runtime().spawn(async move {
                if lost.await {
                    std::thread::spawn(told);
                }
            });
        }

        #[doc = concat!("Asks the server whether the lock is held; see [`crate::", $of, "::has_lock`].")]
        ///
        /// # Errors
        /// As there, and [`Error::InsideRuntime`].
        pub fn has_lock(&self) -> Result<bool, Error> {
            self.client.run(self.$held.has_lock())?
        }
    };
}

/// Several locks as one; see [`crate::MultiLock`].
#[derive(Debug, Clone)]
pub struct MultiLock {
    inner: crate::MultiLock,
    client: Client,
}

handle!(MultiLock, crate::MultiLock);

impl MultiLock {
    /// A handle for these locks.
    ///
    /// # Errors
    /// As [`crate::MultiLock::new`].
    pub fn new(client: &Client, parts: impl IntoIterator<Item = Part>) -> Result<MultiLock, Error> {
        let inner = crate::MultiLock::new(client.asynchronous(), parts)?;
        Ok(MultiLock { inner, client: client.clone() })
    }

    /// Waits for all of them, for ever.
    ///
    /// # Errors
    /// As [`crate::MultiLock::acquire`], and [`Error::InsideRuntime`].
    pub fn acquire(&self) -> Result<MultiGuard, Error> {
        let guard = self.client.run(self.inner.acquire())??;
        Ok(MultiGuard { guard, client: self.client.clone() })
    }

    /// Takes all of them if all are free at this moment.
    ///
    /// # Errors
    /// As [`crate::MultiLock::try_acquire`], and [`Error::InsideRuntime`].
    pub fn try_acquire(&self) -> Result<Option<MultiGuard>, Error> {
        let guard = self.client.run(self.inner.try_acquire())??;
        Ok(guard.map(|guard| MultiGuard { guard, client: self.client.clone() }))
    }

    /// Waits for all of them, up to `timeout` in all.
    ///
    /// # Errors
    /// As [`crate::MultiLock::acquire_timeout`], and [`Error::InsideRuntime`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<MultiGuard, Error> {
        let guard = self.client.run(self.inner.acquire_timeout(timeout))??;
        Ok(MultiGuard { guard, client: self.client.clone() })
    }
}

/// Several held locks; see [`crate::MultiGuard`].
#[must_use = "dropping a guard releases the locks"]
#[derive(Debug)]
pub struct MultiGuard {
    // In this order: the guard's release must find its runtime.
    guard: crate::MultiGuard,
    client: Client,
}

impl MultiGuard {
    /// The fencing token of each lock.
    pub fn fencing_tokens(&self) -> impl Iterator<Item = (&str, FencingToken)> {
        self.guard.fencing_tokens()
    }

    /// The worst state of all, as of now.
    pub fn state(&self) -> GuardState {
        self.guard.state()
    }

    /// Whether none is lost, as of now.
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// Waits up to `timeout` for one of them to be lost; whether one is.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn wait_lost(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { tokio::time::timeout(timeout, self.guard.lost()).await.is_ok() })
    }

    told_of_others!(guard: "MultiGuard");

    /// Releases all of them, the last one first.
    ///
    /// # Errors
    /// As [`crate::MultiGuard::release`], and [`Error::InsideRuntime`].
    pub fn release(self) -> Result<(), Error> {
        self.client.run(self.guard.release())?
    }
}

/// The lock that outlives its session; see [`crate::PersistentLock`].
#[derive(Debug, Clone)]
pub struct PersistentLock {
    inner: crate::PersistentLock,
    client: Client,
}

handle!(PersistentLock, crate::PersistentLock);

impl PersistentLock {
    /// A handle for the lock at `path`, to be held under `key`.
    ///
    /// # Errors
    /// As [`crate::PersistentLock::new`].
    pub fn new(client: &Client, path: &str, key: &str) -> Result<PersistentLock, Error> {
        let inner = crate::PersistentLock::new(client.asynchronous(), path, key)?;
        Ok(PersistentLock { inner, client: client.clone() })
    }

    /// Takes the lock back if it is held under the key; else waits for it, for ever.
    ///
    /// # Errors
    /// As [`crate::PersistentLock::acquire`], and [`Error::InsideRuntime`].
    pub fn acquire(&self) -> Result<PersistentGuard, Error> {
        let guard = self.client.run(self.inner.acquire())??;
        Ok(PersistentGuard { guard, client: self.client.clone() })
    }

    /// [`PersistentLock::acquire`], up to `timeout`; zero tries once.
    ///
    /// # Errors
    /// As [`crate::PersistentLock::acquire_timeout`], and [`Error::InsideRuntime`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<PersistentGuard, Error> {
        let guard = self.client.run(self.inner.acquire_timeout(timeout))??;
        Ok(PersistentGuard { guard, client: self.client.clone() })
    }

    /// Takes the lock back if it is held under the key.
    ///
    /// # Errors
    /// As [`crate::PersistentLock::take_back`], and [`Error::InsideRuntime`].
    pub fn take_back(&self) -> Result<Option<PersistentGuard>, Error> {
        let guard = self.client.run(self.inner.take_back())??;
        Ok(guard.map(|guard| PersistentGuard { guard, client: self.client.clone() }))
    }

    /// Releases the lock if it is held under the key, whoever holds it; whether it was.
    ///
    /// # Errors
    /// As [`crate::PersistentLock::release`], and [`Error::InsideRuntime`].
    pub fn release(&self) -> Result<bool, Error> {
        self.client.run(self.inner.release())?
    }
}

/// A held [`PersistentLock`]; see [`crate::PersistentGuard`]. Dropping it does not release the lock.
#[must_use = "the lock stays held without it; release it when the work is done"]
#[derive(Debug)]
pub struct PersistentGuard {
    guard: crate::PersistentGuard,
    client: Client,
}

impl PersistentGuard {
    /// The token to fence writes with.
    pub fn fencing_token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// Whether the lock is held, as far as is known now.
    pub fn state(&self) -> GuardState {
        self.guard.state()
    }

    /// Waits up to `timeout` for the lock to be lost; whether it is.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn wait_lost(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { tokio::time::timeout(timeout, self.guard.lost()).await.is_ok() })
    }

    told_of_others!(guard: "PersistentGuard");

    /// Releases the lock.
    ///
    /// # Errors
    /// As [`crate::PersistentGuard::release`], and [`Error::InsideRuntime`].
    pub fn release(self) -> Result<(), Error> {
        self.client.run(self.guard.release())?
    }
}

/// The lock that is asked for now and decided on later; see [`crate::AsyncLock`].
#[derive(Debug, Clone)]
pub struct AsyncLock {
    inner: crate::AsyncLock,
    client: Client,
}

handle!(AsyncLock, crate::AsyncLock);

impl AsyncLock {
    /// A handle for the lock at `path`.
    ///
    /// # Errors
    /// As [`crate::AsyncLock::new`].
    pub fn new(client: &Client, path: &str) -> Result<AsyncLock, Error> {
        let inner = crate::AsyncLock::new(client.asynchronous(), path)?;
        Ok(AsyncLock { inner, client: client.clone() })
    }

    /// Joins the queue in the background, and returns at once.
    pub fn enqueue(&self) -> Candidate {
        Candidate { candidate: self.inner.enqueue(), client: self.client.clone() }
    }
}

/// A contender of an [`AsyncLock`]; see [`crate::Candidate`].
#[derive(Debug, Clone)]
pub struct Candidate {
    candidate: crate::Candidate,
    client: Client,
}

impl Candidate {
    /// Whether its node is known to exist.
    pub fn candidate_created(&self) -> bool {
        self.candidate.candidate_created()
    }

    /// Whether it holds the lock, as of now.
    pub fn is_acquired(&self) -> bool {
        self.candidate.is_acquired()
    }

    /// The token to fence writes with, once it has the lock.
    pub fn fencing_token(&self) -> Option<FencingToken> {
        self.candidate.fencing_token()
    }

    /// Waits until it has the lock.
    ///
    /// # Errors
    /// As [`crate::Candidate::wait`], and [`Error::InsideRuntime`].
    pub fn wait(&self) -> Result<(), Error> {
        self.client.run(self.candidate.wait())?
    }

    /// Waits until it has the lock, up to `timeout`; whether it has it. If not, it stays in the queue.
    ///
    /// # Errors
    /// As [`crate::Candidate::wait_timeout`], and [`Error::InsideRuntime`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { self.candidate.wait_timeout(timeout).await })?
    }

    /// Calls `told` with this candidate, on a thread of its own, once it has the lock; never, if it ends before.
    /// Until then the candidate is kept.
    pub fn on_acquired(&self, told: impl FnOnce(Candidate) + Send + 'static) {
        let waiting = self.clone();
        self.client.asynchronous().runtime().spawn(async move {
            let acquired = waiting.candidate.wait().await.is_ok();
            // The last handle of a client is not to be dropped on its own runtime.
            std::thread::spawn(move || {
                if acquired {
                    told(waiting);
                }
            });
        });
    }

    told_of_others!(candidate: "Candidate");

    /// Leaves the queue, or releases the lock, and waits until its node is gone for certain.
    ///
    /// # Errors
    /// As [`crate::Candidate::release`], and [`Error::InsideRuntime`].
    pub fn release(&self) -> Result<(), Error> {
        self.client.run(self.candidate.release())?
    }

    /// As [`Candidate::release`], but waits up to `timeout` only; whether it is confirmed.
    ///
    /// # Errors
    /// As [`Candidate::release`].
    pub fn release_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        self.client.run(async { self.candidate.release_timeout(timeout).await })?
    }

    /// Calls `told`, on a thread of its own, once the candidate has left and its node is gone.
    pub fn on_released(&self, told: impl FnOnce() + Send + 'static) {
        self.candidate.on_released(move || drop(std::thread::spawn(told)));
    }

    /// What went wrong on its way, oldest first.
    pub fn errors(&self) -> Vec<Trouble> {
        self.candidate.errors()
    }
}
