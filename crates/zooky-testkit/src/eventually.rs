//! Waiting for something that other processes bring about: the one place where tests poll.

use crate::machine::MachineClock;
use std::time::Duration;

/// Asks `probe` again and again until it answers with a value, and returns that value.
///
/// # Panics
/// When `timeout` has passed by the [`MachineClock`] without an answer; the message names `what` was waited for.
#[track_caller]
pub fn eventually<T>(timeout: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    let mut clock = MachineClock::start();
    match within_by(&mut clock, timeout, probe) {
        Some(value) => value,
        None => panic!("waited {clock} in vain for {what}"),
    }
}

/// The same for callers that have something better to say than a panic; none in vain. The probe runs once more at the end,
/// so that a machine which stood still for a while does not turn a success into a failure.
pub fn within<T>(timeout: Duration, probe: impl FnMut() -> Option<T>) -> Option<T> {
    within_by(&mut MachineClock::start(), timeout, probe)
}

fn within_by<T>(
    clock: &mut MachineClock,
    timeout: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Option<T> {
    let mut pause = Duration::from_millis(1);
    loop {
        let last = clock.left_of(timeout).is_zero();
        if let Some(value) = probe() {
            return Some(value);
        }
        if last {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(25));
    }
}
