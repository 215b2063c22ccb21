//! The rounds: every peer on every server in turn, again and again, so that a change of the machine's mood
//! meets all of them.

use crate::child::Child;
use crate::disk::{self, Limits};
use crate::failure::Failure;
use crate::peers::{Flavor, PeerKind};
use crate::protocol::{Cycles, Handoffs, Hello, Order, Rate, Release};
use crate::queue;
use crate::servers::{Server, ServerKind};
use crate::stats::{median, percentile};
use crate::trace::Trace;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// So many sessions at most keep a copy of the queue of a lock.
pub(crate) const CROWD: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    /// One free lock; the release is waited for.
    Awaited,
    /// One free lock; the release is left to the background.
    Background,
    /// Many locks at once on one session.
    Many,
    /// One lock among several sessions.
    Handoff,
    /// One lock among many tasks on one session.
    Tasks,
    /// A read/write lock among several sessions, most of them readers.
    Readers,
    /// A lock that goes along a queue of many waiters.
    Drain,
    /// A lock that goes from hand to hand before so many who wait.
    Behind(usize),
    /// The same among [`CROWD`] sessions; measured with it.
    BehindCrowd(usize),
    /// How long it takes to join so many who wait.
    Join(usize),
}

impl Workload {
    pub(crate) const ALL: [Workload; 9] = [
        Workload::Awaited,
        Workload::Background,
        Workload::Many,
        Workload::Handoff,
        Workload::Tasks,
        Workload::Readers,
        Workload::Drain,
        Workload::Behind(0),
        Workload::Join(0),
    ];
    /// How long the queues are: in each round each peer meets all lengths, one after the other.
    pub(crate) const LENGTHS: [usize; 4] = [0, 100, 1_000, 10_000];

    fn fits(self, peer: PeerKind) -> bool {
        match self {
            Workload::Awaited | Workload::Background | Workload::Many => true,
            Workload::Handoff => peer.hands_off(),
            Workload::Tasks => peer.hands_off() && peer != PeerKind::Floor,
            Workload::Readers => matches!(peer, PeerKind::Zooky | PeerKind::Kazoo | PeerKind::Curator),
            Workload::BehindCrowd(_) => matches!(peer, PeerKind::Zooky | PeerKind::Curator),
            Workload::Drain | Workload::Behind(_) | Workload::Join(_) => peer.queues_in_zookeeper(),
        }
    }

    /// At most so many rounds: those that take long need fewer.
    fn rounds(self, plan: &Plan) -> usize {
        match self {
            Workload::Drain | Workload::Behind(_) | Workload::BehindCrowd(_) | Workload::Join(_) => {
                plan.rounds.min(plan.long_rounds)
            }
            Workload::Tasks | Workload::Readers => plan.rounds.min(2 * plan.long_rounds),
            _ => plan.rounds,
        }
    }

    fn run(
        self,
        plan: &Plan,
        child: &mut Child,
        hosts: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Sample, Failure> {
        let (locks, sessions) = (plan.locks, plan.sessions);
        let uncontended = |release| Order::Uncontended { count, limit, release };
        Ok(match self {
            Workload::Awaited => Sample::Cycles(child.obey(&uncontended(Release::Awaited))?),
            Workload::Background => {
                let can = child.kind().releases_in_background();
                let release = if can { Release::Background } else { Release::Awaited };
                Sample::Cycles(child.obey(&uncontended(release))?)
            }
            Workload::Many => Sample::Rate(child.obey(&Order::Many { locks, limit })?),
            Workload::Handoff => Sample::Handoffs(child.obey(&Order::Handoff { sessions, limit })?),
            Workload::Tasks => Sample::Rate(child.obey(&Order::Tasks { tasks: plan.locks, limit })?),
            Workload::Readers => Sample::Rate(child.obey(&Order::Readers { sessions: 2 * sessions, limit })?),
            Workload::Drain => {
                let (handoffs, packets) = queue::pass(child, hosts, (plan.waiters, sessions), 0)?;
                Sample::Drained { handoffs, packets }
            }
            Workload::Behind(_) | Workload::BehindCrowd(_) | Workload::Join(_) => {
                return Err(Failure::Refused("these are measured together".to_string()));
            }
        })
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Which workloads.
    pub(crate) workloads: Vec<Workload>,
    /// Which peers.
    pub(crate) peers: Vec<PeerKind>,
    /// The runtime of the peers on tokio.
    pub(crate) flavor: Flavor,
    /// How many rounds of each workload, and the least of them when the time runs out.
    pub(crate) rounds: usize,
    pub(crate) least_rounds: usize,
    /// At most so many cycles on a free lock in one slice.
    pub(crate) count: usize,
    /// How long one peer's slice of a round takes at most.
    pub(crate) slice: Duration,
    /// How long each peer runs before the first round of the first workload; a third of it before the others.
    pub(crate) warm_up: Duration,
    /// How many locks at once.
    pub(crate) locks: usize,
    /// How many sessions contend.
    pub(crate) sessions: usize,
    /// At most so many rounds of what takes long.
    pub(crate) long_rounds: usize,
    /// How many wait in a queue that is drained, and how many pass a lock on before others.
    pub(crate) waiters: usize,
    pub(crate) hands: usize,
    /// How often each length of queue is joined in a round, and how long one waits there.
    pub(crate) joins: usize,
    pub(crate) patience: Duration,
    /// When all rounds should be over.
    pub(crate) budget: Duration,
}

impl Plan {
    /// Everything, in about seven minutes. Many short slices rather than few long ones: the two sides of a ratio then
    /// lie close together in time.
    pub(crate) fn full() -> Plan {
        Plan {
            workloads: Workload::ALL.to_vec(),
            peers: PeerKind::ALL.to_vec(),
            flavor: Flavor::default(),
            rounds: 9,
            least_rounds: 3,
            count: 250,
            slice: Duration::from_millis(300),
            warm_up: Duration::from_secs(3),
            locks: 64,
            sessions: 8,
            long_rounds: 3,
            waiters: 1_000,
            hands: 40,
            joins: 1,
            patience: Duration::from_millis(120),
            budget: Duration::from_secs(420),
        }
    }

    /// Just enough of everything to see that it works.
    pub(crate) fn quick() -> Plan {
        let (slice, budget) = (Duration::from_millis(100), Duration::from_secs(45));
        Plan {
            rounds: 2,
            least_rounds: 1,
            long_rounds: 1,
            count: 50,
            slice,
            warm_up: slice,
            waiters: 100,
            hands: 6,
            joins: 1,
            budget,
            ..Plan::full()
        }
    }
}

/// What one slice brought.
#[derive(Debug, Clone)]
pub(crate) enum Sample {
    Cycles(Cycles),
    Rate(Rate),
    Handoffs(Handoffs),
    /// A queue that was drained, and how many packets the server saw meanwhile.
    Drained {
        handoffs: Handoffs,
        packets: Option<u64>,
    },
    /// How long each joining took, in microseconds.
    Joins(Vec<f64>),
}

/// A figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// The median acquire, in microseconds.
    Acquire,
    /// The median release, in microseconds.
    Release,
    /// The median of acquire and release together, in microseconds.
    Cycle,
    /// The median handoff, in microseconds.
    Handoff,
    /// The median joining, in microseconds.
    Join,
    /// How long it took in all, in milliseconds.
    Millis,
    /// How many packets the server saw for each.
    Packets,
    /// Cycles or acquisitions per second.
    PerSecond,
    /// The client's processor time for each, in microseconds.
    Cpu,
}

impl Sample {
    /// The figure, where this kind of sample has it and anything was done at all.
    pub(crate) fn metric(&self, metric: Metric) -> Option<f64> {
        match (self, metric) {
            (Sample::Cycles(cycles), Metric::Acquire) => median(&cycles.acquire_us),
            (Sample::Cycles(cycles), Metric::Release) => median(&cycles.release_us),
            (Sample::Cycles(_), Metric::Cycle) => median(&self.latencies_us()),
            (Sample::Handoffs(_) | Sample::Drained { .. }, Metric::Handoff) => median(&self.latencies_us()),
            (Sample::Joins(us), Metric::Join) => median(us),
            (Sample::Drained { handoffs, .. }, Metric::Millis) => Some(handoffs.seconds * 1e3),
            (Sample::Drained { packets, .. }, Metric::Packets) => Some((*packets)? as f64 / self.done()),
            (_, Metric::PerSecond) => Some(self.done() / self.seconds()?),
            (_, Metric::Cpu) => Some(self.cpu_us() / self.done()).filter(|cpu| cpu.is_finite()),
            _ => None,
        }
    }

    /// How long each cycle, or each handoff, took.
    fn latencies_us(&self) -> Vec<f64> {
        match self {
            Sample::Cycles(cycles) => cycles
                .acquire_us
                .iter()
                .zip(&cycles.release_us)
                .map(|(acquire, release)| acquire + release)
                .collect(),
            Sample::Handoffs(handoffs) | Sample::Drained { handoffs, .. } => handoffs.handoff_us.clone(),
            Sample::Rate(_) => Vec::new(),
            Sample::Joins(us) => us.clone(),
        }
    }

    fn done(&self) -> f64 {
        match self {
            Sample::Cycles(cycles) => cycles.acquire_us.len() as f64,
            Sample::Rate(rate) => rate.cycles as f64,
            Sample::Handoffs(handoffs) | Sample::Drained { handoffs, .. } => handoffs.handoff_us.len() as f64,
            Sample::Joins(us) => us.len() as f64,
        }
    }

    fn seconds(&self) -> Option<f64> {
        match self {
            // One after the other: between two cycles next to nothing happens.
            Sample::Cycles(_) => Some(self.latencies_us().iter().sum::<f64>() / 1e6).filter(|all| *all > 0.0),
            Sample::Joins(_) => None,
            Sample::Rate(rate) => Some(rate.seconds),
            Sample::Handoffs(handoffs) | Sample::Drained { handoffs, .. } => Some(handoffs.seconds),
        }
    }

    fn cpu_us(&self) -> f64 {
        match self {
            Sample::Cycles(cycles) => cycles.cpu_us,
            Sample::Rate(rate) => rate.cpu_us,
            Sample::Handoffs(handoffs) | Sample::Drained { handoffs, .. } => handoffs.cpu_us,
            Sample::Joins(_) => f64::NAN,
        }
    }
}

/// A peer on a server.
pub(crate) type Pair = (PeerKind, ServerKind);

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// One sample for each round.
    pub(crate) samples: BTreeMap<(Workload, Pair), Vec<Sample>>,
    /// One cycle of each on the wire.
    pub(crate) traces: BTreeMap<Pair, Trace>,
    /// The machine's limits, once for each round.
    pub(crate) limits: Vec<Limits>,
    /// What ran, with versions.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Results {
    /// A figure of each round.
    pub(crate) fn per_round(&self, workload: Workload, pair: Pair, metric: Metric) -> Vec<f64> {
        let samples = self.samples.get(&(workload, pair)).map_or(&[][..], Vec::as_slice);
        samples.iter().filter_map(|sample| sample.metric(metric)).collect()
    }

    /// A percentile over the cycles, or handoffs, of all rounds together.
    pub(crate) fn pooled(&self, workload: Workload, pair: Pair, percent: f64) -> Option<f64> {
        let samples = self.samples.get(&(workload, pair))?;
        let all: Vec<f64> = samples.iter().flat_map(Sample::latencies_us).collect();
        percentile(&all, percent)
    }

    /// Which peers were measured with this workload on which servers, in the order of the tables.
    pub(crate) fn pairs(&self, workload: Workload) -> Vec<Pair> {
        self.samples.keys().filter(|(of, _)| *of == workload).map(|(_, pair)| *pair).collect()
    }
}

/// Starts everything, measures it by the plan, and ends everything. `data` is where servers keep theirs.
pub(crate) fn run(plan: &Plan, data: &Path) -> Result<Results, Failure> {
    let begin = Instant::now();
    let mut results = Results::default();
    let servers = start_servers(plan, data, &mut results)?;
    let mut children = start_children(plan, &servers, &mut results)?;
    for (done, &workload) in plan.workloads.iter().enumerate() {
        if let Workload::Behind(_) | Workload::Join(_) = workload {
            lengths(plan, workload, &mut children, &servers, &mut results)?;
            continue;
        }
        let mut turn: Vec<_> = children.iter_mut().filter(|((peer, _), _)| workload.fits(*peer)).collect();
        say(&format!("{workload:?}: warming {} up", turn.len()));
        // Before the first workload nothing has run yet, and two virtual machines compile as they go.
        let warm_up = if done == 0 { plan.warm_up } else { plan.warm_up / 3 };
        // A long queue takes its time, and warms up as it goes.
        let warmed = if workload == Workload::Drain { &mut turn[..0] } else { &mut turn[..] };
        for ((_, server), child) in warmed {
            workload.run(plan, child, &hosts(&servers, *server), usize::from(u16::MAX), warm_up)?;
        }
        let end = begin + plan.budget.mul_f64((done + 1) as f64 / plan.workloads.len() as f64);
        for round in 0..workload.rounds(plan) {
            if round >= plan.least_rounds && Instant::now() > end {
                say("the time is up: no more rounds of this");
                break;
            }
            say(&format!("{workload:?}: round {} of {}", round + 1, workload.rounds(plan)));
            for (pair, child) in &mut turn {
                let hosts = hosts(&servers, pair.1);
                let sample = workload.run(plan, child, &hosts, plan.count, plan.slice)?;
                results.samples.entry((workload, *pair)).or_default().push(sample);
            }
            results.limits.push(disk::measure(data, plan.count / 3)?);
        }
    }
    Ok(results)
}

/// Each length of queue, met by each peer in turn.
fn lengths(
    plan: &Plan,
    workload: Workload,
    children: &mut [(Pair, Child)],
    servers: &[(ServerKind, Server)],
    results: &mut Results,
) -> Result<(), Failure> {
    for round in 0..workload.rounds(plan) {
        say(&format!("{workload:?} and longer: round {} of {}", round + 1, workload.rounds(plan)));
        for (pair, child) in children.iter_mut().filter(|((peer, _), _)| workload.fits(*peer)) {
            let hosts = hosts(servers, pair.1);
            let mut add = |workload, sample| {
                results.samples.entry((workload, *pair)).or_default().push(sample);
            };
            if let Workload::Join(_) = workload {
                for (length, us) in
                    queue::joins(child, &hosts, &Workload::LENGTHS, plan.joins, plan.patience)?
                {
                    add(Workload::Join(length), Sample::Joins(us));
                }
                continue;
            }
            for length in Workload::LENGTHS {
                let (handoffs, _) = queue::pass(child, &hosts, (plan.hands, 2), length)?;
                add(Workload::Behind(length), Sample::Handoffs(handoffs));
                let crowd = Workload::BehindCrowd(length);
                if crowd.fits(pair.0) {
                    // As many for each session as above.
                    let hands = plan.hands * CROWD / 2;
                    let (handoffs, _) = queue::pass(child, &hosts, (hands, CROWD), length)?;
                    add(crowd, Sample::Handoffs(handoffs));
                }
            }
        }
    }
    Ok(())
}

fn hosts(servers: &[(ServerKind, Server)], kind: ServerKind) -> String {
    servers.iter().find(|(each, _)| *each == kind).map(|(_, server)| server.hosts()).unwrap_or_default()
}

fn start_servers(
    plan: &Plan,
    data: &Path,
    results: &mut Results,
) -> Result<Vec<(ServerKind, Server)>, Failure> {
    let wanted = |kind: ServerKind| match kind {
        ServerKind::Redis | ServerKind::Etcd => plan.peers.iter().any(|peer| peer.own_server() == Some(kind)),
        _ => plan.peers.iter().any(|peer| peer.own_server().is_none()),
    };
    let mut servers = Vec::new();
    for kind in [ServerKind::Apache, ServerKind::Ours, ServerKind::Redis, ServerKind::Etcd] {
        if wanted(kind) {
            say(&format!("starting {}", kind.name()));
            let server = Server::start(kind, data)?;
            results.versions.insert(format!("server {}", kind.name()), server.version());
            servers.push((kind, server));
        }
    }
    Ok(servers)
}

/// One process for each pair, each connected; on the way each shows a cycle on the wire.
fn start_children(
    plan: &Plan,
    servers: &[(ServerKind, Server)],
    results: &mut Results,
) -> Result<Vec<(Pair, Child)>, Failure> {
    let mut children = Vec::new();
    for &peer in &plan.peers {
        for (kind, server) in servers {
            let fits = match peer.own_server() {
                Some(own) => own == *kind,
                None => matches!(kind, ServerKind::Apache | ServerKind::Ours),
            };
            if !fits {
                continue;
            }
            say(&format!("starting {} on {}", peer.name(), kind.name()));
            let mut child = Child::spawn(peer, plan.flavor)?;
            if peer != PeerKind::Etcd {
                results.traces.insert((peer, *kind), Trace::of(&mut child, &server.hosts())?);
            }
            let hello: Hello = child.obey(&Order::Setup { hosts: server.hosts() })?;
            if !hello.version.is_empty() {
                results.versions.insert(format!("client {}", peer.name()), hello.version);
            }
            children.push(((peer, *kind), child));
        }
    }
    Ok(children)
}

fn say(what: &str) {
    eprintln!("{what}");
}
