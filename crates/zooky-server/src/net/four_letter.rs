//! The four-letter words: what monitoring asks instead of a packet.
//!
//! A connection whose first four bytes are one of these words gets its answer as plain text and is closed.
//! None of them could be the length of a packet. The formats are Apache ZooKeeper's.

use std::fmt::Write;

use crate::config::Config;

/// What `srvr` and others call the version: of the original that we behave like, then ours. Clients cut it
/// at the dash.
pub(crate) const VERSION: &str =
    concat!("3.9.0-zooky-", env!("CARGO_PKG_VERSION"), ", built on 2026-11-22 00:00 UTC");

/// The words that have an answer.
const KNOWN: [&str; 7] = ["conf", "envi", "isro", "mntr", "ruok", "srvr", "stat"];
/// The words of the original; all others are taken for the length of a packet.
const RESERVED: [&str; 21] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "icfg", "isro", "kill", "lead", "mntr",
    "ruok", "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// What the answers show of the present state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    pub(crate) zxid: i64,
    pub(crate) znodes: usize,
    pub(crate) watches: usize,
    pub(crate) sessions: usize,
    pub(crate) ephemerals: usize,
    pub(crate) data_bytes: u64,
    pub(crate) connections: usize,
    pub(crate) outstanding: usize,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) port: u16,
}

/// The word that these bytes are, if they are one.
pub(crate) fn word(opening: [u8; 4]) -> Option<&'static str> {
    RESERVED.into_iter().find(|word| word.as_bytes() == opening)
}

/// The answer to a word.
pub(crate) fn answer(word: &str, config: &Config, facts: &Facts) -> String {
    if !config.four_letter_words.allows(word) || !KNOWN.contains(&word) {
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    match word {
        "ruok" => "imok".into(),
        "isro" => "rw".into(),
        "srvr" => server(facts, false),
        "stat" => server(facts, true),
        "mntr" => monitor(facts),
        "conf" => settings(config, facts),
        _ => format!("Environment:\nzookeeper.version={VERSION}\nos.name={}\n", std::env::consts::OS),
    }
}

fn server(facts: &Facts, clients: bool) -> String {
    format!(
        "Zookeeper version: {VERSION}\n{}Latency min/avg/max: 0/0.0/0\nReceived: {}\nSent: {}\n\
         Connections: {}\nOutstanding: {}\nZxid: 0x{:x}\nMode: standalone\nNode count: {}\n",
        if clients { "Clients:\n\n" } else { "" },
        facts.received,
        facts.sent,
        facts.connections,
        facts.outstanding,
        facts.zxid,
        facts.znodes,
    )
}

fn monitor(facts: &Facts) -> String {
    let mut text = format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n");
    let numbers: [(&str, u64); 11] = [
        ("uptime", facts.uptime_ms),
        ("packets_received", facts.received),
        ("packets_sent", facts.sent),
        ("num_alive_connections", facts.connections as u64),
        ("outstanding_requests", facts.outstanding as u64),
        ("znode_count", facts.znodes as u64),
        ("watch_count", facts.watches as u64),
        ("ephemerals_count", facts.ephemerals as u64),
        ("approximate_data_size", facts.data_bytes),
        ("global_sessions", facts.sessions as u64),
        ("local_sessions", 0),
    ];
    for (key, value) in numbers {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "zk_{key}\t{value}");
    }
    text
}

fn settings(config: &Config, facts: &Facts) -> String {
    let dir = config.data_dir.join("version-2");
    format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={}\ndataLogDir={}\ntickTime={}\nmaxClientCnxns={}\n\
         minSessionTimeout={}\nmaxSessionTimeout={}\nserverId=0\n",
        facts.port,
        dir.display(),
        dir.display(),
        config.tick.as_millis(),
        config.limits.connections_per_address,
        config.min_timeout_ms(),
        config.max_timeout_ms(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FourLetterWords;

    fn config(words: FourLetterWords) -> Config {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), "d");
        config.four_letter_words = words;
        config
    }

    #[test]
    fn only_listed_words_are_answered() {
        let default = config(FourLetterWords::default());
        assert_eq!(answer("ruok", &default, &Facts::default()), "imok");
        assert_eq!(answer("isro", &default, &Facts::default()), "rw");
        let refused = "conf is not executed because it is not in the whitelist.\n";
        assert_eq!(answer("conf", &default, &Facts::default()), refused);
        assert!(answer("conf", &config(FourLetterWords::All), &Facts::default()).contains("tickTime=2000\n"));
    }

    #[test]
    fn monitors_can_read_the_answers() {
        let facts = Facts { zxid: 0x1f, znodes: 4, ..Facts::default() };
        let default = config(FourLetterWords::default());
        let srvr = answer("srvr", &default, &facts);
        assert!(srvr.starts_with("Zookeeper version: 3.9.0-zooky-"), "{srvr}");
        assert!(srvr.contains("\nZxid: 0x1f\nMode: standalone\nNode count: 4\n"), "{srvr}");
        for line in answer("mntr", &default, &facts).lines() {
            let (key, value) = line.split_once('\t').unwrap();
            assert!(key.starts_with("zk_") && !value.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_word_is_told_from_a_length() {
        assert_eq!(word(*b"ruok"), Some("ruok"));
        assert_eq!(word([0, 0, 0, 44]), None);
        assert_eq!(word(*b"GET "), None);
    }
}
