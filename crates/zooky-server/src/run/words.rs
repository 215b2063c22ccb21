//! Four-letter words: collects what an answer shows. Lists are made only for the words that show them.

use bytes::Bytes;

use super::Run;
use crate::core::ConnId;
use crate::net::four_letter::{self, Client, Facts};
use crate::net::{Conn, Latency, Numbers, Trade};

impl Run {
    /// Answers a word and closes the connection.
    pub(super) fn answer_word(&mut self, key: u64, word: &str) {
        self.forget(key);
        let answer = if self.config.four_letter_words.allows(word) {
            let facts = self.facts(word);
            let answer = four_letter::answer(word, &self.config, &facts);
            self.reset_counts(word);
            answer
        } else {
            four_letter::refusal(word)
        };
        self.hold(key, Some(Bytes::from(answer)), self.syncer.needed());
        self.hold(key, None, self.syncer.needed());
    }

    /// The counts of the whole server.
    pub(super) fn numbers(&self) -> Numbers {
        let stats = self.core.stats();
        Numbers {
            uptime_ms: self.now.mono_ms - self.started_ms,
            zxid: self.core.last_zxid(),
            znodes: stats.znodes,
            watches: stats.watches,
            sessions: stats.sessions,
            ephemerals: stats.ephemerals,
            data_bytes: stats.approximate_data_size,
            tree_bytes: stats.tree_bytes,
            watch_bytes: stats.watch_bytes,
            buffer_bytes: self.conns.buffer_bytes(),
            connections: self.conns.len(),
            refused: self.doors.refused,
            held: self.held.len(),
            log_waiting_bytes: self.syncer.waiting_bytes(),
            sessions_expired: stats.sessions_expired,
            ephemerals_expired: stats.ephemerals_expired,
            received: self.received,
            sent: self.sent,
        }
    }

    fn facts(&mut self, word: &str) -> Facts {
        let (numbers, latency) = (self.numbers(), self.latency);
        let mut facts = Facts { numbers, latency, ..Facts::default() };
        match word {
            "conf" => {
                facts.port = self.doors.port(Trade::Client).unwrap_or_default();
                facts.tls_port = self.doors.port(Trade::Tls);
            }
            "stat" | "cons" => facts.clients = self.clients(),
            "dump" => {
                facts.owners = self.core.ephemeral_reports();
                let sessions = self.core.session_reports().into_iter();
                let end = |ends_ms: u64| self.now.wall_ms + ends_ms.saturating_sub(self.now.mono_ms) as i64;
                facts.endings = sessions.map(|s| (end(s.ends_ms), s.id, s.conn.is_some())).collect();
                facts.endings.sort_unstable();
            }
            "wchs" | "wchc" | "wchp" => facts.watched = self.core.watch_reports(),
            _ => {}
        }
        facts
    }

    /// All connections but those that only asked a word.
    fn clients(&mut self) -> Vec<Client> {
        let sessions = self.core.session_reports();
        let attached: std::collections::HashMap<ConnId, (i64, i32)> =
            sessions.iter().filter_map(|s| Some((s.conn?, (s.id, s.timeout_ms)))).collect();
        let client = |conn: &Conn| {
            let (session, timeout_ms) = attached.get(&ConnId(conn.key)).copied().unwrap_or_default();
            Client {
                address: conn.address(),
                session,
                timeout_ms,
                opened_ms: conn.opened_ms,
                queued: conn.traffic.queued(),
                received: conn.traffic.received,
                sent: conn.traffic.sent,
                last_op: conn.traffic.last_op,
                last_cxid: conn.traffic.last_cxid,
                last_zxid: conn.traffic.last_zxid,
                last_reply_ms: conn.traffic.last_reply_ms,
                latency: conn.traffic.latency,
            }
        };
        self.conns.iter().map(client).collect()
    }

    fn reset_counts(&mut self, word: &str) {
        match word {
            "srst" => (self.received, self.sent, self.latency) = (0, 0, Latency::default()),
            "crst" => self.conns.iter_mut().for_each(|conn| conn.traffic.reset()),
            _ => {}
        }
    }
}
