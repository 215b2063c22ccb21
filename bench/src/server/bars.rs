//! The bars that the server must clear: ratios of two figures of the same round.

use super::order::What;
use super::process::Stage;
use super::{Key, Results};
use crate::peers::PeerKind;
use crate::servers::ServerKind::{self, Apache, Ours, Redis};
use crate::stats::Spread;

/// What is good enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(super) fn is_met(self, median: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        }
    }
}

/// Two figures and what their ratio should be; without a second one, the figure itself.
pub(super) struct Bar {
    pub(super) what: &'static str,
    pub(super) bound: Bound,
    ours: (Key, ServerKind),
    theirs: Option<(Key, ServerKind)>,
}

impl Bar {
    const fn of_apache(what: &'static str, key: Key, bound: Bound) -> Bar {
        Bar { what, bound, ours: (key, Ours), theirs: Some((key, Apache)) }
    }

    const fn of_redis(what: &'static str, ours: Key, theirs: Key, bound: Bound) -> Bar {
        Bar { what, bound, ours: (ours, Ours), theirs: Some((theirs, Redis)) }
    }

    /// The figure over the rounds; `None` if a side was not measured.
    pub(super) fn figure(&self, results: &Results) -> Option<Spread> {
        let ours = results.of(self.ours.0, self.ours.1);
        let Some((key, server)) = self.theirs else { return Spread::of(ours) };
        let ratios: Vec<f64> =
            ours.iter().zip(results.of(key, server)).map(|(ours, theirs)| ours / theirs).collect();
        Spread::of(&ratios)
    }
}

/// All bars.
pub(super) fn bars() -> Vec<Bar> {
    use Bound::{AtLeast, AtMost};
    let writes = |sessions, in_flight| Key::Flood(What::Writes, sessions, in_flight);
    let (zooky, floor) = (Key::Locks(PeerKind::Zooky), Key::Locks(PeerKind::Floor));
    let redis = Key::Locks(PeerKind::Redis);
    vec![
        Bar::of_apache(
            "writes/s, 256 in flight on 1 session: zooky's server / Apache",
            writes(1, 256),
            AtLeast(5.0),
        ),
        Bar::of_apache(
            "writes/s, 16 sessions, 256 in flight together: zooky's server / Apache",
            writes(16, 16),
            AtLeast(3.0),
        ),
        Bar::of_apache(
            "writes/s, 16 sessions, 256 in flight on each: zooky's server / Apache",
            writes(16, 256),
            AtLeast(3.0),
        ),
        Bar::of_apache("64 locks on one session, cycles/s, zooky: its server / Apache", zooky, AtLeast(4.0)),
        Bar::of_apache(
            "64 locks on one session, cycles/s, floor: zooky's server / Apache",
            floor,
            AtLeast(4.0),
        ),
        Bar::of_redis(
            "64 locks on one session, cycles/s: zooky on its server / redis",
            zooky,
            redis,
            AtLeast(1.0),
        ),
        Bar::of_redis(
            "64 locks on one session, cycles/s: floor on zooky's server / redis",
            floor,
            redis,
            AtLeast(1.0),
        ),
        Bar::of_redis(
            "one write alone: create on zooky's server / redis SET",
            Key::Create,
            Key::RedisSet,
            AtMost(1.0),
        ),
        Bar::of_redis(
            "one write alone: setData on zooky's server / redis SET",
            Key::SetData,
            Key::RedisSet,
            AtMost(1.0),
        ),
        Bar::of_apache(
            "resident memory, 100,000 znodes and 5,000 sessions: zooky's server / Apache",
            Key::Memory(Stage::ZnodesAndSessions),
            AtMost(0.1),
        ),
        Bar::of_apache(
            "sessions opened and closed per second, 1 thread: zooky's server / Apache",
            Key::Connects(1),
            AtLeast(1.5),
        ),
        Bar::of_apache(
            "sessions opened and closed per second, 16 threads: zooky's server / Apache",
            Key::Connects(16),
            AtLeast(2.0),
        ),
        Bar {
            what: "process start to the first answer, empty directory, in ms",
            bound: AtMost(50.0),
            ours: (Key::Start, Ours),
            theirs: None,
        },
    ]
}
