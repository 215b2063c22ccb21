//! The exclusive lock.

use std::time::Duration;

use tokio::time::Instant;
use zooky_client::Acl;

use crate::acquire::{Recipe, WaitingFor};
use crate::core::dialect::Role;
use crate::delay::lock_delay;
use crate::guard::Guard;
use crate::handover::{Handover, Local};
use crate::inspect::Contender;
use crate::observe;
use crate::{Client, Error, Owner, Revocation, Revoke, Standing};

/// An exclusive lock on a path, first come first served.
///
/// It is ZooKeeper's lock recipe in kazoo's layout, and excludes kazoo's `Lock`, `WriteLock` and
/// `ReadLock` on the same path; or in Curator's or zktools', see [`Lock::dialect`]. The handle holds nothing: clone it, share it, acquire as often as
/// you like; each acquisition is a contender of its own (so a task that acquires twice waits for
/// itself).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// let client = zooky::Client::connect(&hosts).await?;
/// let lock = zooky::Lock::new(&client, "/locks/nightly-backup")?;
///
/// let guard = lock.acquire().await?;
/// println!("ours, with token {}", guard.fencing_token());
/// tokio::select! {
///     () = guard.lost() => eprintln!("lost: stop writing"),
///     () = work() => {}
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// # async fn work() {}
/// ```
#[derive(Debug, Clone)]
pub struct Lock {
    recipe: Recipe,
}

macro_rules! settings {
    () => {
        /// Written as the clients of `dialect` write it, so that theirs and ours on one path exclude
        /// each other: kazoo (the default), Curator or zktools. All handles of one lock, in all
        /// programs, must speak one dialect; which kinds of locks may share a path is in the
        /// repository's `docs/interop.md`. Only kazoo's nodes have room for the [`Owner`].
        ///
        /// # Errors
        /// [`Error::NotWritten`]: zooky reads this dialect, but does not write it.
        pub fn dialect(mut self, dialect: crate::Dialect) -> Result<Self, Error> {
            let written = crate::core::dialect::Written::of(dialect);
            self.recipe.dialect = written.ok_or(Error::NotWritten { dialect })?;
            Ok(self)
        }

        $crate::lock::settings!(but_dialect);
    };
    (but_dialect) => {
        /// With other metadata for those who ask who holds the lock. The default is
        /// [`Owner::this_process`].
        #[must_use]
        pub fn with_owner(mut self, owner: Owner) -> Self {
            self.recipe.set_owner(owner);
            self
        }

        /// Whether a waiter is refused with [`Error::Deadlock`] instead of waiting for ever in a deadlock, among the
        /// locks in the same directory; the default is not. It needs an [`Owner`] with an [id](Owner::with_id), and
        /// kazoo's dialect: a handle of another one, whose nodes have no room for the owner, fails with
        /// [`Error::NoRoomForOwner`] instead of waiting.
        ///
        /// Of those who wait for each other exactly one is refused: the youngest waiter that has this setting. The
        /// others go on waiting, and go ahead once the refused one lets go of what it holds. A waiter looks after
        /// 50 ms and then at growing intervals of up to 5 s; each look reads every contender in the directory
        /// ([`inspect::wait_graph`](crate::inspect::wait_graph)), so this is for directories with hundreds of
        /// contenders, not with many thousands.
        #[must_use]
        pub fn refuse_deadlock(mut self, refuse: bool) -> Self {
            let path = self.recipe.path.clone();
            let directory = crate::deadlock::directory_of([&*path]);
            self.recipe.set_deadlocks_below(refuse.then_some(directory));
            self
        }

        /// As [`refuse_deadlock`](Self::refuse_deadlock), among all the locks below `root`, at any depth.
        #[must_use]
        pub fn refuse_deadlock_below(mut self, root: &str) -> Self {
            self.recipe.set_deadlocks_below(Some(root));
            self
        }

        /// With an ACL for the contenders' nodes, and for the directories if they have to be made.
        /// The default is open to everybody, as with kazoo. Everybody who contends must be allowed
        /// to read, create and delete.
        #[must_use]
        pub fn with_acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
            self.recipe.acl = acl.into().into();
            self
        }

        /// Contend even where other clients' contenders, or children that nobody knows, are in the
        /// directory. **They will not exclude each other**: this is for experts who know that the
        /// strangers are no contenders.
        #[must_use]
        pub fn allow_foreign(mut self, allow: bool) -> Self {
            self.recipe.allow_foreign = allow;
            self
        }

        /// Calls `told` with the contender that a waiter of this handle waits for, once each time
        /// that it is another. It runs on the waiting task: be quick, do not block.
        #[must_use]
        pub fn on_wait(mut self, told: impl Fn(&Contender) + Send + Sync + 'static) -> Self {
            self.recipe.on_wait = Some(std::sync::Arc::new(told));
            self
        }

        /// The lock's path.
        pub fn path(&self) -> &str {
            &self.recipe.path
        }
    };
}
pub(crate) use settings;

macro_rules! revocation {
    () => {
        /// Every acquisition of this handle that has to wait asks those in its way to let go, or removes them; nobody
        /// behind it. So does `acquire_timeout` with no time at all, once, before it looks whether the lock is free now.
        /// A try revokes nobody.
        #[must_use]
        pub fn revoking(mut self, how: Revoke) -> Self {
            self.recipe.revoke = Some(how);
            self
        }

        /// **Waiters hear at once only if their handle has this**: [`on_revoked`](Self::on_revoked) is called when they
        /// are asked to let go, and they fail with [`Error::Revoked`] when somebody revokes immediately. It costs each
        /// a read and a watch. Other waiters are asked as soon as they are granted, and join again at the end of the queue when their node was
        /// removed, by whatever hand. In Curator's dialect only contenders of revocable handles can be asked at all.
        /// Guards can be asked in any case.
        #[must_use]
        pub fn revocable(mut self, revocable: bool) -> Self {
            self.recipe.revocable = revocable;
            self
        }

        /// Makes the handle [`revocable`](Self::revocable), and calls `told` when one of its waiters is asked to let go.
        /// The wait goes on; drop its future to leave. It runs on the waiting task: be quick, do not block.
        #[must_use]
        pub fn on_revoked(mut self, told: impl Fn() + Send + Sync + 'static) -> Self {
            self.recipe.revocable = true;
            self.recipe.on_revoked = Some(std::sync::Arc::new(told));
            self
        }

        /// Asks everybody who holds or waits to let go, or removes them all: whoever is there when it is called, whichever of
        /// several servers they came by.
        ///
        /// Dropped, some may have been revoked and others not.
        ///
        /// # Errors
        /// What the server refuses, and lost connections. Those who cannot be asked are no error: the answer names
        /// them.
        pub async fn revoke_all(&self, how: Revoke) -> Result<Revocation, Error> {
            self.recipe.revoke_all(how).await
        }

        /// Removes the nodes of all contenders, and says how many. **Whoever holds the lock may be at work**: this is for
        /// a lock that is known to be dead.
        ///
        /// # Errors
        /// As [`revoke_all`](Self::revoke_all).
        pub async fn clear(&self) -> Result<usize, Error> {
            self.recipe.clear().await
        }

        /// Everybody who holds or waits, first come first, with mode, owner and age. Changes nothing.
        ///
        /// # Errors
        /// The server refuses to show them, or the connection broke.
        pub async fn contenders(&self) -> Result<Vec<Standing>, Error> {
            self.recipe.standings().await
        }
    };
}
pub(crate) use revocation;

impl Lock {
    /// A handle for the lock at `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
    pub fn new(client: &Client, path: &str) -> Result<Lock, Error> {
        Ok(Lock { recipe: Recipe::new(client, path)? })
    }

    settings!();
    revocation!();
    lock_delay!();

    /// Have the tasks of this process share one contender and hand the lock to each other locally, up to
    /// a bound; see [`Handover`]. Off unless asked for.
    #[must_use]
    pub fn local_handover(mut self, bound: Handover) -> Self {
        self.recipe.local = Some(Local::new(bound));
        self
    }

    /// Waits for the lock, for ever. If the session is lost while waiting, it joins again at the end
    /// of the queue with a new session.
    ///
    /// Cancel-safe: dropped at any point, it leaves no node behind (a create that is under way is
    /// cleaned up in the background).
    ///
    /// # Errors
    /// The server refuses the requests, or the directory holds contenders that would not respect
    /// ours.
    pub async fn acquire(&self) -> Result<Guard, Error> {
        self.recipe.acquire(Role::Lock, &WaitingFor::nobody_asks()).await
    }

    /// Takes the lock if it is free at this moment. It looks before it creates anything, so that
    /// trying again and again costs the ensemble reads only.
    ///
    /// Cancel-safe like [`Lock::acquire`].
    ///
    /// # Errors
    /// As [`Lock::acquire`], and when the session is lost meanwhile.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        self.recipe.try_acquire(Role::Lock, None).await
    }

    /// Waits for the lock, up to `timeout`; zero tries once.
    ///
    /// Cancel-safe like [`Lock::acquire`]. The time limit is kept whatever the server does: once it is over the deletion of
    /// the waiter's node is sent, before anything that this client asks next, and repeated in the background if need
    /// be, but not waited for. (kazoo and Curator delete first and then return.) Others may see the node for
    /// a moment longer.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the contender it waited for; else as [`Lock::acquire`].
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        within(&self.recipe, Role::Lock, timeout).await
    }
}

/// Acquires with a time limit; one code for all locks.
pub(crate) async fn within(recipe: &Recipe, role: Role, timeout: Duration) -> Result<Guard, Error> {
    let begun = Instant::now();
    let waiting = WaitingFor::default();
    if timeout.is_zero() {
        if let Some(guard) = recipe.try_acquire(role, Some(&waiting)).await? {
            return Ok(guard);
        }
    } else if let Ok(result) = tokio::time::timeout(timeout, recipe.acquire(role, &waiting)).await {
        return result;
    }
    let (path, holder) = (recipe.path.to_string(), waiting.take().map(Box::new));
    let timeout = Error::Timeout { path, waited: begun.elapsed(), holder };
    observe::failure(&timeout);
    Err(timeout)
}
