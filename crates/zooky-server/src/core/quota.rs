//! Quotas: how many nodes and bytes are below a path, and what happens when it is more than was allowed.
//!
//! `/zookeeper/quota/PATH/zookeeper_limits` says what is allowed, `zookeeper_stats` beside it is kept up with
//! what is there, each as `count=4,bytes=5`. The deepest path with limits counts. The stats node changes
//! without a transaction of its own: it follows from the others, so a replay makes it again.
//! Soft limits are only shown; hard ones (`countHardLimit`, `byteHardLimit`) refuse, if that is switched on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use zooky_wire::{ErrorCode, parent};

use super::node::NodeId;
use super::tree::{Change, Tree};

const TOP: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Which paths have limits.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limited: BTreeSet<Box<str>>,
    /// Whether hard limits refuse.
    pub(super) enforce: bool,
}

impl Quotas {
    /// The deepest path with limits at or above `path`. Limits of the root count for nothing, as in the
    /// original.
    fn over<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.limited.is_empty() {
            return None;
        }
        std::iter::successors(Some(path), |p| parent(p)).find(|p| self.limited.contains(*p))
    }
}

impl Tree {
    /// Keeps the stats up with a change that has been made.
    pub(super) fn count_change(&mut self, change: &Change) {
        match change {
            Change::Created { id, .. } => {
                let node = self.node(*id);
                let (path, bytes) = (node.path.clone(), length(node.data.as_deref()));
                match quota_node(&path) {
                    Some((over, LIMITS)) if !over.is_empty() => {
                        self.quotas.limited.insert(over.into());
                    }
                    Some((over, STATS)) => self.recount(over),
                    _ => {}
                }
                self.count(&path, 1, bytes);
            }
            Change::Deleted { node, .. } => {
                if let Some((over, LIMITS)) = quota_node(&node.path) {
                    self.quotas.limited.remove(over);
                }
                self.count(&node.path, -1, -length(node.data.as_deref()));
            }
            Change::Data { id, data, .. } => {
                if self.quotas.limited.is_empty() {
                    return;
                }
                let node = self.node(*id);
                let bytes = length(node.data.as_deref()) - length(data.as_deref());
                let path = node.path.clone();
                self.count(&path, 0, bytes);
            }
            Change::Acl { .. } => {}
        }
    }

    /// Refuses what would go beyond a hard limit.
    pub(super) fn check_quota(&self, path: &str, count: i64, bytes: i64) -> Result<(), ErrorCode> {
        if !self.quotas.enforce {
            return Ok(());
        }
        let Some(over) = self.quotas.over(path) else { return Ok(()) };
        let (Some(limits), Some(stats)) = (self.track(over, LIMITS), self.track(over, STATS)) else {
            return Ok(());
        };
        let beyond = |limit: &str, of: &str, more: i64| {
            let hard = limits.get(limit);
            more != 0 && hard > -1 && stats.get(of).saturating_add(more) > hard
        };
        if beyond("countHardLimit", "count", count) || beyond("byteHardLimit", "bytes", bytes) {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        Ok(())
    }

    /// After a snapshot was read: finds all limits and counts anew what is below them.
    pub(super) fn find_quotas(&mut self) {
        let Some(top) = self.find(TOP) else { return };
        let mut ahead = vec![top];
        let mut found: Vec<String> = Vec::new();
        while let Some(id) = ahead.pop() {
            let node = self.node(id);
            ahead.extend_from_slice(&node.children);
            if node.children.is_empty()
                && let Some((over, LIMITS)) = quota_node(&node.path)
            {
                found.push(over.to_owned());
            }
        }
        for over in found {
            self.recount(&over);
            if !over.is_empty() {
                self.quotas.limited.insert(over.into());
            }
        }
    }

    fn track(&self, over: &str, which: &str) -> Option<Track> {
        let id = self.find(&format!("{TOP}{over}/{which}"))?;
        Some(Track::parse(self.node(id).data.as_deref().unwrap_or_default()))
    }

    /// Adds to the stats of the quota that covers `path`.
    fn count(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(over) = self.quotas.over(path) else { return };
        let Some(mut stats) = self.track(over, STATS) else { return };
        stats.add("count", count);
        stats.add("bytes", bytes);
        self.show(over, &stats);
    }

    /// Counts everything at and below a path.
    fn recount(&mut self, over: &str) {
        let (mut count, mut bytes) = (0, 0);
        let mut ahead: Vec<NodeId> = self.find(over).into_iter().collect();
        while let Some(id) = ahead.pop() {
            let node = self.node(id);
            count += 1;
            bytes += length(node.data.as_deref());
            ahead.extend_from_slice(&node.children);
        }
        let fields = BTreeMap::from([("count".to_owned(), count), ("bytes".to_owned(), bytes)]);
        self.show(over, &Track(fields));
    }

    fn show(&mut self, over: &str, stats: &Track) {
        if let Some(id) = self.find(&format!("{TOP}{over}/{STATS}")) {
            self.replace_data(id, Some(stats.text().into_bytes().into()));
        }
    }
}

/// The path that a node below `/zookeeper/quota` is about, and its own name.
fn quota_node(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(TOP)?.rsplit_once('/')
}

fn length(data: Option<&[u8]>) -> i64 {
    data.map_or(0, |data| data.len() as i64)
}

/// Numbers by name; one that is missing is -1.
#[derive(Debug, PartialEq)]
struct Track(BTreeMap<String, i64>);

impl Track {
    fn parse(data: &[u8]) -> Track {
        let text = String::from_utf8_lossy(data);
        let pair = |pair: &str| {
            let mut parts = pair.split('=');
            let name = parts.next().filter(|name| !name.is_empty())?;
            Some((name.to_owned(), parts.next().and_then(|value| value.parse().ok()).unwrap_or(-1)))
        };
        Track(text.split([',', ';']).filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(-1)
    }

    fn add(&mut self, name: &str, more: i64) {
        let sum = self.get(name).saturating_add(more);
        self.0.insert(name.to_owned(), sum);
    }

    /// Old clients read the first two only, thanks to a "=" behind them.
    fn text(&self) -> String {
        let mut text = format!("count={},bytes={}", self.get("count"), self.get("bytes"));
        let others = self.0.iter().filter(|(name, _)| !matches!(name.as_str(), "count" | "bytes"));
        for (i, (name, value)) in others.enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{};{name}={value}", if i == 0 { "=" } else { "" });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let track = Track::parse(b"count=4,bytes=5=;byteHardLimit=6;countHardLimit=7");
        assert_eq!((track.get("count"), track.get("bytes"), track.get("byteHardLimit")), (4, 5, 6));
        assert_eq!(track.text(), "count=4,bytes=5=;byteHardLimit=6;countHardLimit=7");
        assert_eq!(Track::parse(b"").text(), "count=-1,bytes=-1");
        assert_eq!(Track::parse(b"count=x,,bytes").get("count"), -1);
    }
}
