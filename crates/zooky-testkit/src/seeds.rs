//! Many stories, each from a seed of its own.

use std::ops::{AddAssign, Range};
use std::panic::{RefUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The number in an environment variable, if it is set.
///
/// # Panics
/// It is no number.
pub fn number_from_env(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// The seeds of a long run: `usual`, or as many as `ZOOKY_SIM_SEEDS` says, from `ZOOKY_SIM_FROM` on. So it can be done in
/// portions.
///
/// # Panics
/// One of the variables is no number.
pub fn seeds_from_env(usual: Range<u64>) -> Range<u64> {
    let first = number_from_env("ZOOKY_SIM_FROM").unwrap_or(usual.start);
    first..first + number_from_env("ZOOKY_SIM_SEEDS").unwrap_or(usual.end - usual.start)
}

/// Tells the story of each seed, on all processors, and adds up what they return.
///
/// # Panics
/// One of them does. It is named, with `alone`: the command that runs it by itself, where `=SEED` stands for its number.
pub fn run_seeds<T: Default + AddAssign + Send>(
    seeds: Range<u64>,
    alone: &str,
    story: impl Fn(u64) -> T + Sync + RefUnwindSafe,
) -> T {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let total = Mutex::new(T::default());
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match catch_unwind(|| story(seed)) {
                Ok(told) => *total.lock().unwrap_or_else(PoisonError::into_inner) += told,
                Err(_) => _ = failed.fetch_min(seed, Ordering::Relaxed),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let seed = failed.into_inner();
    assert!(seed == u64::MAX, "seed {seed} fails; alone: {}", alone.replace("=SEED", &format!("={seed}")));
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_once_and_the_one_that_fails_is_named() {
        assert_eq!(run_seeds(3..103, "", |seed| seed), (3..103).sum());
        let failing = || {
            run_seeds(0..100, "TOLD=SEED run", |seed| {
                assert!(seed != 17, "this one");
                0
            })
        };
        let said = catch_unwind(failing).unwrap_err();
        assert_eq!(said.downcast_ref::<String>().unwrap(), "seed 17 fails; alone: TOLD=17 run");
    }
}
