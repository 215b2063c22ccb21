//! A handle to ZooKeeper that outlives its sessions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use zooky_client::{Error as SessionError, Session, SessionConfig, State};

use crate::Error;
use crate::handover::Groups;

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
        let session = Session::connect(config.clone()).await?;
        Ok(Client {
            inner: Arc::new(Inner {
                config,
                current: Mutex::new(session),
                opening: tokio::sync::Mutex::new(()),
                closed: AtomicBool::new(false),
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

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }
}
