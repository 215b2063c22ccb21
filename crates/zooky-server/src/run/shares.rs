//! How the time of a turn is shared out: whoever asks little is not to wait long for those who ask much. Pure.

use std::time::Duration;

use super::READ_BYTES;

/// For how long a connection is served when it is its turn; one frame is in any case.
const EACH: Duration = Duration::from_micros(200);
/// How long those are served in one turn, all together, that had more to ask than their share at an earlier one; one portion
/// is served in any case.
const BACKLOG: Duration = Duration::from_micros(500);
/// How many connections are accepted at one door.
const ACCEPTS: usize = 32;

/// The same while there are clients who ask little: in each turn they wait for all of this.
const BESIDE: Shares = Shares {
    reads: READ_BYTES / 4,
    beside: Duration::from_micros(50),
    alone: Duration::from_micros(100),
    backlog: Duration::from_micros(50),
    accepts: 1,
    leaves: 2,
};

/// What each may have of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// A connection that is not alone.
    beside: Duration,
    /// One that is: who asks little may come at any moment.
    alone: Duration,
    /// All those together that come last.
    pub(super) backlog: Duration,
    /// How much is read at once from a connection that asks much, in bytes: the kernel copies it, and tells the other side of the room,
    /// while everybody waits.
    pub(super) reads: usize,
    /// How many connections may come in at one door.
    pub(super) accepts: usize,
    /// How many connections with nothing left to send are closed: the kernel takes its time for each.
    pub(super) leaves: usize,
}

impl Shares {
    /// The shares; `beside`: somebody who asks little has been served of late.
    pub(super) fn of(beside: bool) -> Shares {
        if beside {
            BESIDE
        } else {
            Shares {
                reads: READ_BYTES,
                beside: EACH,
                alone: EACH,
                backlog: BACKLOG,
                accepts: ACCEPTS,
                leaves: usize::MAX,
            }
        }
    }

    /// That of one connection; `alone`: no other waits to be served.
    pub(super) fn each(self, alone: bool) -> Duration {
        if alone { self.alone } else { self.beside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So long somebody waits who comes behind `others` that ask without end, all in frames that take `frame` each.
    fn wait(shares: Shares, others: u32, frame: Duration) -> Duration {
        let until = |end: Duration, each: Duration| each * end.as_nanos().div_ceil(each.as_nanos()) as u32;
        let portion = until(shares.each(false), frame);
        portion * others + until(shares.backlog, portion)
    }

    #[test]
    fn who_asks_little_waits_for_little() {
        for (frame_us, at_most_us) in [(1, 50), (7, 56), (30, 60), (120, 120)] {
            let frame = Duration::from_micros(frame_us);
            for others in [1, 24] {
                let waits = wait(Shares::of(true), others, frame);
                let most = Duration::from_micros(at_most_us) * (others + 1);
                assert!(waits <= most, "{waits:?} behind {others} with frames of {frame:?}");
            }
        }
        assert!(
            Shares::of(true).accepts + Shares::of(true).leaves <= 3,
            "each costs as much as a small share"
        );
    }

    #[test]
    fn where_nobody_does_much_is_served_at_once() {
        let (all, some) = (Shares::of(false), Shares::of(true));
        assert!(
            all.each(false) > some.each(false) && all.backlog > some.backlog && all.accepts > some.accepts
        );
        assert!(some.each(true) > some.each(false), "alone it is in nobody's way for now");
    }
}
