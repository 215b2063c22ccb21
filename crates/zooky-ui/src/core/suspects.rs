//! Losses, as far as they can be seen from outside.
//!
//! A lock that was lost looks like one that was let go: its node is gone. But servers tell how many sessions they have let
//! expire. Holders that went at about that time, and whose sessions are not seen to live, are suspected to have lost their locks: of as many
//! sessions at most as have expired.

use std::collections::{BTreeMap, HashSet};

use zooky::Mode;

use super::health::Health;

/// How many that went between two looks are remembered; of more than that, some losses are not suspected.
const REMEMBERED: usize = 4_096;

/// Who went lately.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Session and mode of the holders that went since the last look.
    new: Vec<(i64, Mode)>,
    /// Those between the last two looks: a server may tell of an expiry later than of the nodes.
    old: Vec<(i64, Mode)>,
    /// Sessions that had expired at the last look, and whose holders had not gone yet.
    owed: u64,
    /// What each server told last.
    told: BTreeMap<String, u64>,
}

impl Suspects {
    /// A holder is gone.
    pub(crate) fn gone(&mut self, session: i64, mode: Mode) {
        if self.new.len() < REMEMBERED {
            self.new.push((session, mode));
        }
    }

    /// How many sessions the servers have let expire since they were asked last; each counts from its second answer on.
    pub(crate) fn expired(&mut self, servers: &[Health]) -> u64 {
        let mut expired = 0;
        for health in servers {
            let Some(now) = health.sessions_expired() else { continue };
            let before = self.told.insert(health.server.clone(), now);
            // A server that was started anew counts from zero.
            expired += before.map_or(0, |before| now.saturating_sub(before));
        }
        expired
    }

    /// The modes of those who are suspected, after so many sessions more have expired. Who belongs to a living session is not.
    pub(crate) fn look(&mut self, expired: u64, living: impl FnOnce() -> HashSet<i64>) -> Vec<Mode> {
        let at_most = expired + self.owed;
        let mut sessions = HashSet::new();
        if at_most > 0 {
            let living = living();
            for (session, _) in self.old.iter().chain(&self.new) {
                if (sessions.len() as u64) < at_most && !living.contains(session) {
                    sessions.insert(*session);
                }
            }
        }
        let all = self.old.iter().chain(&self.new);
        let modes = all.filter(|(session, _)| sessions.contains(session)).map(|(_, mode)| *mode).collect();
        self.owed = expired.min(at_most - sessions.len() as u64);
        self.old = std::mem::take(&mut self.new);
        self.old.retain(|(session, _)| !sessions.contains(session));
        modes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    fn nobody() -> HashSet<i64> {
        HashSet::new()
    }

    #[test]
    fn who_goes_when_a_session_expires_is_suspected_before_and_after_it_is_told() {
        let mut suspects = Suspects::default();
        suspects.gone(1, Exclusive);
        assert_eq!(suspects.look(0, nobody), []);
        suspects.gone(2, Shared);
        // It went between the two looks before this one.
        assert_eq!(suspects.look(1, nobody), [Exclusive]);
        assert_eq!(suspects.look(0, nobody), []);
        suspects.gone(3, Exclusive);
        assert_eq!(suspects.look(0, nobody), []);
        assert_eq!(suspects.look(1, nobody), [Exclusive]);
        suspects.gone(4, Shared);
        suspects.gone(4, Exclusive);
        suspects.gone(5, Exclusive);
        suspects.gone(6, Exclusive);
        // All that one session held; and 5 is seen to hold something else.
        assert_eq!(suspects.look(1, || HashSet::from([5])), [Shared, Exclusive]);
        // One of the two that went then and was not suspected.
        assert_eq!(suspects.look(1, || HashSet::from([5])), [Exclusive]);
    }

    #[test]
    fn an_expiry_is_told_before_the_nodes_are_seen_to_go() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.look(1, nobody), []);
        suspects.gone(1, Exclusive);
        assert_eq!(suspects.look(0, nobody), [Exclusive]);
        assert_eq!(suspects.look(1, nobody), []);
        assert_eq!(suspects.look(0, nobody), []);
        suspects.gone(2, Exclusive);
        assert_eq!(suspects.look(0, nobody), [], "that was too long ago");
    }

    #[test]
    fn each_server_counts_from_its_second_answer() {
        let health = |server: &str, expired: Option<u64>| {
            let mut health = Health { server: server.to_owned(), ..Health::default() };
            let told = expired.map(|expired| format!("zk_stale_sessions_expired\t{expired}\n"));
            health.read_mntr(&told.unwrap_or_default());
            health
        };
        let mut suspects = Suspects::default();
        for (a, b, expected) in [
            (Some(7), None, 0),
            (Some(9), Some(5), 2),
            (None, Some(6), 1),
            (Some(12), Some(6), 3),
            // It was started anew.
            (Some(1), Some(6), 0),
            (Some(2), Some(7), 2),
        ] {
            assert_eq!(suspects.expired(&[health("a", a), health("b", b)]), expected, "{a:?} {b:?}");
        }
    }
}
