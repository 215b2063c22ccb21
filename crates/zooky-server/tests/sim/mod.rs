//! A whole world from one seed: clients, network, clock, disk, and the real server between them.
//!
//! | file | what it checks |
//! |---|---|
//! | `serving.rs` | what the server decides, against the reference model: replies and events |
//! | `passing.rs` | what time does: which sessions end and when, and which nodes |
//! | `seeing.rs` | what a client sees: order, zxids that never go back, watches that tell before anything newer |
//! | `restarts.rs` | what a crash leaves: everything shown is there, and nothing else than what was decided |
//!
//! The trace is hashed; the same seed gives the same hash.

mod client;
mod disk;
mod passing;
mod restarts;
mod seeing;
mod server;
mod serving;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::AddAssign;

use bytes::Bytes;
use zooky_server::core::{ConnId, Now};
use zooky_testkit::Rng;
use zooky_wire::{ConnectRequest, Request};

use crate::core_model_reference::Model;
use client::Client;
use disk::{Disk, Fault};
use server::Server;

/// Everything the server has decided, as the reference has it.
#[derive(Debug, Clone)]
struct World {
    model: Model,
    /// The sessions that are alive: id to number in the model and timeout.
    sessions: BTreeMap<i64, (usize, u64)>,
}

/// What a client has sent.
#[derive(Debug, Clone)]
enum Sent {
    Connect(ConnectRequest),
    Ask(Request),
}

/// A connection between a client and the server; what is sent arrives later, or never.
#[derive(Debug)]
struct Link {
    client: usize,
    to_server: VecDeque<(Bytes, Sent)>,
    /// `None`: closed.
    to_client: VecDeque<Option<Bytes>>,
    /// The client has given it up; the server may not know.
    deserted: bool,
}

/// What happened; the end of it is printed if the seed fails.
#[derive(Debug)]
struct Trace {
    hash: DefaultHasher,
    lines: VecDeque<String>,
    all: bool,
}

impl Trace {
    fn note(&mut self, line: String) {
        line.hash(&mut self.hash);
        self.lines.push_back(line);
        if self.lines.len() > 60 && !self.all {
            self.lines.pop_front();
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lines.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

pub(crate) struct Sim {
    rng: Rng,
    now: Now,
    disk: Disk,
    server: Option<Server>,
    world: World,
    /// The world after each transaction.
    history: Vec<World>,
    /// The newest transaction that anybody was shown.
    shown: i64,
    clients: Vec<Client>,
    links: BTreeMap<ConnId, Link>,
    /// Which session's number a connection has, as the server knows it.
    attached: BTreeMap<ConnId, i64>,
    /// When the server last heard of a session.
    heard_ms: BTreeMap<i64, u64>,
    /// Names with sequence numbers that were acknowledged, with the birth of their parents.
    sequences: BTreeSet<(i64, String)>,
    next_conn: u64,
    /// When the server looks at containers and TTL nodes next, if there are any.
    next_look_ms: u64,
    starts: i64,
    /// How rare crashes are in this world, and how rarely time leaps.
    calm: usize,
    /// Most writes of this world have one length, so that what one life has left of its log fits behind what the
    /// next one writes there.
    uniform: bool,
    /// Some writes of this world are long.
    long: bool,
    trace: Trace,
}

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) trace: u64,
    pub(crate) transactions: usize,
    pub(crate) starts: i64,
}

impl AddAssign for Summary {
    /// Of several worlds; their stories have no common hash.
    fn add_assign(&mut self, other: Summary) {
        self.transactions += other.transactions;
        self.starts += other.starts;
    }
}

/// Runs the world of a seed to its end.
pub(crate) fn run(seed: u64) -> Summary {
    let mut sim = Sim::new(seed);
    let steps = 300 + sim.rng.below(900);
    sim.restart();
    for _ in 0..steps {
        sim.act();
    }
    sim.come_to_rest();
    sim.power_cut();
    sim.restart();
    let transactions = sim.world.model.zxid as usize;
    assert_eq!(transactions, sim.history.len() - 1);
    Summary { trace: sim.trace.hash.finish(), transactions, starts: sim.starts }
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut rng = Rng::new(seed);
        let world = World { model: Model::new(), sessions: BTreeMap::new() };
        let disk = Disk::new(Rng::new(rng.next()));
        let clients = 2 + rng.below(3);
        Sim {
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            disk,
            server: None,
            history: vec![world.clone()],
            world,
            shown: 0,
            clients: (0..clients).map(|_| Client::default()).collect(),
            links: BTreeMap::new(),
            attached: BTreeMap::new(),
            heard_ms: BTreeMap::new(),
            sequences: BTreeSet::new(),
            next_conn: 1,
            next_look_ms: 0,
            starts: 0,
            calm: 1 + rng.below(10),
            uniform: rng.one_in(3),
            long: rng.one_in(16),
            // A seed that is run alone tells all of its story.
            trace: Trace {
                hash: DefaultHasher::new(),
                lines: VecDeque::new(),
                all: std::env::var_os("ZOOKY_SIM_SEED").is_some(),
            },
            rng,
        }
    }

    /// Something happens.
    fn act(&mut self) {
        match self.rng.below(100) {
            0..=24 => self.client_acts(),
            25..=44 => self.server_reads(),
            45..=64 => self.client_reads(),
            65..=72 => self.begin_sync(),
            73..=81 => self.finish_sync(),
            82..=91 => self.time_passes(),
            92..=94 => self.lose_link(),
            95 if self.rng.one_in(self.calm) => self.plan_fault(),
            96 if self.rng.one_in(self.calm) => self.crash(),
            95 | 96 => self.time_passes(),
            97 => self.make_room(),
            98 => self.take_snapshot(),
            _ => self.flip_a_bit(),
        }
        self.mind_the_power();
    }

    fn client_acts(&mut self) {
        let client = self.rng.below(self.clients.len());
        if self.clients[client].conn.is_none() {
            return self.connect(client);
        }
        if !self.clients[client].greeted {
            return;
        }
        for _ in 0..1 + self.rng.below(4) {
            let request = match self.rng.below(60) {
                0 => Request::CloseSession,
                1..=40 if self.uniform => client::uniform_write(&mut self.rng),
                1..=40 if self.long => client::long_write(&mut self.rng),
                _ => client::request(&mut self.rng),
            };
            self.ask(client, request);
        }
    }

    fn connect(&mut self, client: usize) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let request = self.clients[client].connect_request(&mut self.rng);
        self.trace.note(format!("client {client} connects {conn:?} for {:#x}", request.session_id));
        let mut w = zooky_wire::Writer::new();
        request.encode(&mut w);
        let link = Link {
            client,
            to_server: VecDeque::from([(w.into_bytes(), Sent::Connect(request))]),
            to_client: VecDeque::new(),
            deserted: false,
        };
        self.links.insert(conn, link);
        self.clients[client].conn = Some(conn);
        self.server_opens(conn);
    }

    fn ask(&mut self, client: usize, request: Request) {
        let Some(conn) = self.clients[client].conn else { return };
        let frame = self.clients[client].ask(&request);
        if let Some(link) = self.links.get_mut(&conn) {
            link.to_server.push_back((frame, Sent::Ask(request)));
        }
    }

    fn any_link(&mut self) -> Option<ConnId> {
        let conns: Vec<ConnId> = self.links.keys().copied().collect();
        (!conns.is_empty()).then(|| *self.rng.pick(&conns))
    }

    fn time_passes(&mut self) {
        let ms = match self.rng.below(12) {
            0 if self.rng.one_in(self.calm) => self.rng.below(6_500),
            1..=3 => self.rng.below(300),
            _ => self.rng.below(30),
        };
        self.now.mono_ms += ms as u64;
        self.now.wall_ms += ms as i64;
        self.tick();
    }

    /// The client loses a connection; the server may notice, or not.
    fn lose_link(&mut self) {
        let Some(conn) = self.any_link() else { return };
        let Some(link) = self.links.get_mut(&conn) else { return };
        self.trace.note(format!("{conn:?} is lost"));
        if !link.deserted {
            link.deserted = true;
            self.clients[link.client].cut_off();
        }
        link.to_client.clear();
        if self.rng.one_in(2) {
            self.links.remove(&conn);
            self.server_closes(conn);
        }
    }

    fn begin_sync(&mut self) {
        if let Some(server) = &mut self.server {
            server.begin_sync();
        }
    }

    fn finish_sync(&mut self) {
        let Some(server) = &mut self.server else { return };
        // A batch that may not fit into what the log has ahead.
        if server.under_way() > 1 << 16 && self.rng.one_in(3) {
            self.disk.plan(0, Fault::Lie);
        }
        if let Err(error) = server.finish_sync() {
            return self.log_failed(&error.to_string());
        }
        while let Some(leaving) = self.server.as_mut().and_then(Server::release) {
            self.shown = self.shown.max(leaving.shows);
            if let Some(link) = self.links.get_mut(&leaving.conn).filter(|link| !link.deserted) {
                link.to_client.push_back(leaving.frame);
            }
        }
    }

    fn make_room(&mut self) {
        let Some(server) = &mut self.server else { return };
        if let Err(error) = server.writer.make_room() {
            self.log_failed(&error.to_string());
        }
    }

    fn plan_fault(&mut self) {
        let fault = *self.rng.pick(&[
            Fault::PowerOff,
            Fault::PowerOff,
            Fault::Lie,
            Fault::Lie,
            Fault::Error,
            Fault::Full,
        ]);
        self.disk.plan(self.rng.below(8), fault);
    }

    /// Everything that is under way arrives, is served, synced and answered.
    fn come_to_rest(&mut self) {
        self.disk.process_died();
        if self.disk.is_off() {
            self.power_cut();
        }
        if self.server.is_none() {
            self.restart();
        }
        for _ in 0..8 {
            for conn in self.links.keys().copied().collect::<Vec<_>>() {
                while self.server_reads_from(conn) {}
            }
            self.begin_sync();
            self.finish_sync();
            self.begin_sync();
            self.finish_sync();
            for conn in self.links.keys().copied().collect::<Vec<_>>() {
                while self.client_reads_from(conn) {}
            }
        }
        assert!(self.server.as_ref().is_some_and(Server::is_idle), "something is stuck in the server");
        for (number, client) in self.clients.iter().enumerate() {
            assert!(client.outstanding.is_empty(), "client {number} waits: {:?}", client.outstanding);
        }
    }
}
