//! The clock that goes on while the machine sleeps, and a timer on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::state::Machine;

/// Nanoseconds since the present machine's boot, those of its sleep included.
pub fn boot_nanos() -> u64 {
    Machine::present().map_or(0, |machine| machine.boot_nanos())
}

/// What the present machine's wall clock shows, in milliseconds since 1970.
pub fn unix_ms() -> i64 {
    1_700_000_000_000 + i64::try_from(boot_nanos() / 1_000_000).unwrap_or(0)
}

/// A timer on the clock that goes on.
#[derive(Debug)]
pub struct Timer {
    machine: Machine,
    id: u64,
    armed: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer of the present machine that is not set.
    ///
    /// # Errors
    /// No machine is running.
    pub fn new() -> io::Result<Timer> {
        let machine = Machine::present().ok_or_else(|| io::Error::other("no machine is running"))?;
        let id = machine.state().next_id();
        Ok(Timer { machine, id, armed: u64::MAX, sleep: None })
    }

    /// Sees to it that the timer fires at `nanos` or earlier.
    ///
    /// # Errors
    /// None; a real one may fail.
    pub fn set(&mut self, nanos: u64) -> io::Result<()> {
        if nanos < self.armed {
            (self.armed, self.sleep) = (nanos, None);
        }
        Ok(())
    }

    /// Ready once the timer has fired; it is then no longer set.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.machine.state().wake_after_sleep(self.id, cx.waker());
        loop {
            if self.armed == u64::MAX {
                return Poll::Pending;
            }
            let now = self.machine.boot_nanos();
            if now >= self.armed {
                (self.armed, self.sleep) = (u64::MAX, None);
                return Poll::Ready(Ok(()));
            }
            let slept = self.machine.slept();
            if self.sleep.is_none() || self.machine.state().timers_are_stale(self.id, slept) {
                let wait = self.machine.until(Duration::from_nanos(self.armed - now));
                self.sleep = Some(Box::pin(sleep_until(Instant::now() + wait)));
            }
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.machine.state().forget_timer(self.id);
    }
}
