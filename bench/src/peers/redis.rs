//! redis as many use it for locks: SET NX to take, DEL to release. It knows no queue, no session and no token;
//! it is here as the measure of a single durable write.

use super::{Peer, cpu_us, us_since};
use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Rate, Release};
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Opens a connection for each order.
pub(super) struct Redis {
    hosts: String,
}

impl Redis {
    pub(super) fn new(hosts: &str) -> Self {
        Redis { hosts: hosts.to_string() }
    }
}

impl Peer for Redis {
    fn uncontended(&mut self, count: usize, limit: Duration, _: Release) -> Result<Cycles, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        let (mut cycles, cpu, start) = (Cycles::default(), cpu_us(), Instant::now());
        while cycles.acquire_us.len() < count && start.elapsed() < limit {
            let begin = Instant::now();
            connection.take("bench:free");
            connection.flush()?;
            connection.expect("+OK")?;
            cycles.acquire_us.push(us_since(begin));
            let begin = Instant::now();
            connection.give("bench:free");
            connection.flush()?;
            connection.expect(":1")?;
            cycles.release_us.push(us_since(begin));
        }
        cycles.cpu_us = cpu_us() - cpu;
        Ok(cycles)
    }

    fn many(&mut self, locks: usize, limit: Duration) -> Result<Rate, Failure> {
        let mut connection = Connection::open(&self.hosts)?;
        let keys: Vec<String> = (0..locks).map(|i| format!("bench:many:{i}")).collect();
        // Replies come in the order of requests: which lock each is for, and whether it was a SET.
        let mut outstanding: VecDeque<(usize, bool)> = VecDeque::new();
        let (mut cycles, cpu, start) = (0, cpu_us(), Instant::now());
        for (i, key) in keys.iter().enumerate() {
            connection.take(key);
            outstanding.push_back((i, true));
        }
        while !outstanding.is_empty() {
            connection.flush()?;
            connection.fill()?;
            while let Some(line) = connection.line() {
                let Some((i, was_set)) = outstanding.pop_front() else { break };
                check(&line, if was_set { "+OK" } else { ":1" })?;
                if was_set {
                    connection.give(&keys[i]);
                    outstanding.push_back((i, false));
                } else {
                    cycles += 1;
                    if start.elapsed() < limit {
                        connection.take(&keys[i]);
                        outstanding.push_back((i, true));
                    }
                }
            }
        }
        Ok(Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu })
    }

    fn handoff(&mut self, _: usize, _: Duration) -> Result<Handoffs, Failure> {
        Err(Failure::Refused("redis knows no queue".to_string()))
    }
}

/// One connection that speaks redis's protocol.
pub(crate) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(hosts: &str) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(hosts).map_err(Failure::io(&format!("connecting to {hosts}")))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, input: BytesMut::new(), output: Vec::new() };
        // Whatever an interrupted run has left.
        connection.command(&["FLUSHALL"]);
        connection.flush()?;
        connection.expect("+OK")?;
        Ok(connection)
    }

    fn take(&mut self, key: &str) {
        self.command(&["SET", key, "an-owner-of-thirty-two-characters", "NX"]);
    }

    fn give(&mut self, key: &str) {
        self.command(&["DEL", key]);
    }

    pub(crate) fn command(&mut self, words: &[&str]) {
        self.output.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.output.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 1 << 14];
        let n = self.stream.read(&mut chunk)?;
        if n == 0 {
            return Err(Failure::Refused("the server closed the connection".to_string()));
        }
        self.input.extend_from_slice(&chunk[..n]);
        Ok(())
    }

    /// The next line that has come; all answers here are single lines.
    fn line(&mut self) -> Option<String> {
        let end = self.input.windows(2).position(|pair| pair == b"\r\n")?;
        let line = self.input.split_to(end);
        self.input.advance(2);
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    pub(crate) fn expect(&mut self, answer: &str) -> Result<(), Failure> {
        loop {
            if let Some(line) = self.line() {
                return check(&line, answer);
            }
            self.fill()?;
        }
    }
}

fn check(line: &str, expected: &str) -> Result<(), Failure> {
    let wrong = || Failure::Refused(format!("redis answered {line:?} in place of {expected:?}"));
    if line == expected { Ok(()) } else { Err(wrong()) }
}
