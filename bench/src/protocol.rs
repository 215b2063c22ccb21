//! What the driver says to a peer's process, and what it hears: one line each way, so that a peer can be
//! written in any language.
//!
//! ```text
//! setup HOSTS                                       -> ok {"version":"2.11.0"}
//! uncontended COUNT LIMIT_MS awaited|background     -> ok {"acquire_us":[…],"release_us":[…],"cpu_us":…}
//! many LOCKS LIMIT_MS                               -> ok {"cycles":…,"seconds":…,"cpu_us":…}
//! handoff SESSIONS LIMIT_MS                         -> ok {"handoff_us":[…],"seconds":…,"cpu_us":…}
//! tasks TASKS LIMIT_MS                              -> ok {"cycles":…,"seconds":…,"cpu_us":…}
//! readers SESSIONS LIMIT_MS                         -> ok {"cycles":…,"seconds":…,"cpu_us":…}
//! wait LIMIT_MS                                     -> ok {"acquired_us":…|null}
//! line WAITERS SESSIONS                             -> ok {"waiting":WAITERS}
//! pass                                              -> ok {"handoff_us":[…],"seconds":…,"cpu_us":…}
//! ```
//! `wait` joins the queue of the lock `queue` and gives up after the time; granted, it holds the lock for that long.
//! `line` queues for the same lock and returns when all are in the queue and the first holds it; `pass` lets it go
//! from hand to hand, each releasing at once, until all had it.
//! Anything that went wrong is answered with `error WHAT`. The processor time is that of the whole process,
//! all its threads included, between the first and the last operation.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Whether a cycle goes on only when the release is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// It waits.
    Awaited,
    /// It does not.
    Background,
}

/// One line to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Connect, in place of whatever connection there was.
    Setup { hosts: String },
    /// Take and release one lock that nobody else wants.
    Uncontended { count: usize, limit: Duration, release: Release },
    /// Take and release so many locks at once on one session.
    Many { locks: usize, limit: Duration },
    /// Pass one lock on among so many sessions.
    Handoff { sessions: usize, limit: Duration },
    /// Take and release one lock from so many tasks, or threads, on one session.
    Tasks { tasks: usize, limit: Duration },
    /// Take and release one read/write lock from so many sessions, nine times of ten as a reader.
    Readers { sessions: usize, limit: Duration },
    /// Join the queue and give up after so long.
    Wait { limit: Duration },
    /// Queue so often, from so many sessions, and hold the lock.
    Line { waiters: usize, sessions: usize },
    /// Let the lock go along the line.
    Pass,
}

/// How often a reader's session writes: each so manieth time.
pub(crate) const WRITES_ONE_OF: u64 = 10;

/// What came of joining a queue.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// How long it took to get the lock, if it was free.
    pub(crate) acquired_us: Option<f64>,
}

/// A line that stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// How many wait, the holder included.
    pub(crate) waiting: usize,
}

/// What a peer is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The client's version, if it knows.
    pub(crate) version: String,
}

/// Cycles on a free lock.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cycles {
    /// How long each acquire took, in microseconds.
    pub(crate) acquire_us: Vec<f64>,
    /// How long each release took, in microseconds; as many as there are acquires.
    pub(crate) release_us: Vec<f64>,
    /// The client's processor time for all of them, in microseconds.
    pub(crate) cpu_us: f64,
}

/// Many locks at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// How many cycles were made, on all locks together.
    pub(crate) cycles: u64,
    /// In how many seconds.
    pub(crate) seconds: f64,
    /// The client's processor time for all of them, in microseconds.
    pub(crate) cpu_us: f64,
}

/// One lock that went from hand to hand.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Handoffs {
    /// From the call of a release to the next holder's grant, in microseconds, one for each acquisition.
    pub(crate) handoff_us: Vec<f64>,
    /// In how many seconds.
    pub(crate) seconds: f64,
    /// The clients' processor time for all of them, in microseconds.
    pub(crate) cpu_us: f64,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Release::Awaited => "awaited",
            Release::Background => "background",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Setup { hosts } => write!(f, "setup {hosts}"),
            Order::Uncontended { count, limit, release } => {
                write!(f, "uncontended {count} {} {release}", limit.as_millis())
            }
            Order::Many { locks, limit } => write!(f, "many {locks} {}", limit.as_millis()),
            Order::Handoff { sessions, limit } => write!(f, "handoff {sessions} {}", limit.as_millis()),
            Order::Tasks { tasks, limit } => write!(f, "tasks {tasks} {}", limit.as_millis()),
            Order::Readers { sessions, limit } => write!(f, "readers {sessions} {}", limit.as_millis()),
            Order::Wait { limit } => write!(f, "wait {}", limit.as_millis()),
            Order::Line { waiters, sessions } => write!(f, "line {waiters} {sessions}"),
            Order::Pass => f.write_str("pass"),
        }
    }
}

impl FromStr for Order {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let unknown = || Failure::Unreadable(format!("no such order: {line:?}"));
        let number = |word: &str| word.parse::<u32>().map_err(|_| unknown());
        let size = |word: &str| number(word).map(|n| n as usize);
        let limit = |word: &str| number(word).map(|ms| Duration::from_millis(ms.into()));
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["setup", hosts] => Ok(Order::Setup { hosts: hosts.to_string() }),
            ["uncontended", count, ms, release] => {
                let release = match release {
                    "awaited" => Release::Awaited,
                    "background" => Release::Background,
                    _ => return Err(unknown()),
                };
                Ok(Order::Uncontended { count: size(count)?, limit: limit(ms)?, release })
            }
            ["many", locks, ms] => Ok(Order::Many { locks: size(locks)?, limit: limit(ms)? }),
            ["handoff", sessions, ms] => Ok(Order::Handoff { sessions: size(sessions)?, limit: limit(ms)? }),
            ["tasks", tasks, ms] => Ok(Order::Tasks { tasks: size(tasks)?, limit: limit(ms)? }),
            ["readers", sessions, ms] => Ok(Order::Readers { sessions: size(sessions)?, limit: limit(ms)? }),
            ["wait", ms] => Ok(Order::Wait { limit: limit(ms)? }),
            ["line", waiters, sessions] => {
                Ok(Order::Line { waiters: size(waiters)?, sessions: size(sessions)? })
            }
            ["pass"] => Ok(Order::Pass),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_line() {
        let limit = Duration::from_millis(700);
        for order in [
            Order::Setup { hosts: "127.0.0.1:2181".to_string() },
            Order::Uncontended { count: 5, limit, release: Release::Awaited },
            Order::Uncontended { count: 5, limit, release: Release::Background },
            Order::Many { locks: 64, limit },
            Order::Handoff { sessions: 8, limit },
            Order::Tasks { tasks: 64, limit },
            Order::Readers { sessions: 16, limit },
            Order::Wait { limit },
            Order::Line { waiters: 1_000, sessions: 10 },
            Order::Pass,
        ] {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        for line in ["", "setup", "many 3", "many x 5", "uncontended 1 2 maybe", "handoff -1 5"] {
            assert!(line.parse::<Order>().is_err(), "{line}");
        }
    }
}
