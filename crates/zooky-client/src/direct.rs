//! Requests that leave from the thread that makes them, for programs whose threads wait outside of the runtime.
//!
//! A request is usually taken up by the session's task, on one of the runtime's threads, which must be woken for it.
//! For a task on that thread this costs next to nothing, and what is asked in one turn leaves in one write. A thread
//! that stands outside and waits for its answer pays the wake-up each time, about as long as the server takes.
//!
//! Many tasks that ask in one turn are a case for themselves: what they ask leaves in portions, so that the server has
//! something to do while the rest of them have their turns.

use std::cell::Cell;
use std::sync::{Mutex, TryLockError, Weak};
use std::task::{Context, Waker};

use crate::driver::Driver;

thread_local! {
    static AT_ONCE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. The requests that it makes are written to their connections on this thread, without a wake-up of the
/// session's task, where the session is connected and its task idle; otherwise as always. Nothing else changes: their
/// order, their deadlines, and who hands out the answers.
///
/// It is for threads outside of the runtime, around each poll of a future: inside, it would send requests one by one
/// that leave together without it. It never blocks.
///
/// ```
/// # use zooky_client::*;
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
/// let session = runtime.block_on(Session::connect(SessionConfig::new(hosts.parse()?)))?;
/// // On its way when the call returns.
/// let root = send_at_once(|| session.exists("/"));
/// assert!(runtime.block_on(root)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn send_at_once<T>(work: impl FnOnce() -> T) -> T {
    let _reset = Reset(AT_ONCE.replace(true));
    work()
}

struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        AT_ONCE.set(self.0);
    }
}

/// Sends what is queued, if this thread is to and can. Otherwise the task must be woken.
pub(crate) fn send(driver: &Weak<Mutex<Driver>>, task: &Waker) -> bool {
    AT_ONCE.get() && send_now(driver, task)
}

/// Sends what is queued, if this thread can.
pub(crate) fn send_now(driver: &Weak<Mutex<Driver>>, task: &Waker) -> bool {
    let Some(driver) = driver.upgrade() else { return false };
    let mut driver = match driver.try_lock() {
        Ok(driver) => driver,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // The task is at work and may have looked at the queue already; or this is a callback within it.
        Err(TryLockError::WouldBlock) => return false,
    };
    driver.send(&mut Context::from_waker(task))
}
