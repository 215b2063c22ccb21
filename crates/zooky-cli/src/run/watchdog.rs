//! The watchdog: a process of its own session that holds the command's process group and the lock's deadline,
//! and ends the group in time, whatever becomes of `zooky run`.
//!
//! `zooky run` tells it on a pipe (its standard input), a line each: `watch TIMEOUT DEADLINE` (the session's timeout in ns, and the deadline on
//! CLOCK_BOOTTIME; the lock is had), `deadline NS` (when it advances), `lost` (the lock is gone now), `done` (the group has ended). The end of the pipe without `done` means
//! that `zooky run` was killed, or gave up before it had the lock. It answers on its standard output with single bytes: `r`eady (it watches), `t`erm sent, `k`ill sent.
//! While `zooky run` is stopped the pipe is silent and the deadline stands still; that is enough.

use crate::{exit, proc, time};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, setsid, test_kill_process_group};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// KILL comes this long before the deadline: time for the kernel to take a big process apart.
const KILL_BEFORE_NS: u64 = 200_000_000;
/// What the group is given between TERM and KILL when the lock is gone already.
const GRACE_NS: u64 = 200_000_000;
/// How often an orphaned group is looked at, to end soon after it.
const LOOK: Duration = Duration::from_millis(50);

/// When to do what; times in nanoseconds on CLOCK_BOOTTIME. Pure, so that it can be tested.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    timeout_ns: u64,
    deadline_ns: u64,
    kill_at_ns: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Watching,
    TermSent,
    KillSent,
}

/// What became of the words of `zooky run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Watch(u64, u64),
    Deadline(u64),
    Lost,
    Done,
}

impl Plan {
    /// Nothing is held yet, and nothing runs that would have to be ended.
    fn idle() -> Plan {
        Plan::new(0, u64::MAX)
    }

    fn new(timeout_ns: u64, deadline_ns: u64) -> Plan {
        let kill_at_ns = deadline_ns.saturating_sub(KILL_BEFORE_NS);
        Plan { timeout_ns, deadline_ns, kill_at_ns, stage: Stage::Watching }
    }

    /// A later deadline; earlier ones are late news. Once TERM is sent the hour of KILL stands.
    fn extend(&mut self, deadline_ns: u64) {
        if self.stage == Stage::Watching && deadline_ns > self.deadline_ns {
            *self = Plan::new(self.timeout_ns, deadline_ns);
        }
    }

    /// The lock is gone, or nobody is left to keep it: TERM now.
    fn end_now(&mut self, now_ns: u64, kill_at_ns: u64) {
        self.deadline_ns = self.deadline_ns.min(now_ns);
        self.kill_at_ns = self.kill_at_ns.min(kill_at_ns);
    }

    fn term_at_ns(&self) -> u64 {
        self.deadline_ns.saturating_sub(self.timeout_ns / 3)
    }

    /// When to look again.
    fn next_ns(&self) -> Option<u64> {
        match self.stage {
            Stage::Watching if self.deadline_ns == u64::MAX => None,
            Stage::Watching => Some(self.term_at_ns().min(self.kill_at_ns)),
            Stage::TermSent => Some(self.kill_at_ns),
            Stage::KillSent => None,
        }
    }

    /// The signals that are due, in order.
    fn due(&mut self, now_ns: u64) -> Vec<Signal> {
        let mut signals = Vec::new();
        if self.stage == Stage::Watching && self.next_ns().is_some_and(|next| now_ns >= next) {
            self.stage = Stage::TermSent;
            // A stopped process would not see TERM.
            signals.extend([Signal::TERM, Signal::CONT]);
        }
        if self.stage == Stage::TermSent && now_ns >= self.kill_at_ns {
            self.stage = Stage::KillSent;
            signals.push(Signal::KILL);
        }
        signals
    }
}

/// Argument: the group.
pub(crate) fn main(args: &[OsString]) -> u8 {
    // First of all: signals to the job or from the terminal, and the ends of other people's pipes.
    let mut deaf = SigSet::all();
    deaf.remove(NixSignal::SIGKILL);
    let _ = deaf.thread_block();
    let _ = setsid();
    proc::close_inherited();
    let _ = rustix::thread::set_name(c"zooky-watchdog");
    let _ = std::env::set_current_dir("/");
    let [group] = args else { return exit::USAGE };
    let Some(group) = group.to_str().and_then(|group| group.parse().ok()).and_then(Pid::from_raw) else {
        return exit::USAGE;
    };
    let watch = Watch { group, plan: Plan::idle(), line: Vec::new(), orphaned: false };
    match watch.run() {
        Ok(()) => exit::OK,
        Err(_) => {
            // A watchdog that cannot watch must not let the command run on.
            let _ = kill_process_group(group, Signal::KILL);
            exit::OS
        }
    }
}

struct Watch {
    group: Pid,
    plan: Plan,
    line: Vec<u8>,
    orphaned: bool,
}

impl Watch {
    fn run(mut self) -> Result<(), Errno> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        loop {
            for signal in self.plan.due(time::boot_now_ns()) {
                self.send(signal);
            }
            if self.orphaned && (self.plan.stage == Stage::KillSent || self.group_is_gone()) {
                return Ok(());
            }
            self.sleep(&timer)?;
            let mut expirations = [0; 8];
            let _ = rustix::io::read(&timer, &mut expirations);
            if !self.orphaned && self.listen()? {
                return Ok(());
            }
        }
    }

    /// Until the timer or a word from `zooky run`.
    fn sleep(&self, timer: &OwnedFd) -> Result<(), Errno> {
        let value =
            self.plan.next_ns().map_or(Timespec::default(), |at| timespec(Duration::from_nanos(at.max(1))));
        let when = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &when)?;
        let stdin = std::io::stdin();
        let mut both = [PollFd::new(timer, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        let (waited, patience) = if self.orphaned { (1, Some(timespec(LOOK))) } else { (2, None) };
        match poll(&mut both[..waited], patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes all that `zooky run` has said, so that nothing is done on stale news; true if all is done.
    fn listen(&mut self) -> Result<bool, Errno> {
        let stdin = std::io::stdin();
        while !self.orphaned
            && poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec::default()))? > 0
        {
            if self.hear(&stdin)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes some words; true if all is done.
    fn hear(&mut self, stdin: &std::io::Stdin) -> Result<bool, Errno> {
        let mut buffer = [0; 512];
        let taken = rustix::io::read(stdin, &mut buffer)?;
        if taken == 0 {
            self.orphaned = true;
            let now = time::boot_now_ns();
            let waits = self.plan == Plan::idle();
            self.plan.end_now(now, if waits { now + GRACE_NS } else { self.plan.kill_at_ns });
            return Ok(false);
        }
        self.line.extend_from_slice(&buffer[..taken]);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            match Word::parse(&line) {
                Some(Word::Watch(timeout_ns, deadline_ns)) => {
                    self.plan = Plan::new(timeout_ns, deadline_ns);
                    answer(b'r');
                }
                Some(Word::Deadline(at)) => self.plan.extend(at),
                Some(Word::Lost) => {
                    let now = time::boot_now_ns();
                    self.plan.end_now(now, now + GRACE_NS);
                }
                Some(Word::Done) => return Ok(true),
                None => {}
            }
        }
        Ok(false)
    }

    fn send(&self, signal: Signal) {
        if kill_process_group(self.group, signal).is_err() {
            // The group has ended by itself (or is not ours to signal): nothing was done.
            return;
        }
        match signal {
            Signal::TERM => answer(b't'),
            Signal::KILL => answer(b'k'),
            _ => {}
        }
    }

    fn group_is_gone(&self) -> bool {
        test_kill_process_group(self.group) == Err(Errno::SRCH)
    }
}

impl Word {
    fn parse(line: &[u8]) -> Option<Word> {
        let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
        match words.next()? {
            "watch" => Some(Word::Watch(words.next()?.parse().ok()?, words.next()?.parse().ok()?)),
            "deadline" => words.next()?.parse().ok().map(Word::Deadline),
            "lost" => Some(Word::Lost),
            "done" => Some(Word::Done),
            _ => None,
        }
    }
}

/// Tells `zooky run`, if it is still there.
fn answer(byte: u8) {
    let _ = rustix::io::write(std::io::stdout(), &[byte]);
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn term_a_third_before_and_kill_just_before() {
        let mut plan = Plan::new(9 * SECOND, 100 * SECOND);
        assert_eq!(plan.next_ns(), Some(97 * SECOND));
        assert_eq!(plan.due(97 * SECOND - 1), []);
        assert_eq!(plan.due(97 * SECOND), [Signal::TERM, Signal::CONT]);
        assert_eq!(plan.next_ns(), Some(100 * SECOND - KILL_BEFORE_NS));
        assert_eq!(plan.due(100 * SECOND - KILL_BEFORE_NS), [Signal::KILL]);
        assert_eq!(plan.next_ns(), None);
    }

    #[test]
    fn a_deadline_that_advances_postpones_all() {
        let mut plan = Plan::new(9 * SECOND, 100 * SECOND);
        plan.extend(102 * SECOND);
        plan.extend(101 * SECOND);
        assert_eq!(plan.due(98 * SECOND), []);
        assert_eq!(plan.due(99 * SECOND), [Signal::TERM, Signal::CONT]);
        plan.extend(200 * SECOND);
        assert_eq!(plan.due(102 * SECOND), [Signal::KILL], "the hour of KILL stands");
    }

    #[test]
    fn after_a_suspend_both_are_due() {
        let mut plan = Plan::new(9 * SECOND, 100 * SECOND);
        assert_eq!(plan.due(500 * SECOND), [Signal::TERM, Signal::CONT, Signal::KILL]);
    }

    #[test]
    fn an_orphan_is_ended_at_once_and_killed_in_time() {
        let mut plan = Plan::new(9 * SECOND, 100 * SECOND);
        plan.end_now(50 * SECOND, plan.kill_at_ns);
        assert_eq!(plan.due(50 * SECOND), [Signal::TERM, Signal::CONT]);
        assert_eq!(plan.next_ns(), Some(100 * SECOND - KILL_BEFORE_NS));
    }

    #[test]
    fn a_short_timeout_still_kills_before_the_deadline() {
        let mut plan = Plan::new(SECOND / 10, 100 * SECOND);
        assert_eq!(plan.due(100 * SECOND - KILL_BEFORE_NS), [Signal::TERM, Signal::CONT, Signal::KILL]);
    }

    #[test]
    fn before_the_lock_is_had_nothing_is_due_unless_nobody_is_left() {
        let mut plan = Plan::idle();
        assert_eq!((plan.next_ns(), plan.due(u64::MAX - 1)), (None, Vec::new()));
        plan.end_now(50 * SECOND, 50 * SECOND + GRACE_NS);
        assert_eq!(plan.due(50 * SECOND), [Signal::TERM, Signal::CONT]);
        assert_eq!(plan.next_ns(), Some(50 * SECOND + GRACE_NS));
    }

    #[test]
    fn words() {
        assert_eq!(Word::parse(b"watch 4 12\n"), Some(Word::Watch(4, 12)));
        assert_eq!(Word::parse(b"watch 4\n"), None);
        assert_eq!(Word::parse(b"deadline 12\n"), Some(Word::Deadline(12)));
        assert_eq!(Word::parse(b"deadline x\n"), None);
        assert_eq!(Word::parse(b"lost\n"), Some(Word::Lost));
        assert_eq!(Word::parse(b"done\n"), Some(Word::Done));
        assert_eq!(Word::parse(b"\n"), None);
    }
}
