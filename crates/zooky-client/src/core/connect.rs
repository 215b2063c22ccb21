//! Which server is next, and when.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Goes round the servers in an order of its own, so that the clients of a server that has died spread over the
/// others. All randomness comes from the seed.
#[derive(Debug)]
pub(super) struct Chooser {
    order: Vec<usize>,
    next: usize,
    /// Attempts that failed since a connection last worked.
    failures: usize,
    random: u64,
}

impl Chooser {
    /// For `servers` servers; there is at least one.
    pub(super) fn new(servers: usize, seed: u64) -> Chooser {
        let mut chooser =
            Chooser { order: (0..servers.max(1)).collect(), next: 0, failures: 0, random: seed };
        for i in (1..chooser.order.len()).rev() {
            let j = (chooser.random() % (i as u64 + 1)) as usize;
            chooser.order.swap(i, j);
        }
        chooser
    }

    /// The server to try now.
    pub(super) fn choose(&mut self) -> usize {
        let server = self.order[self.next];
        self.next = (self.next + 1) % self.order.len();
        server
    }

    /// A connection works: it has answered more than the handshake.
    pub(super) fn works(&mut self) {
        self.failures = 0;
    }

    /// How many times all servers have failed in a row.
    pub(super) fn rounds(&self) -> u32 {
        u32::try_from(self.failures / self.order.len()).unwrap_or(u32::MAX)
    }

    /// An attempt failed, or a connection broke: how long to wait before the next attempt. Within a round the next
    /// server is tried at once; after each round there is a pause that doubles.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures += 1;
        if !self.failures.is_multiple_of(self.order.len()) {
            return Duration::ZERO;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.rounds() - 1).min(10)).min(LONGEST_PAUSE);
        pause / 2 + self.share(pause / 2)
    }

    /// Something between nothing and `whole`.
    fn share(&mut self, whole: Duration) -> Duration {
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random() % nanos.saturating_add(1).max(1))
    }

    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_server_has_its_turn_and_orders_differ() {
        let mut orders = BTreeSet::new();
        for seed in 0..100 {
            let mut chooser = Chooser::new(3, seed);
            let order = [chooser.choose(), chooser.choose(), chooser.choose()];
            assert_eq!(BTreeSet::from(order).len(), 3);
            assert_eq!(chooser.choose(), order[0]);
            orders.insert(order);
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn pauses_come_after_each_round_and_grow_to_a_second() {
        let mut chooser = Chooser::new(2, 7);
        let mut expected = FIRST_PAUSE;
        for _ in 0..40 {
            assert_eq!(chooser.failed(), Duration::ZERO);
            let pause = chooser.failed();
            assert!(pause >= expected / 2 && pause <= expected, "{pause:?}, not about {expected:?}");
            expected = (expected * 2).min(LONGEST_PAUSE);
        }
        chooser.works();
        chooser.failed();
        assert!(chooser.failed() <= FIRST_PAUSE);
    }
}
