//! What a server says of itself in answer to `srvr` and `mntr`, read.

use std::collections::BTreeMap;

use serde::Serialize;

/// A server's health; what it did not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Health {
    /// `host:port`.
    pub(crate) server: String,
    /// How long it took to answer, in milliseconds; none if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_ms: Option<u64>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// `standalone`, `leader`, `follower` or `observer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    /// `min/avg/max`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zxid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outstanding: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<u64>,
    /// The rest of `mntr`, as it is.
    pub(crate) numbers: BTreeMap<String, String>,
}

impl Health {
    /// One that says nothing, and why.
    pub(crate) fn silent(server: &str, why: String) -> Health {
        Health { server: server.to_owned(), why: Some(why), ..Health::default() }
    }

    /// Takes the answer to `srvr` in.
    pub(crate) fn read_srvr(&mut self, answer: &str) {
        for (name, value) in answer.lines().filter_map(|line| line.split_once(": ")) {
            let text = || Some(value.trim().to_owned());
            let number = || value.trim().parse().ok();
            match name {
                "Zookeeper version" => {
                    // The build's date and commit are of no use here.
                    self.version = value.split([',', ' ']).next().map(str::to_owned);
                }
                "Mode" => self.mode = text(),
                "Latency min/avg/max" => self.latency = text(),
                "Zxid" => self.zxid = text(),
                "Connections" => self.connections = number(),
                "Outstanding" => self.outstanding = number(),
                "Node count" => self.nodes = number(),
                _ => {}
            }
        }
        if self.mode.is_none() && self.why.is_none() {
            let said = answer.lines().next().unwrap_or("nothing");
            self.why = Some(format!("it answers to srvr: {said}"));
        }
    }

    /// Takes the answer to `mntr` in; a server that refuses the word says so in one line, which has no tab.
    pub(crate) fn read_mntr(&mut self, answer: &str) {
        let pairs = answer.lines().filter_map(|line| line.split_once('\t'));
        let kept = pairs.filter(|(name, _)| KEPT.contains(name));
        self.numbers.extend(kept.map(|(name, value)| (name.to_owned(), value.trim().to_owned())));
    }

    /// How many sessions it has let expire since it was started, if it tells.
    pub(crate) fn sessions_expired(&self) -> Option<u64> {
        self.numbers.get(EXPIRED)?.parse().ok()
    }
}

/// How many sessions it has let expire, as Apache ZooKeeper calls it in `mntr`.
const EXPIRED: &str = "zk_stale_sessions_expired";

/// What is shown of the hundreds of numbers that newer servers tell.
const KEPT: [&str; 16] = [
    "zk_approximate_data_size",
    "zk_avg_latency",
    "zk_connection_rejected",
    "zk_ephemerals_count",
    "zk_global_sessions",
    "zk_max_file_descriptor_count",
    "zk_max_latency",
    "zk_num_alive_connections",
    "zk_open_file_descriptor_count",
    "zk_outstanding_requests",
    "zk_packets_received",
    "zk_packets_sent",
    EXPIRED,
    "zk_uptime",
    "zk_watch_count",
    "zk_znode_count",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_refusals_told() {
        let mut health = Health { server: "a:1".to_owned(), ..Health::default() };
        health.read_srvr(
            "Zookeeper version: 3.8.0-5a02a05, built on 2022-02-25 08:49 UTC\nLatency min/avg/max: 0/0.25/7\n\
             Received: 9\nConnections: 2\nOutstanding: 0\nZxid: 0x1f\nMode: standalone\nNode count: 7\n",
        );
        assert_eq!(health.version.as_deref(), Some("3.8.0-5a02a05"));
        assert_eq!(health.latency.as_deref(), Some("0/0.25/7"));
        assert_eq!((health.connections, health.nodes), (Some(2), Some(7)));
        assert_eq!((health.mode.as_deref(), health.zxid.as_deref()), (Some("standalone"), Some("0x1f")));
        health.read_mntr("mntr is not executed because it is not in the whitelist.\n");
        assert!(health.numbers.is_empty());
        health.read_mntr("zk_znode_count\t7\nzk_of_no_use\t1\n");
        assert_eq!(health.numbers.get("zk_znode_count").map(String::as_str), Some("7"));
        assert_eq!(health.numbers.len(), 1);
        assert_eq!(health.why, None);

        let mut refused = Health::default();
        refused.read_srvr("This ZooKeeper instance is not currently serving requests\n");
        assert!(refused.why.is_some_and(|why| why.contains("not currently serving")));
    }
}
