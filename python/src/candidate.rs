//! Contenders that queue in the background, for zktools' `ZkAsyncLock`.

use pyo3::prelude::*;
use zooky::{AsyncLock, Dialect};

use crate::errors::raise;
use crate::lock::report;
use crate::runtime::{Owned, seconds, wait};

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

    /// Whether it has the lock, as of now.
    #[getter]
    fn acquired(&self) -> PyResult<bool> {
        Ok(self.candidate.get()?.is_acquired())
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
