//! One lock as a line of a table, and one contender as a line of its queue: what `zooky top` shows.

use zooky::Mode;
use zooky::inspect::Contender;

/// A lock, its holders and its queue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Row {
    /// The lock's path.
    pub path: String,
    /// Those that hold it: nobody, one, or several readers.
    pub holders: Vec<Holder>,
    /// How many wait.
    pub waiters: usize,
    /// Since when the first of them has waited, in milliseconds since 1970 on this machine's clock.
    pub waiting_since_ms: Option<i64>,
}

/// One that holds a lock.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Holder {
    /// The name of its node.
    pub name: String,
    /// Whether it shares the lock.
    pub mode: Mode,
    /// Since when it has held it, in milliseconds since 1970 on this machine's clock.
    pub since_ms: i64,
    /// Whether its grant was seen; else it is the earliest moment possible.
    pub seen: bool,
    /// Its node; `None` until it has been read.
    pub contender: Option<Contender>,
}

/// One in the queue of a lock.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Place {
    /// The name of its node.
    pub name: String,
    /// Whether it shares the lock, or wants to.
    pub mode: Mode,
    /// Since when it holds the lock, or waits for it, in milliseconds since 1970 on this machine's clock.
    pub since_ms: i64,
    /// Whether it holds the lock.
    pub holds: bool,
    /// Whether the beginning was seen; else `since_ms` is the earliest moment possible.
    pub seen: bool,
    /// Its node; `None` until it has been read.
    pub contender: Option<Contender>,
}
