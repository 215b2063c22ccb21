//! The heart of the server: frames, ticks and logged transactions in; transactions, frames and
//! closings out.
//!
//! It is pure. It has no socket, file, thread, clock or randomness of its own: whoever owns it hands
//! in the time with each step, and carries out what comes out, in that order. The order of the
//! outputs is the order of effects: an [`Output::Append`] stands before every [`Output::Send`] that
//! shows what it did, and each send says what is the newest it shows, so an owner that releases
//! nothing before that is durable never shows anything that a crash could take back.

mod acl;
mod apply;
mod auth;
mod capture;
mod chunked;
mod config;
mod conn;
mod expiry;
mod handshake;
mod hash;
mod image;
mod limits;
mod members;
mod node;
mod notify;
mod ops;
mod password;
mod quota;
mod replay;
mod report;
mod room;
mod sessions;
mod shown;
mod stats;
#[cfg(test)]
mod tests;
mod tree;
mod watches;

use std::net::IpAddr;

use bytes::Bytes;
use zooky_wire::{Txn, TxnHeader, TxnRecord};

use conn::Conn;
use hash::{Hashing, Map};
use sessions::Sessions;
use shown::Touched;
use tree::Tree;
use watches::Watches;

pub use capture::{Captured, Piece};
pub use config::{CoreConfig, first_session_id};
pub use image::{Image, ImageNode, RestoredNode};
pub use limits::Limits;
pub use password::PasswordRule;
pub use replay::{ReplayError, RestoreError};
pub use report::SessionReport;
pub use stats::Stats;

/// How many watches of connections that are gone a step clears away besides twice as many as it has set, so that they do not
/// pile up, and nobody else pays for that.
const BURIED: usize = 16;
/// The same for a tick.
const BURIED_BY_TICK: usize = 32;

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
    /// The connection's client has proved, by TLS, that this is its certificate's subject (the `x509`
    /// scheme's identity). Comes before the connection's first frame.
    Certified {
        /// Which connection.
        conn: ConnId,
        /// The subject, as RFC 2253 writes it.
        subject: String,
    },
    /// A whole frame came in, here without its length. The first of a connection is its connect request.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// The frame's body.
        frame: Bytes,
    },
    /// A connection whose request takes several steps ([`Core::is_unfinished`]) has its turn again. Harmless
    /// otherwise; and a frame in its place finishes that request first.
    Continue {
        /// Which connection.
        conn: ConnId,
    },
    /// A connection is gone. Its session lives on until its timeout. Harmless after an
    /// [`Output::Close`].
    Closed {
        /// Which connection.
        conn: ConnId,
    },
    /// The time that [`Core::next_tick`] asked for has come (or any other time: harmless). Only a
    /// tick ends sessions: hand in the frames that wait already before it.
    Tick,
}

/// What the owner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write this to the log; it has been applied already. Its `digest` is `None`.
    Append(TxnRecord),
    /// Send a frame, once every append up to `shows` is durable. For one connection `shows` never falls.
    Send {
        /// To which connection.
        conn: ConnId,
        /// The frame, its length in front.
        frame: Bytes,
        /// The zxid of the newest transaction of which it tells.
        shows: i64,
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
    tree: Tree,
    sessions: Sessions,
    conns: Map<ConnId, Conn>,
    data_watches: Watches,
    child_watches: Watches,
    /// Connections with a request that takes several steps.
    unfinished: usize,
    last_zxid: i64,
    /// Every transaction up to this one is on the disk.
    durable: i64,
    touched: Touched,
    next_session_id: i64,
    /// The time of the present step.
    now: Now,
    /// When containers and TTL nodes are looked at next.
    next_reap_ms: u64,
    /// Events that the present transaction caused; they go out behind it.
    events: Vec<Output>,
    /// Room for the connections an event goes to.
    told: Vec<ConnId>,
    /// Nodes of a snapshot whose ACLs it does not list, with their numbers.
    unknown_acls: Vec<(String, i64)>,
    packets_received: u64,
    sessions_expired: u64,
    ephemerals_expired: u64,
    packets_sent: u64,
}

impl Core {
    /// The empty tree (`/`, `/zookeeper`, `/zookeeper/config`, `/zookeeper/quota`), no sessions, zxid 0.
    pub fn new(config: CoreConfig) -> Core {
        let mut core = Core::bare(config);
        core.tree.add_system_nodes();
        core
    }

    /// Only the root.
    fn bare(config: CoreConfig) -> Core {
        let hashing = Hashing::new(config.hash_seed);
        let mut tree = Tree::new(hashing.clone());
        tree.max_bytes = config.limits.max_tree_bytes;
        tree.quotas.enforce = config.enforce_quota;
        Core {
            tree,
            sessions: Sessions::new(&hashing, config.expiry_step_ms.max(1)),
            conns: hashing.map(),
            data_watches: Watches::new(&hashing),
            child_watches: Watches::new(&hashing),
            unfinished: 0,
            last_zxid: 0,
            durable: 0,
            touched: Touched::new(hashing.clone()),
            next_session_id: config.first_session_id,
            now: Now::default(),
            next_reap_ms: 0,
            events: Vec::new(),
            told: Vec::new(),
            unknown_acls: Vec::new(),
            packets_received: 0,
            sessions_expired: 0,
            ephemerals_expired: 0,
            packets_sent: 0,
            config,
        }
    }

    /// One step: takes `input`, adds to `out` what is to be done. `now` must not go back.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        self.now = now;
        let more = if matches!(input, Input::Tick) { BURIED_BY_TICK } else { BURIED };
        let before = self.data_watches.len() + self.child_watches.len();
        match input {
            Input::Opened { conn, peer } => {
                self.conns.insert(conn, Conn::new(peer));
            }
            Input::Certified { conn, subject } => {
                if let Some(open) = self.conns.get_mut(&conn) {
                    open.add_id("x509", subject);
                }
            }
            Input::Frame { conn, frame } => self.frame(conn, &frame, out),
            Input::Continue { conn } => self.go_on(conn, out),
            Input::Closed { conn } => self.forget_conn(conn),
            Input::Tick => self.tick(out),
        }
        self.shed_watches(out);
        let set = (self.data_watches.len() + self.child_watches.len()).saturating_sub(before);
        self.bury(2 * set + more);
    }

    /// Clears away a few of the watches of connections that are gone.
    fn bury(&mut self, at_most: usize) {
        self.data_watches.bury(at_most);
        self.child_watches.bury(at_most);
    }

    /// When an [`Input::Tick`] is wanted next, in `mono_ms`; `None`: not before another input.
    pub fn next_tick(&self) -> Option<u64> {
        if self.data_watches.has_graves() || self.child_watches.has_graves() {
            return Some(self.now.mono_ms);
        }
        let reap = (!self.tree.transient.is_empty()).then_some(self.next_reap_ms);
        [self.sessions.next_ms(), reap].into_iter().flatten().min()
    }

    /// The newest transaction applied.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Read access to everything a snapshot holds, as of now.
    pub fn image(&self) -> Image<'_> {
        Image { core: self }
    }

    /// Numbers a transaction, applies it, and puts it out with the events it causes behind it.
    /// It has been planned against the present state, so it applies.
    fn commit(&mut self, mut header: TxnHeader, txn: Txn, out: &mut Vec<Output>) -> apply::Applied {
        header.zxid = self.last_zxid + 1;
        header.time_ms = self.now.wall_ms;
        let applied = self.apply(&header, &txn);
        out.push(Output::Append(TxnRecord { header, txn, digest: None }));
        out.append(&mut self.events);
        applied
    }
}
