//! A lock that its owner may take again while it has it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use tokio::time::Instant;

use crate::guard::{Guard, GuardState};
use crate::{Error, FencingToken, Lock};

/// Whose a re-entrant lock is: whatever the program says.
///
/// An asynchronous task has no identity that holds through `join!`, `select!` and the tasks it starts, so the owner is
/// named: by a text, a number, a tokio task's id, or a thread's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerKey(Key);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Text(Box<str>),
    Number(u64),
    Task(tokio::task::Id),
    Thread(ThreadId),
}

impl From<&str> for OwnerKey {
    fn from(text: &str) -> OwnerKey {
        OwnerKey(Key::Text(text.into()))
    }
}

impl From<String> for OwnerKey {
    fn from(text: String) -> OwnerKey {
        OwnerKey(Key::Text(text.into()))
    }
}

impl From<u64> for OwnerKey {
    fn from(number: u64) -> OwnerKey {
        OwnerKey(Key::Number(number))
    }
}

impl From<tokio::task::Id> for OwnerKey {
    fn from(task: tokio::task::Id) -> OwnerKey {
        OwnerKey(Key::Task(task))
    }
}

impl From<ThreadId> for OwnerKey {
    fn from(thread: ThreadId) -> OwnerKey {
        OwnerKey(Key::Thread(thread))
    }
}

/// An exclusive lock whose owner may acquire it again while holding it, as with Curator's InterProcessMutex. It is
/// released with the owner's last guard.
///
/// Clones of one handle share their owners; another handle for the same path is another contender, also for the same
/// key. All guards of one hold have the same fencing token: nobody else had the lock in between.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// let lock = zooky::ReentrantLock::new(zooky::Lock::new(&client, "/locks/ledger")?);
/// let outer = lock.acquire("booking 7").await?;
/// let inner = lock.acquire("booking 7").await?; // at once
/// assert_eq!(inner.fencing_token(), outer.fencing_token());
/// outer.release().await?;
/// inner.release().await?; // the last one releases the lock
/// # Ok(())
/// # }
/// ```
///
/// For threads use [`blocking::Client::run`](crate::blocking::Client::run) with `std::thread::current().id()` as key.
#[derive(Clone)]
pub struct ReentrantLock {
    lock: Lock,
    owners: Arc<Mutex<HashMap<OwnerKey, Arc<Hold>>>>,
}

/// One owner's hold. Its gate lets one of the owner's own acquisitions at a time go to the server.
#[derive(Default)]
struct Hold {
    gate: tokio::sync::Mutex<()>,
    guard: Mutex<Weak<Guard>>,
}

impl fmt::Debug for ReentrantLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantLock").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl ReentrantLock {
    /// A re-entrant lock that contends as `lock` does.
    pub fn new(lock: Lock) -> ReentrantLock {
        ReentrantLock { lock, owners: Arc::default() }
    }

    /// The lock's path.
    pub fn path(&self) -> &str {
        self.lock.path()
    }

    /// At once if this owner holds the lock; else waits for it, for ever. Cancel-safe like [`Lock::acquire`].
    ///
    /// # Errors
    /// [`Error::Lost`]: the owner held the lock and has lost it; all its guards must go before it can be taken anew.
    /// Else as [`Lock::acquire`].
    pub async fn acquire(&self, owner: impl Into<OwnerKey>) -> Result<ReentrantGuard, Error> {
        let hold = self.hold(owner.into());
        let _gate = hold.gate.lock().await;
        match self.again(&hold)? {
            Some(guard) => Ok(guard),
            None => Ok(self.first(&hold, self.lock.acquire().await?)),
        }
    }

    /// The lock if this owner holds it, or if it is free at this moment.
    ///
    /// # Errors
    /// As [`acquire`](ReentrantLock::acquire) and [`Lock::try_acquire`].
    pub async fn try_acquire(&self, owner: impl Into<OwnerKey>) -> Result<Option<ReentrantGuard>, Error> {
        let hold = self.hold(owner.into());
        // Somebody of the same owner is at it: it is not held yet.
        let Ok(_gate) = hold.gate.try_lock() else { return Ok(None) };
        match self.again(&hold)? {
            Some(guard) => Ok(Some(guard)),
            None => Ok(self.lock.try_acquire().await?.map(|guard| self.first(&hold, guard))),
        }
    }

    /// [`acquire`](ReentrantLock::acquire), up to `timeout`.
    ///
    /// # Errors
    /// As [`acquire`](ReentrantLock::acquire) and [`Lock::acquire_timeout`].
    pub async fn acquire_timeout(
        &self,
        owner: impl Into<OwnerKey>,
        timeout: Duration,
    ) -> Result<ReentrantGuard, Error> {
        let begun = Instant::now();
        let hold = self.hold(owner.into());
        let over = || Error::Timeout { path: self.path().to_owned(), waited: begun.elapsed(), holder: None };
        let _gate = tokio::time::timeout(timeout, hold.gate.lock()).await.map_err(|_| over())?;
        match self.again(&hold)? {
            Some(guard) => Ok(guard),
            None => {
                let left = timeout.saturating_sub(begun.elapsed());
                Ok(self.first(&hold, self.lock.acquire_timeout(left).await?))
            }
        }
    }

    fn hold(&self, owner: OwnerKey) -> Arc<Hold> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= 64 && !owners.contains_key(&owner) {
            // Those who neither hold nor want it any more.
            owners.retain(|_, hold| Arc::strong_count(hold) > 1 || hold.guard().strong_count() > 0);
        }
        owners.entry(owner).or_default().clone()
    }

    /// One more guard, if the owner has one.
    fn again(&self, hold: &Hold) -> Result<Option<ReentrantGuard>, Error> {
        let Some(guard) = hold.guard().upgrade() else { return Ok(None) };
        if guard.state() == GuardState::Lost {
            return Err(Error::Lost { path: self.path().to_owned() });
        }
        Ok(Some(ReentrantGuard { guard }))
    }

    fn first(&self, hold: &Hold, guard: Guard) -> ReentrantGuard {
        let guard = Arc::new(guard);
        *hold.guard() = Arc::downgrade(&guard);
        ReentrantGuard { guard }
    }
}

impl Hold {
    fn guard(&self) -> MutexGuard<'_, Weak<Guard>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of an owner's holds of a [`ReentrantLock`]; dropped, it is released. It can be used like a [`Guard`]. A clone
/// is one more hold.
#[must_use = "dropping a guard releases the lock"]
#[derive(Debug, Clone)]
pub struct ReentrantGuard {
    guard: Arc<Guard>,
}

impl ReentrantGuard {
    /// The token to fence writes with: the same in all guards of one hold.
    pub fn fencing_token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// How many guards the owner has now, this one included.
    pub fn depth(&self) -> usize {
        Arc::strong_count(&self.guard)
    }

    /// Lets this hold go; the owner's last one releases the lock and waits for that, as [`Guard::release`] does.
    /// Whether it was the last.
    ///
    /// # Errors
    /// As [`Guard::release`], for the last one.
    pub async fn release(self) -> Result<bool, Error> {
        match Arc::into_inner(self.guard) {
            Some(guard) => guard.release().await.map(|()| true),
            None => Ok(false),
        }
    }
}

impl std::ops::Deref for ReentrantGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}
