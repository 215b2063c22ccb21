//! What a server has to be told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::companion::Companion;
use crate::log::SnapshotRule;

/// How many snapshots are kept by default, and at least.
const SNAPSHOTS_KEPT: usize = 3;

/// The settings of a [`crate::Server`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen without TLS; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that is not loopback, for whoever reaches it.
    pub insecure: bool,
    /// TLS on a port of its own, besides `listen`; default: none.
    pub tls: Option<TlsSettings>,
    /// Where Prometheus finds the numbers, at `/metrics`; default: nowhere. What `insecure` says holds here too.
    pub metrics: Option<SocketAddr>,
    /// The directory that holds `version-2`. It is made if it is missing.
    pub data_dir: PathBuf,
    /// The original's unit of time; session timeouts default to 2 to 20 of it.
    pub tick: Duration,
    /// The smallest session timeout a client gets; default: two ticks.
    pub min_session_timeout: Option<Duration>,
    /// The largest session timeout a client gets; default: twenty ticks.
    pub max_session_timeout: Option<Duration>,
    /// Bounds on what clients can make the server hold.
    pub limits: Limits,
    /// `super:<base64 of the SHA-1 of "super:password">`: who authenticates so may do everything.
    pub super_digest: Option<String>,
    /// Which four-letter words are answered.
    pub four_letter_words: FourLetterWords,
    /// Whether the hard limits of quotas are enforced; as in the original they are only shown otherwise.
    pub enforce_quota: bool,
    /// Whether session passwords follow Apache ZooKeeper's rule, which anybody can compute, instead of a
    /// secret of this data directory. For data that an ensemble of the original is to take over with its
    /// sessions alive; it must be set before those sessions begin.
    pub original_passwords: bool,
    /// How long a log file may get, in bytes, before a new one is started.
    pub log_roll_bytes: u64,
    /// A snapshot is taken after at most this many transactions, and at least half as many: at random in between, as in
    /// the original (its `snapCount`).
    pub snapshot_transactions: u32,
    /// How many snapshots are kept, with the logs they need; at least 3, as in the original
    /// (its `autopurge.snapRetainCount`).
    pub snapshots_kept: usize,
    /// What the program adds to the server; default: nothing.
    pub companion: Option<Arc<dyn Companion>>,
}

impl Config {
    /// The defaults: loopback only, a tick of two seconds, `srvr`, `ruok` and `mntr` answered.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Config {
        Config {
            listen,
            insecure: false,
            tls: None,
            metrics: None,
            data_dir: data_dir.into(),
            tick: Duration::from_millis(2_000),
            min_session_timeout: None,
            max_session_timeout: None,
            limits: Limits::default(),
            super_digest: None,
            four_letter_words: FourLetterWords::default(),
            enforce_quota: false,
            original_passwords: false,
            log_roll_bytes: crate::log::ROLL_BYTES_DEFAULT,
            snapshot_transactions: 100_000,
            snapshots_kept: SNAPSHOTS_KEPT,
            companion: None,
        }
    }

    /// When snapshots are due, and how many are kept; `invalid` ones (by zxid) are not counted.
    pub(crate) fn snapshot_rule(&self, invalid: Vec<i64>) -> SnapshotRule {
        let kept = self.snapshots_kept.max(SNAPSHOTS_KEPT);
        SnapshotRule { transactions: self.snapshot_transactions.into(), kept, invalid }
    }

    /// The smallest session timeout in milliseconds.
    pub(crate) fn min_timeout_ms(&self) -> u32 {
        millis(self.min_session_timeout.unwrap_or(self.tick * 2))
    }

    /// The largest session timeout in milliseconds.
    pub(crate) fn max_timeout_ms(&self) -> u32 {
        millis(self.max_session_timeout.unwrap_or(self.tick * 20))
    }
}

/// Where and how to listen with TLS. The files are looked at every other second: new ones count for connections
/// from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Where to listen; any address may be named here.
    pub listen: SocketAddr,
    /// Our chain of certificates, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities, in PEM, one of which must have signed a client's certificate; its subject is the
    /// client's identity in the scheme `x509`. `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

impl TlsSettings {
    /// TLS for clients with or without a certificate.
    pub fn new(listen: SocketAddr, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsSettings {
        TlsSettings { listen, cert: cert.into(), key: key.into(), client_ca: None }
    }
}

fn millis(duration: Duration) -> u32 {
    // The protocol has 31 bits for it.
    duration.as_millis().clamp(1, i32::MAX as u128) as u32
}

/// Bounds on what clients can make the server hold.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// The longest frame a client may send, in bytes.
    pub frame_bytes: usize,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address that is not a loopback one.
    pub connections_per_address: usize,
    /// Connections from one loopback address: many programs of one machine share it.
    pub connections_per_loopback: usize,
    /// How long a new connection may take to send its first whole packet.
    pub first_packet: Duration,
    /// Requests of one connection that wait for the disk or for their reader; beyond, no more are read.
    pub outstanding: usize,
    /// Bytes waiting for one connection's reader at which no more of its requests are read.
    pub unread_soft_bytes: usize,
    /// Bytes waiting for one connection's reader at which it is closed.
    pub unread_hard_bytes: usize,
    /// Bytes in the buffers of all connections together: requests that are not whole yet, and what waits for the
    /// disk or for readers. Over it, the connection with most of them is closed.
    pub buffer_bytes: usize,
    /// Bounds that the core enforces: sessions, watches.
    pub core: crate::core::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes: zooky_wire::MAX_FRAME_DEFAULT,
            connections: 20_000,
            connections_per_address: 60,
            connections_per_loopback: 10_000,
            first_packet: Duration::from_secs(10),
            outstanding: 1_000,
            unread_soft_bytes: 1 << 20,
            unread_hard_bytes: 64 << 20,
            buffer_bytes: 512 << 20,
            core: crate::core::Limits::default(),
        }
    }
}

/// Which four-letter words a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FourLetterWords {
    /// All it knows.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl FourLetterWords {
    /// These words and no others.
    pub fn only<S: Into<String>>(words: impl IntoIterator<Item = S>) -> FourLetterWords {
        FourLetterWords::Only(words.into_iter().map(Into::into).collect())
    }

    /// Whether `word` is answered.
    pub fn allows(&self, word: &str) -> bool {
        match self {
            FourLetterWords::All => true,
            FourLetterWords::Only(words) => words.contains(word),
        }
    }
}

impl Default for FourLetterWords {
    fn default() -> Self {
        FourLetterWords::only(["srvr", "ruok", "mntr"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody has to ask for them.
    #[test]
    fn limits_are_on_by_default() {
        let limits = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), "d").limits;
        assert_eq!(limits.frame_bytes, (1 << 20) - 1);
        assert_eq!(limits.first_packet, Duration::from_secs(10));
        let (a_lot, much) = (200_000, 2 << 30);
        for count in [
            limits.connections,
            limits.connections_per_address,
            limits.connections_per_loopback,
            limits.outstanding,
            limits.core.max_sessions,
            limits.core.max_watches_per_session,
        ] {
            assert!((1..a_lot).contains(&count), "{limits:?}");
        }
        for bytes in [
            limits.unread_soft_bytes as u64,
            limits.unread_hard_bytes as u64,
            limits.buffer_bytes as u64,
            limits.core.max_tree_bytes,
            limits.core.max_watch_bytes,
            limits.core.max_watch_bytes_per_session,
        ] {
            assert!((1..much).contains(&bytes), "{limits:?}");
        }
    }
}
