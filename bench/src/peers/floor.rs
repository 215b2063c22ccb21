//! The least that ZooKeeper's protocol allows for a lock: create and list leave in one flight, and nobody waits
//! for the delete. No client that queues by listing can be faster, unless it asks for a delete and the create that follows
//! at once in one transaction.

use super::wire::{Arrival, Connection, create, refused};
use super::{HandoffLog, Peer, cpu_us, us_since};
use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Rate, Release, Standing, Waited};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use zooky_wire::{CreateMode, ErrorCode, Request, Response};

const FREE: &str = "/bench/floor/free";
const SHARED: &str = "/bench/floor/handoff";
const QUEUE: &str = "/bench/floor/queue";
/// As long as an owner's name would be.
const DATA: &[u8] = b"{\"host\":\"localhost\",\"pid\":12345,\"user\":\"bench\"}";

/// Sessions are opened for each order: nobody here would keep an idle one alive.
pub(super) struct Floor {
    hosts: String,
    line: Option<Line>,
}

/// A line that stands.
struct Line {
    sessions: Vec<Connection>,
    /// In the queue's order: each contender's session and node.
    nodes: Vec<(usize, String)>,
}

impl Floor {
    pub(super) fn new(hosts: &str) -> Self {
        Floor { hosts: hosts.to_string(), line: None }
    }
}

impl Peer for Floor {
    fn uncontended(&mut self, count: usize, limit: Duration, release: Release) -> Result<Cycles, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        connection.make_path(FREE)?;
        let (mut cycles, cpu, start) = (Cycles::default(), cpu_us(), Instant::now());
        while cycles.acquire_us.len() < count && start.elapsed() < limit {
            let begin = Instant::now();
            let path = acquire(&mut connection, FREE)?;
            cycles.acquire_us.push(us_since(begin));
            let begin = Instant::now();
            let xid = connection.queue(&Request::Delete { path, version: -1 });
            connection.flush()?;
            if release == Release::Awaited {
                connection.reply(xid)?.map_err(refused)?;
            }
            cycles.release_us.push(us_since(begin));
        }
        cycles.cpu_us = cpu_us() - cpu;
        connection.close()?;
        Ok(cycles)
    }

    fn many(&mut self, locks: usize, limit: Duration) -> Result<Rate, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        let mut flock = Flock::new(&mut connection, locks)?;
        let (cpu, start) = (cpu_us(), Instant::now());
        let cycles = flock.run(&mut connection, limit)?;
        let rate = Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu };
        connection.close()?;
        Ok(rate)
    }

    fn handoff(&mut self, sessions: usize, limit: Duration) -> Result<Handoffs, Failure> {
        let connections = (0..sessions).map(|_| Connection::open(&self.hosts));
        let mut connections = connections.collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = connections.first_mut() {
            first.make_path(SHARED)?;
        }
        let log = Mutex::new(HandoffLog::default());
        let (cpu, start) = (cpu_us(), Instant::now());
        std::thread::scope(|scope| {
            let contend = |connection| contend(connection, &log, start + limit);
            let threads: Vec<_> =
                connections.iter_mut().map(|connection| scope.spawn(move || contend(connection))).collect();
            let dead = |_| Err(Failure::Refused("a contender's thread died".to_string()));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(dead))
        })?;
        let (seconds, cpu_us) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
        connections.into_iter().try_for_each(Connection::close)?;
        let handoff_us = log.into_inner().unwrap_or_else(PoisonError::into_inner).us;
        Ok(Handoffs { handoff_us, seconds, cpu_us })
    }

    fn wait(&mut self, limit: Duration) -> Result<Waited, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        connection.make_path(QUEUE)?;
        let begin = Instant::now();
        let (path, blocker) = join(&mut connection, QUEUE)?;
        let acquired_us = blocker.is_none().then(|| us_since(begin));
        if let Some(blocker) = blocker {
            connection.ask(&Request::GetData { path: blocker, watch: true })?.map_err(refused)?;
        }
        std::thread::sleep(limit);
        connection.ask(&Request::Delete { path, version: -1 })?.map_err(refused)?;
        connection.close()?;
        Ok(Waited { acquired_us })
    }

    fn line(&mut self, waiters: usize, sessions: usize) -> Result<Standing, Failure> {
        let connections = (0..sessions).map(|_| Connection::open(&self.hosts));
        let mut connections = connections.collect::<Result<Vec<_>, _>>()?;
        connections.first_mut().map_or(Ok(()), |first| first.make_path(QUEUE))?;
        let mut nodes = Vec::new();
        for number in (0..sessions).cycle().take(waiters) {
            let connection = &mut connections[number];
            let (path, blocker) = join(connection, QUEUE)?;
            if let Some(blocker) = blocker {
                connection.ask(&Request::GetData { path: blocker, watch: true })?.map_err(refused)?;
            }
            nodes.push((number, path));
        }
        self.line = Some(Line { sessions: connections, nodes });
        Ok(Standing { waiting: waiters })
    }

    fn pass(&mut self) -> Result<Handoffs, Failure> {
        let line = self.line.take().ok_or_else(|| Failure::Refused("nobody stands in line".to_string()))?;
        let Line { sessions: mut connections, nodes } = line;
        let (mut handoff_us, cpu, start) = (Vec::new(), cpu_us(), Instant::now());
        for pair in nodes.windows(2) {
            let [(holder, path), (next, own)] = pair else { continue };
            let begin = Instant::now();
            connections[*holder].queue(&Request::Delete { path: path.clone(), version: -1 });
            connections[*holder].flush()?;
            connections[*next].event()?;
            let names = connections[*next].ask(&list(QUEUE))?.map_err(refused)?;
            let Response::Names(names) = names else {
                return Err(Failure::Unreadable("no list".to_string()));
            };
            if names.iter().any(|name| sequence(name) < sequence(own)) {
                return Err(Failure::Refused("somebody is before the next one".to_string()));
            }
            handoff_us.push(us_since(begin));
        }
        let (seconds, cpu_us) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
        connections.into_iter().try_for_each(Connection::close)?;
        Ok(Handoffs { handoff_us, seconds, cpu_us })
    }
}

fn prefix(connection: &Connection, lock: &str) -> String {
    format!("{lock}/{:032x}__lock__", connection.session())
}

fn contender(prefix: &str) -> Request {
    create(prefix, CreateMode::EPHEMERAL_SEQUENTIAL, Bytes::from_static(DATA))
}

fn list(lock: &str) -> Request {
    Request::GetChildren { path: lock.to_string(), watch: false }
}

/// The digits that order the queue.
fn sequence(name: &str) -> &str {
    name.split_at_checked(name.len().saturating_sub(10)).map_or("", |(_, digits)| digits)
}

/// Queues for the lock; returns the path of our node and of the one before it.
fn join(connection: &mut Connection, lock: &str) -> Result<(String, Option<String>), Failure> {
    let created = connection.queue(&contender(&prefix(connection, lock)));
    let listed = connection.queue(&list(lock));
    connection.flush()?;
    let path = match connection.reply(created)?.map_err(refused)? {
        Response::Path(path) => path,
        other => return Err(Failure::Unreadable(format!("no answer to a create: {other:?}"))),
    };
    let Response::Names(names) = connection.reply(listed)?.map_err(refused)? else {
        return Err(Failure::Unreadable("no answer to a list".to_string()));
    };
    let before = names.iter().filter(|name| sequence(name) < sequence(&path));
    let blocker = before.max_by_key(|name| sequence(name)).map(|name| format!("{lock}/{name}"));
    Ok((path, blocker))
}

/// Queues for the lock and waits until our node is the first; returns its path.
fn acquire(connection: &mut Connection, lock: &str) -> Result<String, Failure> {
    let created = connection.queue(&contender(&prefix(connection, lock)));
    let mut listed = connection.queue(&list(lock));
    connection.flush()?;
    let path = match connection.reply(created)?.map_err(refused)? {
        Response::Path(path) => path,
        other => return Err(Failure::Unreadable(format!("no answer to a create: {other:?}"))),
    };
    loop {
        let names = match connection.reply(listed)?.map_err(refused)? {
            Response::Names(names) => names,
            other => return Err(Failure::Unreadable(format!("no answer to a list: {other:?}"))),
        };
        let ours = sequence(&path);
        let before = names.iter().filter(|name| sequence(name) < ours);
        let Some(predecessor) = before.max_by_key(|name| sequence(name)) else { return Ok(path) };
        // A data watch is not set on a node that is gone, so none is left behind.
        let watch = Request::GetData { path: format!("{lock}/{predecessor}"), watch: true };
        match connection.ask(&watch)? {
            Ok(_) => connection.event().map(|_| ())?,
            Err(ErrorCode::NO_NODE) => {}
            Err(code) => return Err(refused(code)),
        }
        listed = connection.queue(&list(lock));
        connection.flush()?;
    }
}

fn contend(connection: &mut Connection, log: &Mutex<HandoffLog>, end: Instant) -> Result<(), Failure> {
    let log = || log.lock().unwrap_or_else(PoisonError::into_inner);
    while Instant::now() < end {
        let path = acquire(connection, SHARED)?;
        log().granted()?;
        log().releasing();
        connection.queue(&Request::Delete { path, version: -1 });
        connection.flush()?;
    }
    Ok(())
}

/// Many locks on one connection, each on its own way through create, list and delete.
struct Flock {
    locks: Vec<Held>,
    /// Which lock a create or list is for; replies to deletes stand for nothing.
    outstanding: HashMap<i32, usize>,
}

struct Held {
    directory: String,
    path: String,
}

impl Flock {
    fn new(connection: &mut Connection, locks: usize) -> Result<Flock, Failure> {
        let directory = |i| format!("/bench/floor/many/{i}");
        (0..locks).try_for_each(|i| connection.make_path(&directory(i)))?;
        let locks = (0..locks).map(|i| Held { directory: directory(i), path: String::new() }).collect();
        Ok(Flock { locks, outstanding: HashMap::new() })
    }

    fn run(&mut self, connection: &mut Connection, limit: Duration) -> Result<u64, Failure> {
        let (mut cycles, end) = (0, Instant::now() + limit);
        (0..self.locks.len()).for_each(|i| self.begin(connection, i));
        connection.flush()?;
        while !self.outstanding.is_empty() {
            let mut arrival = Some(connection.arrival()?);
            while let Some(arrived) = arrival {
                cycles += self.take(connection, arrived, end)?;
                arrival = connection.arrived()?;
            }
            connection.flush()?;
        }
        Ok(cycles)
    }

    fn begin(&mut self, connection: &mut Connection, i: usize) {
        let directory = &self.locks[i].directory;
        let created = connection.queue(&contender(&prefix(connection, directory)));
        let listed = connection.queue(&list(directory));
        self.outstanding.extend([(created, i), (listed, i)]);
    }

    /// Takes one reply in; returns how many cycles it ended.
    fn take(&mut self, connection: &mut Connection, arrival: Arrival, end: Instant) -> Result<u64, Failure> {
        let Arrival::Reply(xid, reply) = arrival else { return Ok(0) };
        let reply = reply.map_err(refused)?;
        let Some(i) = self.outstanding.remove(&xid) else { return Ok(0) };
        match reply {
            Response::Path(path) => {
                self.locks[i].path = path;
                Ok(0)
            }
            Response::Names(names) if names.len() == 1 => {
                let path = std::mem::take(&mut self.locks[i].path);
                connection.queue(&Request::Delete { path, version: -1 });
                if Instant::now() < end {
                    self.begin(connection, i);
                }
                Ok(1)
            }
            other => Err(Failure::Refused(format!("a lock of our own is not free: {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_digits_order_the_queue() {
        assert_eq!(sequence("abc__lock__0000000012"), "0000000012");
        assert_eq!(sequence("short"), "short");
    }
}
