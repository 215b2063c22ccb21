//! How long nodes live that no session owns.

use std::collections::BTreeSet;

use super::Model;

/// Until when a node stays.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Life {
    /// Until somebody deletes it, or its session ends.
    #[default]
    Plain,
    /// Until it has had children and has none.
    Container,
    /// Until it has no children, and nobody has set its data for so many milliseconds.
    Ttl(i64),
}

impl Model {
    /// What a snapshot holds in the place of the owner.
    pub(crate) fn stored_owner(&self, path: &str) -> Option<i64> {
        let node = self.nodes.get(path)?;
        Some(match node.life {
            Life::Plain => node.stat.ephemeral_owner,
            Life::Container => i64::MIN,
            Life::Ttl(ms) => (0xff << 56) | ms,
        })
    }

    /// Whether there is a node that may go by itself.
    pub(crate) fn has_mortals(&self) -> bool {
        self.nodes.values().any(|node| !matches!(node.life, Life::Plain))
    }

    /// Whose time is over.
    pub(crate) fn over(&self, wall_ms: i64) -> BTreeSet<String> {
        let over = self.nodes.iter().filter(|(path, node)| {
            let is_over = match node.life {
                Life::Plain => false,
                Life::Container => node.stat.cversion > 0,
                Life::Ttl(ms) => wall_ms - node.stat.mtime_ms > ms,
            };
            is_over && self.children(path).is_empty()
        });
        over.map(|(path, _)| path.clone()).collect()
    }

    /// The server removes a node whose time is over.
    pub(crate) fn reap(&mut self, path: &str) {
        self.zxid += 1;
        self.remove(path);
    }
}
