//! How much time a connection takes from the others.

use std::time::Duration;

/// What a connection may take and still go before those with a backlog, in microseconds.
const MOST_US: u64 = 200;
/// What is taken off the account of each connection, in microseconds for each millisecond that passes.
const RELIEF_US: u64 = 25;

/// Nobody pays for more than this: less than half a second.
const CAP_US: u64 = 10_000;

/// What a small request takes at most by itself.
const LITTLE_US: u64 = 30;

/// An account of the loop's time that one connection had. It empties by itself, a fortieth of the time that passes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Effort {
    us: u64,
    noted_ms: u64,
}

impl Effort {
    /// It was served for `time`. `little`: what it asked does not take long; if it did, others had the processor meanwhile.
    pub(crate) fn add(&mut self, time: Duration, little: bool, now_ms: u64) {
        let us = (time.as_micros() as u64).min(if little { LITTLE_US } else { CAP_US });
        self.us = (self.left(now_ms) + us).min(CAP_US);
        self.noted_ms = now_ms;
    }

    /// Whether it has had so much that others come first.
    pub(crate) fn is_great(&self, now_ms: u64) -> bool {
        self.left(now_ms) > MOST_US
    }

    fn left(&self, now_ms: u64) -> u64 {
        self.us.saturating_sub(now_ms.saturating_sub(self.noted_ms).saturating_mul(RELIEF_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_in_a_short_time_is_great_and_is_forgotten() {
        let mut effort = Effort::default();
        for ms in 0..1_000 {
            effort.add(Duration::from_micros(20), true, ms);
            assert!(!effort.is_great(ms), "a client that asks all the time, but little");
        }
        effort.add(Duration::from_micros(400), false, 1_000);
        assert!(effort.is_great(1_000));
        assert!(effort.is_great(1_005));
        assert!(!effort.is_great(1_030));
        effort.add(Duration::from_secs(60), false, 2_000);
        assert!(effort.is_great(2_300));
        assert!(!effort.is_great(2_500));
        // The process did not run while it was served.
        effort.add(Duration::from_secs(60), true, 3_000);
        assert!(!effort.is_great(3_000));
    }
}
