//! What asyncio awaits: one of its futures, settled by ours.
//!
//! The crate that does this for others keeps one runtime for the whole process, and a forked child would wait for it for
//! ever: threads do not survive a fork.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::task::AbortHandle;

use crate::runtime::runtime;

/// A future of the running event loop's, with the result of `work`. Cancelled, it drops `work`.
///
/// # Errors
/// No event loop is running here.
pub(crate) fn awaitable<'py, T, F>(py: Python<'py>, work: F) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'a> IntoPyObject<'a> + Send,
    F: Future<Output = PyResult<T>> + Send + 'static,
{
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
    let future = event_loop.call_method0("create_future")?;
    let (event_loop, awaited) = (event_loop.unbind(), future.clone().unbind());
    let task = runtime()?.spawn(async move {
        let result = work.await;
        // None: the interpreter is about to end.
        let _ = Python::try_attach(|py| {
            let outcome = result.and_then(|value| as_object(py, value));
            let settle = Settle { future: awaited, outcome: Mutex::new(Some(outcome)) };
            // An error: the loop is closed, and nobody awaits it any more.
            let _ = event_loop.call_method1(py, "call_soon_threadsafe", (settle,));
        });
    });
    future.call_method1("add_done_callback", (Cancel { task: task.abort_handle() },))?;
    Ok(future)
}

fn as_object<T: for<'a> IntoPyObject<'a>>(py: Python<'_>, value: T) -> PyResult<Py<PyAny>> {
    pyo3::IntoPyObjectExt::into_py_any(value, py)
}

/// Settles the future, on its loop's thread.
#[pyclass(frozen)]
struct Settle {
    future: Py<PyAny>,
    outcome: Mutex<Option<PyResult<Py<PyAny>>>>,
}

#[pymethods]
impl Settle {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let future = self.future.bind(py);
        // It may have been cancelled meanwhile: a lock that was just granted is given back when it is dropped here.
        if future.call_method0("done")?.is_truthy()? {
            return Ok(());
        }
        match outcome {
            Some(Ok(value)) => future.call_method1("set_result", (value,)).map(drop),
            Some(Err(error)) => future.call_method1("set_exception", (error.into_value(py),)).map(drop),
            None => Ok(()),
        }
    }
}

/// Ends the work if the future was cancelled.
#[pyclass(frozen)]
struct Cancel {
    task: AbortHandle,
}

#[pymethods]
impl Cancel {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if future.call_method0("cancelled")?.is_truthy()? {
            self.task.abort();
        }
        Ok(())
    }
}
