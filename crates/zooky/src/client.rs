//! A handle to ZooKeeper that outlives its sessions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use zooky_client::{ConnectError, Error as SessionError, Session, SessionConfig, State};

use crate::Error;
use crate::handover::Groups;
use crate::mirror::Mirrors;

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
    /// Held while a new session is opened, so that only one is.
    opening: tokio::sync::Mutex<()>,
    /// Closed by the application: a waiter must not take that for a loss and open a new session.
    closed: AtomicBool,
    /// What all names of this client's contenders begin with.
    number: u64,
    /// Where the other halves of the names start, and how many there have been.
    seed: u64,
    names: AtomicU64,
    mirrors: Arc<Mirrors>,
    runtime: Handle,
    /// The handles whose tasks share a contender.
    groups: Groups,
}

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
                opening: tokio::sync::Mutex::new(()),
                closed: AtomicBool::new(false),
                number,
                seed,
                names: AtomicU64::new(0),
                mirrors: Mirrors::new(Handle::current()),
                runtime: Handle::current(),
                groups: Groups::default(),
            }),
        })
    }

    /// The present session; a new one if the last was lost. Cancel-safe.
    ///
    /// # Errors
    /// A new session was needed and could not be opened; or the client was [closed](Client::close).
    pub async fn session(&self) -> Result<Session, Error> {
        if let Some(usable) = self.usable()? {
            return Ok(usable);
        }
        let _one_at_a_time = self.inner.opening.lock().await;
        if let Some(usable) = self.usable()? {
            return Ok(usable);
        }
        let session = Session::connect(self.inner.config.clone()).await?;
        let mut current = self.inner.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, which `close` takes afterwards: it finds the new session, or this finds it closed.
        self.check_open()?;
        tracing::info!(session = format_args!("0x{:x}", session.id()), "a new session after a lost one");
        *current = session.clone();
        Ok(session)
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
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }
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
