//! The bars that zooky must clear: ratios of two figures of the same round, or a figure alone.

use crate::peers::PeerKind;
use crate::rounds::{Metric, Pair, Results, Workload};
use crate::servers::ServerKind;
use crate::stats::Spread;

/// What is good enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure of one client on one server.
type Side = (Workload, PeerKind, ServerKind);

/// A ratio, or a figure alone, and what it may be.
pub(crate) struct Bar {
    /// What is compared.
    pub(crate) what: &'static str,
    pub(crate) limit: Limit,
    ours: Side,
    theirs: Option<Side>,
    metric: Metric,
}

use Limit::{AtLeast, AtMost};
use PeerKind::{Curator, Floor, Kazoo, Redis, Zooky};
use ServerKind::{Apache, Ours, Redis as RedisServer};
use Workload::{Awaited, Background, Behind, BehindCrowd, Handoff, Many};

pub(crate) const fn bar(what: &'static str, limit: Limit, metric: Metric, ours: Side, theirs: Side) -> Bar {
    Bar { what, limit, ours, theirs: Some(theirs), metric }
}

/// Hand-overs among so many sessions: beside many who are queued behind, and beside nobody.
const TWO: [Workload; 2] = [Behind(10_000), Behind(0)];
const SIXTEEN: [Workload; 2] = [BehindCrowd(10_000), BehindCrowd(0)];

const fn behind(what: &'static str, [many, nobody]: [Workload; 2], server: ServerKind) -> Bar {
    bar(what, AtMost(1.5), Metric::Handoff, (many, Zooky, server), (nobody, Zooky, server))
}

/// All bars.
pub(crate) const BARS: [Bar; 15] = [
    bar(
        "a free lock, previous release confirmed: acquire on Apache, zooky / Curator",
        AtMost(0.65),
        Metric::Acquire,
        (Awaited, Zooky, Apache),
        (Awaited, Curator, Apache),
    ),
    bar(
        "a free lock, previous release confirmed: acquire on Apache, zooky / kazoo",
        AtMost(0.35),
        Metric::Acquire,
        (Awaited, Zooky, Apache),
        (Awaited, Kazoo, Apache),
    ),
    bar(
        "a free lock, release awaited: cycle, zooky on its server / redis SET NX + DEL",
        AtMost(1.0),
        Metric::Cycle,
        (Awaited, Zooky, Ours),
        (Awaited, Redis, RedisServer),
    ),
    bar(
        "a free lock, release awaited: cycle, zooky on its server / zooky on Apache",
        AtMost(0.7),
        Metric::Cycle,
        (Awaited, Zooky, Ours),
        (Awaited, Zooky, Apache),
    ),
    bar(
        "a free lock, release in the background where that can be: cycle on Apache, zooky / Curator",
        AtMost(0.5),
        Metric::Cycle,
        (Background, Zooky, Apache),
        (Background, Curator, Apache),
    ),
    bar(
        "a free lock, release in the background where that can be: cycle on Apache, zooky / kazoo",
        AtMost(0.28),
        Metric::Cycle,
        (Background, Zooky, Apache),
        (Background, Kazoo, Apache),
    ),
    // The bar is 40 us where the floor takes 20; figures of one machine do not carry over to another, ratios do.
    bar(
        "a free lock, release in the background: client CPU per cycle on Apache, zooky / floor",
        AtMost(2.0),
        Metric::Cpu,
        (Background, Zooky, Apache),
        (Background, Floor, Apache),
    ),
    Bar {
        what: "a free lock, release in the background: zooky's CPU per cycle on Apache, us",
        limit: AtMost(40.0),
        ours: (Background, Zooky, Apache),
        theirs: None,
        metric: Metric::Cpu,
    },
    bar(
        "handoff among 8 sessions on Apache, zooky / Curator",
        AtMost(0.6),
        Metric::Handoff,
        (Handoff, Zooky, Apache),
        (Handoff, Curator, Apache),
    ),
    bar(
        "64 locks at once on one session: cycles/s on Apache, zooky / Curator",
        AtLeast(2.5),
        Metric::PerSecond,
        (Many, Zooky, Apache),
        (Many, Curator, Apache),
    ),
    bar(
        "64 locks at once on one session: cycles/s, zooky on its server / redis SET NX + DEL",
        AtLeast(1.0),
        Metric::PerSecond,
        (Many, Zooky, Ours),
        (Many, Redis, RedisServer),
    ),
    behind("handoff on Apache, zooky: 10,000 queued behind / nobody", TWO, Apache),
    behind("handoff on zooky's server, zooky: 10,000 queued behind / nobody", TWO, Ours),
    behind("handoff among 16 sessions on Apache, zooky: 10,000 queued behind / nobody", SIXTEEN, Apache),
    behind(
        "handoff among 16 sessions on zooky's server, zooky: 10,000 queued behind / nobody",
        SIXTEEN,
        Ours,
    ),
];

/// Some of the comparisons with the floor client in zooky's place: what the bars would say of a bare client.
pub(crate) const FLOOR_BARS: [Bar; 4] = [
    bar(
        "a free lock, previous release confirmed: acquire on Apache, floor / Curator",
        AtMost(0.65),
        Metric::Acquire,
        (Awaited, Floor, Apache),
        (Awaited, Curator, Apache),
    ),
    bar(
        "a free lock, release in the background where that can be: cycle on Apache, floor / Curator",
        AtMost(0.5),
        Metric::Cycle,
        (Background, Floor, Apache),
        (Background, Curator, Apache),
    ),
    Bar {
        what: "a free lock, release in the background: the floor's CPU per cycle on Apache, us",
        limit: AtMost(40.0),
        ours: (Background, Floor, Apache),
        theirs: None,
        metric: Metric::Cpu,
    },
    bar(
        "64 locks at once on one session: cycles/s, floor on zooky's server / redis SET NX + DEL",
        AtLeast(1.0),
        Metric::PerSecond,
        (Many, Floor, Ours),
        (Many, Redis, RedisServer),
    ),
];

impl Limit {
    /// Whether a figure is good enough.
    pub(crate) fn is_met(self, figure: f64) -> bool {
        match self {
            AtMost(limit) => figure <= limit,
            AtLeast(limit) => figure >= limit,
        }
    }
}

impl Bar {
    /// The figure over the rounds; `None` if one side was not measured.
    pub(crate) fn figure(&self, results: &Results) -> Option<Spread> {
        let figures = |(workload, peer, server): Side| {
            let pair: Pair = (peer, server);
            results.per_round(workload, pair, self.metric)
        };
        let Some(theirs) = self.theirs else { return Spread::of(&figures(self.ours)) };
        let pairs = figures(self.ours).into_iter().zip(figures(theirs));
        Spread::of(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<f64>>())
    }
}
