//! The clients that are measured. Each runs in a process of its own, so that all are measured alike; those in
//! Rust are this same program, run as `zooky-bench peer NAME`.

mod etcd;
mod floor;
mod on_tokio;
pub(crate) mod redis;
pub(crate) mod wire;
mod zookeeper_client;
mod zooky;

use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Hello, Order, Rate, Release, Standing, Waited};
use crate::python;
use crate::servers::ServerKind;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::io::{BufRead, Write};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zooky_testkit::{JavaProgram, Script, Talk};

/// The clients in Python, by threads and by tasks.
const THREADS: &str = include_str!("threads.py");
const ASYNCIO: &str = include_str!("aio.py");

/// A client under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum PeerKind {
    /// Ours.
    Zooky,
    /// Python's kazoo, its Lock recipe.
    Kazoo,
    /// Apache Curator's InterProcessMutex.
    Curator,
    /// The crate `zookeeper-client`, its lock.
    ZookeeperClient,
    /// The least that the protocol allows.
    Floor,
    /// redis SET NX and DEL, on redis-server.
    Redis,
    /// etcd's lock service, on etcd.
    Etcd,
    /// kazoo, waited for in threads by the tasks of a program with asyncio.
    KazooAsyncio,
    /// Ours for Python.
    ZookyPython,
    /// Ours for Python, awaited.
    ZookyPythonAsyncio,
}

impl PeerKind {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [PeerKind; 7] = [
        PeerKind::Zooky,
        PeerKind::Kazoo,
        PeerKind::Curator,
        PeerKind::ZookeeperClient,
        PeerKind::Floor,
        PeerKind::Redis,
        PeerKind::Etcd,
    ];

    /// Those in Python, which are measured beside each other.
    pub(crate) const PYTHON: [PeerKind; 4] =
        [PeerKind::Kazoo, PeerKind::KazooAsyncio, PeerKind::ZookyPython, PeerKind::ZookyPythonAsyncio];

    /// Its name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PeerKind::Zooky => "zooky",
            PeerKind::Kazoo => "kazoo",
            PeerKind::Curator => "curator",
            PeerKind::ZookeeperClient => "zookeeper-client",
            PeerKind::Floor => "floor",
            PeerKind::Redis => "redis",
            PeerKind::Etcd => "etcd",
            PeerKind::KazooAsyncio => "kazoo-asyncio",
            PeerKind::ZookyPython => "zooky-python",
            PeerKind::ZookyPythonAsyncio => "zooky-python-asyncio",
        }
    }

    /// Whether its release can be left to the background.
    pub(crate) fn releases_in_background(self) -> bool {
        matches!(self, PeerKind::Zooky | PeerKind::ZookeeperClient | PeerKind::Floor)
    }

    /// Whether its release can be waited for. Where it cannot, an awaited cycle asks until the node is gone.
    pub(crate) fn awaits_release(self) -> bool {
        self != PeerKind::ZookeeperClient
    }

    /// Whether waiters queue. With redis they would have to try again and again.
    pub(crate) fn hands_off(self) -> bool {
        self != PeerKind::Redis
    }

    /// Whether its waiters are nodes in a ZooKeeper that others can queue up behind.
    pub(crate) fn queues_in_zookeeper(self) -> bool {
        self.own_server().is_none()
    }

    /// The server that it cannot do without; the others speak with ZooKeeper and with ours.
    pub(crate) fn own_server(self) -> Option<ServerKind> {
        match self {
            PeerKind::Redis => Some(ServerKind::Redis),
            PeerKind::Etcd => Some(ServerKind::Etcd),
            _ => None,
        }
    }

    /// Starts its process. `flavor` is the tokio runtime of those that run on one.
    pub(crate) fn spawn(self, flavor: Flavor) -> Result<Talk, Failure> {
        Ok(match self {
            PeerKind::Kazoo => Script::new(THREADS).args(["kazoo", self.name()]).spawn(),
            PeerKind::KazooAsyncio => Script::new(ASYNCIO).args(["kazoo", self.name()]).spawn(),
            PeerKind::ZookyPython => {
                Script::new(THREADS).args(["zooky", self.name()]).interpreter(python::interpreter()).spawn()
            }
            PeerKind::ZookyPythonAsyncio => {
                Script::new(ASYNCIO).args(["zooky", self.name()]).interpreter(python::interpreter()).spawn()
            }
            PeerKind::Curator => JavaProgram::new("Curator", include_str!("Curator.java")).spawn_with(&[
                "-Xms256m",
                "-Xmx256m",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            ]),
            _ => {
                let program = std::env::current_exe().map_err(Failure::io("looking for this program"))?;
                let mut command = Command::new(program);
                command.args(["peer", self.name(), "--runtime", flavor.name()]);
                Talk::start(command)
            }
        })
    }
}

/// The tokio runtime that a peer in Rust runs on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Flavor {
    /// One thread for the client and its caller.
    #[default]
    Current,
    /// Worker threads beside the caller's.
    Multi,
}

impl Flavor {
    /// Its name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flavor::Current => "current",
            Flavor::Multi => "multi",
        }
    }
}

/// A client that carries out orders within this process.
trait Peer {
    /// Waits for the next order. A client that keeps its session alive on this very thread goes on with that
    /// meanwhile.
    fn idle(&mut self, orders: &mut UnboundedReceiver<String>) -> Option<String> {
        orders.blocking_recv()
    }
    fn uncontended(&mut self, count: usize, limit: Duration, release: Release) -> Result<Cycles, Failure>;
    fn many(&mut self, locks: usize, limit: Duration) -> Result<Rate, Failure>;
    fn handoff(&mut self, sessions: usize, limit: Duration) -> Result<Handoffs, Failure>;
    fn tasks(&mut self, _tasks: usize, _limit: Duration) -> Result<Rate, Failure> {
        Err(Failure::Refused("not with this client".to_string()))
    }
    fn readers(&mut self, _sessions: usize, _limit: Duration) -> Result<Rate, Failure> {
        Err(Failure::Refused("this client has no read/write lock".to_string()))
    }
    fn wait(&mut self, _limit: Duration) -> Result<Waited, Failure> {
        Err(Failure::Refused("this client has no queue".to_string()))
    }
    fn line(&mut self, _waiters: usize, _sessions: usize) -> Result<Standing, Failure> {
        Err(Failure::Refused("this client has no queue".to_string()))
    }
    fn pass(&mut self) -> Result<Handoffs, Failure> {
        Err(Failure::Refused("nobody stands in line".to_string()))
    }
}

/// Takes orders from standard input until it ends.
pub(crate) fn serve(kind: PeerKind, flavor: Flavor) -> Result<(), Failure> {
    let mut peer: Option<Box<dyn Peer>> = None;
    let (sender, mut orders) = unbounded_channel();
    // Ends with its input or with this process.
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    loop {
        let line = match &mut peer {
            Some(peer) => peer.idle(&mut orders),
            None => orders.blocking_recv(),
        };
        let Some(line) = line else { return Ok(()) };
        let answer = obey(kind, flavor, &mut peer, &line);
        let answer = answer.map_or_else(|failure| format!("error {failure}"), |json| format!("ok {json}"));
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).map_err(Failure::io("answering"))?;
    }
}

fn obey(
    kind: PeerKind,
    flavor: Flavor,
    peer: &mut Option<Box<dyn Peer>>,
    line: &str,
) -> Result<String, Failure> {
    let order: Order = line.parse()?;
    if let Order::Setup { hosts } = &order {
        // The old connection is closed before there is a new one.
        *peer = None;
        *peer = Some(connect(kind, flavor, hosts)?);
        return json(&Hello { version: version(kind) });
    }
    let peer = peer.as_mut().ok_or_else(|| Failure::Refused("setup comes first".to_string()))?;
    match order {
        Order::Setup { .. } => Ok(String::new()),
        Order::Uncontended { count, limit, release } => json(&peer.uncontended(count, limit, release)?),
        Order::Many { locks, limit } => json(&peer.many(locks, limit)?),
        Order::Handoff { sessions, limit } => json(&peer.handoff(sessions, limit)?),
        Order::Tasks { tasks, limit } => json(&peer.tasks(tasks, limit)?),
        Order::Readers { sessions, limit } => json(&peer.readers(sessions, limit)?),
        Order::Wait { limit } => json(&peer.wait(limit)?),
        Order::Line { waiters, sessions } => json(&peer.line(waiters, sessions)?),
        Order::Pass => json(&peer.pass()?),
    }
}

fn connect(kind: PeerKind, flavor: Flavor, hosts: &str) -> Result<Box<dyn Peer>, Failure> {
    Ok(match kind {
        PeerKind::Zooky => Box::new(on_tokio::OnTokio::<zooky::Zooky>::connect(hosts, flavor)?),
        PeerKind::ZookeeperClient => {
            Box::new(on_tokio::OnTokio::<zookeeper_client::Theirs>::connect(hosts, flavor)?)
        }
        PeerKind::Floor => Box::new(floor::Floor::new(hosts)),
        PeerKind::Redis => Box::new(redis::Redis::new(hosts)),
        PeerKind::Etcd => Box::new(etcd::Etcd::new(hosts)),
        other => return Err(Failure::Refused(format!("{} does not run in this process", other.name()))),
    })
}

fn version(kind: PeerKind) -> String {
    match kind {
        PeerKind::Zooky | PeerKind::Floor => env!("CARGO_PKG_VERSION").to_string(),
        PeerKind::ZookeeperClient => locked_version("zookeeper-client"),
        _ => String::new(),
    }
}

/// The version of a dependency, from the lock file that this was built with.
fn locked_version(name: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")));
    entry.and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next()).unwrap_or("?").to_string()
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// The processor time of this process so far, in microseconds, with a tenth as the finest step.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Microseconds since `start`, to a tenth: the lines stay short.
pub(crate) fn us_since(start: Instant) -> f64 {
    (start.elapsed().as_nanos() as f64 / 100.0).round() / 10.0
}

/// Who released last, and how long each handoff took. It is touched by the holder of the lock only, so it
/// is never waited for; were two to hold the lock, that would show.
#[derive(Debug, Default)]
struct HandoffLog {
    released: Option<Instant>,
    held: bool,
    us: Vec<f64>,
}

impl HandoffLog {
    /// The lock has been granted.
    fn granted(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.held, true) {
            return Err(Failure::Refused("two hold the lock at once".to_string()));
        }
        if let Some(released) = self.released {
            self.us.push(us_since(released));
        }
        Ok(())
    }

    /// The lock is about to be released.
    fn releasing(&mut self) {
        self.held = false;
        self.released = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        use clap::ValueEnum;
        for kind in PeerKind::ALL.into_iter().chain(PeerKind::PYTHON) {
            assert_eq!(PeerKind::from_str(kind.name(), false), Ok(kind));
        }
        for flavor in [Flavor::Current, Flavor::Multi] {
            assert_eq!(Flavor::from_str(flavor.name(), false), Ok(flavor));
        }
    }

    #[test]
    fn overlaps_are_noticed() {
        let mut log = HandoffLog::default();
        log.granted().unwrap();
        log.releasing();
        log.granted().unwrap();
        assert_eq!(log.us.len(), 1);
        assert!(log.granted().is_err());
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(locked_version("zookeeper-client").starts_with("0."));
        assert_eq!(locked_version("no-such-crate"), "?");
    }
}
