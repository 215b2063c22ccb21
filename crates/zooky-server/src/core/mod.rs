//! The heart of the server: frames, ticks and logged transactions in; transactions, frames and
//! closings out.
//!
//! It is pure. It has no socket, file, thread, clock or randomness of its own: whoever owns it hands
//! in the time with each step, and carries out what comes out, in that order. The order of the
//! outputs is the order of effects: an [`Output::Append`] stands before every [`Output::Send`] that
//! shows what it did, so an owner that releases nothing before the appends in front of it are
//! durable never shows anything that a crash could take back.

mod config;
mod handshake;
mod image;
mod limits;
mod password;
mod replay;
mod stats;

use std::net::IpAddr;

use bytes::Bytes;
use zooky_wire::TxnRecord;

pub use config::{CoreConfig, first_session_id};
pub use image::{Image, ImageNode, RestoredNode};
pub use limits::Limits;
pub use password::PasswordRule;
pub use replay::{ReplayError, RestoreError};
pub use stats::Stats;

/// A connection, as the owner of the sockets numbers them. A number is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds on a clock that never goes back and counts suspension; sessions live by it.
    pub mono_ms: u64,
    /// Milliseconds since 1970; what nodes' times and transactions show.
    pub wall_ms: i64,
}

/// What happens to the core.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection was accepted.
    Opened {
        /// Its number.
        conn: ConnId,
        /// Who is at the other end (the `ip` scheme's identity).
        peer: IpAddr,
    },
    /// A whole frame came in, here without its length. The first of a connection is its connect request.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// The frame's body.
        frame: Bytes,
    },
    /// A connection is gone. Its session lives on until its timeout. Needed after an
    /// [`Output::Close`] too, but harmless there.
    Closed {
        /// Which connection.
        conn: ConnId,
    },
    /// The time that [`Core::next_tick`] asked for has come (or any other time: harmless).
    Tick,
}

/// What the owner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write this to the log; it has been applied already. Its `digest` is `None`.
    Append(TxnRecord),
    /// Send a frame, once every append before it is durable.
    Send {
        /// To which connection.
        conn: ConnId,
        /// The frame, its length in front.
        frame: Bytes,
    },
    /// Close a connection, once everything before it is durable and sent. The core has forgotten
    /// the connection: frames that still come in from it are ignored.
    Close {
        /// Which connection.
        conn: ConnId,
    },
}

/// The server's state and its rules.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    last_zxid: i64,
}

impl Core {
    /// The empty tree (`/`, `/zookeeper`, `/zookeeper/config`, `/zookeeper/quota`), no sessions, zxid 0.
    pub fn new(config: CoreConfig) -> Core {
        Core { config, last_zxid: 0 }
    }

    /// The state of a snapshot: sessions with their timeouts in milliseconds, the numbered ACLs, and
    /// the nodes, parents before children. `last_zxid` is the one in the snapshot's file name.
    ///
    /// # Errors
    /// The parts do not fit together.
    pub fn restore(
        config: CoreConfig,
        last_zxid: i64,
        sessions: impl IntoIterator<Item = (i64, i32)>,
        acls: impl IntoIterator<Item = (i64, Vec<zooky_wire::Acl>)>,
        nodes: impl IntoIterator<Item = RestoredNode>,
    ) -> Result<Core, RestoreError> {
        let _ = (sessions, acls, nodes);
        Ok(Core { config, last_zxid })
    }

    /// Applies a transaction of the log. What a snapshot that was taken while serving already shows
    /// is tolerated, so replaying may start before the snapshot's end.
    ///
    /// # Errors
    /// The transaction is none that a log may hold here.
    pub fn replay(&mut self, record: &TxnRecord) -> Result<(), ReplayError> {
        self.last_zxid = record.header.zxid;
        Ok(())
    }

    /// The end of recovery: every session gets its whole timeout from `now`.
    pub fn begin(&mut self, now: Now) {
        let _ = (now, &self.config);
    }

    /// One step: takes `input`, adds to `out` what is to be done. `now` must not go back.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        let _ = (now, input, out);
    }

    /// When an [`Input::Tick`] is wanted next, in `mono_ms`; `None`: not before another input.
    pub fn next_tick(&self) -> Option<u64> {
        None
    }

    /// The newest transaction applied.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Counts, for the four-letter words and metrics. Cheap.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Read access to everything a snapshot holds, as of now.
    pub fn image(&self) -> Image<'_> {
        Image { core: self }
    }
}
