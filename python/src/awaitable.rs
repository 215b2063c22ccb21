//! What asyncio awaits: one of its futures, settled by one of ours.
//!
//! Ours is polled on the event loop's thread. Whoever wakes it, mostly the thread that drives the runtime, lays it into
//! the loop's mailbox, and a byte in a socket tells the loop to look into that. So a request leaves from the thread that
//! makes it, and only its answer has to wake another. And no thread of the runtime takes the GIL: a program may keep it
//! for as long as it likes, in some library's computation, and the sessions are kept alive meanwhile.
//!
//! The crate that does this for others keeps one runtime for the whole process, and a forked child would wait for it for
//! ever: threads do not survive a fork.

use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use zooky::session::send_at_once;

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
    let event_loop = running_loop(py)?;
    let mailbox = Mailbox::of(&event_loop)?;
    let future = event_loop.call_method0("create_future")?;
    let work = Arc::new(Work {
        work: Mutex::new(Some(Box::pin(async move {
            let result = work.await;
            let outcome: Outcome = Box::new(|py| pyo3::IntoPyObjectExt::into_py_any(result?, py));
            outcome
        }))),
        awaited: future.clone().unbind(),
        mailbox,
        woken: AtomicBool::new(false),
    });
    if !work.go_on(py)? {
        work.mailbox.listen(&event_loop)?;
        future.call_method1("add_done_callback", (Cancel { work },))?;
    }
    Ok(future)
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()
}

/// How many arrivals may be for others before an event loop does not listen any more, until it waits again.
const IN_VAIN: usize = 3;

/// A result that becomes an object once somebody has the GIL.
type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Something that an event loop waits for.
struct Work {
    /// `None` once it is done, or dropped. The loop's thread only: never held while somebody waits for it.
    work: Mutex<Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>>,
    awaited: Py<PyAny>,
    mailbox: Arc<Mailbox>,
    /// Whether it is in the mailbox.
    woken: AtomicBool,
}

impl Work {
    fn work(&self) -> MutexGuard<'_, Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls it, on the event loop's thread. Whether it is done, or was before.
    fn go_on(self: &Arc<Self>, py: Python<'_>) -> PyResult<bool> {
        let runtime = runtime()?;
        let entered = runtime.enter();
        let mut work = self.work();
        let Some(begun) = work.as_mut() else { return Ok(true) };
        let waker = Waker::from(self.clone());
        let polled = send_at_once(|| begun.as_mut().poll(&mut Context::from_waker(&waker)));
        let Poll::Ready(outcome) = polled else {
            drop((work, entered));
            // What it has begun beside its requests.
            runtime.look_in();
            return Ok(false);
        };
        let done = work.take();
        drop(work);
        drop((done, entered));
        let future = self.awaited.bind(py);
        // It may have been cancelled meanwhile: a lock that was just granted is given back when it is dropped here.
        if future.call_method0("done")?.is_truthy()? {
            return Ok(true);
        }
        match outcome(py) {
            Ok(value) => future.call_method1("set_result", (value,)),
            Err(error) => future.call_method1("set_exception", (error.into_value(py),)),
        }?;
        Ok(true)
    }
}

impl Wake for Work {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            let mailbox = self.mailbox.clone();
            mailbox.put(self);
        }
    }
}

/// What has come for one event loop. Both ends of the socket are kept here: no writer ever finds it closed.
struct Mailbox {
    woken: Mutex<Vec<Arc<Work>>>,
    bell: UnixStream,
    ear: UnixStream,
    /// A forked child shares the socket with its parent, and so needs another.
    process: Process,
    /// Whether the event loop looks in when something comes for any session; and how often that was in vain lately.
    listens: AtomicBool,
    in_vain: AtomicUsize,
    /// Whether it is looking in, and will look into the box at once: nobody need ring.
    looking: AtomicBool,
}

impl Mailbox {
    fn new() -> io::Result<Mailbox> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Mailbox {
            woken: Mutex::default(),
            bell,
            ear,
            process: Process::present(),
            listens: AtomicBool::new(false),
            in_vain: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
        })
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

    fn woken(&self) -> MutexGuard<'_, Vec<Arc<Work>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the event loop look in when something comes: it has something to wait for.
    fn listen(self: &Arc<Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.listens.swap(true, Ordering::Relaxed) {
            self.in_vain.store(0, Ordering::Relaxed);
            let listener = Bound::new(event_loop.py(), Listener { mailbox: self.clone() })?;
            event_loop.call_method1("add_reader", (runtime()?.arrivals().as_raw_fd(), listener))?;
        }
        Ok(())
    }

    fn put(&self, work: Arc<Work>) {
        let mut woken = self.woken();
        woken.push(work);
        if woken.len() == 1 && !self.looking.load(Ordering::Acquire) {
            // It cannot be full: there is a byte for each time the box was empty, and they are read before it is emptied.
            let _ = (&self.bell).write(&[1]);
        }
    }

    fn take(&self) -> Vec<Arc<Work>> {
        // First this: what comes in between rings once more.
        let _ = (&self.ear).read(&mut [0; 64]);
        std::mem::take(&mut *self.woken())
    }
}

/// What the event loop calls, on its thread, when the bell rings.
#[pyclass(frozen)]
struct Reader {
    mailbox: Arc<Mailbox>,
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        go_on(py, self.mailbox.take())
    }
}

/// What the event loop calls, on its thread, when something has come for a session.
#[pyclass(frozen)]
struct Listener {
    mailbox: Arc<Mailbox>,
}

#[pymethods]
impl Listener {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let (mailbox, runtime) = (&self.mailbox, runtime()?);
        mailbox.looking.store(true, Ordering::Release);
        runtime.look_in();
        mailbox.looking.store(false, Ordering::Release);
        let woken = std::mem::take(&mut *mailbox.woken());
        if !woken.is_empty() {
            mailbox.in_vain.store(0, Ordering::Relaxed);
            return go_on(py, woken);
        }
        if mailbox.in_vain.fetch_add(1, Ordering::Relaxed) > IN_VAIN
            && mailbox.listens.swap(false, Ordering::Relaxed)
        {
            // It is for others. The bell rings when it is for this one again.
            running_loop(py)?.call_method1("remove_reader", (runtime.arrivals().as_raw_fd(),))?;
        }
        Ok(())
    }
}

fn go_on(py: Python<'_>, woken: Vec<Arc<Work>>) -> PyResult<()> {
    woken.into_iter().try_for_each(|work| {
        // What wakes it from now on comes into the mailbox anew.
        work.woken.store(false, Ordering::Release);
        work.go_on(py).map(drop)
    })
}

/// Ends the work if the future was cancelled.
#[pyclass(frozen)]
struct Cancel {
    work: Arc<Work>,
}

#[pymethods]
impl Cancel {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if future.call_method0("cancelled")?.is_truthy()? {
            let runtime = runtime()?;
            let _entered = runtime.enter();
            let dropped = self.work.work().take();
            drop(dropped);
            runtime.look_in();
        }
        Ok(())
    }
}
