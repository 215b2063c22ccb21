//! A clock for limits that must hold on any machine, whatever else it does.
//!
//! A limit on the wall clock fails where the processors are busy with something else, and says nothing of the code under
//! test. This clock is slowed down by what others take and by nothing else: of each second it counts that part of all
//! processors that the test and the processes it has started used or left idle. A fault of ours does not stop it: who waits
//! in vain leaves the processors idle, and who turns in circles uses them himself.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// Shorter times are not looked at: the kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_millis(500);
/// How many of the kernel's ticks make a second in `/proc`, on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Time as it passes for a test on a machine that is shared with others.
///
/// The part that others took is looked at every half second; what has passed since the last look counts as much as what
/// passed before it. Without `/proc` this is the wall clock.
#[derive(Debug)]
pub struct MachineClock {
    begun: Instant,
    looked: Instant,
    seen: Option<Processors>,
    counted: Duration,
    share: f64,
}

impl MachineClock {
    /// Begins to count.
    pub fn start() -> MachineClock {
        let now = Instant::now();
        MachineClock { begun: now, looked: now, seen: Processors::now(), counted: Duration::ZERO, share: 1.0 }
    }

    /// How much has passed.
    pub fn elapsed(&mut self) -> Duration {
        let passed = self.looked.elapsed();
        if passed < LOOK {
            return self.counted + passed.mul_f64(self.share);
        }
        let seen = Processors::now();
        if let (Some(before), Some(after)) = (&self.seen, &seen) {
            self.share = after.share_since(before, passed);
        }
        self.counted += passed.mul_f64(self.share);
        (self.looked, self.seen) = (self.looked + passed, seen);
        self.counted
    }

    /// How much is left of `limit`.
    pub fn left_of(&mut self, limit: Duration) -> Duration {
        limit.saturating_sub(self.elapsed())
    }
}

/// `3.1s of 44.0s, others having had the processors for the rest`
impl fmt::Display for MachineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, since) = (self.begun.elapsed(), self.looked.elapsed());
        let counted = self.counted + since.mul_f64(self.share);
        write!(f, "{counted:.1?} of {wall:.1?}, others having had the processors for the rest")
    }
}

/// What the processors have done since the machine was started, in ticks.
#[derive(Debug)]
struct Processors {
    count: f64,
    idle: f64,
    /// By this process, those it has started, and theirs.
    ours: f64,
}

impl Processors {
    fn now() -> Option<Processors> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let mut lines = stat.lines();
        // user, nice, system, idle, waiting for a disk
        let all: Vec<f64> =
            lines.next()?.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        let count = lines.take_while(|line| line.starts_with("cpu")).count();
        Some(Processors { count: count as f64, idle: all.get(3)? + all.get(4)?, ours: ours()? })
    }

    fn share_since(&self, before: &Processors, passed: Duration) -> f64 {
        let had = (self.idle - before.idle).max(0.0) + (self.ours - before.ours).max(0.0);
        (had / (self.count * passed.as_secs_f64() * TICKS_PER_SECOND)).clamp(0.0, 1.0)
    }
}

/// The ticks of this process and all its descendants, those that have ended and were waited for included.
fn ours() -> Option<f64> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc").ok()?.map_while(Result::ok) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        // It may have ended meanwhile.
        if let Some((pid, process)) = pid.and_then(|pid| Some((pid, Process::read(pid)?))) {
            processes.insert(pid, process);
        }
    }
    let me = std::process::id();
    let is_ours = |pid: u32| {
        let line = std::iter::successors(Some(pid), |pid| Some(processes.get(pid)?.parent));
        line.take(processes.len()).any(|pid| pid == me)
    };
    Some(processes.iter().filter(|(pid, _)| is_ours(**pid)).map(|(_, process)| process.ticks).sum())
}

struct Process {
    parent: u32,
    ticks: f64,
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything. The state follows it, the third field; then the parent, and the times from the
        // 14th field on: the process's own as a user and in the kernel, and the same of its children.
        let words: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = words.get(11..15)?.iter().filter_map(|word| word.parse::<f64>().ok()).sum();
        Some(Process { parent: words.get(1)?.parse().ok()?, ticks })
    }
}
