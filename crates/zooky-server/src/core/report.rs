//! Lists for the four-letter words `cons`, `dump`, `wchc` and `wchp`. They are made anew each time, so they
//! cost what they show.

use super::{ConnId, Core};

/// A session that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// Its id.
    pub id: i64,
    /// Its timeout in milliseconds.
    pub timeout_ms: i32,
    /// When it ends unless its client is heard of before, in `mono_ms`.
    pub ends_ms: u64,
    /// The connection it is attached to.
    pub conn: Option<ConnId>,
}

impl Core {
    /// Every session, by id.
    pub fn session_reports(&self) -> Vec<SessionReport> {
        self.sessions.reports()
    }

    /// The sessions that own ephemerals with their paths, each sorted.
    pub fn ephemeral_reports(&self) -> Vec<(i64, Vec<String>)> {
        let paths = |owner| {
            let ids = self.tree.ephemerals(owner).iter();
            let mut paths: Vec<String> = ids.map(|&id| self.tree.node(id).path.to_string()).collect();
            paths.sort_unstable();
            (owner, paths)
        };
        self.tree.owners().into_iter().map(paths).collect()
    }

    /// Every path with watches for its data, and the sessions that watch it; sorted by path.
    pub fn watch_reports(&self) -> Vec<(String, Vec<i64>)> {
        let session = |conn: &ConnId| self.conns.get(conn).map_or(0, |open| open.session);
        let mut reports: Vec<(String, Vec<i64>)> = self
            .data_watches
            .iter()
            .map(|(path, conns)| (path.to_owned(), conns.map(|conn| session(&conn)).collect()))
            .collect();
        reports.sort_unstable();
        reports
    }
}
