//! The kinds of locks that the nemesis is set upon, and how a client takes each of them.

use std::time::Duration;

use zooky::{
    AsyncLock, Client, Dialect, Election, Error, FencingToken, Guard, GuardState, Handover, Leadership, Lock,
    MultiGuard, MultiLock, Part, PersistentGuard, PersistentLock, ReentrantGuard, ReentrantLock, Revoke,
    RwLock, Semaphore, Unchanged,
};
use zooky_testkit::{Mode, Rng};

use super::common::polled;

/// One lock that all clients contend for, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    RwLock,
    Curator,
    CuratorRwLock,
    Zktools,
    ZktoolsRwLock,
    /// Tasks of one process share a contender.
    Handover,
    /// Readers of one process share a contender.
    HandoverRwLock,
    /// Two locks as one; some take only the judged one of them.
    Many,
    /// The same with readers of the judged one, who write the other; writers take it alone.
    ManyRead,
    /// Taken again by who has it; tasks of one process are owners of their own.
    Reentrant,
    Election,
    AsyncLock,
    Semaphore,
    /// A semaphore in Curator's layout.
    CuratorSemaphore,
    /// Readers become the writer and writers become readers.
    Upgrade,
    /// Those who hold are asked to let go.
    Revoke,
    /// Those who hold or wait are removed by force. Whoever is cut off then does not hear of it at once, and is kept from the
    /// resource by its token alone.
    Seize,
    /// Outlives its session; each client has a key of its own, with which its successor goes on.
    Persistent,
    /// Closed for a while when its holder vanishes.
    Delay,
}

/// How many leases a semaphore has.
const LEASES: u32 = 3;
/// How long the lock with a delay stays closed.
const DELAY: Duration = Duration::from_millis(300);

pub(crate) const ALL: [Kind; 20] = [
    Kind::Lock,
    Kind::RwLock,
    Kind::Curator,
    Kind::CuratorRwLock,
    Kind::Zktools,
    Kind::ZktoolsRwLock,
    Kind::Handover,
    Kind::HandoverRwLock,
    Kind::Many,
    Kind::ManyRead,
    Kind::Reentrant,
    Kind::Election,
    Kind::AsyncLock,
    Kind::Semaphore,
    Kind::CuratorSemaphore,
    Kind::Upgrade,
    Kind::Revoke,
    Kind::Seize,
    Kind::Persistent,
    Kind::Delay,
];

impl Kind {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn path(self) -> String {
        format!("/nemesis/{}", self.name())
    }

    /// Where its contenders' nodes are.
    pub(crate) fn directories(self) -> Vec<String> {
        match self {
            Kind::Many | Kind::ManyRead => vec![self.path(), self.second_path()],
            Kind::Semaphore => vec![self.path(), format!("{}-__lock__", self.path())],
            Kind::CuratorSemaphore => ["leases", "locks"].map(|one| format!("{}/{one}", self.path())).into(),
            _ => vec![self.path()],
        }
    }

    /// How many tasks of each client contend for it.
    pub(crate) fn tasks(self) -> usize {
        match self {
            Kind::Handover | Kind::HandoverRwLock => 3,
            Kind::Reentrant => 2,
            _ => 1,
        }
    }

    fn second_path(self) -> String {
        format!("{}-2", self.path())
    }

    fn shares(self) -> bool {
        use Kind::{CuratorRwLock, HandoverRwLock, ManyRead, RwLock, Upgrade, ZktoolsRwLock};
        matches!(self, RwLock | CuratorRwLock | ZktoolsRwLock | HandoverRwLock | ManyRead | Upgrade)
    }
}

/// A lock that is held.
pub(crate) struct Held {
    pub(crate) mode: Mode,
    guard: Any,
}

enum Any {
    One(Guard),
    Many(MultiGuard, FencingToken),
    /// The first hold, and perhaps one more of the same owner.
    Reentrant(ReentrantGuard, Option<ReentrantGuard>),
    Persistent(PersistentGuard),
}

impl Held {
    pub(crate) fn token(&self) -> FencingToken {
        match &self.guard {
            Any::One(guard) => guard.fencing_token(),
            Any::Many(_, token) => *token,
            Any::Reentrant(guard, _) => guard.fencing_token(),
            Any::Persistent(guard) => guard.fencing_token(),
        }
    }

    pub(crate) fn state(&self) -> GuardState {
        match &self.guard {
            Any::One(guard) => guard.state(),
            Any::Many(guard, _) => guard.state(),
            Any::Reentrant(guard, _) => guard.state(),
            Any::Persistent(guard) => guard.state(),
        }
    }

    pub(crate) async fn lost(&self) {
        match &self.guard {
            Any::One(guard) => guard.lost().await,
            Any::Many(guard, _) => guard.lost().await,
            Any::Reentrant(guard, _) => guard.lost().await,
            Any::Persistent(guard) => guard.lost().await,
        }
    }

    pub(crate) async fn release(self) -> Result<(), Error> {
        match self.guard {
            Any::One(guard) => guard.release().await,
            Any::Many(guard, _) => guard.release().await,
            Any::Reentrant(first, again) => {
                if let Some(again) = again {
                    assert!(!again.release().await?, "the first hold is still there");
                }
                first.release().await.map(|last| assert!(last, "nobody else has a hold"))
            }
            Any::Persistent(guard) => guard.release().await,
        }
    }
}

/// A client's handle of one lock; clones are the same handle.
#[derive(Clone)]
pub(crate) enum Handle {
    Lock(Lock),
    RwLock(RwLock),
    Many { two: MultiLock, one: MultiLock },
    Reentrant(ReentrantLock),
    Election(Election),
    AsyncLock(AsyncLock),
    Semaphore(Semaphore),
    Upgrade(RwLock),
    Revoke(Lock, Revoke),
    Persistent(PersistentLock),
}

impl Handle {
    /// `key` is the client's own, and that of whoever takes its place.
    pub(crate) fn new(kind: Kind, client: &Client, key: &str) -> Handle {
        let path = kind.path();
        let lock = || Lock::new(client, &path).unwrap();
        let rwlock = || RwLock::new(client, &path).unwrap();
        // Short enough that other processes have their turn, too.
        let bound = Handover::DEFAULT.grants(5);
        match kind {
            Kind::Lock => Handle::Lock(lock()),
            Kind::RwLock => Handle::RwLock(rwlock()),
            Kind::Curator => Handle::Lock(lock().dialect(Dialect::Curator).unwrap()),
            Kind::CuratorRwLock => Handle::RwLock(rwlock().dialect(Dialect::Curator).unwrap()),
            Kind::Zktools => Handle::Lock(lock().dialect(Dialect::Zktools).unwrap()),
            Kind::ZktoolsRwLock => Handle::RwLock(rwlock().dialect(Dialect::Zktools).unwrap()),
            Kind::Handover => Handle::Lock(lock().local_handover(bound)),
            Kind::HandoverRwLock => Handle::RwLock(rwlock().local_handover(bound)),
            Kind::Many | Kind::ManyRead => {
                let judged = if kind.shares() { Part::read(&path) } else { Part::write(&path) };
                let two = MultiLock::new(client, [Part::write(kind.second_path()), judged]).unwrap();
                Handle::Many { two, one: MultiLock::new(client, [Part::write(&path)]).unwrap() }
            }
            Kind::Reentrant => Handle::Reentrant(ReentrantLock::new(lock())),
            Kind::Election => Handle::Election(Election::new(client, &path).unwrap()),
            Kind::AsyncLock => Handle::AsyncLock(AsyncLock::new(client, &path).unwrap()),
            Kind::Semaphore => Handle::Semaphore(Semaphore::new(client, &path, LEASES).unwrap()),
            Kind::CuratorSemaphore => {
                let semaphore = Semaphore::new(client, &path, LEASES).unwrap();
                Handle::Semaphore(semaphore.dialect(Dialect::Curator).unwrap())
            }
            Kind::Upgrade => Handle::Upgrade(rwlock()),
            Kind::Revoke => Handle::Revoke(lock(), Revoke::ask()),
            Kind::Seize => Handle::Revoke(lock(), Revoke::immediately()),
            Kind::Persistent => Handle::Persistent(PersistentLock::new(client, &path, key).unwrap()),
            Kind::Delay => Handle::Lock(lock().lock_delay(DELAY)),
        }
    }

    /// Releases what would stay behind when its client is closed.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        if let Handle::Persistent(lock) = self {
            lock.release().await?;
        }
        Ok(())
    }

    /// What the server shows must never be more than is allowed, whoever it is.
    pub(crate) async fn judge(&self) {
        let Handle::Semaphore(semaphore) = self else { return };
        if let Ok(holders) = semaphore.lease_holders().await {
            assert!(holders.len() <= LEASES as usize, "{} leases are out: {holders:?}", holders.len());
        }
    }

    /// Tries in one of the ways there are, and gets the lock or not. `who` is the task that does.
    pub(crate) async fn take(&self, kind: Kind, who: &str, rng: &mut Rng) -> Result<Option<Held>, Error> {
        let mode = if kind.shares() && !rng.one_in(3) { Mode::Read } else { Mode::Write };
        let patience = Duration::from_millis(rng.below(600) as u64);
        let polls = 1 + rng.below(6);
        let way = rng.below(6);
        let guard = match self {
            Handle::Lock(lock) => match way {
                0 => lock.try_acquire().await?,
                1 => in_time(lock.acquire_timeout(patience).await)?,
                2 => polled(lock.acquire(), polls).await.transpose()?,
                _ => Some(lock.acquire().await?),
            },
            Handle::RwLock(lock) if mode == Mode::Read => match way {
                0 => lock.try_read().await?,
                1 => in_time(lock.read_timeout(patience).await)?,
                2 => polled(lock.read(), polls).await.transpose()?,
                _ => Some(lock.read().await?),
            },
            Handle::RwLock(lock) => match way {
                0 => lock.try_write().await?,
                1 => in_time(lock.write_timeout(patience).await)?,
                2 => polled(lock.write(), polls).await.transpose()?,
                _ => Some(lock.write().await?),
            },
            Handle::Many { two, one } => {
                let alone = if kind.shares() { mode == Mode::Write } else { rng.one_in(3) };
                let lock = if alone { one } else { two };
                let taken = match way {
                    0 => lock.try_acquire().await?,
                    1 => in_time(lock.acquire_timeout(patience).await)?,
                    2 => polled(lock.acquire(), 2 * polls).await.transpose()?,
                    _ => Some(lock.acquire().await?),
                };
                return Ok(taken.map(|guard| {
                    let token = guard.fencing_token(&kind.path()).expect("it is one of them");
                    Held { mode, guard: Any::Many(guard, token) }
                }));
            }
            Handle::Reentrant(lock) => {
                let first = match way {
                    0 => lock.try_acquire(who).await?,
                    1 => in_time(lock.acquire_timeout(who, patience).await)?,
                    2 => polled(lock.acquire(who), polls).await.transpose()?,
                    _ => Some(lock.acquire(who).await?),
                };
                return match first {
                    Some(first) => Ok(Some(taken_again(lock, first, who, rng.one_in(2)).await?)),
                    None => Ok(None),
                };
            }
            Handle::Election(election) => {
                let leads = match way {
                    0 => election.try_campaign().await?,
                    1 => in_time(election.campaign_timeout(patience).await)?,
                    2 => polled(election.campaign(), polls).await.transpose()?,
                    _ => Some(election.campaign().await?),
                };
                leads.map(Leadership::into_guard)
            }
            Handle::AsyncLock(lock) => {
                let candidate = lock.enqueue();
                match way {
                    // Dropped at once, or abandoned before anything is known of it.
                    0 => return Ok(None),
                    1 => candidate.let_go(),
                    2 if !candidate.wait_timeout(patience).await? => candidate.release().await?,
                    2 => {}
                    _ => candidate.wait().await?,
                }
                candidate.take_guard()
            }
            Handle::Semaphore(semaphore) => {
                let lease = match way {
                    0 => semaphore.try_acquire().await?,
                    1 => in_time(semaphore.acquire_timeout(patience).await)?,
                    2 => polled(semaphore.acquire(), 2 * polls).await.transpose()?,
                    _ => Some(semaphore.acquire().await?),
                };
                // Beside others, of whom the register knows no number.
                return Ok(lease.map(|guard| Held { mode: Mode::Read, guard: Any::One(guard) }));
            }
            Handle::Upgrade(lock) if mode == Mode::Read => {
                let reading = lock.read().await?;
                let changed = match way {
                    0 => return Ok(Some(Held { mode, guard: Any::One(reading) })),
                    1 => polled(reading.upgrade(), polls).await,
                    _ => Some(reading.upgrade_timeout(patience).await),
                };
                return changed.map(|changed| changed_or_kept(changed, Mode::Write)).transpose();
            }
            Handle::Upgrade(lock) => {
                let writing = lock.write().await?;
                let changed = match way {
                    0 => return Ok(Some(Held { mode, guard: Any::One(writing) })),
                    1 => polled(writing.downgrade(), polls).await,
                    _ => Some(writing.downgrade().await),
                };
                return changed.map(|changed| changed_or_kept(changed, Mode::Read)).transpose();
            }
            Handle::Revoke(lock, how) => {
                let revoking = |how| lock.clone().revoking(how);
                let taken = match way {
                    0 => {
                        lock.revoke_all(*how).await?;
                        return Ok(None);
                    }
                    1 => revoking(*how).acquire_timeout(patience).await,
                    2 => match polled(revoking(*how).acquire(), 2 * polls).await {
                        Some(taken) => taken,
                        None => return Ok(None),
                    },
                    3 => revoking(how.held_longer_than(Duration::from_millis(5))).acquire().await,
                    4 => lock.clone().revocable(true).acquire().await,
                    _ => lock.acquire().await,
                };
                match taken {
                    // A waiter, too, may be removed.
                    Err(Error::Revoked { .. }) => None,
                    taken => in_time(taken)?,
                }
            }
            Handle::Persistent(lock) => {
                let taken = match way {
                    0 => lock.try_acquire().await?,
                    1 => in_time(lock.acquire_timeout(patience).await)?,
                    2 => polled(lock.acquire(), 2 * polls).await.transpose()?,
                    3 => lock.take_back().await?,
                    _ => Some(lock.acquire().await?),
                };
                return Ok(taken.map(|guard| Held { mode, guard: Any::Persistent(guard) }));
            }
        };
        Ok(guard.map(|guard| Held { mode, guard: Any::One(guard) }))
    }
}

/// With one more hold of the same owner, or after one more that is gone again. Whoever has lost the lock has it no second time.
async fn taken_again(
    lock: &ReentrantLock,
    first: ReentrantGuard,
    who: &str,
    keeps: bool,
) -> Result<Held, Error> {
    let again = match lock.acquire(who).await {
        Ok(again) => {
            assert_eq!((again.depth(), again.fencing_token()), (2, first.fencing_token()), "{who}");
            if keeps {
                Some(again)
            } else {
                assert!(!again.release().await?, "the first hold is still there");
                None
            }
        }
        Err(Error::Lost { .. }) => {
            assert_eq!(first.state(), GuardState::Lost, "{who}");
            None
        }
        Err(fault) => return Err(fault),
    };
    Ok(Held { mode: Mode::Write, guard: Any::Reentrant(first, again) })
}

/// With the other side of the lock, or the one it had before, if there is only a reason to keep it.
fn changed_or_kept(changed: Result<Guard, Unchanged>, to: Mode) -> Result<Held, Error> {
    let from = if to == Mode::Write { Mode::Read } else { Mode::Write };
    match changed {
        Ok(guard) => Ok(Held { mode: to, guard: Any::One(guard) }),
        Err(Unchanged { guard, fault }) => match fault {
            Error::Timeout { .. } | Error::UpgradeConflict { .. } | Error::Lost { .. } => {
                Ok(Held { mode: from, guard: Any::One(guard) })
            }
            fault => Err(fault),
        },
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
