//! The runtime that everything waits on, and the waiting itself.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use pyo3::prelude::*;

use crate::errors::{ForkError, ZookyError, raise_session};
use crate::keeper::Kept;

/// How long Ctrl-C may go unnoticed.
const SIGNALS_EVERY: Duration = Duration::from_millis(20);

/// One runtime for each process: threads do not survive a fork, so a child makes its own.
static RUNTIME: Mutex<Option<(u32, &'static Kept)>> = Mutex::new(None);

/// This process's runtime.
pub(crate) fn runtime() -> PyResult<&'static Kept> {
    let pid = std::process::id();
    let mut runtime = RUNTIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, kept)) = runtime.filter(|(owner, _)| *owner == pid) {
        return Ok(kept);
    }
    let kept = Kept::start();
    let kept = kept.map_err(|error| ZookyError::new_err(format!("cannot start a runtime: {error}")))?;
    *runtime = Some((pid, kept));
    Ok(kept)
}

/// The process in which something was made; it is of no use in another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn present() -> Process {
        Process(std::process::id())
    }

    pub(crate) fn is_present(self) -> bool {
        self.0 == std::process::id()
    }

    fn check(self) -> PyResult<()> {
        if self.is_present() {
            return Ok(());
        }
        Err(ForkError::new_err(format!(
            "this was made in process {}, before a fork; its connection and its locks are that process's. Make a new \
             client in process {}, after the fork (for multiprocessing: in the worker, or with the start method \
             'spawn')",
            self.0,
            std::process::id()
        )))
    }
}

/// Something that is of use only in the process that made it. A forked child is refused it, and does not even drop it:
/// its threads do not run there, and what it holds at the server is the parent's.
pub(crate) struct Owned<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    process: Process,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Owned<T> {
        Owned { value: Some(value), process: Process::present() }
    }

    /// # Errors
    /// This is a child of the process in which it was made.
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.process.check()?;
        self.value.as_ref().ok_or_else(|| raise_session(&zooky::session::Error::Closed))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.process.is_present() {
            std::mem::forget(self.value.take());
        }
    }
}

/// Waits for a future without the GIL. A signal's handler that raises (Ctrl-C) ends the wait and drops the future.
pub(crate) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    T: Send,
    F: Future<Output = T> + Send,
{
    let runtime = runtime()?;
    let look_for_signals = hears_signals(py)?.then_some(SIGNALS_EVERY);
    py.detach(|| {
        // The future may be dropped outside of the drive.
        let _entered = runtime.enter();
        let mut future = pin!(future);
        let done = loop {
            if let Some(done) = runtime.drive(future.as_mut(), look_for_signals) {
                break Ok(done);
            }
            // Nobody may want the GIL while it drives.
            if let Err(raised) = Python::attach(|py| py.check_signals()) {
                break Err(raised);
            }
        };
        runtime.waited();
        done
    })
}

/// Whether this thread is the one that runs the handlers of signals; the others need not wake up to look for them.
fn hears_signals(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        /// A child has the thread that forked, and that is its main thread then.
        static KNOWN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
    }
    let pid = std::process::id();
    if let Some((_, hears)) = KNOWN.get().filter(|(process, _)| *process == pid) {
        return Ok(hears);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let hears = main.eq(threading.call_method0("get_ident")?)?;
    KNOWN.set(Some((pid, hears)));
    Ok(hears)
}

/// A duration from Python's seconds.
///
/// # Errors
/// Negative, not a number, or too large.
pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(format!("{seconds} seconds: {error}")))
}
