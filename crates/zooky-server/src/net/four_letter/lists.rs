//! The words that list something: connections, sessions, watches.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Client, Facts};

/// One line for each connection.
pub(super) fn clients(clients: &[Client], brief: bool) -> String {
    let mut text = String::new();
    for c in clients {
        // Writing to a string cannot fail, here and below. [1]: it is being read from.
        let _ = write!(text, " /{}[1](queued={},recved={},sent={}", c.address, c.queued, c.received, c.sent);
        if !brief && c.session != 0 {
            let l = &c.latency;
            let _ = write!(
                text,
                ",sid=0x{:x},lop={},est={},to={}{},lzxid=0x{:x},lresp={},llat={},minlat={},\
                 avglat={},maxlat={}",
                c.session,
                c.last_op,
                c.opened_ms,
                c.timeout_ms,
                c.last_cxid.map_or_else(String::new, |cxid| format!(",lcxid=0x{cxid:x}")),
                c.last_zxid,
                c.last_reply_ms,
                l.last_ms,
                l.min_ms,
                l.mean_ms() as u64,
                l.max_ms,
            );
        }
        text.push_str(")\n");
    }
    text
}

/// Sessions by their end, ephemerals by session, connections by the end of their session.
pub(super) fn dump(facts: &Facts) -> String {
    let mut text = "SessionTracker dump:\nSession ".to_owned();
    endings(&mut text, &facts.endings);
    let _ = writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", facts.owners.len());
    for (session, paths) in &facts.owners {
        let _ = writeln!(text, "0x{session:x}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push_str("Connections dump:\nConnections ");
    let connected: Vec<_> = facts.endings.iter().copied().filter(|ending| ending.2).collect();
    endings(&mut text, &connected);
    text
}

fn endings(text: &mut String, endings: &[(i64, i64, bool)]) {
    let mut sets: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for &(at_ms, session, _) in endings {
        // To the second, as far as it is shown.
        sets.entry(at_ms.div_euclid(1_000)).or_default().push(session);
    }
    let _ = writeln!(text, "Sets ({})/({}):", sets.len(), endings.len());
    for (at_s, sessions) in sets {
        let _ = writeln!(text, "{} expire at {}:", sessions.len(), date(at_s));
        for session in sessions {
            let _ = writeln!(text, "\t0x{session:x}");
        }
    }
}

/// How many sessions watch how many paths.
pub(super) fn watch_counts(watched: &[(String, Vec<i64>)]) -> String {
    let total: usize = watched.iter().map(|(_, sessions)| sessions.len()).sum();
    let connections = by_session(watched).len();
    format!("{connections} connections watching {} paths\nTotal watches:{total}\n", watched.len())
}

pub(super) fn watches_by_path(watched: &[(String, Vec<i64>)]) -> String {
    let mut text = String::new();
    for (path, sessions) in watched {
        let _ = writeln!(text, "{path}");
        for session in sessions {
            let _ = writeln!(text, "\t0x{session:x}");
        }
    }
    text + "\n"
}

pub(super) fn watches_by_session(watched: &[(String, Vec<i64>)]) -> String {
    let mut text = String::new();
    for (session, paths) in by_session(watched) {
        let _ = writeln!(text, "0x{session:x}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text + "\n"
}

fn by_session(watched: &[(String, Vec<i64>)]) -> BTreeMap<i64, Vec<&str>> {
    let mut sessions: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (path, watchers) in watched {
        for &session in watchers {
            sessions.entry(session).or_default().push(path);
        }
    }
    sessions
}

/// A time since 1970 in seconds as Java writes it: `Sun Nov 22 07:30:00 UTC 2026`.
fn date(at_s: i64) -> String {
    let at = jiff::Timestamp::from_second(at_s).unwrap_or_default();
    at.strftime("%a %b %d %H:%M:%S UTC %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_java() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(1_709_164_800), "Thu Feb 29 00:00:00 UTC 2024");
        assert_eq!(date(1_795_332_600), "Sun Nov 22 07:30:00 UTC 2026");
    }

    #[test]
    fn watches_are_shown_both_ways() {
        let watched = [("/a".to_owned(), vec![1, 2]), ("/b".to_owned(), vec![2])];
        assert_eq!(watch_counts(&watched), "2 connections watching 2 paths\nTotal watches:3\n");
        assert_eq!(watches_by_path(&watched), "/a\n\t0x1\n\t0x2\n/b\n\t0x2\n\n");
        assert_eq!(watches_by_session(&watched), "0x1\n\t/a\n0x2\n\t/a\n\t/b\n\n");
    }

    #[test]
    fn a_dump_groups_by_second() {
        let endings = vec![(1_000, 1, true), (1_500, 2, false), (2_000, 3, true)];
        let facts = Facts { endings, owners: vec![(3, vec!["/e".into()])], ..Facts::default() };
        assert_eq!(
            dump(&facts),
            "SessionTracker dump:\nSession Sets (2)/(3):\n2 expire at Thu Jan 01 00:00:01 UTC 1970:\n\t0x1\n\t0x2\n\
             1 expire at Thu Jan 01 00:00:02 UTC 1970:\n\t0x3\nephemeral nodes dump:\n\
             Sessions with Ephemerals (1):\n0x3:\n\t/e\nConnections dump:\nConnections Sets (2)/(2):\n\
             1 expire at Thu Jan 01 00:00:01 UTC 1970:\n\t0x1\n1 expire at Thu Jan 01 00:00:02 UTC 1970:\n\t0x3\n"
        );
    }
}
