//! Until when the servers cannot have expired the session.
//!
//! A ping's answer proves nothing on an ensemble: a follower that is cut off from its leader goes on answering
//! while the leader gives the session's locks away. Only what the leader must have seen counts: acknowledged
//! `sync`s and writes. And the leader learns of a client's life not from the request itself but from the follower's
//! report, which comes with the leader's next ping, half a tick (at most a quarter of the timeout) later. So a
//! request proves life only once another one, sent a quarter of the timeout after it, has been acknowledged too.

use std::collections::VecDeque;
use std::time::Duration;

use crate::boottime::BootInstant;

/// The deadline rule; see the module's text.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    timeout: Duration,
    margin: Option<Duration>,
    /// The sending of the newest request that proves life.
    base: BootInstant,
    /// Acknowledged requests' sendings later than `base`, ascending; the last one is the newest.
    later: VecDeque<BootInstant>,
    newest: BootInstant,
}

impl Deadline {
    /// For a session whose connect request was sent at `opened_at`.
    pub(super) fn new(opened_at: BootInstant, timeout: Duration, margin: Option<Duration>) -> Deadline {
        Deadline { timeout, margin, base: opened_at, later: VecDeque::new(), newest: opened_at }
    }

    /// A `sync` or write sent at `sent_at` was acknowledged. Acknowledgements come in the order of sending.
    pub(super) fn acknowledged(&mut self, sent_at: BootInstant) {
        if sent_at <= self.newest {
            return;
        }
        self.newest = sent_at;
        // Under load not every one is kept, so that the queue stays short: leaving one out is only ever too careful,
        // and by no more than this.
        let grain = self.timeout / 256;
        if self.later.back().is_none_or(|last| sent_at.saturating_since(*last) >= grain) {
            self.later.push_back(sent_at);
        }
        let proven = sent_at - self.timeout / 4;
        while let Some(next) = self.later.front().copied().filter(|next| *next <= proven) {
            self.base = next;
            self.later.pop_front();
        }
    }

    /// The server that took the session over grants less time.
    pub(super) fn shorten(&mut self, timeout: Duration) {
        self.timeout = self.timeout.min(timeout);
    }

    /// The timeout that is reckoned with.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The deadline.
    pub(super) fn at(&self) -> BootInstant {
        self.base + self.timeout - self.margin()
    }

    /// How long before the deadline an acknowledgement is overdue: half the timeout less the margin is always left
    /// in quiet times when one is on its way; this allows it a twelfth of the timeout.
    pub(super) fn lead(&self) -> Duration {
        (self.timeout * 5 / 12).saturating_sub(self.margin())
    }

    /// A quarter of the timeout at most: more would leave no time for the next acknowledgement.
    fn margin(&self) -> Duration {
        self.margin.unwrap_or(self.timeout / 20).min(self.timeout / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Duration = Duration::from_millis(12_000);
    const MARGIN: Duration = Duration::from_millis(600);

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_nanos((1_000_000 + ms) * 1_000_000)
    }

    fn fresh() -> Deadline {
        Deadline::new(at(0), T, None)
    }

    #[test]
    fn a_new_session_counts_from_its_connect_request() {
        assert_eq!(fresh().at(), at(12_000 - 600));
    }

    #[test]
    fn one_acknowledgement_alone_proves_nothing() {
        let mut deadline = fresh();
        deadline.acknowledged(at(2_000));
        assert_eq!(deadline.at(), at(11_400));
        // A quarter of the timeout later the first one counts.
        deadline.acknowledged(at(4_999));
        assert_eq!(deadline.at(), at(11_400));
        deadline.acknowledged(at(5_000));
        assert_eq!(deadline.at(), at(2_000 + 11_400));
    }

    #[test]
    fn a_quiet_session_keeps_half_its_timeout() {
        let mut deadline = fresh();
        let rtt = 100;
        for beat in 1..1_000 {
            let sent = at(beat * 2_000);
            let acknowledged = sent + Duration::from_millis(rtt);
            let left = deadline.at().saturating_since(acknowledged);
            assert!(left >= T / 2 - MARGIN - Duration::from_millis(rtt), "beat {beat}: {left:?}");
            assert!(deadline.at() - deadline.lead() > acknowledged, "beat {beat} looks overdue");
            deadline.acknowledged(sent);
        }
    }

    #[test]
    fn a_smaller_timeout_is_taken_a_larger_is_not() {
        let mut deadline = fresh();
        deadline.shorten(Duration::from_secs(60));
        assert_eq!(deadline.timeout(), T);
        deadline.shorten(Duration::from_secs(4));
        assert_eq!(deadline.at(), at(4_000 - 200));
    }

    #[test]
    fn a_margin_leaves_time_for_the_next_acknowledgement() {
        let deadline = Deadline::new(at(0), T, Some(Duration::from_secs(60)));
        assert_eq!(deadline.at(), at(9_000));
    }

    proptest! {
        /// The rule by its definition, over every acknowledgement ever: never later, and at most a grain earlier.
        #[test]
        fn the_deadline_is_never_later_than_the_rule(gaps in prop::collection::vec(0u64..4_000, 0..300)) {
            let mut deadline = fresh();
            let mut all = vec![at(0)];
            let mut now = 0;
            let mut before = deadline.at();
            for gap in gaps {
                now += gap * gap / 4_000;
                deadline.acknowledged(at(now));
                all.push(at(now));
                let proven = at(now) - T / 4;
                let base = all.iter().copied().filter(|one| *one <= proven).max().unwrap_or(at(0));
                let rule = base + T - MARGIN;
                prop_assert!(deadline.at() <= rule);
                prop_assert!(rule.saturating_since(deadline.at()) <= T / 256);
                prop_assert!(deadline.at() >= before, "it went back");
                prop_assert!(deadline.later.len() <= 66);
                before = deadline.at();
            }
        }
    }
}
