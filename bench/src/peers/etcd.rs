//! etcd's lock: the server's own lock service (`v3lock`), which queues by revision as its Go client does. Here by the
//! JSON gateway, one request to take and one to give; the gateway adds a hop inside the server.

use super::{HandoffLog, Peer, cpu_us, us_since};
use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Rate, Release};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Seconds that a lease lives without being kept alive; longer than any order.
const LEASE_SECONDS: u32 = 120;

/// Opens connections for each order: HTTP/1.1 carries one request at a time.
pub(super) struct Etcd {
    hosts: String,
}

impl Etcd {
    pub(super) fn new(hosts: &str) -> Self {
        Etcd { hosts: hosts.to_string() }
    }

    /// Cycles on these locks, each on a connection of its own, all on one lease.
    fn cycles(&self, names: &[String], limit: Duration) -> Result<Rate, Failure> {
        let lease = Connection::open(&self.hosts)?.grant()?;
        let connections =
            names.iter().map(|_| Connection::open(&self.hosts)).collect::<Result<Vec<_>, _>>()?;
        let done = AtomicU64::new(0);
        let (cpu, start) = (cpu_us(), Instant::now());
        let cycle = |mut connection: Connection, name: &str| {
            while start.elapsed() < limit {
                let key = connection.lock(name, &lease)?;
                connection.unlock(&key)?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        in_threads(
            connections.into_iter().zip(names).map(|(connection, name)| move || cycle(connection, name)),
        )?;
        let cycles = done.load(Ordering::Relaxed);
        Ok(Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu })
    }
}

impl Peer for Etcd {
    fn uncontended(&mut self, count: usize, limit: Duration, _: Release) -> Result<Cycles, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        let lease = connection.grant()?;
        let (mut cycles, cpu, start) = (Cycles::default(), cpu_us(), Instant::now());
        while cycles.acquire_us.len() < count && start.elapsed() < limit {
            let begin = Instant::now();
            let key = connection.lock("bench/free", &lease)?;
            cycles.acquire_us.push(us_since(begin));
            let begin = Instant::now();
            connection.unlock(&key)?;
            cycles.release_us.push(us_since(begin));
        }
        cycles.cpu_us = cpu_us() - cpu;
        Ok(cycles)
    }

    fn many(&mut self, locks: usize, limit: Duration) -> Result<Rate, Failure> {
        let names: Vec<String> = (0..locks).map(|i| format!("bench/many/{i}")).collect();
        self.cycles(&names, limit)
    }

    fn handoff(&mut self, sessions: usize, limit: Duration) -> Result<Handoffs, Failure> {
        let mut contenders = Vec::new();
        for _ in 0..sessions {
            let mut connection = Connection::open(&self.hosts)?;
            contenders.push((connection.grant()?, connection));
        }
        let log = Mutex::new(HandoffLog::default());
        let log = || log.lock().unwrap_or_else(PoisonError::into_inner);
        let (cpu, start) = (cpu_us(), Instant::now());
        let contend = |lease: String, mut connection: Connection| {
            while start.elapsed() < limit {
                let key = connection.lock("bench/handoff", &lease)?;
                log().granted()?;
                log().releasing();
                connection.unlock(&key)?;
            }
            Ok(())
        };
        let contend = &contend;
        in_threads(contenders.into_iter().map(|(lease, connection)| move || contend(lease, connection)))?;
        let (seconds, cpu_us) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
        let handoff_us = std::mem::take(&mut log().us);
        Ok(Handoffs { handoff_us, seconds, cpu_us })
    }

    /// On one lease the lock would be its own; so each task has its lease, as etcd's documentation asks for.
    fn tasks(&mut self, tasks: usize, limit: Duration) -> Result<Rate, Failure> {
        let handoffs = self.handoff(tasks, limit)?;
        let cycles = handoffs.handoff_us.len() as u64;
        Ok(Rate { cycles, seconds: handoffs.seconds, cpu_us: handoffs.cpu_us })
    }
}

/// Runs each in a thread of its own.
fn in_threads<F: FnOnce() -> Result<(), Failure> + Send>(
    tasks: impl Iterator<Item = F>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        let dead = |_| Err(Failure::Refused("a thread died".to_string()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(dead))
    })
}

/// One connection to the JSON gateway.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(hosts: &str) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(hosts).map_err(Failure::io(&format!("connecting to {hosts}")))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    fn grant(&mut self) -> Result<String, Failure> {
        self.ask("/v3/lease/grant", &json!({ "TTL": LEASE_SECONDS }), "ID")
    }

    fn lock(&mut self, name: &str, lease: &str) -> Result<String, Failure> {
        let name = BASE64_STANDARD.encode(name);
        self.ask("/v3/lock/lock", &json!({ "name": name, "lease": lease }), "key")
    }

    fn unlock(&mut self, key: &str) -> Result<(), Failure> {
        self.ask("/v3/lock/unlock", &json!({ "key": key }), "header").map(|_| ())
    }

    /// Posts a request and returns one field of the answer, as text.
    fn ask(&mut self, path: &str, body: &Value, field: &str) -> Result<String, Failure> {
        let body = body.to_string();
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes())?;
        let answer = self.answer()?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|_| Failure::Unreadable(String::from_utf8_lossy(&answer).into_owned()))?;
        match answer.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Ok(other.to_string()),
            None => Err(Failure::Refused(format!("etcd: {answer}"))),
        }
    }

    fn answer(&mut self) -> Result<Vec<u8>, Failure> {
        let (mut length, mut status) = (0, String::new());
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end();
            if status.is_empty() {
                status = line.to_string();
                if status.is_empty() {
                    return Err(Failure::Refused("etcd closed the connection".to_string()));
                }
            } else if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}
