//! The recipes that programs follow with the locks of a world, and what each of them promises.

use std::time::Duration;

use zooky::{
    BootInstant, Client, Error, FencingToken, Guard, GuardState, Lock, Owner, PersistentGuard,
    PersistentLock, Revoke, RwLock, Semaphore,
};
use zooky_testkit::Rng;

/// How a lock of this world is used, by all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// Exclusively, and by readers.
    Plain,
    /// Readers become writers, and writers readers.
    Changing,
    /// Who waits asks the others to let go; they do, as soon as they look.
    Asking,
    /// Nodes are removed from under those who hold or wait: only fencing keeps two apart.
    Taking,
    /// After a holder that vanished the lock stays closed for so long.
    Delayed(Duration),
    /// It outlives its holder's session, and is taken back by its key.
    Persistent,
    /// It has so many leases.
    Semaphore(u32),
}

/// How a lock is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
}

impl Recipe {
    pub(crate) fn any(rng: &mut Rng) -> Recipe {
        match rng.below(10) {
            0..=3 => Recipe::Plain,
            4 => Recipe::Changing,
            5 => Recipe::Asking,
            6 => Recipe::Taking,
            7 => Recipe::Delayed(Duration::from_millis(200 + rng.below(1_500) as u64)),
            8 => Recipe::Persistent,
            _ => Recipe::Semaphore(1 + rng.below(3) as u32),
        }
    }

    pub(crate) fn any_mode(self, rng: &mut Rng) -> Mode {
        match self {
            Recipe::Persistent => Mode::Write,
            // Several at once, of whom the resource knows no order.
            Recipe::Semaphore(_) => Mode::Read,
            Recipe::Changing if rng.one_in(2) => Mode::Read,
            _ if rng.one_in(3) => Mode::Read,
            _ => Mode::Write,
        }
    }

    /// How much longer a grant may take than with the others.
    pub(crate) fn delay(self) -> Duration {
        match self {
            Recipe::Delayed(time) => time,
            _ => Duration::ZERO,
        }
    }
}

/// How long somebody wants to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    Endless,
    None,
    For(Duration),
}

/// A worker's handle of a lock.
#[derive(Debug, Clone)]
pub(crate) enum Handle {
    Lock(Lock, Box<RwLock>, Recipe),
    Persistent(PersistentLock),
    Semaphore(Semaphore),
}

impl Handle {
    pub(crate) fn new(
        client: &Client,
        path: &str,
        recipe: Recipe,
        owner: &Owner,
        key: &str,
    ) -> Result<Handle, Error> {
        Ok(match recipe {
            Recipe::Persistent => {
                Handle::Persistent(PersistentLock::new(client, path, key)?.with_owner(owner.clone()))
            }
            Recipe::Semaphore(leases) => {
                Handle::Semaphore(Semaphore::new(client, path, leases)?.with_owner(owner.clone()))
            }
            _ => {
                let lock = Lock::new(client, path)?.with_owner(owner.clone());
                let rwlock = RwLock::new(client, path)?.with_owner(owner.clone());
                match recipe {
                    Recipe::Delayed(time) => {
                        Handle::Lock(lock.lock_delay(time), rwlock.lock_delay(time).into(), recipe)
                    }
                    _ => Handle::Lock(lock, rwlock.into(), recipe),
                }
            }
        })
    }

    /// The handle for one acquisition: where locks are revoked, some revoke and some want to hear of it.
    pub(crate) fn for_once(&self, rng: &mut Rng) -> Handle {
        let (lock, rwlock, recipe) = match self {
            Handle::Lock(lock, rwlock, recipe @ (Recipe::Asking | Recipe::Taking)) => {
                (lock.clone(), RwLock::clone(rwlock), *recipe)
            }
            other => return other.clone(),
        };
        let how = if recipe == Recipe::Asking { Revoke::ask() } else { Revoke::immediately() };
        let (revokes, hears) = (rng.one_in(3), rng.one_in(2));
        let (lock, rwlock) = (lock.revocable(hears), rwlock.revocable(hears));
        match revokes {
            true => Handle::Lock(lock.revoking(how), rwlock.revoking(how).into(), recipe),
            false => Handle::Lock(lock, rwlock.into(), recipe),
        }
    }

    pub(crate) async fn take(&self, mode: Mode, patience: Patience) -> Result<Option<Taken>, Error> {
        use Patience::{Endless, For, None as Once};
        match (self, mode) {
            // Writers that can become readers are those of the read/write lock.
            (Handle::Lock(_, lock, Recipe::Changing), Mode::Write) => match patience {
                Endless => lock.write().await.map(Some),
                Once => lock.try_write().await,
                For(time) => lock.write_timeout(time).await.map(Some),
            },
            (Handle::Lock(lock, ..), Mode::Write) => match patience {
                Endless => lock.acquire().await.map(Some),
                Once => lock.try_acquire().await,
                For(time) => lock.acquire_timeout(time).await.map(Some),
            },
            (Handle::Lock(_, lock, _), Mode::Read) => match patience {
                Endless => lock.read().await.map(Some),
                Once => lock.try_read().await,
                For(time) => lock.read_timeout(time).await.map(Some),
            },
            (Handle::Semaphore(semaphore), _) => match patience {
                Endless => semaphore.acquire().await.map(Some),
                Once => semaphore.try_acquire().await,
                For(time) => semaphore.acquire_timeout(time).await.map(Some),
            },
            (Handle::Persistent(lock), _) => {
                let taken = match patience {
                    Endless => lock.acquire().await.map(Some),
                    Once => lock.try_acquire().await,
                    For(time) => lock.acquire_timeout(time).await.map(Some),
                };
                return Ok(taken?.map(Taken::Persistent));
            }
        }
        .map(|guard| guard.map(Taken::Guard))
    }

    /// Everybody there is revoked.
    pub(crate) async fn revoke_all(&self) -> Result<(), Error> {
        let Handle::Lock(lock, _, recipe) = self else { return Ok(()) };
        let how = if *recipe == Recipe::Taking { Revoke::immediately() } else { Revoke::ask() };
        lock.revoke_all(how).await.map(drop)
    }
}

/// A lock that somebody has.
#[derive(Debug)]
pub(crate) enum Taken {
    Guard(Guard),
    Persistent(PersistentGuard),
}

impl Taken {
    pub(crate) fn state(&self) -> GuardState {
        match self {
            Taken::Guard(guard) => guard.state(),
            Taken::Persistent(guard) => guard.state(),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.state() != GuardState::Lost
    }

    pub(crate) fn is_revoked(&self) -> bool {
        match self {
            Taken::Guard(guard) => guard.is_revoked(),
            Taken::Persistent(guard) => guard.is_revoked(),
        }
    }

    /// Until when it holds whatever happens; a persistent one has no such end.
    pub(crate) fn deadline(&self) -> BootInstant {
        match self {
            Taken::Guard(guard) => guard.deadline(),
            Taken::Persistent(_) => BootInstant::NEVER,
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Taken::Guard(guard) => guard.path(),
            Taken::Persistent(guard) => guard.path(),
        }
    }

    pub(crate) fn token(&self) -> FencingToken {
        match self {
            Taken::Guard(guard) => guard.fencing_token(),
            Taken::Persistent(guard) => guard.fencing_token(),
        }
    }

    pub(crate) async fn release(self) -> Result<(), Error> {
        match self {
            Taken::Guard(guard) => guard.release().await,
            Taken::Persistent(guard) => guard.release().await,
        }
    }
}
