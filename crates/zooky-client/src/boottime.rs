//! A clock that goes on while the machine sleeps, and a timer on it.
//!
//! `Instant` is CLOCK_MONOTONIC, which stands still during a suspend: a lock's holder would wake up and still
//! believe in its lock. CLOCK_BOOTTIME counts that time too, and a timer on it fires at once after waking.

use std::io;
use std::ops::{Add, Sub};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::machine;

/// A moment on CLOCK_BOOTTIME: nanoseconds since this machine booted, suspended time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(u64);

impl BootInstant {
    /// A moment that never comes.
    pub const NEVER: BootInstant = BootInstant(u64::MAX);

    /// The present moment.
    pub fn now() -> BootInstant {
        BootInstant(machine::boot_nanos())
    }

    /// The moment `nanos` nanoseconds after the boot.
    pub const fn from_nanos(nanos: u64) -> BootInstant {
        BootInstant(nanos)
    }

    /// Nanoseconds since the boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How much later this is than `earlier`; zero if it is not later.
    pub const fn saturating_since(self, earlier: BootInstant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long it is from now; zero if it is past.
    pub fn remaining(self) -> Duration {
        self.saturating_since(BootInstant::now())
    }

    /// Waits until this moment has come, a suspend of the machine included. Cancel safe.
    ///
    /// # Errors
    /// The kernel gives no timer.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled, like everything in tokio that waits.
    pub async fn sleep_until(self) -> io::Result<()> {
        if BootInstant::now() >= self {
            return Ok(());
        }
        let mut timer = BootTimer::new()?;
        timer.set(self)?;
        std::future::poll_fn(|cx| timer.poll(cx)).await
    }
}

impl Add<Duration> for BootInstant {
    type Output = BootInstant;

    fn add(self, duration: Duration) -> BootInstant {
        BootInstant(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for BootInstant {
    type Output = BootInstant;

    fn sub(self, duration: Duration) -> BootInstant {
        BootInstant(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A timer on CLOCK_BOOTTIME. It is set again only for an earlier moment.
#[derive(Debug)]
pub(crate) struct BootTimer(machine::Timer);

impl BootTimer {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<BootTimer> {
        machine::Timer::new().map(BootTimer)
    }

    /// Sees to it that the timer fires at `at` or earlier.
    pub(crate) fn set(&mut self, at: BootInstant) -> io::Result<()> {
        self.0.set(at.0)
    }

    /// Ready once the timer has fired; it is then no longer set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_timer_fires_in_time_and_not_before() {
        let start = BootInstant::now();
        let at = start + Duration::from_millis(30);
        at.sleep_until().await.unwrap();
        assert!(BootInstant::now() >= at);
        start.sleep_until().await.unwrap();
    }

    #[tokio::test]
    async fn an_earlier_moment_wins() {
        let mut timer = BootTimer::new().unwrap();
        let start = BootInstant::now();
        timer.set(start + Duration::from_secs(3600)).unwrap();
        timer.set(start + Duration::from_millis(5)).unwrap();
        timer.set(start + Duration::from_secs(7200)).unwrap();
        std::future::poll_fn(|cx| timer.poll(cx)).await.unwrap();
        assert!(BootInstant::now() < start + Duration::from_secs(3600));
    }

    #[test]
    fn arithmetic_saturates() {
        let at = BootInstant::from_nanos(5);
        assert_eq!((at - Duration::from_secs(1)).as_nanos(), 0);
        assert_eq!(BootInstant::NEVER + Duration::from_secs(1), BootInstant::NEVER);
        assert_eq!(at.saturating_since(at + Duration::from_secs(1)), Duration::ZERO);
    }
}
