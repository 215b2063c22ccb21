//! A handle to ZooKeeper that outlives its sessions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::watch;
use zooky_client::{ConnectError, Error as SessionError, Session, SessionConfig, State};

use crate::Error;
use crate::handover::Groups;
use crate::mirror::Mirrors;
use crate::observe;
use crate::revoke::ServerClock;
use crate::tenure::Nursery;

/// A connection to ZooKeeper for locks; clones share it.
///
/// It holds one session at a time. A lost session is final: guards and waiters of it are gone, and
/// the next call that needs a session opens a new one. Everything that this crate does on the
/// client is bound to the tokio runtime on which it was connected.
///
/// When the last clone and the last guard are dropped, the session is closed in the background;
/// call [`Client::close`] to wait for it.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SessionConfig,
    current: Mutex<Session>,
    /// The new session that is being opened, or was opened last.
    opening: Mutex<Option<Opening>>,
    /// Closed by the application: a waiter must not take that for a loss and open a new session.
    closed: AtomicBool,
    /// What all names of this client's contenders begin with.
    number: u64,
    /// Where the other halves of the names start, and how many there have been.
    seed: u64,
    names: AtomicU64,
    mirrors: Arc<Mirrors>,
    nursery: Arc<Nursery>,
    runtime: Handle,
    /// The handles whose tasks share a contender.
    groups: Groups,
    /// As of the newest node that this client made.
    clock: Mutex<Option<ServerClock>>,
}

/// How the opening of a session went, once it is known.
type Opening = watch::Receiver<Option<Result<(), ConnectError>>>;

impl Client {
    /// Connects to `servers`, written `host:port,host:port/chroot`, with the defaults of
    /// [`SessionConfig`] (a session timeout of 10 s).
    ///
    /// # Errors
    /// The text is no list of servers, or none of them could be reached in time.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(servers: &str) -> Result<Client, Error> {
        Client::connect_with(SessionConfig::new(servers.parse()?)).await
    }

    /// Connects as `config` says.
    ///
    /// # Errors
    /// None of the servers could be reached in time, or they refused the credentials.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect_with(config: SessionConfig) -> Result<Client, Error> {
        let random = || getrandom::u64().map_err(|error| ConnectError::Local { why: error.to_string() });
        let (number, seed) = (random()?, random()?);
        let session = Session::connect(config.clone()).await?;
        Ok(Client {
            inner: Arc::new(Inner {
                config,
                current: Mutex::new(session),
                opening: Mutex::new(None),
                closed: AtomicBool::new(false),
                number,
                seed,
                names: AtomicU64::new(0),
                mirrors: Mirrors::new(Handle::current()),
                nursery: Arc::default(),
                runtime: Handle::current(),
                groups: Groups::default(),
                clock: Mutex::new(None),
            }),
        })
    }

    /// The present session; a new one if the last was lost. Cancel-safe: a new session is opened by a task of its
    /// own, once for all who want it, so that it comes about also if each of them waits only for a short time.
    ///
    /// # Errors
    /// A new session was needed and could not be opened; or the client was [closed](Client::close).
    pub async fn session(&self) -> Result<Session, Error> {
        loop {
            if let Some(usable) = self.usable()? {
                return Ok(usable);
            }
            let Some(mut opening) = self.opening() else { continue };
            match opening.wait_for(Option::is_some).await.map(|result| result.clone()) {
                Ok(Some(Err(fault))) => return Err(fault.into()),
                // It may have been lost again already.
                Ok(_) => {}
                Err(_) => return Err(SessionError::SessionLost.into()),
            }
        }
    }

    /// The opening of a new session that is under way, or begins now; `None` if there is a usable one after all.
    fn opening(&self) -> Option<Opening> {
        let mut opening = self.inner.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = opening.as_ref().filter(|opening| opening.borrow().is_none()) {
            return Some(under_way.clone());
        }
        // One may have come about since the caller looked.
        if !matches!(self.usable(), Ok(None)) {
            return None;
        }
        let (told, begun) = watch::channel(None);
        *opening = Some(begun.clone());
        self.inner.runtime.spawn(open(Arc::downgrade(&self.inner), self.inner.config.clone(), told));
        Some(begun)
    }

    fn usable(&self) -> Result<Option<Session>, Error> {
        self.check_open()?;
        Ok(Some(self.current()).filter(|session| session.state() != State::Lost))
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.inner.closed.load(Ordering::SeqCst) { Err(SessionError::Closed.into()) } else { Ok(()) }
    }

    /// The session as it is, be it lost or not.
    pub fn current(&self) -> Session {
        self.inner.current().clone()
    }

    /// Closes the session and waits for the server's answer. Guards of this client and its clones are lost by it,
    /// and their waiters and later calls fail with [`Closed`](SessionError::Closed).
    ///
    /// # Errors
    /// The server did not confirm; the session then ends by its timeout.
    pub async fn close(self) -> Result<(), Error> {
        self.inner.closed.store(true, Ordering::SeqCst);
        Ok(self.current().close().await?)
    }

    /// 128 bits that no other contender has: the first half is this client's, so that one can see in a queue how many
    /// clients there are; the other is new each time.
    pub(crate) fn unique(&self) -> u128 {
        let count = self.inner.names.fetch_add(1, Ordering::Relaxed);
        u128::from(self.inner.number) << 64 | u128::from(scattered(self.inner.seed.wrapping_add(count)))
    }

    pub(crate) fn mirrors(&self) -> &Arc<Mirrors> {
        &self.inner.mirrors
    }

    pub(crate) fn nursery(&self) -> &Arc<Nursery> {
        &self.inner.nursery
    }

    /// What the server's clock shows, if a node that this client made has told.
    pub(crate) fn server_clock(&self) -> Option<ServerClock> {
        *self.inner.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_server_clock(&self, shown_ms: i64) {
        let clock = ServerClock { at: zooky_client::BootInstant::now(), shown_ms };
        *self.inner.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock);
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }
}

impl Inner {
    fn current(&self) -> MutexGuard<'_, Session> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a new session for a client, if that is still wanted.
async fn open(
    client: Weak<Inner>,
    config: SessionConfig,
    told: watch::Sender<Option<Result<(), ConnectError>>>,
) {
    let opened = Session::connect(config).await;
    if let (Ok(session), Some(client)) = (&opened, client.upgrade()) {
        let mut current = client.current();
        // Under the lock, which `close` takes after it has said so: it finds the new session, or this finds it closed,
        // and the session is closed when it is dropped.
        if !client.closed.load(Ordering::SeqCst) {
            tracing::info!(session = format_args!("0x{:x}", session.id()), "a new session after a lost one");
            *current = session.clone();
            observe::session_replaced();
        }
    }
    // Behind it: whoever is told finds the session.
    let _ = told.send(Some(opened.map(|_| ())));
}

/// A number for each number, in no order that one can see (the finalizer of SplitMix64, which never maps two to one).
fn scattered(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_comes_twice() {
        // Two bits of each say that it is ours.
        let names: std::collections::HashSet<u64> =
            (0..100_000).map(|n| scattered(n) & !(0b11 << 62)).collect();
        assert_eq!(names.len(), 100_000);
    }
}
