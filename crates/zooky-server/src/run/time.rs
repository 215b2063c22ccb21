//! The clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::core::Now;

/// The present time. The monotone part counts the time in which the machine was suspended.
pub(crate) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    Now { mono_ms: mono_ms(), wall_ms: wall }
}

/// The present time, which is never before `earlier` on the monotone clock.
pub(crate) fn later_than(earlier: Now) -> Now {
    let now = now();
    Now { mono_ms: now.mono_ms.max(earlier.mono_ms), ..now }
}

/// The monotone part alone.
pub(super) fn mono_ms() -> u64 {
    let boot = clock_gettime(ClockId::Boottime);
    boot.tv_sec as u64 * 1_000 + boot.tv_nsec as u64 / 1_000_000
}
