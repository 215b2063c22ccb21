//! What is counted: how many holds and waits there were and how long they took, second by second and altogether.

use std::collections::VecDeque;

use serde::Serialize;
use zooky::Mode;

/// The upper bounds of the histograms' buckets, in milliseconds.
pub(crate) const BUCKETS_MS: [i64; 13] =
    [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000, 300_000, 1_800_000, 3_600_000];
/// For how many seconds the samples are kept.
pub(crate) const KEPT_SECONDS: usize = 900;
/// How many durations are kept within one second, for its median.
const KEPT_DURATIONS: usize = 4_096;

/// A histogram of durations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    /// How many fell into each bucket; the last one is for those beyond all bounds.
    pub(crate) counts: [u64; BUCKETS_MS.len() + 1],
    pub(crate) sum_ms: u64,
}

impl Histogram {
    fn record(&mut self, ms: i64) {
        let at = BUCKETS_MS.iter().position(|bound| ms <= *bound).unwrap_or(BUCKETS_MS.len());
        self.counts[at] += 1;
        self.sum_ms += ms.unsigned_abs();
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The histograms and counts of one mode.
#[derive(Debug, Clone, Default)]
pub(crate) struct ByMode {
    pub(crate) wait: Histogram,
    pub(crate) hold: Histogram,
    pub(crate) grants: u64,
    pub(crate) losses: u64,
    /// Holders that may have lost it, where the server does not tell for certain.
    pub(crate) suspected: u64,
}

/// One second, as the page draws it. Durations in milliseconds; none where there was nothing to measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// When the second ended.
    pub(crate) at_ms: i64,
    pub(crate) held: usize,
    pub(crate) waiting: usize,
    pub(crate) grants: usize,
    pub(crate) wait_ms: Option<i64>,
    pub(crate) wait_max_ms: Option<i64>,
    pub(crate) hold_ms: Option<i64>,
    /// From one grant to the next of the same lock, where somebody waited for it.
    pub(crate) turn_ms: Option<i64>,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) exclusive: ByMode,
    pub(crate) shared: ByMode,
    pub(crate) freed: u64,
    samples: VecDeque<Sample>,
    grants: usize,
    waits: Vec<i64>,
    holds: Vec<i64>,
    turns: Vec<i64>,
}

impl Tally {
    fn of(&mut self, mode: Mode) -> &mut ByMode {
        match mode {
            Mode::Exclusive => &mut self.exclusive,
            Mode::Shared => &mut self.shared,
        }
    }

    /// A lock was granted after a wait; no wait where its beginning was not seen.
    pub(crate) fn granted(&mut self, mode: Mode, wait_ms: Option<i64>, turn_ms: Option<i64>) {
        self.grants += 1;
        self.of(mode).grants += 1;
        if let Some(wait_ms) = wait_ms {
            self.of(mode).wait.record(wait_ms);
            keep(&mut self.waits, wait_ms);
        }
        if let Some(turn_ms) = turn_ms {
            keep(&mut self.turns, turn_ms);
        }
    }

    /// A holder is gone, whose grant was seen.
    pub(crate) fn released(&mut self, mode: Mode, hold_ms: i64) {
        self.of(mode).hold.record(hold_ms);
        keep(&mut self.holds, hold_ms);
    }

    /// A holder is gone because its session had expired.
    pub(crate) fn lost(&mut self, mode: Mode) {
        self.of(mode).losses += 1;
    }

    /// A holder is gone that may have lost its session.
    pub(crate) fn suspected(&mut self, mode: Mode) {
        self.of(mode).suspected += 1;
    }

    /// The end of a second.
    pub(crate) fn close(&mut self, at_ms: i64, held: usize, waiting: usize) -> Sample {
        let wait_max_ms = self.waits.iter().max().copied();
        let sample = Sample {
            at_ms,
            held,
            waiting,
            grants: std::mem::take(&mut self.grants),
            wait_ms: median(&mut self.waits),
            wait_max_ms,
            hold_ms: median(&mut self.holds),
            turn_ms: median(&mut self.turns),
        };
        if self.samples.len() == KEPT_SECONDS {
            self.samples.pop_front();
        }
        self.samples.push_back(sample.clone());
        sample
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }
}

fn keep(durations: &mut Vec<i64>, ms: i64) {
    if durations.len() < KEPT_DURATIONS {
        durations.push(ms);
    }
}

/// The median, and the list is empty again.
fn median(durations: &mut Vec<i64>) -> Option<i64> {
    durations.sort_unstable();
    let median = durations.get(durations.len() / 2).copied();
    durations.clear();
    median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_summed_up_and_begun_anew() {
        let mut tally = Tally::default();
        for (wait, turn) in [(3, Some(10)), (1, None), (9, None)] {
            tally.granted(Mode::Exclusive, Some(wait), turn);
        }
        tally.granted(Mode::Shared, None, None);
        tally.released(Mode::Exclusive, 70_000);
        let sample = tally.close(1_000, 2, 3);
        let expected = Sample {
            at_ms: 1_000,
            held: 2,
            waiting: 3,
            grants: 4,
            wait_ms: Some(3),
            wait_max_ms: Some(9),
            hold_ms: Some(70_000),
            turn_ms: Some(10),
        };
        assert_eq!(sample, expected);
        assert_eq!(tally.close(2_000, 0, 0), Sample { at_ms: 2_000, ..Sample::default() });
        assert_eq!((tally.exclusive.wait.count(), tally.exclusive.wait.sum_ms), (3, 13));
        assert_eq!((tally.exclusive.grants, tally.shared.grants, tally.shared.wait.count()), (3, 1, 0));
        for second in 0..2_000 {
            tally.close(second, 0, 0);
        }
        assert_eq!(tally.samples().count(), KEPT_SECONDS);
    }
}
