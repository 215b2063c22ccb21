//! The kinds of locks that the nemesis is set upon, and how a client takes each of them.

use std::time::Duration;

use zooky::{Client, Error, FencingToken, Guard, GuardState, Lock, RwLock};
use zooky_testkit::{Mode, Rng};

use super::common::polled;

/// One lock that all clients contend for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    RwLock,
}

pub(crate) const ALL: [Kind; 2] = [Kind::Lock, Kind::RwLock];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Lock => "lock",
            Kind::RwLock => "rwlock",
        }
    }

    pub(crate) fn path(self) -> String {
        format!("/nemesis/{}", self.name())
    }

    /// Where its contenders' nodes are.
    pub(crate) fn directories(self) -> Vec<String> {
        vec![self.path()]
    }
}

/// A lock that is held.
pub(crate) struct Held {
    pub(crate) mode: Mode,
    guard: Guard,
}

impl Held {
    pub(crate) fn token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    pub(crate) fn state(&self) -> GuardState {
        self.guard.state()
    }

    pub(crate) async fn release(self) -> Result<(), Error> {
        self.guard.release().await
    }
}

/// A client's handle of one lock.
pub(crate) enum Handle {
    Lock(Lock),
    RwLock(RwLock),
}

impl Handle {
    pub(crate) fn new(kind: Kind, client: &Client) -> Handle {
        match kind {
            Kind::Lock => Handle::Lock(Lock::new(client, &kind.path()).unwrap()),
            Kind::RwLock => Handle::RwLock(RwLock::new(client, &kind.path()).unwrap()),
        }
    }

    /// Tries in one of the ways there are, and gets the lock or not.
    pub(crate) async fn take(&self, rng: &mut Rng) -> Result<Option<Held>, Error> {
        let mode = if matches!(self, Handle::RwLock(_)) && !rng.one_in(3) { Mode::Read } else { Mode::Write };
        let patience = Duration::from_millis(rng.below(600) as u64);
        let guard = match (self, rng.below(6)) {
            (Handle::Lock(lock), 0) => lock.try_acquire().await?,
            (Handle::Lock(lock), 1) => in_time(lock.acquire_timeout(patience).await)?,
            (Handle::Lock(lock), 2) => polled(lock.acquire(), 1 + rng.below(6)).await.transpose()?,
            (Handle::Lock(lock), _) => Some(lock.acquire().await?),
            (Handle::RwLock(lock), 0) if mode == Mode::Read => lock.try_read().await?,
            (Handle::RwLock(lock), 0) => lock.try_write().await?,
            (Handle::RwLock(lock), 1) if mode == Mode::Read => in_time(lock.read_timeout(patience).await)?,
            (Handle::RwLock(lock), 1) => in_time(lock.write_timeout(patience).await)?,
            (Handle::RwLock(lock), 2) if mode == Mode::Read => {
                polled(lock.read(), 1 + rng.below(6)).await.transpose()?
            }
            (Handle::RwLock(lock), 2) => polled(lock.write(), 1 + rng.below(6)).await.transpose()?,
            (Handle::RwLock(lock), _) if mode == Mode::Read => Some(lock.read().await?),
            (Handle::RwLock(lock), _) => Some(lock.write().await?),
        };
        Ok(guard.map(|guard| Held { mode, guard }))
    }
}

/// A time-out is no failure.
fn in_time<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(got) => Ok(Some(got)),
        Err(fault) if fault.is_timeout() => Ok(None),
        Err(fault) => Err(fault),
    }
}
