//! What a run tells its load generator, and what that answers: one line of JSON each way.

use serde::{Deserialize, Serialize};

/// One order. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Requests without a pause: so many sessions, each with so many in flight. Answered by a [`Rate`].
    Flood { hosts: String, what: What, sessions: usize, in_flight: usize, limit_ms: u64 },
    /// One write after the other on one connection, ZooKeeper's create or redis's SET. Answered by [`Times`].
    Single { hosts: String, what: Single, limit_ms: u64 },
    /// Connects, opens a session, closes it and disconnects, on so many threads. Answered by a [`Rate`].
    Connects { hosts: String, threads: usize, limit_ms: u64 },
    /// Changes one node that so many sessions watch. Answered by [`Times`], from the change to the last event.
    FanOut { hosts: String, watchers: usize, limit_ms: u64 },
    /// Makes so many nodes. Answered by a [`Rate`].
    Fill { hosts: String, znodes: usize },
    /// Opens so many sessions and leaves them open. Answered by a [`Rate`].
    Idle { hosts: String, sessions: usize },
    /// Disconnects what the last order has left open, without closing the sessions.
    Leave,
}

/// What requests a flood consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// Creates of sequential ephemerals, and the deletes of what was created.
    Writes,
    /// getData of a small node.
    Reads,
}

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Single {
    /// create of an ephemeral; its delete is not timed.
    Create,
    /// setData.
    SetData,
    /// redis's SET.
    RedisSet,
}

/// So many operations in so many seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) count: u64,
    pub(crate) seconds: f64,
}

impl Rate {
    /// Per second; `None` if nothing was done.
    pub(crate) fn per_second(&self) -> Option<f64> {
        (self.count > 0).then(|| self.count as f64 / self.seconds)
    }
}

/// How long each of many took, in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) us: Vec<f64>,
}
