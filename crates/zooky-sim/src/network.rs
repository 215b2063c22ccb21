//! Connections between programs and the server: each direction keeps its order, with delays of its own; between
//! connections there is no order.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use zooky_server::core::ConnId;
use zooky_sim_machine::{Arrival, Link};
use zooky_testkit::Rng;
use zooky_wire::take_frame;

/// What comes to the server.
#[derive(Debug)]
pub(crate) enum Incoming {
    Opened(ConnId),
    Frame(ConnId, Bytes),
    Closed(ConnId),
}

#[derive(Debug)]
enum Packet {
    Open,
    Bytes(Bytes),
    Close,
}

/// A connection, seen from outside.
#[derive(Debug)]
struct Pipe {
    program: usize,
    link: Link,
    to_server: VecDeque<(u64, Packet)>,
    to_client: VecDeque<(u64, Arrival)>,
    /// What the server has read and is no whole frame yet.
    read: BytesMut,
    /// The server has accepted it and not seen its end.
    known: bool,
    /// What the client sends vanishes, and nothing comes to it.
    silent: bool,
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Break {
    /// The client is told at once; what it has sent still arrives, then the server is told.
    ClientFirst,
    /// The server is told at once and what is under way to it is lost; the client reads what was sent, then is told.
    ServerFirst,
    /// The server is told; the client hears nothing of it, ever.
    HalfOpenClient,
    /// The client is told; the server hears nothing of it, ever.
    HalfOpenServer,
}

/// How the way between a program and the server is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    /// Nothing passes before that moment; TCP keeps it.
    pub(crate) blocked_up_ms: u64,
    pub(crate) blocked_down_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    rng: Rng,
    pipes: BTreeMap<ConnId, Pipe>,
    by_link: BTreeMap<(usize, Link), ConnId>,
    next_conn: u64,
    pub(crate) ways: Vec<Way>,
    /// The usual delay of this world, one way.
    delay_ms: u64,
}

impl Network {
    pub(crate) fn new(mut rng: Rng, programs: usize) -> Network {
        let delay_ms = *rng.pick(&[1, 2, 5, 20]);
        let (pipes, by_link) = (BTreeMap::new(), BTreeMap::new());
        Network { rng, pipes, by_link, next_conn: 1, ways: vec![Way::default(); programs], delay_ms }
    }

    fn delay(&mut self) -> u64 {
        if self.rng.one_in(200) {
            return self.rng.below(300) as u64;
        }
        self.delay_ms / 2 + self.rng.below(self.delay_ms as usize + 1) as u64
    }

    /// A program wants a connection.
    pub(crate) fn connect(&mut self, now: u64, program: usize, link: Link) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let pipe = Pipe {
            program,
            link,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            read: BytesMut::new(),
            known: false,
            silent: false,
        };
        self.pipes.insert(conn, pipe);
        self.by_link.insert((program, link), conn);
        self.up(now, conn, Packet::Open);
    }

    /// A program writes.
    pub(crate) fn write(&mut self, now: u64, program: usize, link: Link, bytes: Bytes) {
        if let Some(&conn) = self.by_link.get(&(program, link)) {
            self.up(now, conn, Packet::Bytes(bytes));
        }
    }

    /// A program closes its end.
    pub(crate) fn close(&mut self, now: u64, program: usize, link: Link) {
        if let Some(conn) = self.by_link.remove(&(program, link)) {
            self.up(now, conn, Packet::Close);
        }
    }

    fn up(&mut self, now: u64, conn: ConnId, packet: Packet) {
        let at = now + self.delay();
        let Some(pipe) = self.pipes.get_mut(&conn).filter(|pipe| !pipe.silent) else { return };
        let at = at.max(pipe.to_server.back().map_or(0, |last| last.0));
        pipe.to_server.push_back((at, packet));
    }

    fn down(&mut self, now: u64, conn: ConnId, arrival: Arrival) {
        let at = now + self.delay();
        let Some(pipe) = self.pipes.get_mut(&conn).filter(|pipe| !pipe.silent) else { return };
        let at = at.max(pipe.to_client.back().map_or(0, |last| last.0));
        pipe.to_client.push_back((at, arrival));
    }

    /// The server sends a frame, or closes.
    pub(crate) fn server_sends(&mut self, now: u64, conn: ConnId, frame: Option<Bytes>) {
        match frame {
            Some(frame) => self.down(now, conn, Arrival::Bytes(frame)),
            None => {
                self.down(now, conn, Arrival::End);
                if let Some(pipe) = self.pipes.get_mut(&conn) {
                    pipe.known = false;
                    pipe.to_server.clear();
                }
            }
        }
    }

    /// What has come to a server that listens, in the order of arrival. Without one, those who knock are turned
    /// away by its host, if that is up.
    pub(crate) fn arrived(&mut self, now: u64, listening: bool, host_is_up: bool) -> Vec<Incoming> {
        let mut ready: Vec<(u64, ConnId)> = Vec::new();
        for (&conn, pipe) in &self.pipes {
            let blocked = self.ways[pipe.program].blocked_up_ms > now;
            ready.extend(pipe.to_server.iter().take_while(|p| !blocked && p.0 <= now).map(|p| (p.0, conn)));
        }
        ready.sort_by_key(|&(at, _)| at);
        let mut incoming = Vec::new();
        for (_, conn) in ready {
            let Some(pipe) = self.pipes.get_mut(&conn) else { continue };
            let Some((_, packet)) = pipe.to_server.pop_front() else { continue };
            match packet {
                Packet::Open if listening => {
                    pipe.known = true;
                    incoming.push(Incoming::Opened(conn));
                    self.down(now, conn, Arrival::Accepted);
                }
                Packet::Open if host_is_up => self.down(now, conn, Arrival::Refused),
                Packet::Bytes(bytes) if listening && pipe.known => {
                    pipe.read.extend_from_slice(&bytes);
                    while let Some(frame) = take_frame(&mut pipe.read, 4 << 20).unwrap() {
                        incoming.push(Incoming::Frame(conn, frame));
                    }
                }
                Packet::Close => {
                    if listening && pipe.known {
                        incoming.push(Incoming::Closed(conn));
                    }
                    self.pipes.remove(&conn);
                }
                // Whoever sends to a server that knows nothing of it is told so.
                Packet::Bytes(_) if host_is_up => self.down(now, conn, Arrival::Reset),
                Packet::Open | Packet::Bytes(_) => {}
            }
        }
        incoming
    }

    /// What has come to a program.
    pub(crate) fn for_program(&mut self, now: u64, program: usize) -> Vec<(Link, Arrival)> {
        let mut arrived = Vec::new();
        if self.ways[program].blocked_down_ms > now {
            return arrived;
        }
        for pipe in self.pipes.values_mut().filter(|pipe| pipe.program == program) {
            let due = pipe.to_client.partition_point(|next| next.0 <= now);
            arrived.extend(pipe.to_client.drain(..due).map(|(_, arrival)| (pipe.link, arrival)));
        }
        arrived
    }

    /// Breaks one of a program's connections, if it has any.
    pub(crate) fn break_one(&mut self, now: u64, program: usize, how: Break) -> Option<Incoming> {
        let open = self.pipes.iter().filter(|(_, pipe)| pipe.program == program && pipe.known);
        let conns: Vec<ConnId> = open.map(|(&conn, _)| conn).collect();
        if conns.is_empty() {
            return None;
        }
        let conn = *self.rng.pick(&conns);
        let pipe = self.pipes.get_mut(&conn)?;
        match how {
            Break::ClientFirst => {
                pipe.to_client.clear();
                self.down(now, conn, Arrival::Reset);
                self.up(now, conn, Packet::Close);
                None
            }
            Break::ServerFirst => {
                self.down(now, conn, Arrival::Reset);
                let pipe = self.pipes.get_mut(&conn)?;
                pipe.known = false;
                pipe.to_server.clear();
                Some(Incoming::Closed(conn))
            }
            Break::HalfOpenClient => {
                pipe.to_server.clear();
                pipe.to_client.clear();
                (pipe.known, pipe.silent) = (false, true);
                Some(Incoming::Closed(conn))
            }
            Break::HalfOpenServer => {
                pipe.to_client.clear();
                self.down(now, conn, Arrival::Reset);
                let pipe = self.pipes.get_mut(&conn)?;
                pipe.to_server.clear();
                pipe.silent = true;
                None
            }
        }
    }

    /// A program's machine is gone: its connections end, or are never heard of again.
    pub(crate) fn program_died(&mut self, now: u64, program: usize, silently: bool) {
        let conns: Vec<ConnId> =
            self.pipes.iter().filter(|(_, pipe)| pipe.program == program).map(|(&conn, _)| conn).collect();
        for conn in conns {
            if !silently {
                self.up(now, conn, Packet::Close);
            }
            if let Some(pipe) = self.pipes.get_mut(&conn) {
                pipe.to_client.clear();
                pipe.silent = true;
            }
        }
        self.by_link.retain(|(of, _), _| *of != program);
    }

    /// The server's process has ended: its host closes what it had open, unless the power is off.
    pub(crate) fn server_died(&mut self, now: u64, host_is_up: bool) {
        for conn in self.pipes.keys().copied().collect::<Vec<_>>() {
            let Some(pipe) = self.pipes.get_mut(&conn) else { continue };
            let was_known = std::mem::take(&mut pipe.known);
            pipe.read.clear();
            if was_known && host_is_up {
                self.down(now, conn, Arrival::Reset);
            } else if !host_is_up {
                pipe.to_server.clear();
            }
        }
    }

    /// Whether nothing is under way, in either direction.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pipes.values().all(|pipe| pipe.to_server.is_empty() && pipe.to_client.is_empty())
    }

    /// All ways are free again.
    pub(crate) fn heal(&mut self) {
        self.ways.fill(Way::default());
    }
}
