//! The bars that zooky must clear: ratios of two figures of the same round.

use crate::peers::PeerKind;
use crate::rounds::{Metric, Pair, Results, Workload};
use crate::servers::ServerKind;
use crate::stats::Spread;

/// A ratio and what it may be at most.
pub(crate) struct Bar {
    /// What is compared.
    pub(crate) what: &'static str,
    /// The largest ratio that is good enough.
    pub(crate) at_most: f64,
    ours: Pair,
    theirs: Pair,
    metric: Metric,
}

/// All bars. Each is on a free lock whose previous release is confirmed.
pub(crate) const BARS: [Bar; 4] = [
    Bar {
        what: "acquire on Apache: zooky / Curator",
        at_most: 0.65,
        ours: (PeerKind::Zooky, ServerKind::Apache),
        theirs: (PeerKind::Curator, ServerKind::Apache),
        metric: Metric::Acquire,
    },
    Bar {
        what: "acquire on Apache: zooky / kazoo",
        at_most: 0.35,
        ours: (PeerKind::Zooky, ServerKind::Apache),
        theirs: (PeerKind::Kazoo, ServerKind::Apache),
        metric: Metric::Acquire,
    },
    Bar {
        what: "full cycle, release awaited: zooky on its server / redis SET NX + DEL",
        at_most: 1.0,
        ours: (PeerKind::Zooky, ServerKind::Ours),
        theirs: (PeerKind::Redis, ServerKind::Redis),
        metric: Metric::Cycle,
    },
    Bar {
        what: "full cycle, release awaited: zooky on its server / zooky on Apache",
        at_most: 0.7,
        ours: (PeerKind::Zooky, ServerKind::Ours),
        theirs: (PeerKind::Zooky, ServerKind::Apache),
        metric: Metric::Cycle,
    },
];

/// The same comparisons with the floor client in zooky's place: what the bars would say of a perfect client.
pub(crate) const FLOOR_BARS: [Bar; 4] = [
    Bar {
        what: "acquire on Apache: floor / Curator",
        ours: (PeerKind::Floor, ServerKind::Apache),
        ..BARS[0]
    },
    Bar { what: "acquire on Apache: floor / kazoo", ours: (PeerKind::Floor, ServerKind::Apache), ..BARS[1] },
    Bar {
        what: "full cycle, release awaited: floor on zooky's server / redis SET NX + DEL",
        ours: (PeerKind::Floor, ServerKind::Ours),
        ..BARS[2]
    },
    Bar {
        what: "full cycle, release awaited: floor on zooky's server / floor on Apache",
        ours: (PeerKind::Floor, ServerKind::Ours),
        theirs: (PeerKind::Floor, ServerKind::Apache),
        ..BARS[3]
    },
];

impl Bar {
    /// The ratio over the rounds; `None` if one side was not measured.
    pub(crate) fn ratio(&self, results: &Results) -> Option<Spread> {
        let figures = |pair| results.per_round(Workload::Awaited, pair, self.metric);
        let ratios: Vec<f64> =
            figures(self.ours).iter().zip(figures(self.theirs)).map(|(ours, theirs)| ours / theirs).collect();
        Spread::of(&ratios)
    }
}
