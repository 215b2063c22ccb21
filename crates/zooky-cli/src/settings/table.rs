//! The table: name, help and meaning of every setting.

use super::values::{bytes, count, size, switch, time};
use std::ffi::OsStr;
use std::net::SocketAddr;
use zooky_server::{Config, FourLetterWords, TlsSettings};

/// A setting: what it is called, and what a text means for the server.
pub(crate) struct Setting {
    /// The flag without its dashes.
    pub(super) name: &'static str,
    /// What stands for the value in the help; empty for a switch.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) group: Group,
    set: Set,
}

/// Where a setting stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Server,
    Tls,
    Limits,
}

impl Group {
    pub(super) fn title(self) -> &'static str {
        match self {
            Group::Server => "The server",
            Group::Tls => "TLS",
            Group::Limits => "Limits on what clients can make it hold",
        }
    }
}

#[derive(Clone, Copy)]
enum Set {
    Text(fn(&mut Config, &str) -> Result<(), String>),
    Path(fn(&mut Config, &OsStr)),
}

impl Setting {
    /// Takes the value over.
    pub(super) fn apply(&self, config: &mut Config, value: &OsStr) -> Result<(), String> {
        match self.set {
            Set::Path(set) => {
                set(config, value);
                Ok(())
            }
            Set::Text(set) => match value.to_str() {
                Some(text) => set(config, text.trim()),
                None => Err("not UTF-8".to_string()),
            },
        }
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn server(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Setting {
    Setting { name, value, help, group: Group::Server, set }
}

const fn tls(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Setting {
    Setting { name, value, help, group: Group::Tls, set }
}

const fn limit(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
) -> Setting {
    Setting { name, value, help, group: Group::Limits, set: Set::Text(set) }
}

/// `place(config) = parse(text)?` as a function.
macro_rules! set {
    ($config:ident . $($field:ident).+ = $parse:ident) => {
        |$config: &mut Config, text: &str| {
            $config.$($field).+ = $parse(text)?;
            Ok(())
        }
    };
    ($config:ident . $($field:ident).+ = Some($parse:ident)) => {
        |$config: &mut Config, text: &str| {
            $config.$($field).+ = Some($parse(text)?);
            Ok(())
        }
    };
}

/// Every setting, in the order of the help.
pub(super) static SETTINGS: &[Setting] = &[
    server(
        "listen",
        "ADDRESS:PORT",
        "Where to listen without TLS; port 0 takes a free one [default: 127.0.0.1:2181]",
        Set::Text(set!(c.listen = address)),
    ),
    server(
        "data-dir",
        "DIR",
        "Where the data is kept: ZooKeeper's own format; no default",
        Set::Path(|c, value| c.data_dir = value.into()),
    ),
    server(
        "insecure",
        "",
        "Listen on other than loopback addresses without TLS, for anybody who reaches them",
        Set::Text(set!(c.insecure = switch)),
    ),
    tls(
        "tls-listen",
        "ADDRESS:PORT",
        "Where to listen with TLS, any address [default: 127.0.0.1:2281 if there is a certificate]",
        Set::Text(|c, text| {
            tls_of(c).listen = address(text)?;
            Ok(())
        }),
    ),
    tls(
        "tls-cert",
        "FILE",
        "Our chain of certificates, PEM; read again when it changes",
        Set::Path(|c, value| tls_of(c).cert = value.into()),
    ),
    tls("tls-key", "FILE", "Its private key, PEM", Set::Path(|c, value| tls_of(c).key = value.into())),
    tls(
        "tls-client-ca",
        "FILE",
        "Authorities, PEM; a client must have a certificate of one [default: needs none]",
        Set::Path(|c, value| tls_of(c).client_ca = Some(value.into())),
    ),
    server(
        "metrics",
        "ADDRESS:PORT",
        "Where Prometheus finds numbers, at /metrics [default: off]",
        Set::Text(set!(c.metrics = Some(address))),
    ),
    server(
        "super-digest",
        "super:DIGEST",
        "Who may do everything: base64 of the SHA-1 of `super:PASSWORD` [default: nobody]",
        Set::Text(set!(c.super_digest = Some(digest))),
    ),
    server(
        "four-letter-words",
        "WORDS",
        "Which are answered, with commas between; * for all [default: srvr,ruok,mntr]",
        Set::Text(set!(c.four_letter_words = words)),
    ),
    server(
        "tick-time",
        "MS",
        "The unit of session timeouts, in milliseconds [default: 2000]",
        Set::Text(set!(c.tick = time)),
    ),
    server(
        "min-session-timeout",
        "MS",
        "The smallest session timeout a client gets [default: 2 ticks]",
        Set::Text(set!(c.min_session_timeout = Some(time))),
    ),
    server(
        "max-session-timeout",
        "MS",
        "The largest session timeout a client gets [default: 20 ticks]",
        Set::Text(set!(c.max_session_timeout = Some(time))),
    ),
    server(
        "original-passwords",
        "",
        "Make session passwords by ZooKeeper's rule, which anybody can compute: to move to an ensemble",
        Set::Text(set!(c.original_passwords = switch)),
    ),
    server(
        "enforce-quota",
        "",
        "Refuse what goes over the hard limit of a quota, instead of only showing it",
        Set::Text(set!(c.enforce_quota = switch)),
    ),
    server(
        "snapshot-transactions",
        "N",
        "Take a snapshot after this many transactions, or up to half as many [default: 100000]",
        Set::Text(|c, text| {
            c.snapshot_transactions = u32::try_from(count(text)?).unwrap_or(u32::MAX);
            Ok(())
        }),
    ),
    server(
        "snapshots-kept",
        "N",
        "How many snapshots are kept, with the logs they need; at least 3 [default: 3]",
        Set::Text(set!(c.snapshots_kept = count)),
    ),
    server(
        "log-roll-bytes",
        "BYTES",
        "How long a log file may get before a new one is started [default: 64m]",
        Set::Text(set!(c.log_roll_bytes = bytes)),
    ),
    limit(
        "max-frame-bytes",
        "BYTES",
        "The longest request; a longer one closes its connection [default: 1048575]",
        set!(c.limits.frame_bytes = frame_size),
    ),
    limit(
        "max-connections",
        "N",
        "Connections in all; more are closed [default: 20000]",
        set!(c.limits.connections = count),
    ),
    limit(
        "max-connections-per-address",
        "N",
        "Connections from one address other than loopback; more are closed [default: 60]",
        set!(c.limits.connections_per_address = count),
    ),
    limit(
        "max-connections-per-loopback",
        "N",
        "Connections from one loopback address; more are closed [default: 10000]",
        set!(c.limits.connections_per_loopback = count),
    ),
    limit(
        "first-packet-timeout",
        "MS",
        "How long a connection may take to send its first packet [default: 10000]",
        set!(c.limits.first_packet = time),
    ),
    limit(
        "max-outstanding",
        "N",
        "Requests of one connection under way; more wait unread [default: 1000]",
        set!(c.limits.outstanding = count),
    ),
    limit(
        "max-sessions",
        "N",
        "Sessions; a client that wants one more is closed [default: 100000]",
        set!(c.limits.core.max_sessions = count),
    ),
    limit(
        "max-watches-per-session",
        "N",
        "Watches of one session; setting one more fails with -113 [default: 100000]",
        set!(c.limits.core.max_watches_per_session = count),
    ),
    limit(
        "max-watch-bytes-per-session",
        "BYTES",
        "Paths of one session's watches and 128 for each; setting one more fails with -113 [default: 32m]",
        set!(c.limits.core.max_watch_bytes_per_session = bytes),
    ),
    limit(
        "max-watch-bytes",
        "BYTES",
        "The same of all watches; beyond, the connection with most of them is closed [default: 256m]",
        set!(c.limits.core.max_watch_bytes = bytes),
    ),
    limit(
        "max-tree-bytes",
        "BYTES",
        "Paths, data and 256 for each node; a write that needs more fails with -125 [default: 1g]",
        set!(c.limits.core.max_tree_bytes = bytes),
    ),
    limit(
        "max-waiting-bytes",
        "BYTES",
        "Answers waiting for one reader; beyond, its requests wait unread [default: 1m]",
        set!(c.limits.unread_soft_bytes = size),
    ),
    limit(
        "max-unread-bytes",
        "BYTES",
        "Answers and events waiting for one reader; beyond, it is closed [default: 64m]",
        set!(c.limits.unread_hard_bytes = size),
    ),
    limit(
        "max-buffer-bytes",
        "BYTES",
        "Buffers of all connections; beyond, the connection with most of it is closed [default: 512m]",
        set!(c.limits.buffer_bytes = size),
    ),
];

/// The setting of a name; for `zoo.cfg`, whose tests know that they are there.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The settings of TLS, begun with a default address and no files.
pub(super) fn tls_of(config: &mut Config) -> &mut TlsSettings {
    config.tls.get_or_insert_with(|| TlsSettings::new(([127, 0, 0, 1], 2281).into(), "", ""))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| format!("{text:?} is not an address and a port, as 127.0.0.1:2181 or [::1]:2181");
    text.parse().map_err(wrong)
}

/// A frame's length has 31 bits, and a connect request needs some.
fn frame_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes @ 64..=0x7fff_ffff => Ok(bytes),
        _ => Err(format!("{text:?} is not between 64 bytes and 2 GiB")),
    }
}

fn digest(text: &str) -> Result<String, String> {
    // Not repeated in the message: it is a secret of sorts.
    match text.strip_prefix("super:") {
        Some(hash) if hash.len() == 28 && hash.ends_with('=') => Ok(text.to_string()),
        _ => Err("not `super:` and the base64 of a SHA-1, which has 28 letters".to_string()),
    }
}

/// A list of words, or `*`.
fn words(text: &str) -> Result<FourLetterWords, String> {
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.contains(&"*") {
        return Ok(FourLetterWords::All);
    }
    match words.iter().find(|word| word.len() != 4 || !word.bytes().all(|b| b.is_ascii_lowercase())) {
        Some(word) => Err(format!("{word:?} is no four-letter word")),
        None => Ok(FourLetterWords::only(words)),
    }
}
