//! The runtime that everything waits on, and the waiting itself.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::errors::{ForkError, ZookyError, raise_session};

/// How long Ctrl-C may go unnoticed.
const SIGNALS_EVERY: Duration = Duration::from_millis(20);

/// One runtime for each process: threads do not survive a fork, so a child makes its own.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// This process's runtime.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    let pid = std::process::id();
    let mut runtime = RUNTIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, runtime)) = runtime.filter(|(owner, _)| *owner == pid) {
        return Ok(runtime);
    }
    // One thread: it computes next to nothing, and two would wake each other for each request.
    let built = Builder::new_multi_thread().worker_threads(1).thread_name("zooky").enable_all().build();
    let built = built.map_err(|error| ZookyError::new_err(format!("cannot start a runtime: {error}")))?;
    let built: &'static Runtime = Box::leak(Box::new(built));
    *runtime = Some((pid, built));
    Ok(built)
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
///
/// The thread sleeps by itself instead of by the runtime: its timer for the signals would wake one of the runtime's threads
/// for each wait, most of which end long before.
pub(crate) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    T: Send,
    F: Future<Output = T> + Send,
{
    let runtime = runtime()?;
    py.detach(|| {
        let _entered = runtime.enter();
        let sleeper = Arc::new(Sleeper::here());
        let waker = Waker::from(sleeper.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        let mut look_for_signals = Some(SIGNALS_EVERY);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return Ok(done);
            }
            while !sleeper.sleep(look_for_signals) {
                look_for_signals = Python::attach(|py| {
                    py.check_signals()?;
                    PyResult::Ok(hears_signals(py)?.then_some(SIGNALS_EVERY))
                })?;
            }
        }
    })
}

/// Whether this thread is the one that runs the handlers of signals; the others need not wake up to look for them.
fn hears_signals(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    main.eq(threading.call_method0("get_ident")?)
}

/// A thread that sleeps until its future may go on.
struct Sleeper {
    thread: Thread,
    /// Others may wake the thread for reasons of their own, or take a wake-up that was ours.
    woken: AtomicBool,
}

impl Sleeper {
    fn here() -> Sleeper {
        Sleeper { thread: std::thread::current(), woken: AtomicBool::new(false) }
    }

    /// Sleeps until it is woken, for ever or for so long; whether it was.
    fn sleep(&self, at_most: Option<Duration>) -> bool {
        let until = at_most.map(|at_most| Instant::now() + at_most);
        loop {
            if self.woken.swap(false, Ordering::Acquire) {
                return true;
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A duration from Python's seconds.
///
/// # Errors
/// Negative, not a number, or too large.
pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(format!("{seconds} seconds: {error}")))
}
