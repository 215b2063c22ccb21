//! From sockets to the core and back: the part of the loop that is about connections.

use std::time::Instant;

use bytes::Bytes;

use super::shares::Shares;
use super::{BESIDE_MS, LINGER_MS, Run};
use crate::core::{ConnId, Core, Input};
use crate::error::ServerError;
use crate::net::{Conn, Fill, Flushed, Tls, Trade, four_letter, metrics};

/// How many frames of one connection are served when it is its turn.
const FRAMES: usize = 512;

/// One request with so many bytes, its answer's included, is little, however long it took.
const LITTLE_BYTES: u64 = 2_048;

/// How often a connection that ends is read once more: enough for what a client sends before it reads an answer.
const READS_AT_END: usize = 2;

/// What to do next with a connection.
enum Next {
    /// A request; whether it is the connection's first.
    Frame(Bytes, bool),
    Word(&'static str),
    /// The first line of a request for the metrics.
    Scrape(Vec<u8>),
    /// Nothing whole has come in.
    More,
    /// Its answers have to drain first.
    Wait,
    /// It breaks the rules.
    Refuse,
}

impl Run {
    /// Begins to listen to a new connection.
    pub(super) fn opened(&mut self, key: u64, trade: Trade) {
        let limit_ms = self.config.limits.first_packet.as_millis() as u64;
        self.first_packets.push_back((self.now.mono_ms.saturating_add(limit_ms), key));
        let Some(conn) = self.conns.get(key) else { return };
        conn.opened_ms = self.now.wall_ms;
        conn.since_ms = self.now.mono_ms;
        conn.trade = trade;
        if trade == Trade::Tls {
            match self.tls.as_ref().map(Tls::accept) {
                Some(Ok(tls)) => conn.wrap(tls),
                failed => {
                    tracing::error!(?failed, "closed: TLS cannot begin");
                    return self.drop_conn(key);
                }
            }
        }
        if trade != Trade::Metrics {
            let peer = conn.peer;
            self.step(Input::Opened { conn: ConnId(key), peer });
        }
        if self.is_beside() {
            // It may begin with a session; nobody else is to wait for that one's sync.
            self.syncer.note_waiting();
        }
        // After a standstill its connect request may be all that keeps a session alive: then it is read in this turn. In a
        // stream of newcomers those that are there already come first.
        if self.is_beside() {
            self.put_behind(key);
        } else {
            self.put_in_line(key);
        }
    }

    /// Serves the connections that have something new and ask little. Their answers do not wait for the others.
    pub(super) fn read_light(&mut self) -> Result<(), ServerError> {
        self.reads_held = false;
        let mut light = false;
        self.light_writers = 0;
        for _ in 0..self.ready.len() {
            if self.holds_reads()? {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            let before = self.syncer.waiting_bytes();
            let is_light = self.serve_slot(slot);
            self.light_writers += usize::from(is_light && self.syncer.waiting_bytes() > before);
            light |= is_light;
        }
        if light {
            self.light_ms = self.now.mono_ms;
            if self.doors.are_knocked_at() || !self.backlog.is_empty() {
                self.release();
                self.flush();
            }
        }
        Ok(())
    }

    /// Serves those that have come just now, and for a little while those with a backlog.
    pub(super) fn read_rest(&mut self) -> Result<(), ServerError> {
        while !self.ready.is_empty() && !self.holds_reads()? {
            if let Some(slot) = self.ready.pop_front() {
                self.serve_slot(slot);
            }
        }
        let limit = self.shares().backlog;
        let begin = Instant::now();
        // After a standstill what each has sent is the sign of life that keeps its session.
        let mut must = if self.stood_still { self.backlog.len() } else { 0 };
        while !self.backlog.is_empty() && !self.holds_reads()? {
            if let Some(slot) = self.backlog.pop_front() {
                self.serve_slot(slot);
            }
            must = must.saturating_sub(1);
            if must == 0 && begin.elapsed() >= limit {
                break;
            }
        }
        Ok(())
    }

    /// How the time is shared out now.
    pub(super) fn shares(&self) -> Shares {
        Shares::of(self.is_beside())
    }

    /// Whether somebody has been served of late who asks little. Not right after a standstill: then everybody's requests
    /// are read before sessions are counted out.
    pub(super) fn is_beside(&self) -> bool {
        !self.stood_still && self.now.mono_ms - self.light_ms <= BESIDE_MS
    }

    /// Whether the disk is so far behind that nothing more is read.
    fn holds_reads(&mut self) -> Result<bool, ServerError> {
        if self.disk_is_behind() {
            // An idle disk can take the batch at once; a busy one will tell.
            self.syncer.sync(false)?;
            self.release();
        }
        self.reads_held = self.disk_is_behind();
        Ok(self.reads_held)
    }

    /// Serves a connection. Whether it is one of those who ask little: it asked something, all of it has been served, and
    /// it has not come just now.
    fn serve_slot(&mut self, slot: usize) -> bool {
        let Some(conn) = self.conns.at(slot) else { return false };
        conn.in_ready = false;
        let (key, before, begin) = (conn.key, self.received, Instant::now());
        let (read, held) = (conn.read_bytes, conn.held_bytes);
        self.serve_conn(key);
        self.conns.measure(key);
        // A word may set the count to zero.
        let asked = self.received.saturating_sub(before);
        if let Some(conn) = self.conns.get(key) {
            let bytes = conn.read_bytes - read + conn.held_bytes.saturating_sub(held) as u64;
            let little = asked <= 1 && conn.asked_bytes == 0 && bytes <= LITTLE_BYTES;
            conn.effort.add(begin.elapsed(), little, self.now.mono_ms);
        }
        let now_ms = self.now.mono_ms;
        let is_light = |conn: &mut Conn| !conn.in_ready && !conn.paused && !conn.is_new(now_ms);
        self.received > before && self.conns.get(key).is_some_and(is_light)
    }

    /// Reads once and serves the frames that are there, for its share of the time.
    fn serve_conn(&mut self, key: u64) {
        let begin = Instant::now();
        let alone = self.ready.is_empty() && self.backlog.is_empty();
        let shares = self.shares();
        let share = shares.each(alone);
        let mut filled = false;
        let mut ended = false;
        for served in 0..FRAMES {
            if served > 0 && begin.elapsed() >= share {
                break;
            }
            let Some(conn) = self.conns.get(key).filter(|conn| !conn.finished) else { return };
            if conn.asked_bytes > 0 {
                // The request before takes several steps, and the next one waits for its end.
                if conn.is_behind(&self.config.limits) {
                    conn.paused = true;
                    return;
                }
                if conn.read_closed {
                    // What it asks for ends with the connection.
                    return self.ended(key);
                }
                self.step(Input::Continue { conn: ConnId(key) });
                self.note_unfinished(key);
                continue;
            }
            match next(conn, &self.config.limits) {
                Next::Frame(frame, greeting) => {
                    if greeting && Core::asks_for_new_session(&frame) && conn.has_left(&mut self.scratch) {
                        return self.ended(key);
                    }
                    self.received += 1;
                    conn.traffic.request(&frame, greeting, self.now.mono_ms);
                    self.syncer.note_work();
                    conn.asked_bytes = frame.len();
                    self.step(Input::Frame { conn: ConnId(key), frame });
                    self.note_unfinished(key);
                }
                Next::Word(word) => return self.answer_word(key, word),
                Next::Scrape(request) => return self.answer_scrape(key, &request),
                // It is told nothing, and what else it says is not read.
                Next::Refuse => return self.end_conn(key, 0),
                Next::Wait => return,
                Next::More if ended => return self.ended(key),
                Next::More if !conn.readable => return,
                Next::More if filled => break,
                Next::More => {
                    filled = true;
                    let asks_much = conn.has_long_frame() || conn.effort.is_great(self.now.mono_ms);
                    let most = if asks_much { shares.reads } else { self.scratch.len() };
                    match conn.fill(&mut self.scratch[..most]) {
                        Ok(Fill::Open) => self.after_tls(key),
                        Ok(Fill::End) => ended = true,
                        Err(error) => {
                            tracing::debug!(conn = key, %error, "connection lost");
                            return self.drop_conn(key);
                        }
                    }
                }
            }
        }
        // It has more, perhaps; the others come first.
        self.put_behind(key);
    }

    /// Notes whether the request that was just served is at its end.
    fn note_unfinished(&mut self, key: u64) {
        if !self.core.is_unfinished(ConnId(key))
            && let Some(conn) = self.conns.get(key)
        {
            conn.asked_bytes = 0;
        }
    }

    /// What TLS has brought besides bytes: something to send, or who the client is.
    fn after_tls(&mut self, key: u64) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.wants_flush() && !conn.in_dirty {
            conn.in_dirty = true;
            self.dirty.push((key & u64::from(u32::MAX)) as usize);
        }
        if let Some(subject) = conn.take_subject() {
            tracing::debug!(conn = key, subject, "the client has a certificate");
            self.step(Input::Certified { conn: ConnId(key), subject });
        }
    }

    fn put_in_line(&mut self, key: u64) {
        if let Some(conn) = self.conns.get(key)
            && !std::mem::replace(&mut conn.in_ready, true)
        {
            self.ready.push_back((key & u64::from(u32::MAX)) as usize);
        }
    }

    fn put_behind(&mut self, key: u64) {
        if let Some(conn) = self.conns.get(key)
            && !std::mem::replace(&mut conn.in_ready, true)
        {
            self.backlog.push_back((key & u64::from(u32::MAX)) as usize);
        }
    }

    /// The other side has finished; what it asked before is still answered.
    fn ended(&mut self, key: u64) {
        self.forget(key);
        self.hold(key, None, self.syncer.needed());
    }

    /// Tells the core that the connection is gone, once.
    pub(super) fn forget(&mut self, key: u64) {
        if let Some(conn) = self.conns.get(key)
            && !std::mem::replace(&mut conn.forgotten, true)
        {
            self.step(Input::Closed { conn: ConnId(key) });
        }
    }

    fn answer_scrape(&mut self, key: u64, request: &[u8]) {
        let added = self.config.companion.as_ref().map(|companion| companion.numbers()).unwrap_or_default();
        let answer = metrics::answer(request, &self.numbers(), &self.config.limits, &added);
        self.hold(key, Some(Bytes::from(answer)), self.syncer.needed());
        self.hold(key, None, self.syncer.needed());
    }

    /// Closes a connection at once; what waits for it is lost.
    pub(super) fn drop_conn(&mut self, key: u64) {
        self.end_conn(key, READS_AT_END);
    }

    /// The same; it is read so often at most before that.
    fn end_conn(&mut self, key: u64, reads: usize) {
        self.forget(key);
        if let Some(mut conn) = self.conns.remove(key) {
            conn.shut_down(&mut self.scratch, reads);
            self.doors.look_again();
        }
    }

    /// Hands a durable output to its connection.
    pub(super) fn deliver(&mut self, key: u64, frame: Option<Bytes>) {
        let Some(conn) = self.conns.get(key) else { return };
        match frame {
            Some(frame) => {
                conn.held_count -= 1;
                conn.held_bytes -= frame.len();
                let took_ms = conn.traffic.answer(&frame, self.answered_ms);
                conn.send(frame);
                if let Some(took_ms) = took_ms {
                    self.latency.note(took_ms);
                }
            }
            None => conn.close_when_sent = true,
        }
        if !conn.in_dirty {
            conn.in_dirty = true;
            self.dirty.push((key & u64::from(u32::MAX)) as usize);
        }
    }

    /// Writes once to each socket that has output, and goes on reading where enough has drained. What has more than a portion
    /// to send goes on in the next turn.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let ends = !self.is_beside();
        for slot in dirty.drain(..) {
            let Some(conn) = self.conns.at(slot) else { continue };
            let (key, flushed) = (conn.key, conn.flush(ends));
            conn.in_dirty = matches!(flushed, Ok(Flushed::Portion));
            if conn.in_dirty {
                self.dirty.push(slot);
            }
            match flushed {
                Ok(flushed) if conn.close_when_sent => match flushed {
                    Flushed::All => self.leaving.push_back(key),
                    Flushed::Full => self.closings.push_back((self.now.mono_ms + LINGER_MS, key)),
                    Flushed::Portion => {}
                },
                Ok(_) => {
                    if conn.paused && !conn.is_behind(&self.config.limits) {
                        conn.paused = false;
                        self.put_behind(key);
                    }
                    self.conns.measure(key);
                }
                Err(error) => {
                    tracing::debug!(conn = key, %error, "connection lost");
                    self.drop_conn(key);
                }
            }
        }
        self.dirty.append(&mut dirty);
    }
}

fn next(conn: &mut Conn, limits: &crate::config::Limits) -> Next {
    if conn.is_behind(limits) {
        conn.paused = true;
        return Next::Wait;
    }
    if conn.trade == Trade::Metrics {
        return match conn.http_request() {
            Ok(Some(request)) => Next::Scrape(request),
            Ok(None) => Next::More,
            Err(()) => Next::Refuse,
        };
    }
    if let Some(word) = conn.opening().and_then(four_letter::word) {
        conn.greeted = true;
        return Next::Word(word);
    }
    match conn.next_frame(limits.frame_bytes) {
        Ok(Some(frame)) => {
            let greeting = !std::mem::replace(&mut conn.greeted, true);
            Next::Frame(frame, greeting)
        }
        Ok(None) => Next::More,
        Err(error) => {
            tracing::warn!(conn = conn.key, peer = %conn.peer, %error, "closed");
            Next::Refuse
        }
    }
}
