//! Lock handles and guards.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use tokio::sync::Notify;
use zooky::inspect;
use zooky::{Dialect, Owner, Revoke, RwLock, Semaphore};

use crate::awaitable::awaitable;
use crate::errors::{CancelledError, raise};
use crate::runtime::{Owned, seconds, wait};
use crate::told::{Described, Stranger, name_of, stranger, tell, tell_of, wait_for};

/// A handle of one lock, for one mode.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Lock {
    handle: Owned<(Taker, zooky::Client)>,
    path: String,
    cancel: Arc<Notify>,
}

/// How a lock is taken; cheap to clone into a future.
#[derive(Clone)]
enum Taker {
    Exclusive(zooky::Lock),
    Read(RwLock),
    Write(RwLock),
    Lease(Semaphore),
}

impl Taker {
    async fn take(&self, timeout: Option<std::time::Duration>) -> Result<zooky::Guard, zooky::Error> {
        match (self, timeout) {
            (Taker::Exclusive(lock), None) => lock.acquire().await,
            (Taker::Exclusive(lock), Some(timeout)) => lock.acquire_timeout(timeout).await,
            (Taker::Read(lock), None) => lock.read().await,
            (Taker::Read(lock), Some(timeout)) => lock.read_timeout(timeout).await,
            (Taker::Write(lock), None) => lock.write().await,
            (Taker::Write(lock), Some(timeout)) => lock.write_timeout(timeout).await,
            (Taker::Lease(semaphore), None) => semaphore.acquire().await,
            (Taker::Lease(semaphore), Some(timeout)) => semaphore.acquire_timeout(timeout).await,
        }
    }
}

/// What a handle is to be like.
pub(crate) struct Wanted<'a> {
    pub(crate) mode: &'a str,
    pub(crate) identifier: Option<String>,
    pub(crate) max_leases: u32,
    pub(crate) zktools: bool,
    pub(crate) revoke: Option<&'a str>,
}

impl Lock {
    pub(crate) fn new(client: &zooky::Client, path: &str, wanted: Wanted<'_>) -> Result<Lock, zooky::Error> {
        let owner = match wanted.identifier {
            Some(identifier) => Owner::this_process().with_id(identifier),
            None => Owner::this_process(),
        };
        let dialect = if wanted.zktools { Dialect::Zktools } else { Dialect::Kazoo };
        let revoke = match wanted.revoke {
            Some("immediately") => Some(Revoke::immediately()),
            Some(_) => Some(Revoke::ask()),
            None => None,
        };
        let rw = || -> Result<RwLock, zooky::Error> {
            let lock = RwLock::new(client, path)?.with_owner(owner.clone()).dialect(dialect)?;
            Ok(match revoke {
                Some(how) => lock.revoking(how),
                None => lock,
            })
        };
        let taker = match wanted.mode {
            "read" => Taker::Read(rw()?),
            "write" => Taker::Write(rw()?),
            "lease" => Taker::Lease(Semaphore::new(client, path, wanted.max_leases)?.with_owner(owner)),
            _ => {
                let lock = zooky::Lock::new(client, path)?.with_owner(owner).dialect(dialect)?;
                Taker::Exclusive(match revoke {
                    Some(how) => lock.revoking(how),
                    None => lock,
                })
            }
        };
        let handle = Owned::new((taker, client.clone()));
        Ok(Lock { handle, path: path.to_owned(), cancel: Arc::new(Notify::new()) })
    }
}

#[pymethods]
impl Lock {
    /// Waits for the lock, for ever or up to `timeout` seconds (0 tries once).
    #[pyo3(signature = (timeout = None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Guard> {
        let (taker, _) = self.handle.get()?;
        let timeout = timeout.map(seconds).transpose()?;
        let taken = wait(py, async {
            tokio::select! {
                biased;
                () = self.cancel.notified() => None,
                taken = taker.take(timeout) => Some(taken),
            }
        })?;
        match taken {
            Some(taken) => Ok(Guard::new(taken.map_err(raise)?)),
            None => Err(CancelledError::new_err(format!("{}: cancelled by another thread", self.path))),
        }
    }

    /// The same, to be awaited; a cancelled task leaves no node.
    #[pyo3(signature = (timeout = None))]
    fn acquire_async<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let (taker, _) = self.handle.get()?;
        let (taker, timeout) = (taker.clone(), timeout.map(seconds).transpose()?);
        awaitable(py, async move { Ok(Guard::new(taker.take(timeout).await.map_err(raise)?)) })
    }

    /// Ends the wait of this handle in another thread with CancelledError, also if it is about to begin.
    fn cancel(&self) {
        self.cancel.notify_one();
    }

    /// Asks everybody who contends to let go, or removes them; how many there were.
    fn revoke_all(&self, py: Python<'_>, immediately: bool) -> PyResult<usize> {
        let (taker, _) = self.handle.get()?;
        let how = if immediately { Revoke::immediately() } else { Revoke::ask() };
        let revoked = wait(py, async {
            match taker {
                Taker::Exclusive(lock) => lock.revoke_all(how).await,
                Taker::Read(lock) | Taker::Write(lock) => lock.revoke_all(how).await,
                Taker::Lease(_) => Ok(zooky::Revocation::default()),
            }
        })?;
        let revoked = revoked.map_err(raise)?;
        Ok(revoked.asked.len() + revoked.removed.len() + revoked.deaf.len())
    }

    /// The contenders in order (of a semaphore: those who have a lease), as dictionaries.
    fn contenders(&self, py: Python<'_>) -> PyResult<Vec<Described>> {
        let (taker, client) = self.handle.get()?;
        let shown = wait(py, async {
            match taker {
                Taker::Lease(semaphore) => semaphore.lease_holders().await,
                _ => inspect::show(client, &self.path).await,
            }
        })?;
        let contenders = match shown {
            Err(zooky::Error::Session(zooky::session::Error::NoNode { .. })) => Vec::new(),
            other => other.map_err(raise)?,
        };
        Ok(contenders.into_iter().map(Described).collect())
    }
}

/// A held lock.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Guard {
    path: String,
    token: zooky::FencingToken,
    /// `None` once released.
    guard: Owned<Mutex<Option<zooky::Guard>>>,
}

impl Guard {
    fn new(guard: zooky::Guard) -> Guard {
        let (path, token) = (guard.path().to_owned(), guard.fencing_token());
        Guard { path, token, guard: Owned::new(Mutex::new(Some(guard))) }
    }

    /// Asks the guard something that does not wait; `None` once released.
    fn ask<T>(&self, question: impl FnOnce(&zooky::Guard) -> T) -> PyResult<Option<T>> {
        let guard = self.guard.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(guard.as_ref().map(question))
    }

    /// Nobody else may use it from now on.
    fn take(&self) -> PyResult<Option<zooky::Guard>> {
        Ok(self.guard.get()?.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// True when it is lost; false if it is released before, or was.
    fn loss(&self) -> PyResult<impl Future<Output = bool> + Send + use<>> {
        let lost = self.ask(zooky::Guard::on_lost)?;
        Ok(async move {
            match lost {
                Some(lost) => lost.await,
                None => false,
            }
        })
    }

    /// True when somebody asks for it, or takes it away; false if it ends before, or has ended.
    fn revocation(&self) -> PyResult<impl Future<Output = bool> + Send + use<>> {
        let revoked = self.ask(zooky::Guard::on_revoked)?;
        Ok(async move {
            match revoked {
                Some(revoked) => revoked.await,
                None => false,
            }
        })
    }
}

#[pymethods]
impl Guard {
    /// The path of the contender's node.
    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    /// The fencing token as a number that grows with every grant.
    #[getter]
    fn token(&self) -> u128 {
        self.token.as_u128()
    }

    /// The same as a text; texts compare alike.
    #[getter]
    fn token_text(&self) -> String {
        self.token.to_string()
    }

    /// "held", "suspect", "lost" or "released", as of now.
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(self.ask(zooky::Guard::state)?.map_or("released", name_of))
    }

    /// Whether somebody has asked for the lock, as of now.
    #[getter]
    fn revoked(&self) -> PyResult<bool> {
        Ok(self.ask(zooky::Guard::is_revoked)?.unwrap_or(false))
    }

    /// The first contender that came meanwhile and does not respect it, until the first certain one; as of now.
    #[getter]
    fn foreign_contender(&self) -> PyResult<Option<Stranger>> {
        Ok(self.ask(zooky::Guard::foreign_contender)?.flatten().map(stranger))
    }

    /// Waits until the lock is lost, for ever or up to `timeout` seconds; whether it is.
    #[pyo3(signature = (timeout = None))]
    fn wait_lost(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_for(py, timeout, self.loss()?)
    }

    /// The same for ever, to be awaited.
    fn wait_lost_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lost = self.loss()?;
        awaitable(py, async move { Ok(lost.await) })
    }

    /// Calls `callback` on a thread of its own when the lock is lost; never if it is released before.
    fn on_lost(&self, callback: Py<PyAny>) -> PyResult<()> {
        tell_of(self.loss()?, callback)
    }

    /// Waits until somebody asks for the lock or takes it away, for ever or up to `timeout` seconds; whether somebody has.
    #[pyo3(signature = (timeout = None))]
    fn wait_revoked(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_for(py, timeout, self.revocation()?)
    }

    /// The same for ever, to be awaited.
    fn wait_revoked_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let revoked = self.revocation()?;
        awaitable(py, async move { Ok(revoked.await) })
    }

    /// Calls `callback` on a thread of its own when somebody asks for the lock or takes it away; never if it ends before.
    fn on_revoked(&self, callback: Py<PyAny>) -> PyResult<()> {
        tell_of(self.revocation()?, callback)
    }

    /// Calls `callback` on a thread of its own with a contender that surely does not respect the lock; never if it ends
    /// before one is seen.
    fn on_foreign(&self, callback: Py<PyAny>) -> PyResult<()> {
        let Some(foreign) = self.ask(zooky::Guard::on_foreign)? else { return Ok(()) };
        tell(async { foreign.await.map(stranger) }, callback)
    }

    /// Releases the lock and waits until its node is deleted. False if it was released before.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(guard) = self.take()? else { return Ok(false) };
        wait(py, guard.release())?.map_err(raise)?;
        Ok(true)
    }

    /// The same, to be awaited.
    fn release_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let guard = self.take()?;
        awaitable(py, async move {
            let Some(guard) = guard else { return Ok(false) };
            guard.release().await.map_err(raise)?;
            Ok(true)
        })
    }
}
