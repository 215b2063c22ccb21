//! The six kinds of hostile clients, each a small machine that does a little when it is its turn.

use super::packets::{self, LONGEST, Packet, op};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A kind: its name, and what it does with its connections.
type Kind = (&'static str, fn(&mut Attacker) -> io::Result<()>);

/// All kinds.
pub(super) const KINDS: [Kind; 6] = [
    ("slow", Attacker::creep),
    ("oversized", Attacker::swell),
    ("malformed", Attacker::babble),
    ("watch bomb", Attacker::bomb),
    ("unread replies", Attacker::ignore),
    ("flood", Attacker::flood),
];

/// The large node that those ask for who do not read.
const LARGE: &str = "/hostile-large";
/// So many connections one of the floods holds at most.
const HELD: usize = 100;
/// What is sent at most in one turn.
const PORTION: usize = 64 << 10;

/// One hostile client.
#[derive(Debug)]
pub(super) struct Attacker {
    addr: SocketAddr,
    number: usize,
    conns: Vec<TcpStream>,
    /// What the newest connection has to send, and how much of it has left.
    output: Vec<u8>,
    sent: usize,
    /// A long packet, made once: putting it together again would take from its share.
    long: Vec<u8>,
    /// What it does next, counted over all of its connections.
    step: u64,
    /// How often something has come in on the newest connection.
    heard: usize,
    ended: usize,
}

impl Attacker {
    pub(super) fn new(addr: SocketAddr, number: usize) -> Attacker {
        let mut new = Attacker {
            addr,
            number,
            conns: Vec::new(),
            output: Vec::new(),
            sent: 0,
            long: Vec::new(),
            step: 0,
            heard: 0,
            ended: 0,
        };
        new.long = match (new.name(), new.variant()) {
            ("slow", 1..) => packets::create("/hostile-slow", &vec![b's'; LONGEST - 1_000]),
            // A path of a megabyte.
            ("oversized", 3) => {
                Packet::request(7, op::EXISTS).bytes(&vec![b'x'; LONGEST - 64]).byte(0).framed()
            }
            ("watch bomb", 2) => packets::watch_bomb("/w"),
            ("watch bomb", 3) => packets::watch_bomb("/x"),
            ("unread replies", _) => packets::create(LARGE, &vec![b'x'; 1_000_000]),
            _ => Vec::new(),
        };
        new
    }

    pub(super) fn name(&self) -> &'static str {
        KINDS[self.number % KINDS.len()].0
    }

    /// How often a connection of it came to an end.
    pub(super) fn ended(&self) -> usize {
        self.ended
    }

    /// Which of those of its kind it is.
    fn variant(&self) -> usize {
        self.number / KINDS.len()
    }

    /// Does a little. Whatever stands in its way, it begins anew.
    pub(super) fn act(&mut self) {
        if self.conns.is_empty() && self.open().is_err() {
            return;
        }
        self.step += 1;
        if KINDS[self.number % KINDS.len()].1(self).is_err() {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        self.conns.clear();
        self.ended += 1;
    }

    fn open(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.conns.push(stream);
        (self.output, self.sent, self.heard) = (Vec::new(), 0, 0);
        Ok(())
    }

    /// Sends `bytes` at most of what is to be sent. Whether everything has left.
    fn send(&mut self, bytes: usize) -> io::Result<bool> {
        let Some(stream) = self.conns.last_mut() else { return Ok(true) };
        let end = self.output.len().min(self.sent + bytes);
        if self.sent < end {
            match stream.write(&self.output[self.sent..end]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.sent == self.output.len())
    }

    /// Throws away what has come in; an error if the other side has finished.
    fn swallow(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4_096];
        match self.conns.last_mut().map_or(Ok(1), |stream| stream.read(&mut bytes)) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.heard += 1;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn say(&mut self, bytes: Vec<u8>) {
        (self.output, self.sent) = (bytes, 0);
    }

    /// Packets byte by byte: the first one, or a long one in a session.
    fn creep(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            self.say([packets::hello(), self.long.clone()].concat());
        }
        self.send(1)?;
        self.swallow()
    }

    /// Packets that are too long, negative lengths, and the longest that are allowed, with nothing useful in them.
    fn swell(&mut self) -> io::Result<()> {
        if self.send(PORTION)? {
            let bytes = match (self.variant(), self.step % 3) {
                (0, _) => [&(LONGEST as i32 + 1).to_be_bytes()[..], &vec![7; PORTION]].concat(),
                (1, _) => [packets::hello(), i32::MAX.to_be_bytes().to_vec(), vec![7; PORTION]].concat(),
                (2, 0) => [packets::hello(), (-1_i32).to_be_bytes().to_vec()].concat(),
                (2, _) => vec![0xff; 1_000],
                (_, 0) => packets::hello(),
                _ => self.long.clone(),
            };
            self.say(bytes);
        }
        self.swallow()
    }

    /// Nonsense: noise, cut requests, counts that lie, opcodes that do not exist, other protocols.
    fn babble(&mut self) -> io::Result<()> {
        if self.send(PORTION)? {
            let wild = |at: u64| (self.step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8;
            let noise: Vec<u8> = (0..200).map(wild).collect();
            let bad = match (self.variant(), self.step % 5) {
                (0, 0) => b"GET / HTTP/1.1\r\nHost: zooky\r\n\r\n".to_vec(),
                (0, 1) => vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
                (0, _) => noise,
                (_, 0) => Packet::request(1, op::CREATE).int(i32::MAX).framed(),
                (_, 1) => {
                    Packet::request(1, op::MULTI).int(op::CREATE).byte(0).int(-1).int(i32::MIN).framed()
                }
                (_, 2) => Packet::request(-8, op::SET_WATCHES2).long(-1).int(i32::MAX).framed(),
                (_, 3) => Packet::request(1, noise[3].into()).bytes(&noise).framed(),
                _ => Packet::request(1, op::CREATE).text("/a").bytes(b"").int(i32::MAX).framed(),
            };
            let first = self.variant() > 0 && self.output.is_empty();
            self.say(if first { [packets::hello(), bad].concat() } else { bad });
        }
        self.swallow()
    }

    /// Watches on ever new long paths, one by one; or a whole packet full of them, again on each new connection.
    fn bomb(&mut self) -> io::Result<()> {
        if self.send(PORTION)? {
            let path = || format!("/{}{}", self.step, "w".repeat(4_000));
            let bytes = match (self.variant(), self.output.is_empty()) {
                (2.., true) => [packets::hello(), self.long.clone()].concat(),
                // It has asked for its watches; on a new connection it may do so again. One of them waits for the answer.
                (2, false) => return Err(io::ErrorKind::ConnectionAborted.into()),
                (3, false) if self.heard < 2 => return self.swallow(),
                (_, false) if self.variant() == 3 => return Err(io::ErrorKind::ConnectionAborted.into()),
                (_, true) => packets::hello(),
                (0, _) => packets::read(op::EXISTS, &path(), true),
                _ => packets::add_watch(&path()),
            };
            self.say(bytes);
        }
        self.swallow()
    }

    /// Asks for much and reads nothing of it; watches everything, and reads none of the events.
    fn ignore(&mut self) -> io::Result<()> {
        if self.send(PORTION)? {
            let bytes = match (self.variant(), self.output.is_empty()) {
                (_, true) => [packets::hello(), self.long.clone()].concat(),
                (0, _) => packets::read(op::GET_DATA, LARGE, false).repeat(100),
                (1, _) => packets::read_many(LARGE, 1_000),
                (2, _) => packets::read(op::GET_CHILDREN, "/", true).repeat(1_000),
                _ => [packets::add_watch("/"), packets::read(op::EXISTS, "/", false).repeat(1_000)].concat(),
            };
            self.say(bytes);
        }
        Ok(())
    }

    /// Connections and nothing else, as many as come; sessions that are left at once; half-closed words.
    fn flood(&mut self) -> io::Result<()> {
        let bytes = match self.variant() {
            0 => Vec::new(),
            1 => packets::hello(),
            2 => b"mntr".to_vec(),
            // Held for as long as they are let.
            _ => {
                if self.conns.len() >= HELD {
                    self.conns.remove(0);
                    self.ended += 1;
                }
                return self.open();
            }
        };
        self.say(bytes);
        self.send(PORTION)?;
        self.give_up();
        Ok(())
    }
}
