//! What connections ask and how long they wait: the counts behind `stat`, `cons` and `srvr`.

use std::collections::VecDeque;

use zooky_wire::xid;

/// How long requests took from being read to being answered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency {
    /// The last one, in milliseconds.
    pub(crate) last_ms: u64,
    /// The quickest one.
    pub(crate) min_ms: u64,
    /// The slowest one.
    pub(crate) max_ms: u64,
    total_ms: u64,
    count: u64,
}

impl Latency {
    pub(crate) fn note(&mut self, ms: u64) {
        self.min_ms = if self.count == 0 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        self.last_ms = ms;
        self.total_ms = self.total_ms.saturating_add(ms);
        self.count += 1;
    }

    /// The mean in milliseconds, to four places.
    pub(crate) fn mean_ms(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        (self.total_ms as f64 / self.count as f64 * 10_000.0).round() / 10_000.0
    }
}

/// The counts of one connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Frames that came in.
    pub(crate) received: u64,
    /// Frames that went out.
    pub(crate) sent: u64,
    /// The opcode of the newest request, by its short name.
    pub(crate) last_op: &'static str,
    /// The number of the newest request that has one of its own.
    pub(crate) last_cxid: Option<i32>,
    /// The zxid in the newest reply.
    pub(crate) last_zxid: i64,
    /// When the newest reply left, in `mono_ms`.
    pub(crate) last_reply_ms: u64,
    /// How long its requests took.
    pub(crate) latency: Latency,
    /// When each request that is not answered yet came, in `mono_ms`.
    asked: VecDeque<u64>,
}

impl Traffic {
    /// A request came in; `greeting`: it is the connect request.
    pub(crate) fn request(&mut self, frame: &[u8], greeting: bool, now_ms: u64) {
        self.received += 1;
        if greeting {
            self.asked.push_back(now_ms);
            self.last_op = "SESS";
            return;
        }
        let Some((cxid, op)) = int_at(frame, 0).zip(int_at(frame, 4)) else { return };
        // The answer to a request that is numbered like an event cannot be told from one.
        if cxid != xid::EVENT {
            self.asked.push_back(now_ms);
        }
        self.last_op = short_name(op);
        if cxid >= 0 {
            self.last_cxid = Some(cxid);
        }
    }

    /// A frame goes out, here with its length in front. Says how long its request took, if it answers one.
    pub(crate) fn answer(&mut self, frame: &[u8], now_ms: u64) -> Option<u64> {
        self.sent += 1;
        let (xid, zxid) = int_at(frame, 4).zip(long_at(frame, 8))?;
        // The answer to the connect request has its version, 0, in this place.
        if xid == xid::EVENT {
            return None;
        }
        let asked = self.asked.pop_front()?;
        if self.asked.is_empty() && self.asked.capacity() > 64 {
            self.asked = VecDeque::new();
        }
        if xid != 0 {
            self.last_zxid = zxid;
        }
        self.last_reply_ms = now_ms;
        let took = now_ms.saturating_sub(asked);
        self.latency.note(took);
        Some(took)
    }

    /// Requests that are not answered yet.
    pub(crate) fn queued(&self) -> usize {
        self.asked.len()
    }

    /// Begins to count anew.
    pub(crate) fn reset(&mut self) {
        let (asked, last_op) = (std::mem::take(&mut self.asked), "NA");
        *self = Traffic { asked, last_op, ..Traffic::default() };
    }
}

fn int_at(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

fn long_at(frame: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// What the original calls an operation in `cons`.
fn short_name(op: i32) -> &'static str {
    match op {
        1 | 15 | 19 | 21 => "CREA",
        2 => "DELE",
        3 => "EXIS",
        4 => "GETD",
        5 => "SETD",
        6 => "GETA",
        7 => "SETA",
        8 | 12 => "GETC",
        9 => "SYNC",
        11 => "PING",
        14 => "MULT",
        16 => "RECO",
        17 => "CHKW",
        18 => "REMW",
        22 => "MLTR",
        100 => "AUTH",
        101 => "SETW",
        103 => "GETE",
        104 => "GETACN",
        105 => "STW2",
        106 => "ADDW",
        107 => "WHOA",
        -11 => "CLOS",
        _ => "NA",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(xid: i32, op: i32) -> Vec<u8> {
        [xid.to_be_bytes(), op.to_be_bytes()].concat()
    }

    fn reply(xid: i32, zxid: i64) -> Vec<u8> {
        [&[0; 4][..], &xid.to_be_bytes(), &zxid.to_be_bytes(), &[0; 4]].concat()
    }

    #[test]
    fn events_answer_nothing() {
        let mut traffic = Traffic::default();
        traffic.request(&frame(7, 4), false, 100);
        assert_eq!((traffic.last_op, traffic.last_cxid, traffic.queued()), ("GETD", Some(7), 1));
        assert_eq!(traffic.answer(&reply(xid::EVENT, 9), 110), None);
        assert_eq!(traffic.answer(&reply(7, 9), 130), Some(30));
        assert_eq!((traffic.last_zxid, traffic.sent, traffic.queued()), (9, 2, 0));
        assert_eq!(traffic.answer(&reply(7, 9), 130), None, "more answers than requests");
        traffic.reset();
        assert_eq!((traffic.received, traffic.latency), (0, Latency::default()));
    }

    #[test]
    fn latencies_have_a_mean() {
        let mut latency = Latency::default();
        assert_eq!(latency.mean_ms(), 0.0);
        for ms in [3, 1, 1] {
            latency.note(ms);
        }
        assert_eq!((latency.min_ms, latency.mean_ms(), latency.max_ms), (1, 1.6667, 3));
    }
}
