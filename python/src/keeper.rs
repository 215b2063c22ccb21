//! Who drives the runtime: the thread that waits, or else a thread that is there for nothing else.
//!
//! A thread that waits for an answer drives the runtime itself. It writes the request, sleeps until the socket has the
//! answer, and reads it: no other thread has to be woken in between, which would take as long as the server does. While
//! nobody waits, the keeper drives. It steps aside for one who comes, and takes over again once nobody has waited for a
//! moment. The sessions do not notice a moment: what they have to do is due in seconds.
//!
//! Nobody has or wants the GIL while it drives, so that a program may keep that for as long as it likes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use zooky::session::{Arrivals, send_at_once};

/// For how long nobody must have waited before the keeper drives again. Calls that follow each other more closely do not
/// have to send it away each time.
const MOMENT: Duration = Duration::from_millis(1);

/// A look at the sockets, at the tasks that these wake, and at the tasks that those wake.
const LOOKS: usize = 3;

/// How often it looks during a long wait. Whoever ends one wakes it; but one who looks for signals in between may stay
/// away for as long as others keep the GIL.
const LONG_WAIT: Duration = Duration::from_millis(50);

/// A process's runtime.
pub(crate) struct Kept {
    runtime: Runtime,
    /// How many threads are at it now, besides the keeper.
    waiting: AtomicUsize,
    /// How many have come so far.
    come: AtomicUsize,
    /// Whether the keeper drives, or is about to.
    keeping: AtomicBool,
    /// Whether it sleeps for longer than a moment.
    aside: AtomicBool,
    /// Something was begun that nobody waits for here.
    hurry: AtomicBool,
    step_aside: Notify,
    /// For event loops that look in when something has come.
    arrivals: Arrivals,
    keeper: OnceLock<Thread>,
}

impl Kept {
    /// A runtime with its keeper, both for as long as the process lives.
    pub(crate) fn start() -> std::io::Result<&'static Kept> {
        let kept: &'static Kept = Box::leak(Box::new(Kept {
            runtime: Builder::new_current_thread().thread_name("zooky").enable_all().build()?,
            waiting: AtomicUsize::new(0),
            come: AtomicUsize::new(0),
            keeping: AtomicBool::new(false),
            aside: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            step_aside: Notify::new(),
            arrivals: Arrivals::new()?,
            keeper: OnceLock::new(),
        }));
        let keeper = thread::Builder::new().name("zooky".to_owned()).spawn(|| kept.keep())?;
        let _ = kept.keeper.set(keeper.thread().clone());
        Ok(kept)
    }

    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Begins something that no thread waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
        self.begun();
    }

    /// Something was begun that no thread waits for here: somebody must drive now.
    pub(crate) fn begun(&self) {
        if !self.keeping.load(Ordering::SeqCst) && self.waiting.load(Ordering::SeqCst) == 0 {
            self.hurry.store(true, Ordering::SeqCst);
            self.wake_keeper();
        }
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Drives for as long as there is something to do at once, unless others do. For an event loop, which calls it when
    /// something has come or was begun, and so often that the keeper need not come in between.
    pub(crate) fn look_in(&self) {
        self.arrivals.clear();
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return;
        }
        let keeping = self.keeping.load(Ordering::SeqCst);
        let _here = Here::come(self);
        if keeping {
            return;
        }
        self.runtime.block_on(async {
            for _ in 0..LOOKS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Drives until `work` is done, or for so long.
    pub(crate) fn drive<T>(
        &self,
        mut work: Pin<&mut (impl Future<Output = T> + Send)>,
        at_most: Option<Duration>,
    ) -> Option<T> {
        let _here = Here::come(self);
        // If others drive, the request need not wait until they have woken up.
        let work = poll_fn(|cx| send_at_once(|| work.as_mut().poll(cx)));
        self.runtime.block_on(async {
            match at_most {
                Some(at_most) => tokio::time::timeout(at_most, work).await.ok(),
                None => Some(work.await),
            }
        })
    }

    /// A thread has ended its wait for good.
    pub(crate) fn waited(&self) {
        if self.aside.load(Ordering::SeqCst) && self.waiting.load(Ordering::SeqCst) == 0 {
            self.wake_keeper();
        }
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    fn keep(&self) {
        let mut seen = self.come.load(Ordering::SeqCst);
        loop {
            let (come, waiting) = (self.come.load(Ordering::SeqCst), self.waiting.load(Ordering::SeqCst));
            let quiet = come == seen;
            seen = come;
            if waiting == 0 && (quiet || self.hurry.swap(false, Ordering::SeqCst)) {
                self.keeping.store(true, Ordering::SeqCst);
                self.runtime.block_on(self.step_aside.notified());
                self.keeping.store(false, Ordering::SeqCst);
            } else {
                let long = waiting > 0 && quiet;
                self.aside.store(long, Ordering::SeqCst);
                thread::park_timeout(if long { LONG_WAIT } else { MOMENT });
                self.aside.store(false, Ordering::SeqCst);
            }
        }
    }
}

/// A thread that drives, or waits beside one that does.
struct Here<'a>(&'a Kept);

impl<'a> Here<'a> {
    fn come(kept: &'a Kept) -> Here<'a> {
        kept.waiting.fetch_add(1, Ordering::SeqCst);
        kept.come.fetch_add(1, Ordering::SeqCst);
        if kept.keeping.load(Ordering::SeqCst) {
            kept.step_aside.notify_one();
        }
        Here(kept)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
