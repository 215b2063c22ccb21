//! The four-letter words: what monitoring asks instead of a packet.
//!
//! A connection whose first four bytes are one of these words gets its answer as plain text and is closed.
//! None of them could be the length of a packet. The formats are Apache ZooKeeper's.

mod lists;

use std::fmt::Write;
use std::path::Path;

use super::listener::BACKLOG;
use super::{Latency, Numbers};
use crate::config::Config;

/// What `srvr` and others call the version: of the original that we behave like, then ours. Clients cut it
/// at the dash.
pub(crate) const VERSION: &str =
    concat!("3.9.0-zooky-", env!("CARGO_PKG_VERSION"), ", built on 2026-11-22 00:00 UTC");

/// The words of the original; everything else is taken for the length of a packet.
const RESERVED: [&str; 21] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "icfg", "isro", "kill", "lead", "mntr",
    "ruok", "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// What the answers show of the present state; a list is filled only for the words that show it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) numbers: Numbers,
    pub(crate) latency: Latency,
    pub(crate) port: u16,
    /// That of TLS, if there is one.
    pub(crate) tls_port: Option<u16>,
    pub(crate) clients: Vec<Client>,
    /// When each session ends (milliseconds since 1970), its id, whether it has a connection; sorted.
    pub(crate) endings: Vec<(i64, i64, bool)>,
    /// Sessions with ephemerals, and their paths.
    pub(crate) owners: Vec<(i64, Vec<String>)>,
    /// Watched paths, and the sessions that watch them.
    pub(crate) watched: Vec<(String, Vec<i64>)>,
}

/// A connection, as `cons` and `stat` show it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// `host:port`.
    pub(crate) address: String,
    /// 0: none.
    pub(crate) session: i64,
    pub(crate) timeout_ms: i32,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: i64,
    pub(crate) queued: usize,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last_op: &'static str,
    pub(crate) last_cxid: Option<i32>,
    pub(crate) last_zxid: i64,
    pub(crate) last_reply_ms: u64,
    pub(crate) latency: Latency,
}

/// The word that these bytes are, if they are one.
pub(crate) fn word(opening: [u8; 4]) -> Option<&'static str> {
    RESERVED.into_iter().find(|word| word.as_bytes() == opening)
}

/// The answer to a word that is not to be answered.
pub(crate) fn refusal(word: &str) -> String {
    format!("{word} is not executed because it is not in the whitelist.\n")
}

/// The answer to a word.
pub(crate) fn answer(word: &str, config: &Config, facts: &Facts) -> String {
    match word {
        "ruok" => "imok".into(),
        "isro" => "rw".into(),
        "srvr" => server(facts, ""),
        "stat" => server(facts, &format!("Clients:\n{}\n", lists::clients(&facts.clients, true))),
        "mntr" => monitor(facts),
        "conf" => settings(config, facts),
        "cons" => lists::clients(&facts.clients, false) + "\n",
        "dump" => lists::dump(facts),
        "wchs" => lists::watch_counts(&facts.watched),
        "wchc" => lists::watches_by_session(&facts.watched),
        "wchp" => lists::watches_by_path(&facts.watched),
        "crst" => "Connection stats reset.\n".into(),
        "srst" => "Server stats reset.\n".into(),
        "dirs" => sizes(&config.data_dir.join("version-2")),
        "envi" => environment(),
        _ => refusal(word),
    }
}

fn server(facts: &Facts, clients: &str) -> String {
    format!(
        "Zookeeper version: {VERSION}\n{clients}Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\n\
         Connections: {}\nOutstanding: {}\nZxid: 0x{:x}\nMode: standalone\nNode count: {}\n",
        facts.latency.min_ms,
        facts.latency.mean_ms(),
        facts.latency.max_ms,
        facts.numbers.received,
        facts.numbers.sent,
        facts.numbers.connections,
        facts.numbers.held,
        facts.numbers.zxid,
        facts.numbers.znodes,
    )
}

fn monitor(facts: &Facts) -> String {
    let mut text = format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n");
    let numbers: [(&str, u64); 15] = [
        ("uptime", facts.numbers.uptime_ms),
        ("min_latency", facts.latency.min_ms),
        ("max_latency", facts.latency.max_ms),
        ("packets_received", facts.numbers.received),
        ("packets_sent", facts.numbers.sent),
        ("num_alive_connections", facts.numbers.connections as u64),
        ("outstanding_requests", facts.numbers.held as u64),
        ("znode_count", facts.numbers.znodes as u64),
        ("watch_count", facts.numbers.watches as u64),
        ("ephemerals_count", facts.numbers.ephemerals as u64),
        ("approximate_data_size", facts.numbers.data_bytes),
        ("global_sessions", facts.numbers.sessions as u64),
        ("local_sessions", 0),
        ("stale_sessions_expired", facts.numbers.sessions_expired),
        ("connection_rejected", facts.numbers.refused),
    ];
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "zk_avg_latency\t{:?}", facts.latency.mean_ms());
    for (key, value) in numbers {
        let _ = writeln!(text, "zk_{key}\t{value}");
    }
    if let Some(open) = open_descriptors() {
        let _ = writeln!(text, "zk_open_file_descriptor_count\t{open}");
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let _ = writeln!(text, "zk_max_file_descriptor_count\t{}", most.unwrap_or(i64::MAX as u64));
    text
}

/// How many descriptors the process has open; `None` where the system does not tell.
fn open_descriptors() -> Option<u64> {
    let dir = "/proc/self/fd";
    match std::fs::metadata(dir).ok()?.len() {
        // Before Linux 6.2 they must be counted, without the one that this takes.
        0 => std::fs::read_dir(dir).ok().map(|open| open.count().saturating_sub(1) as u64),
        open => Some(open),
    }
}

fn settings(config: &Config, facts: &Facts) -> String {
    let dir = config.data_dir.join("version-2");
    let size = size(&dir);
    format!(
        "clientPort={}\nsecureClientPort={}\ndataDir={}\ndataDirSize={size}\ndataLogDir={}\ndataLogSize={size}\n\
         tickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\nmaxSessionTimeout={}\n\
         clientPortListenBacklog={BACKLOG}\nserverId=0\n",
        facts.port,
        facts.tls_port.map_or(-1, i32::from),
        dir.display(),
        dir.display(),
        config.tick.as_millis(),
        config.limits.connections_per_address,
        config.min_timeout_ms(),
        config.max_timeout_ms(),
    )
}

/// Snapshots and logs lie in one directory, so both sizes are its own, as in the original.
fn sizes(dir: &Path) -> String {
    let bytes = size(dir);
    format!("datadir_size: {bytes}\nlogdir_size: {bytes}\n")
}

fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

fn environment() -> String {
    let system = rustix::system::uname();
    let dir = std::env::current_dir().unwrap_or_default();
    format!(
        "Environment:\nzookeeper.version={VERSION}\nhost.name={}\nos.name={}\nos.arch={}\nos.version={}\n\
         user.dir={}\n",
        system.nodename().to_string_lossy(),
        system.sysname().to_string_lossy(),
        system.machine().to_string_lossy(),
        system.release().to_string_lossy(),
        dir.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_can_read_the_answers() {
        let config = Config::new("127.0.0.1:0".parse().unwrap(), "d");
        let numbers = Numbers { zxid: 0x1f, znodes: 4, ..Numbers::default() };
        let facts = Facts { numbers, ..Facts::default() };
        assert_eq!(answer("ruok", &config, &facts), "imok");
        assert!(answer("conf", &config, &facts).contains("tickTime=2000\n"));
        let srvr = answer("srvr", &config, &facts);
        assert!(srvr.starts_with("Zookeeper version: 3.9.0-zooky-"), "{srvr}");
        assert!(srvr.contains("\nLatency min/avg/max: 0/0.0/0\n"), "{srvr}");
        assert!(srvr.contains("\nZxid: 0x1f\nMode: standalone\nNode count: 4\n"), "{srvr}");
        for line in answer("mntr", &config, &facts).lines() {
            let (key, value) = line.split_once('\t').unwrap();
            assert!(key.starts_with("zk_") && !value.is_empty(), "{line}");
        }
        for line in answer("envi", &config, &facts).lines().skip(1) {
            let (key, value) = line.split_once('=').unwrap();
            assert!(!key.is_empty() && !value.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_word_is_told_from_a_length() {
        assert_eq!(word(*b"ruok"), Some("ruok"));
        assert_eq!(word([0, 0, 0, 44]), None);
        assert_eq!(word(*b"GET "), None);
    }
}
