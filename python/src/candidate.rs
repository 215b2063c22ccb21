//! Contenders that queue in the background, for zktools' `ZkAsyncLock`.

use pyo3::prelude::*;
use zooky::{AsyncLock, Dialect};

use crate::errors::raise;
use crate::runtime::{Owned, seconds, wait};
use crate::told::{Stranger, name_of, report, stranger, tell, tell_of, wait_for};

/// A contender in the queue or with the lock. Dropped, it leaves in the background.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Candidate {
    candidate: Owned<zooky::Candidate>,
}

impl Candidate {
    pub(crate) fn enqueue(client: &zooky::Client, path: &str) -> Result<Candidate, zooky::Error> {
        let lock = AsyncLock::new(client, path)?.dialect(Dialect::Zktools)?;
        Ok(Candidate { candidate: Owned::new(lock.enqueue()) })
    }
}

#[pymethods]
impl Candidate {
    /// Whether its node is known to exist.
    #[getter]
    fn created(&self) -> PyResult<bool> {
        Ok(self.candidate.get()?.candidate_created())
    }

    /// "held", "suspect" or "lost", as of now; "not held" while it does not have the lock, or has it no more.
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(self.candidate.get()?.state().map_or("not held", name_of))
    }

    /// The fencing token as a number, once it has the lock.
    #[getter]
    fn token(&self) -> PyResult<Option<u128>> {
        Ok(self.candidate.get()?.fencing_token().map(|token| token.as_u128()))
    }

    /// The same as a text; texts compare alike.
    #[getter]
    fn token_text(&self) -> PyResult<Option<String>> {
        Ok(self.candidate.get()?.fencing_token().map(|token| token.to_string()))
    }

    /// Whether somebody has asked for the lock that it has, as of now.
    #[getter]
    fn revoked(&self) -> PyResult<bool> {
        Ok(self.candidate.get()?.is_revoked())
    }

    /// The first contender that came while it had the lock and does not respect that, until the first certain one; as of now.
    #[getter]
    fn foreign_contender(&self) -> PyResult<Option<Stranger>> {
        Ok(self.candidate.get()?.foreign_contender().map(stranger))
    }

    /// What went wrong on its way: ZooKeeper's numbers, and texts.
    #[getter]
    fn errors(&self) -> PyResult<Vec<(Option<i32>, String)>> {
        let troubles = self.candidate.get()?.errors();
        Ok(troubles.into_iter().map(|trouble| (trouble.code, trouble.text)).collect())
    }

    /// Waits for the lock, for ever or up to `timeout` seconds; whether it came. False at once if it cannot come.
    #[pyo3(signature = (timeout = None))]
    fn wait_acquired(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let candidate = self.candidate.get()?;
        let timeout = timeout.map(seconds).transpose()?;
        let came = wait(py, async {
            match timeout {
                Some(timeout) => candidate.wait_timeout(timeout).await,
                None => candidate.wait().await.map(|()| true),
            }
        })?;
        Ok(came.unwrap_or(false))
    }

    /// Asks the server whether it has the lock. False without asking while it does not have it, or has it no more.
    fn has_lock(&self, py: Python<'_>) -> PyResult<bool> {
        wait(py, self.candidate.get()?.has_lock())?.map_err(raise)
    }

    /// Waits until it has the lock and then until that is lost, for ever or up to `timeout` seconds; whether it is.
    #[pyo3(signature = (timeout = None))]
    fn wait_lost(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_for(py, timeout, self.candidate.get()?.on_lost())
    }

    /// Calls `callback` on a thread of its own when the lock that it had is lost; never if it ends otherwise.
    fn on_lost(&self, callback: Py<PyAny>) -> PyResult<()> {
        tell_of(self.candidate.get()?.on_lost(), callback)
    }

    /// Waits until it has the lock and somebody asks for that or takes it away, for ever or up to `timeout` seconds; whether
    /// somebody has.
    #[pyo3(signature = (timeout = None))]
    fn wait_revoked(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_for(py, timeout, self.candidate.get()?.on_revoked())
    }

    /// Calls `callback` on a thread of its own when it has the lock and somebody asks for that or takes it away; never if it
    /// ends before.
    fn on_revoked(&self, callback: Py<PyAny>) -> PyResult<()> {
        tell_of(self.candidate.get()?.on_revoked(), callback)
    }

    /// Calls `callback` on a thread of its own with a contender that surely does not respect the lock that it has; never if
    /// it ends before one is seen.
    fn on_foreign(&self, callback: Py<PyAny>) -> PyResult<()> {
        let foreign = self.candidate.get()?.on_foreign();
        tell(async { foreign.await.map(stranger) }, callback)
    }

    /// Lets go, and waits until the node is gone, for ever or up to `timeout` seconds; whether it is.
    #[pyo3(signature = (timeout = None))]
    fn release(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let candidate = self.candidate.get()?;
        let timeout = timeout.map(seconds).transpose()?;
        let gone = wait(py, async {
            match timeout {
                Some(timeout) => candidate.release_timeout(timeout).await,
                None => candidate.release().await.map(|()| true),
            }
        })?;
        match gone {
            // The node is gone in this case, too.
            Err(zooky::Error::Lost { .. }) => Ok(true),
            other => other.map_err(raise),
        }
    }

    /// Begins to leave, and returns at once.
    fn let_go(&self) -> PyResult<()> {
        self.candidate.get()?.let_go();
        Ok(())
    }

    /// Calls `callback` on a thread of its own once it has the lock.
    fn on_acquired(&self, callback: Py<PyAny>) -> PyResult<()> {
        self.candidate.get()?.on_acquired(move |_| report(&callback, ()));
        Ok(())
    }

    /// Calls `callback` on a thread of its own once its node is gone.
    fn on_released(&self, callback: Py<PyAny>) -> PyResult<()> {
        self.candidate.get()?.on_released(move || report(&callback, ()));
        Ok(())
    }
}
