//! What a holder is told: of its loss, of who asks for what it holds, and of who does not respect that. Guards and
//! candidates tell it in one way.

use std::future::Future;
use std::sync::Arc;

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zooky::inspect::Contender;
use zooky::{ForeignContender, GuardState};

use crate::runtime::{runtime, seconds, wait};

/// A state as Python has it.
pub(crate) fn name_of(state: GuardState) -> &'static str {
    match state {
        GuardState::Held => "held",
        GuardState::Suspect => "suspect",
        GuardState::Lost => "lost",
    }
}

/// Waits for an event, for ever or up to `timeout` seconds; whether it happened.
pub(crate) fn wait_for(
    py: Python<'_>,
    timeout: Option<f64>,
    event: impl Future<Output = bool> + Send,
) -> PyResult<bool> {
    let timeout = timeout.map(seconds).transpose()?;
    wait(py, async {
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, event).await.unwrap_or(false),
            None => event.await,
        }
    })
}

/// Calls `callback` on a thread of its own with what an event brings; never, if that is nothing.
pub(crate) fn tell<A>(
    event: impl Future<Output = Option<A>> + Send + 'static,
    callback: Py<PyAny>,
) -> PyResult<()>
where
    A: for<'py> PyCallArgs<'py> + Send + 'static,
{
    runtime()?.spawn(async move {
        if let Some(args) = event.await {
            call(Arc::new(callback), args);
        }
    });
    Ok(())
}

/// The same for an event that happens or does not.
pub(crate) fn tell_of(
    event: impl Future<Output = bool> + Send + 'static,
    callback: Py<PyAny>,
) -> PyResult<()> {
    tell(async { event.await.then_some(()) }, callback)
}

/// Calls into Python on a thread that may wait for the GIL; what it raises is reported as unraisable.
pub(crate) fn call<A>(callback: Arc<Py<PyAny>>, args: A) -> tokio::task::JoinHandle<()>
where
    A: for<'py> PyCallArgs<'py> + Send + 'static,
{
    tokio::task::spawn_blocking(move || report(&callback, args))
}

/// Calls into Python on this thread, in the same way.
pub(crate) fn report<A>(callback: &Py<PyAny>, args: A)
where
    A: for<'py> PyCallArgs<'py>,
{
    // None: the interpreter is about to end.
    let _ = Python::try_attach(|py| {
        if let Err(error) = callback.call1(py, args) {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
    });
}

/// One who does not respect the lock: the path of its node, whether that is certain, and what the server shows of it.
pub(crate) type Stranger = (String, bool, Option<Described>);

pub(crate) fn stranger(found: ForeignContender) -> Stranger {
    (found.path, found.certain, found.contender.map(Described))
}

/// A contender, as a dictionary.
pub(crate) struct Described(pub(crate) Contender);

impl<'py> IntoPyObject<'py> for Described {
    type Target = PyDict;
    type Output = Bound<'py, PyDict>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Described(contender) = self;
        let entry = PyDict::new(py);
        entry.set_item("name", &contender.name)?;
        entry.set_item("path", &contender.path)?;
        entry.set_item("mode", contender.mode.to_string())?;
        entry.set_item("dialect", contender.dialect.to_string())?;
        entry.set_item("sequence", contender.sequence)?;
        entry.set_item("holding", contender.holding)?;
        entry.set_item("data", contender.data.as_ref())?;
        entry.set_item("session", contender.session())?;
        entry.set_item("since_ms", contender.since_ms())?;
        if let Some(owner) = &contender.owner {
            entry.set_item("host", &owner.host)?;
            entry.set_item("pid", owner.pid)?;
            entry.set_item("user", &owner.user)?;
            entry.set_item("program", &owner.program)?;
            entry.set_item("id", &owner.id)?;
        }
        Ok(entry)
    }
}
