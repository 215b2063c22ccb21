//! A program on its machine: it runs up to a moment, stands still, and dies.

use std::cell::RefCell;
use std::sync::Once;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, sleep_until};
use zooky_sim_machine::{Arrival, Link, Machine, Sending};

thread_local! {
    /// What a task of this thread's programs has panicked with; tokio keeps it to itself.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A program's task has no business to panic, whoever waits for it.
pub(crate) fn fail_if_a_task_panicked() {
    if let Some(what) = PANICKED.take() {
        panic!("a task of a program has panicked: {what}");
    }
}

/// Notes every panic, besides what was done before.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICKED.set(Some(info.to_string()));
            before(info);
        }));
    });
}

/// Why a program stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Still {
    /// Stopped by a signal: its timers are due when it goes on.
    Stopped,
    /// The machine sleeps: only the boot clock goes on.
    Asleep,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) machine: Machine,
    runtime: Option<Runtime>,
    /// The world's moment up to which it has run, and what its own clock showed then.
    at_ms: u64,
    local: Instant,
    still: Option<(u64, Still)>,
    /// Until when it is not there at all.
    pub(crate) dead_until_ms: Option<u64>,
}

impl Program {
    /// A machine that begins at `now`.
    pub(crate) fn start(now: u64, seed: u64, rate_ppm: u64) -> Program {
        listen_for_panics();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let machine = Machine::new(seed, rate_ppm);
        let local = {
            let _context = runtime.enter();
            machine.ran();
            Instant::now()
        };
        Program { machine, runtime: Some(runtime), at_ms: now, local, still: None, dead_until_ms: None }
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }

    /// Whether it runs at this moment.
    pub(crate) fn is_running(&self) -> bool {
        self.runtime.is_some() && self.still.is_none()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.runtime.is_some()
    }

    /// It stands still until then.
    pub(crate) fn stand_still(&mut self, until_ms: u64, why: Still) {
        self.still = Some((until_ms, why));
    }

    pub(crate) fn goes_on(&mut self) {
        if let Some((until, _)) = &mut self.still {
            *until = 0;
        }
    }

    /// Hands in what has arrived and lets it run up to `now`. What it sends leaves through `send`, with the moment.
    pub(crate) fn run_to(
        &mut self,
        now: u64,
        arrived: impl FnOnce() -> Vec<(Link, Arrival)>,
        mut send: impl FnMut(u64, Link, Sending),
    ) {
        let Some(runtime) = &self.runtime else { return };
        let mut passed = Duration::from_millis(now - self.at_ms);
        let mut jump = Duration::ZERO;
        if let Some((until, why)) = self.still {
            if now < until {
                return;
            }
            self.still = None;
            // The last moment is run through, the time before it is not.
            let skipped = passed.saturating_sub(Duration::from_millis(1));
            passed -= skipped;
            match why {
                Still::Stopped => jump = skipped,
                Still::Asleep => self.machine.sleep(skipped.as_nanos() as u64),
            }
        }
        let began = self.at_ms;
        let first = self.local;
        self.local += jump + passed;
        self.at_ms = now;
        self.machine.enter(|| {
            for (link, arrival) in arrived() {
                self.machine.arrives(link, arrival);
            }
            runtime.block_on(async {
                if !jump.is_zero() {
                    advance(jump).await;
                }
                sleep_until(self.local).await;
            });
        });
        let began_ran = first.saturating_duration_since(self.origin());
        for sent in self.machine.take_sent() {
            let ran = sent.at.saturating_sub(began_ran).as_millis() as u64;
            send((began + ran).min(now), sent.link, sent.what);
        }
    }

    /// When the program began, on its own clock.
    fn origin(&self) -> Instant {
        self.within(|| Instant::now() - self.machine.ran()).unwrap_or(self.local)
    }

    /// Does something as the program would at this moment; `None` if it is dead.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let runtime = self.runtime.as_ref()?;
        let _context = runtime.enter();
        Some(self.machine.enter(work))
    }

    /// It ends by force. `rest` is done before its memory is gone; nothing of that is seen outside.
    pub(crate) fn die(&mut self, until_ms: u64, rest: impl FnOnce()) {
        self.machine.kill();
        self.within(rest);
        let runtime = self.runtime.take();
        self.machine.enter(|| drop(runtime));
        (self.still, self.dead_until_ms) = (None, Some(until_ms));
    }
}
