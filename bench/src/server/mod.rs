//! The servers beside each other: zooky's, Apache ZooKeeper and, where it has something to compare, redis.
//!
//! Everything is measured in rounds, each of which asks every server the same, so that a change of the machine's
//! mood meets all of them. Requests come from a process of their own ([`load`]), which does little more than write
//! and count.

mod bars;
mod flood;
pub(crate) mod load;
mod order;
mod process;
mod report;

use crate::child::Child;
use crate::failure::Failure;
use crate::interrupt;
use crate::peers::{Flavor, PeerKind};
use crate::protocol::{Hello, Order as LockOrder, Rate as LockRate};
use crate::servers::{Server, ServerKind};
use crate::stats::median;
use order::{Order, Rate, Single, Times, What};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use zooky_testkit::Talk;

pub(crate) use report::{serving as serving_report, starts as starts_report};

/// More than any order takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is measured. One figure a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Requests per second, from so many sessions with so many in flight on each.
    Flood(What, usize, usize),
    /// A write alone, in microseconds.
    Create,
    SetData,
    RedisSet,
    /// Milliseconds from a change to the last of so many watchers' events.
    FanOut(usize),
    /// Sessions opened and closed per second, from so many threads.
    Connects(usize),
    /// Cycles per second of 64 locks on one session.
    Locks(PeerKind),
    /// Milliseconds from the start of the process to the first answer, with no data at all.
    Start,
    /// The same with data.
    Restart(process::Stock),
    /// Resident memory in MiB.
    Memory(process::Stage),
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) least_rounds: usize,
    /// How long one slice takes.
    pub(crate) slice: Duration,
    /// How long each server is warmed up.
    pub(crate) warm_up: Duration,
    /// When the rounds on running servers should be over.
    pub(crate) budget: Duration,
    pub(crate) watchers: usize,
    pub(crate) idle_sessions: usize,
    pub(crate) znodes: usize,
    pub(crate) many_znodes: usize,
    /// Rounds in which servers are started and filled.
    pub(crate) starts: usize,
}

impl Plan {
    /// Everything, in about four minutes.
    pub(crate) fn full() -> Plan {
        Plan {
            rounds: 15,
            least_rounds: 5,
            slice: Duration::from_millis(300),
            warm_up: Duration::from_secs(3),
            budget: Duration::from_secs(110),
            watchers: 1_000,
            idle_sessions: 5_000,
            znodes: 100_000,
            many_znodes: 1_000_000,
            starts: 3,
        }
    }

    /// Just enough of everything to see that it works.
    pub(crate) fn quick() -> Plan {
        let slice = Duration::from_millis(30);
        let (rounds, least_rounds, starts) = (1, 1, 1);
        let (warm_up, budget) = (slice, Duration::from_secs(20));
        let (watchers, idle_sessions, znodes, many_znodes) = (20, 50, 2_000, 4_000);
        Plan {
            rounds,
            least_rounds,
            slice,
            warm_up,
            budget,
            watchers,
            idle_sessions,
            znodes,
            many_znodes,
            starts,
        }
    }
}

/// All that was measured, one figure for each round.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) figures: BTreeMap<(Key, ServerKind), Vec<f64>>,
    pub(crate) versions: Vec<String>,
}

impl Results {
    fn note(&mut self, key: Key, server: ServerKind, figure: Option<f64>) {
        self.figures.entry((key, server)).or_default().extend(figure);
    }

    /// A figure of each round.
    pub(crate) fn of(&self, key: Key, server: ServerKind) -> &[f64] {
        self.figures.get(&(key, server)).map_or(&[], Vec::as_slice)
    }
}

/// The load generator's process.
pub(crate) struct Load(Talk);

impl Load {
    pub(crate) fn start() -> Result<Load, Failure> {
        let program = std::env::current_exe().map_err(Failure::io("looking for this program"))?;
        let mut command = Command::new(program);
        command.arg("load");
        Ok(Load(Talk::start(command)))
    }

    /// Gives an order and waits until it has been carried out.
    pub(crate) fn obey<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T, Failure> {
        interrupt::check()?;
        let line = serde_json::to_string(order).map_err(|e| Failure::Unreadable(e.to_string()))?;
        self.0.send_line(&line);
        let answer = self.0.expect_line("", PATIENCE);
        let failed = |what: &str| Failure::Refused(format!("the load at {order:?}: {what}"));
        let json = answer.strip_prefix("ok ").ok_or_else(|| failed(&answer))?;
        serde_json::from_str(json).map_err(|error| failed(&error.to_string()))
    }
}

/// Starts the servers, measures them as they serve, and ends everything. `data` is where servers keep theirs.
pub(crate) fn serving(plan: &Plan, data: &Path) -> Result<Results, Failure> {
    let mut results = Results::default();
    ask(plan, data, &mut results)?;
    Ok(results)
}

/// Starts servers again and again, with different data. `data` is where they keep it.
pub(crate) fn starts(plan: &Plan, data: &Path) -> Result<Results, Failure> {
    let mut results = Results::default();
    process::measure(plan, data, &mut results)?;
    Ok(results)
}

/// A server that runs, and the lock clients on it.
struct Site {
    kind: ServerKind,
    hosts: String,
    locks: Vec<Child>,
    _server: Server,
}

impl Site {
    fn start(kind: ServerKind, data: &Path, results: &mut Results) -> Result<Site, Failure> {
        say(&format!("starting {}", kind.name()));
        let server = Server::start(kind, data)?;
        results.versions.push(format!("{} {}", kind.name(), server.version()));
        let hosts = server.hosts();
        let peers: &[PeerKind] = match kind {
            ServerKind::Redis => &[PeerKind::Redis],
            // It is measured with the locks.
            ServerKind::Etcd => &[],
            _ => &[PeerKind::Zooky, PeerKind::Floor],
        };
        let locks = peers.iter().map(|&peer| {
            let mut child = Child::spawn(peer, Flavor::default())?;
            let _: Hello = child.obey(&LockOrder::Setup { hosts: hosts.clone() })?;
            Ok(child)
        });
        let locks = locks.collect::<Result<_, Failure>>()?;
        Ok(Site { kind, hosts, locks, _server: server })
    }

    fn measure(&mut self, key: Key, load: &mut Load, limit: Duration) -> Result<Option<f64>, Failure> {
        let (hosts, limit_ms) = (self.hosts.clone(), limit.as_millis() as u64);
        let mut times = |order: &Order| Ok::<_, Failure>(median(&load.obey::<Times>(order)?.us));
        let single = |what| Order::Single { hosts: hosts.clone(), what, limit_ms };
        match key {
            Key::Create => times(&single(Single::Create)),
            Key::SetData => times(&single(Single::SetData)),
            Key::RedisSet => times(&single(Single::RedisSet)),
            Key::FanOut(watchers) => {
                let took = times(&Order::FanOut { hosts, watchers, limit_ms })?;
                Ok(took.map(|us| us / 1_000.0))
            }
            Key::Flood(what, sessions, in_flight) => {
                let order = Order::Flood { hosts, what, sessions, in_flight, limit_ms };
                Ok(load.obey::<Rate>(&order)?.per_second())
            }
            Key::Connects(threads) => {
                Ok(load.obey::<Rate>(&Order::Connects { hosts, threads, limit_ms })?.per_second())
            }
            Key::Locks(peer) => {
                let Some(child) = self.locks.iter_mut().find(|child| child.kind() == peer) else {
                    return Ok(None);
                };
                let rate: LockRate = child.obey(&LockOrder::Many { locks: 64, limit })?;
                Ok(Some(rate.cycles as f64 / rate.seconds))
            }
            Key::Start | Key::Restart(_) | Key::Memory(_) => Ok(None),
        }
    }
}

/// What is asked of servers that run, and of which.
fn keys(plan: &Plan) -> Vec<(Key, &'static [ServerKind])> {
    const BOTH: &[ServerKind] = &[ServerKind::Apache, ServerKind::Ours];
    const REDIS: &[ServerKind] = &[ServerKind::Redis];
    let floods = [(1, 1), (1, 64), (1, 256), (16, 1), (16, 16), (16, 64), (16, 256)];
    let writes = floods.map(|(sessions, in_flight)| Key::Flood(What::Writes, sessions, in_flight));
    let reads = [(1, 1), (1, 256), (16, 1), (16, 256)];
    let reads = reads.map(|(sessions, in_flight)| Key::Flood(What::Reads, sessions, in_flight));
    let connects = [Key::Connects(1), Key::Connects(16)];
    // What is compared with redis stands close together.
    let redis = [
        (Key::Create, BOTH),
        (Key::SetData, BOTH),
        (Key::RedisSet, REDIS),
        (Key::Locks(PeerKind::Zooky), BOTH),
        (Key::Locks(PeerKind::Redis), REDIS),
        (Key::Locks(PeerKind::Floor), BOTH),
    ];
    let others = writes.into_iter().chain(reads).chain(connects).chain([Key::FanOut(plan.watchers)]);
    redis.into_iter().chain(others.map(|key| (key, BOTH))).collect()
}

fn ask(plan: &Plan, data: &Path, results: &mut Results) -> Result<(), Failure> {
    let mut load = Load::start()?;
    let kinds = [ServerKind::Apache, ServerKind::Ours, ServerKind::Redis];
    let mut sites =
        kinds.into_iter().map(|kind| Site::start(kind, data, results)).collect::<Result<Vec<_>, _>>()?;
    let keys = keys(plan);
    say("servers: warming up");
    // A virtual machine compiles as it goes: everything is asked before it counts.
    for site in &mut sites {
        let kind = site.kind;
        for &(key, _) in keys.iter().filter(|(_, servers)| servers.contains(&kind)) {
            site.measure(key, &mut load, plan.warm_up / keys.len() as u32)?;
        }
    }
    let begin = Instant::now();
    for round in 0..plan.rounds {
        if round >= plan.least_rounds && begin.elapsed() > plan.budget {
            say("the time is up: no more rounds of this");
            break;
        }
        say(&format!("servers: round {} of {}", round + 1, plan.rounds));
        for &(key, servers) in &keys {
            for site in sites.iter_mut().filter(|site| servers.contains(&site.kind)) {
                let figure = site.measure(key, &mut load, plan.slice)?;
                results.note(key, site.kind, figure);
            }
        }
    }
    Ok(())
}

fn say(what: &str) {
    eprintln!("{what}");
}
