//! The server on its host: it serves, syncs, takes snapshots, dies and comes back.

use std::net::{IpAddr, Ipv4Addr};

use zooky_server::core::{CoreConfig, Input, Now, PasswordRule};
use zooky_server::log::{LogError, recover};
use zooky_testkit::Rng;

use crate::disk::{Disk, Fault};
use crate::network::{Incoming, Network};
use crate::server::Server;
use crate::trace::Trace;

/// Sessions shorter than the original's shortest make shorter stories.
const SHORTEST_SESSION_MS: u32 = 1_000;
/// Log files are this long, so that there are several.
const ROLL_BYTES: [u64; 3] = [2_000, 20_000, 64 << 20];

#[derive(Debug)]
pub(crate) struct Host {
    rng: Rng,
    disk: Disk,
    server: Option<Server>,
    /// Whether the machine itself is there.
    pub(crate) powered: bool,
    back_at_ms: u64,
    /// The server stands still until then.
    stalled_until_ms: u64,
    synced_at_ms: Option<u64>,
    /// The disk is slow until then.
    slow_until_ms: u64,
    /// What the wall clock shows besides.
    wall_ms: i64,
    starts: i64,
    /// No fault is to come any more.
    quiet: bool,
}

impl Host {
    pub(crate) fn new(mut rng: Rng) -> Host {
        Host {
            disk: Disk::new(Rng::new(rng.next())),
            rng,
            server: None,
            powered: true,
            back_at_ms: 0,
            stalled_until_ms: 0,
            synced_at_ms: None,
            slow_until_ms: 0,
            wall_ms: 1_700_000_000_000,
            starts: 0,
            quiet: false,
        }
    }

    /// The server, if it is up.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Whether nothing waits for the disk.
    pub(crate) fn is_quiet(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_idle)
    }

    pub(crate) fn starts(&self) -> i64 {
        self.starts
    }

    fn now(&self, now: u64) -> Now {
        Now { mono_ms: 1_000 + now, wall_ms: self.wall_ms + now as i64 }
    }

    /// Everything up to `now`.
    pub(crate) fn run_to(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        if now < self.stalled_until_ms {
            return;
        }
        if self.server.is_none() && now >= self.back_at_ms {
            self.start(now, network, trace);
        }
        for incoming in network.arrived(now, self.server.is_some(), self.powered) {
            self.takes(now, incoming, trace);
        }
        self.sync(now, network, trace);
        // What waits has been read: only now may time end sessions.
        if self.server.as_ref().and_then(|s| s.core.next_tick()).is_some_and(|at| at <= self.now(now).mono_ms)
        {
            self.step(now, Input::Tick, trace);
        }
        self.release(now, network, trace);
        if self.rng.one_in(4_000) {
            self.take_snapshot(now, network, trace);
        }
        self.mind_the_power(now, network, trace);
    }

    /// Something comes to the server.
    pub(crate) fn takes(&mut self, now: u64, incoming: Incoming, trace: &mut Trace) {
        let input = match incoming {
            Incoming::Opened(conn) => {
                trace.detail(now, conn.0, || format!("server: {conn:?} opens"));
                Input::Opened { conn, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) }
            }
            Incoming::Closed(conn) => {
                trace.detail(now, conn.0, || format!("server: {conn:?} is closed"));
                Input::Closed { conn }
            }
            Incoming::Frame(conn, frame) => {
                trace.detail(now, (conn.0, &frame), || format!("server: {conn:?} asks {}", tell(&frame)));
                Input::Frame { conn, frame }
            }
        };
        self.step(now, input, trace);
    }

    fn step(&mut self, now: u64, input: Input, trace: &mut Trace) {
        let time = self.now(now);
        if let Some(server) = &mut self.server {
            for output in server.step(time, input) {
                if let zooky_server::core::Output::Append(record) = output {
                    let what = (record.header.zxid, record.header.client_id, record.header.kind.0);
                    trace.detail(now, what, || format!("server: {record:?}"));
                }
            }
        }
    }

    fn sync(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        let Some(server) = &mut self.server else { return };
        if self.synced_at_ms.is_none() {
            server.begin_sync();
            if server.is_syncing() {
                let latency = match self.rng.below(100) {
                    _ if now < self.slow_until_ms => self.rng.below(800),
                    0 => self.rng.below(100),
                    _ => self.rng.below(4),
                };
                self.synced_at_ms = Some(now + latency as u64);
            }
        }
        if self.synced_at_ms.is_some_and(|at| at <= now) {
            self.synced_at_ms = None;
            if let Err(error) = server.finish_sync() {
                trace.note(now, &format!("the log fails: {error}"));
                self.process_dies(now, network, 300);
            }
        }
    }

    fn release(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        let Some(server) = &mut self.server else { return };
        while let Some(leaving) = server.release() {
            let conn = leaving.conn;
            let len = leaving.frame.as_ref().map_or(0, |frame| frame.len());
            let what = (conn.0, leaving.frame.as_deref());
            trace.detail(now, what, || format!("server: {conn:?} gets {len} bytes"));
            network.server_sends(now, conn, leaving.frame);
        }
    }

    fn start(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        self.powered = true;
        if !self.quiet && self.rng.one_in(6) {
            let fault = *self.rng.pick(&[Fault::PowerOff, Fault::Error, Fault::Full]);
            self.disk.plan(self.rng.below(14), fault);
        }
        self.starts += 1;
        let first = 0x0100_0000_0000_0001 + (self.starts << 24);
        let mut config = CoreConfig::new(first, PasswordRule::Keyed([5; 32]));
        config.min_session_timeout_ms = SHORTEST_SESSION_MS;
        match recover(&self.disk.storage(), config) {
            Ok(recovered) => {
                let mut server = Server::new(recovered.core, recovered.log);
                server.writer.set_roll_bytes(*self.rng.pick(&ROLL_BYTES));
                server.core.begin(self.now(now));
                trace.note(now, &format!("the server starts at {:#x}", server.core.last_zxid()));
                (self.server, self.synced_at_ms) = (Some(server), None);
            }
            Err(error @ LogError::Io { .. }) if !self.quiet => {
                trace.note(now, &format!("the server does not start: {error}"));
                self.process_dies(now, network, 300);
            }
            Err(error) => panic!("the server does not start: {error}"),
        }
        self.mind_the_power(now, network, trace);
    }

    fn take_snapshot(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        let Some(server) = &self.server else { return };
        let taken =
            server.take_snapshot(&self.disk, |name| trace.note(now, &format!("the server takes {name}")));
        if taken.is_some_and(|taken| taken.is_err()) {
            self.process_dies(now, network, 300);
        }
    }

    /// A fault has cut the power in the middle of something.
    fn mind_the_power(&mut self, now: u64, network: &mut Network, trace: &mut Trace) {
        if self.disk.is_off() {
            self.power_cut(now, network, trace, 500);
        }
    }

    fn process_dies(&mut self, now: u64, network: &mut Network, at_most_ms: usize) {
        (self.server, self.synced_at_ms) = (None, None);
        self.disk.process_died();
        self.back_at_ms = now + self.rng.below(at_most_ms) as u64;
        network.server_died(now, self.powered);
    }

    /// The process is killed; it is started again within that time.
    pub(crate) fn kill(&mut self, now: u64, network: &mut Network, trace: &mut Trace, away_ms: usize) {
        trace.note(now, "the server is killed");
        self.stalled_until_ms = 0;
        self.process_dies(now, network, away_ms);
    }

    /// The host loses power: nobody is told, and what was not synced may be gone.
    pub(crate) fn power_cut(&mut self, now: u64, network: &mut Network, trace: &mut Trace, away_ms: usize) {
        trace.note(now, "the server's host loses power");
        self.stalled_until_ms = 0;
        self.powered = false;
        self.process_dies(now, network, away_ms);
        self.disk.power_cycle();
    }

    pub(crate) fn stall(&mut self, until_ms: u64) {
        self.stalled_until_ms = until_ms;
    }

    pub(crate) fn slow_disk(&mut self, until_ms: u64) {
        self.slow_until_ms = until_ms;
    }

    pub(crate) fn bad_disk(&mut self) {
        let fault = *self.rng.pick(&[Fault::PowerOff, Fault::Error, Fault::Full]);
        self.disk.plan(self.rng.below(20), fault);
    }

    pub(crate) fn set_wall_clock(&mut self, by_ms: i64) {
        self.wall_ms += by_ms;
    }

    /// From here on nothing goes wrong; what is down comes back.
    pub(crate) fn heal(&mut self, now: u64) {
        self.disk.process_died();
        self.quiet = true;
        (self.stalled_until_ms, self.slow_until_ms) = (0, 0);
        self.back_at_ms = self.back_at_ms.min(now);
    }

    /// The contenders of a lock as the server has them, with the session that owns each and the transaction that
    /// made it.
    pub(crate) fn contenders(&self, lock: &str) -> Vec<(String, i64, i64)> {
        let Some(server) = &self.server else { return Vec::new() };
        let image = server.core.image();
        let nodes = image.nodes();
        let inside =
            nodes.filter(|node| node.path.strip_prefix(lock).is_some_and(|rest| rest.starts_with('/')));
        inside.map(|node| (node.path.to_owned(), node.stat.ephemeral_owner, node.stat.czxid)).collect()
    }
}

/// A request in words; the first packet of a connection is none.
fn tell(frame: &[u8]) -> String {
    let mut reader = zooky_wire::Reader::new(frame);
    match zooky_wire::Request::decode(&mut reader) {
        Ok((header, request)) => format!("{} {request:?}", header.xid),
        Err(_) => format!("{} bytes", frame.len()),
    }
}
