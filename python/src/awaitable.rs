//! What asyncio awaits: one of its futures, settled by ours.
//!
//! No thread of the runtime takes the GIL for that. A program may keep the GIL for as long as it likes, in some library's
//! computation, and the runtime keeps the sessions alive meanwhile; were its threads to wait for the GIL, the locks
//! would be lost. So results are laid into a mailbox, and a byte in a socket tells the event loop to look into it.
//!
//! The crate that does this for others keeps one runtime for the whole process, and a forked child would wait for it for
//! ever: threads do not survive a fork.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::task::AbortHandle;

use crate::errors::ZookyError;
use crate::runtime::{Process, runtime};

/// A future of the running event loop's, with the result of `work`. Cancelled, it drops `work`.
///
/// # Errors
/// No event loop is running here.
pub(crate) fn awaitable<'py, T, F>(py: Python<'py>, work: F) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'a> IntoPyObject<'a> + Send + 'static,
    F: Future<Output = PyResult<T>> + Send + 'static,
{
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
    let mailbox = Mailbox::of(&event_loop)?;
    let future = event_loop.call_method0("create_future")?;
    let awaited = future.clone().unbind();
    let task = runtime()?.spawn(async move {
        let result = work.await;
        let outcome: Outcome = Box::new(|py| pyo3::IntoPyObjectExt::into_py_any(result?, py));
        mailbox.put((awaited, outcome));
    });
    future.call_method1("add_done_callback", (Cancel { task: task.abort_handle() },))?;
    Ok(future)
}

/// A result that becomes an object once somebody has the GIL.
type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// What has come for one event loop. Both ends of the socket are kept here: no writer ever finds it closed.
struct Mailbox {
    letters: Mutex<Vec<(Py<PyAny>, Outcome)>>,
    bell: UnixStream,
    ear: UnixStream,
    /// A forked child shares the socket with its parent, and so needs another.
    process: Process,
}

impl Mailbox {
    fn new() -> io::Result<Mailbox> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Mailbox { letters: Mutex::default(), bell, ear, process: Process::present() })
    }

    /// The event loop's own; made when it is first asked for.
    fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Mailbox>> {
        static READERS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let make = || py.import("weakref")?.getattr("WeakKeyDictionary")?.call0().map(Bound::unbind);
        let readers = READERS.get_or_try_init(py, make)?.bind(py);
        if let Ok(reader) = readers.get_item(event_loop) {
            let mailbox = &reader.cast::<Reader>()?.get().mailbox;
            if mailbox.process.is_present() {
                return Ok(mailbox.clone());
            }
        }
        let made = Mailbox::new();
        let made =
            made.map_err(|error| ZookyError::new_err(format!("no socket to wake the event loop: {error}")))?;
        let mailbox = Arc::new(made);
        let reader = Bound::new(py, Reader { mailbox: mailbox.clone() })?;
        event_loop.call_method1("add_reader", (mailbox.ear.as_raw_fd(), &reader))?;
        readers.set_item(event_loop, reader)?;
        Ok(mailbox)
    }

    fn letters(&self) -> std::sync::MutexGuard<'_, Vec<(Py<PyAny>, Outcome)>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, letter: (Py<PyAny>, Outcome)) {
        let mut letters = self.letters();
        letters.push(letter);
        if letters.len() == 1 {
            // It cannot be full: there is a byte for each time the box was empty, and they are read before it is emptied.
            let _ = (&self.bell).write(&[1]);
        }
    }

    fn take(&self) -> Vec<(Py<PyAny>, Outcome)> {
        // First this: a letter that comes in between rings once more.
        let _ = (&self.ear).read(&mut [0; 64]);
        std::mem::take(&mut *self.letters())
    }
}

/// What the event loop calls, on its thread, when something has come.
#[pyclass(frozen)]
struct Reader {
    mailbox: Arc<Mailbox>,
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.mailbox.take().into_iter().try_for_each(|(future, outcome)| {
            let future = future.bind(py);
            // It may have been cancelled meanwhile: a lock that was just granted is given back when it is dropped here.
            if future.call_method0("done")?.is_truthy()? {
                return Ok(());
            }
            match outcome(py) {
                Ok(value) => future.call_method1("set_result", (value,)),
                Err(error) => future.call_method1("set_exception", (error.into_value(py),)),
            }?;
            Ok(())
        })
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
