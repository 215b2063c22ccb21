//! A loopback proxy that reads along: what a client sends and what it is answered, frame by frame, and how many
//! times it had to wait for the server.
//!
//! Replies can be held back for a while. What the client sends before the first of them reaches it has then
//! certainly left in one flight.

use crate::failure::Failure;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zooky_wire::{
    ErrorCode, MAX_FRAME_DEFAULT, OpCode, Reader, ReplyHeader, RequestHeader, WatcherEvent, take_frame, xid,
};

/// What the connections speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// ZooKeeper's.
    ZooKeeper,
    /// redis's.
    Redis,
}

/// What a frame is to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It asked for something.
    Request,
    /// It was answered.
    Reply,
    /// A watch fired.
    Event,
    /// Handshake, pings, syncs and closing, which belong to the session and to no lock.
    Upkeep,
}

/// One frame that went through.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// When, since the recording began.
    pub(crate) at: Duration,
    /// What it is.
    pub(crate) kind: Kind,
    /// The request's name.
    pub(crate) name: String,
    /// A request's path, a reply's error.
    pub(crate) detail: String,
    /// Its length in bytes, the prefix included.
    pub(crate) bytes: usize,
}

/// A running proxy. Dropping it closes all its connections.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    protocol: Protocol,
    begin: Mutex<Instant>,
    frames: Mutex<Vec<Frame>>,
    delay_ms: AtomicU64,
    open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a loopback port of its own and passes everything on to `server`.
    pub(crate) fn start(server: &str, protocol: Protocol) -> Result<Proxy, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Failure::io("opening a proxy"))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: server.to_string(),
            protocol,
            begin: Mutex::new(Instant::now()),
            frames: Mutex::default(),
            delay_ms: AtomicU64::new(0),
            open: AtomicBool::new(true),
            streams: Mutex::default(),
        });
        let acceptor = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A connection that cannot be made is closed, which its client will notice.
                if !acceptor.open.load(Ordering::Acquire) || acceptor.connect(client).is_err() {
                    return;
                }
            }
        });
        Ok(Proxy { addr, shared })
    }

    /// What clients connect to.
    pub(crate) fn hosts(&self) -> String {
        self.addr.to_string()
    }

    /// Begins a recording: forgets what was, and holds each reply back for `delay` from now on.
    pub(crate) fn record(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, Ordering::Release);
        *lock(&self.shared.begin) = Instant::now();
        lock(&self.shared.frames).clear();
    }

    /// What has gone through since.
    pub(crate) fn recorded(&self) -> Vec<Frame> {
        lock(&self.shared.frames).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.open.store(false, Ordering::Release);
        for stream in lock(&self.shared.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> Result<(), Failure> {
        let server = TcpStream::connect(&self.server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        lock(&self.streams).extend([client.try_clone()?, server.try_clone()?]);
        let names = Arc::new(Mutex::new(Names::default()));
        for (from, to, upward) in [(client.try_clone()?, server.try_clone()?, true), (server, client, false)]
        {
            let (shared, names) = (self.clone(), names.clone());
            std::thread::spawn(move || {
                // Either end's closing closes the other.
                let _ = shared.pass(&from, &to, upward, &names);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn pass(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        upward: bool,
        names: &Mutex<Names>,
    ) -> Result<(), Failure> {
        let (mut buffer, mut chunk) = (BytesMut::new(), [0; 1 << 14]);
        loop {
            let n = from.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            let delay = self.delay_ms.load(Ordering::Acquire);
            if !upward && delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            buffer.extend_from_slice(&chunk[..n]);
            // Written down before it is passed on: nobody can react to what is not yet recorded.
            while let Some((kind, name, detail, bytes)) = self.understand(&mut buffer, upward, names)? {
                let at = lock(&self.begin).elapsed();
                lock(&self.frames).push(Frame { at, kind, name, detail, bytes });
            }
            to.write_all(&chunk[..n])?;
        }
    }

    /// The next whole frame of `buffer`: what it is, its name, what is to be said of it, its length.
    fn understand(
        &self,
        buffer: &mut BytesMut,
        upward: bool,
        names: &Mutex<Names>,
    ) -> Result<Option<(Kind, String, String, usize)>, Failure> {
        match self.protocol {
            Protocol::Redis => Ok(take_redis(buffer, upward)),
            Protocol::ZooKeeper => {
                let Some(frame) = take_frame(buffer, MAX_FRAME_DEFAULT)? else { return Ok(None) };
                let mut names = lock(names);
                let (kind, name, detail) =
                    if upward { names.request(&frame)? } else { names.reply(&frame)? };
                Ok(Some((kind, name, detail, frame.len() + 4)))
            }
        }
    }
}

/// What the requests of one connection were, to name the replies by.
#[derive(Default)]
struct Names {
    asked_to_connect: bool,
    connected: bool,
    ops: HashMap<i32, OpCode>,
}

impl Names {
    fn request(&mut self, frame: &Bytes) -> Result<(Kind, String, String), Failure> {
        if !std::mem::replace(&mut self.asked_to_connect, true) {
            return Ok((Kind::Upkeep, "connect".to_string(), String::new()));
        }
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader)?;
        self.ops.insert(header.xid, header.op);
        // In most requests a path comes first.
        let path = reader.str().unwrap_or_default().to_string();
        let kind = if is_upkeep(header.op) { Kind::Upkeep } else { Kind::Request };
        Ok((kind, name(header.op), path))
    }

    fn reply(&mut self, frame: &Bytes) -> Result<(Kind, String, String), Failure> {
        if !std::mem::replace(&mut self.connected, true) {
            return Ok((Kind::Upkeep, "connected".to_string(), String::new()));
        }
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader)?;
        if header.xid == xid::EVENT {
            let event = WatcherEvent::decode(&mut reader)?;
            return Ok((Kind::Event, format!("{:?}", event.kind), event.path));
        }
        let op = self.ops.remove(&header.xid).unwrap_or(OpCode::PING);
        let kind = if is_upkeep(op) { Kind::Upkeep } else { Kind::Reply };
        let detail = if header.err == ErrorCode::OK { String::new() } else { header.err.to_string() };
        Ok((kind, name(op), detail))
    }
}

fn is_upkeep(op: OpCode) -> bool {
    matches!(op, OpCode::PING | OpCode::SYNC | OpCode::AUTH | OpCode::SET_WATCHES | OpCode::CLOSE_SESSION)
}

fn name(op: OpCode) -> String {
    op.text().map_or_else(|| op.to_string(), str::to_string)
}

/// A request is an array of strings, an answer (as far as locks need them) one line.
fn take_redis(buffer: &mut BytesMut, upward: bool) -> Option<(Kind, String, String, usize)> {
    let mut at = 0;
    let first = line(buffer, &mut at)?;
    if !upward {
        buffer.advance(at);
        return Some((Kind::Reply, first, String::new(), at));
    }
    let count: usize = first.strip_prefix('*')?.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        line(buffer, &mut at)?;
        words.push(line(buffer, &mut at)?);
    }
    buffer.advance(at);
    let (name, detail) = words.split_first()?;
    Some((Kind::Request, name.clone(), detail.join(" "), at))
}

/// The line that starts at `at`, which moves behind it.
fn line(buffer: &[u8], at: &mut usize) -> Option<String> {
    let rest = buffer.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += end + 2;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_requests_are_taken_whole() {
        let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nDEL\r\n$1\r\nk"[..]);
        assert!(take_redis(&mut buffer, true).is_none());
        buffer.extend_from_slice(b"\r\n*1\r\n");
        let (kind, name, detail, bytes) = take_redis(&mut buffer, true).unwrap();
        assert_eq!((kind, name.as_str(), detail.as_str(), bytes), (Kind::Request, "DEL", "k", 20));
        assert_eq!(&buffer[..], b"*1\r\n");
    }
}
