//! Sessions and when they end.
//!
//! A session ends when its whole timeout has passed since the last frame of its client. The queue
//! of deadlines is lazy: a frame only notes the time, and a session whose turn comes too early
//! goes back into the queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash::{Hashing, Map};
use super::{ConnId, SessionReport};

/// The timeout of a session that ends at the next tick and cannot be attached to.
pub(super) const OVER: i32 = 0;

#[derive(Debug)]
pub(super) struct Session {
    /// The negotiated timeout, as the log has it.
    pub(super) timeout_ms: i32,
    /// The connection it is attached to.
    pub(super) conn: Option<ConnId>,
    last_seen_ms: u64,
    /// The deadline under which it stands in the queue.
    queued_ms: u64,
}

/// The sessions that are alive, by id.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: Map<i64, Session>,
    queue: BinaryHeap<Reverse<(u64, i64)>>,
    /// They end at multiples of this.
    step_ms: u64,
}

impl Sessions {
    pub(super) fn new(hashing: &Hashing, step_ms: u64) -> Sessions {
        Sessions { by_id: hashing.map(), queue: BinaryHeap::new(), step_ms }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Ids with timeouts in milliseconds, sorted.
    pub(super) fn list(&self) -> Vec<(i64, i32)> {
        let mut list: Vec<_> = self.by_id.iter().map(|(&id, s)| (id, s.timeout_ms)).collect();
        list.sort_unstable();
        list
    }

    /// What is known of each, by id.
    pub(super) fn reports(&self) -> Vec<SessionReport> {
        let report = |(&id, s): (&i64, &Session)| {
            let (timeout_ms, ends_ms, conn) = (s.timeout_ms, s.deadline_ms(), s.conn);
            SessionReport { id, timeout_ms, ends_ms, conn }
        };
        let mut reports: Vec<_> = self.by_id.iter().map(report).collect();
        reports.sort_unstable_by_key(|report| report.id);
        reports
    }

    /// A session begins, or goes on with another timeout. It is queued by [`Sessions::touch`] and
    /// [`Sessions::queue`] only, as a replay knows no time.
    pub(super) fn set(&mut self, id: i64, timeout_ms: i32) {
        let fresh = Session { timeout_ms, conn: None, last_seen_ms: 0, queued_ms: u64::MAX };
        self.by_id.entry(id).or_insert(fresh).timeout_ms = timeout_ms;
    }

    /// A session is over; says which connection it had.
    pub(super) fn remove(&mut self, id: i64) -> Option<ConnId> {
        self.by_id.remove(&id).and_then(|s| s.conn)
    }

    /// A sign of life.
    pub(super) fn touch(&mut self, id: i64, mono_ms: u64) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.last_seen_ms = mono_ms;
        }
    }

    /// Sees to it that the queue knows the session's deadline, or an earlier time.
    pub(super) fn queue(&mut self, id: i64) {
        let Some(session) = self.by_id.get_mut(&id) else { return };
        let deadline = session.deadline_ms().next_multiple_of(self.step_ms);
        if deadline < session.queued_ms {
            session.queued_ms = deadline;
            self.queue.push(Reverse((deadline, id)));
        }
    }

    /// Gives every session its whole timeout from now.
    pub(super) fn restart(&mut self, mono_ms: u64) {
        self.queue.clear();
        for (&id, session) in &mut self.by_id {
            session.last_seen_ms = mono_ms;
            session.queued_ms = session.deadline_ms().next_multiple_of(self.step_ms);
            self.queue.push(Reverse((session.queued_ms, id)));
        }
    }

    /// A session whose time is over; it stays until it is removed, but is not returned again.
    pub(super) fn pop_expired(&mut self, mono_ms: u64) -> Option<i64> {
        while let Some(&Reverse((queued, id))) = self.queue.peek() {
            if queued > mono_ms {
                return None;
            }
            self.queue.pop();
            let Some(session) = self.by_id.get_mut(&id).filter(|s| s.queued_ms == queued) else { continue };
            let deadline = session.deadline_ms().next_multiple_of(self.step_ms);
            if deadline <= mono_ms {
                return Some(id);
            }
            session.queued_ms = deadline;
            self.queue.push(Reverse((deadline, id)));
        }
        None
    }

    /// When [`Sessions::pop_expired`] may have something next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }
}

impl Session {
    /// The first millisecond at which the whole timeout has surely passed: the clock's
    /// milliseconds are cut off, so one is added.
    fn deadline_ms(&self) -> u64 {
        match u64::try_from(self.timeout_ms) {
            Ok(timeout) if self.timeout_ms != OVER => self.last_seen_ms + timeout + 1,
            _ => self.last_seen_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_whole_timeout_since_the_last_sign() {
        let mut s = Sessions::new(&Hashing::new(1), 1);
        s.set(7, 100);
        s.touch(7, 1_000);
        s.queue(7);
        assert_eq!(s.next_ms(), Some(1_101));
        s.touch(7, 1_050);
        assert_eq!(s.pop_expired(1_101), None);
        assert_eq!(s.next_ms(), Some(1_151));
        assert_eq!(s.pop_expired(1_150), None);
        assert_eq!(s.pop_expired(1_151), Some(7));
        assert_eq!(s.pop_expired(9_999), None);
    }

    #[test]
    fn a_shorter_timeout_is_kept_too() {
        let mut s = Sessions::new(&Hashing::new(1), 1);
        s.set(7, 1_000);
        s.queue(7);
        s.set(7, 10);
        s.queue(7);
        assert_eq!(s.pop_expired(11), Some(7));
        s.remove(7);
        assert_eq!(s.pop_expired(5_000), None);
        assert_eq!(s.next_ms(), None);
    }

    #[test]
    fn after_a_restart_all_time_is_given_again() {
        let mut s = Sessions::new(&Hashing::new(1), 1);
        s.set(7, 100);
        s.restart(5_000);
        assert_eq!(s.pop_expired(5_100), None);
        assert_eq!(s.pop_expired(5_101), Some(7));
        s.set(9, OVER);
        s.restart(6_000);
        assert_eq!(s.pop_expired(6_000), Some(9), "its time is over already");
    }

    #[test]
    fn those_that_end_about_the_same_time_end_together() {
        let mut s = Sessions::new(&Hashing::new(1), 50);
        for (id, seen_ms) in [(7, 1_003), (8, 1_049), (9, 1_051)] {
            s.set(id, 100);
            s.touch(id, seen_ms);
            s.queue(id);
        }
        assert_eq!(s.next_ms(), Some(1_150));
        assert_eq!(s.pop_expired(1_149), None);
        assert_eq!(
            (s.pop_expired(1_150), s.pop_expired(1_150), s.pop_expired(1_150)),
            (Some(7), Some(8), None)
        );
        assert_eq!(s.next_ms(), Some(1_200));
    }
}
