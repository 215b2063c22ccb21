//! A client as bare as can be, and servers to talk to.
#![allow(dead_code, unreachable_pub)] // each test uses its part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zooky_server::{Config, Server};
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateKind, CreateMode, ErrorCode, OpCode, Reader,
    ReplyHeader, Request, Response, Stat, WatcherEvent, Writer, take_frame, xid,
};

/// The settings of a server in `dir` on any free port.
pub fn config(dir: &Path) -> Config {
    Config::new("127.0.0.1:0".parse().unwrap(), dir)
}

/// A server in `dir` on any free port.
pub fn start(dir: &Path) -> Server {
    Server::start(config(dir)).unwrap()
}

/// The first packet of a client without a session.
pub fn new_session(timeout_ms: i32) -> ConnectRequest {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms,
        session_id: 0,
        password: vec![0; 16],
        read_only: Some(false),
    }
}

/// One connection; it sends what it is told and sees what comes back.
#[derive(Debug)]
pub struct Raw {
    pub stream: TcpStream,
    input: BytesMut,
    pub session: ConnectResponse,
    pub next_xid: i32,
    /// The newest zxid in a reply.
    pub zxid: i64,
    /// Events that came while a reply was awaited.
    pub events: Vec<WatcherEvent>,
}

/// Why there was no reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    Closed,
}

impl Raw {
    /// A connection that has sent nothing yet.
    pub fn open(addr: SocketAddr) -> Raw {
        Raw::try_open(addr).unwrap()
    }

    fn try_open(addr: SocketAddr) -> std::io::Result<Raw> {
        Raw::wrap(TcpStream::connect(addr)?)
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> Raw {
        Raw::wrap(stream).unwrap()
    }

    fn wrap(stream: TcpStream) -> std::io::Result<Raw> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let session = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: 0,
            password: vec![],
            read_only: None,
        };
        Ok(Raw { stream, input: BytesMut::new(), session, next_xid: 1, zxid: 0, events: Vec::new() })
    }

    /// A new session of ten seconds.
    pub fn connect(addr: SocketAddr) -> Raw {
        Raw::connect_for(addr, 10_000)
    }

    /// A new session of so many milliseconds.
    pub fn connect_for(addr: SocketAddr, timeout_ms: i32) -> Raw {
        let mut raw = Raw::open(addr);
        raw.shake(&new_session(timeout_ms)).unwrap();
        assert_ne!(raw.session.session_id, 0);
        raw
    }

    /// The same session on another connection.
    pub fn reattach(addr: SocketAddr, old: &Raw) -> Result<Raw, Lost> {
        let mut raw = Raw::try_open(addr).map_err(|_| Lost::Closed)?;
        let request = ConnectRequest {
            last_zxid_seen: old.zxid,
            session_id: old.session.session_id,
            password: old.session.password.clone(),
            ..new_session(old.session.timeout_ms)
        };
        raw.shake(&request)?;
        raw.zxid = old.zxid;
        raw.next_xid = old.next_xid;
        Ok(raw)
    }

    /// Sends the connect request and waits for the answer.
    pub fn shake(&mut self, request: &ConnectRequest) -> Result<(), Lost> {
        let mut w = Writer::new();
        let mark = w.begin_frame();
        request.encode(&mut w);
        w.end_frame(mark);
        self.raw(w.as_slice())?;
        self.welcomed()
    }

    /// Takes the answer to a connect request.
    pub fn welcomed(&mut self) -> Result<(), Lost> {
        let frame = self.frame()?;
        self.session = ConnectResponse::decode(&mut Reader::new(&frame)).unwrap();
        Ok(())
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(bytes).map_err(|_| Lost::Closed)
    }

    /// Sends requests in one write.
    pub fn send(&mut self, requests: &[Request]) -> Result<(), Lost> {
        let mut w = Writer::new();
        for request in requests {
            let mark = w.begin_frame();
            let number = if matches!(request, Request::Ping) { xid::PING } else { self.next_xid };
            request.encode(number, &mut w);
            w.end_frame(mark);
            self.next_xid += i32::from(number != xid::PING);
        }
        self.raw(w.as_slice())
    }

    /// The next frame, whatever it is.
    pub fn frame(&mut self) -> Result<Bytes, Lost> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(frame) = take_frame(&mut self.input, 64 << 20).unwrap() {
                return Ok(frame);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Lost::Closed),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer in time"),
                Err(_) => return Err(Lost::Closed),
            }
        }
    }

    /// The next reply; events before it are kept.
    pub fn reply(&mut self) -> Result<(ReplyHeader, Bytes), Lost> {
        loop {
            let mut frame = self.frame()?;
            let mut r = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut r).unwrap();
            if header.xid == xid::EVENT {
                self.events.push(WatcherEvent::decode(&mut r).unwrap());
                continue;
            }
            self.zxid = self.zxid.max(header.zxid);
            let body = frame.split_off(frame.len() - r.remaining());
            return Ok((header, body));
        }
    }

    /// The next event.
    pub fn event(&mut self) -> WatcherEvent {
        if self.events.is_empty() {
            let frame = self.frame().unwrap();
            let mut r = Reader::new(&frame);
            assert_eq!(ReplyHeader::decode(&mut r).unwrap().xid, xid::EVENT);
            return WatcherEvent::decode(&mut r).unwrap();
        }
        self.events.remove(0)
    }

    /// Asks and waits.
    #[allow(clippy::needless_pass_by_value)] // calls read better so
    pub fn call(&mut self, request: Request) -> Result<Response, ErrorCode> {
        let op = request.op();
        self.send(std::slice::from_ref(&request)).unwrap();
        let (header, body) = self.reply().unwrap();
        answer(op, header, &body)
    }

    /// Creates an open node with data.
    pub fn create(&mut self, path: &str, mode: CreateMode, data: &[u8]) -> Result<String, ErrorCode> {
        match self.call(create(path, mode, data))? {
            Response::Path(path) => Ok(path),
            other => panic!("{other:?}"),
        }
    }

    pub fn exists(&mut self, path: &str, watch: bool) -> Option<Stat> {
        match self.call(Request::Exists { path: path.into(), watch }) {
            Ok(Response::Stat(stat)) => Some(stat),
            Err(ErrorCode::NO_NODE) => None,
            other => panic!("{other:?}"),
        }
    }

    pub fn children(&mut self, path: &str) -> Vec<String> {
        match self.call(Request::GetChildren { path: path.into(), watch: false }) {
            Ok(Response::Names(names)) => names,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads a reply.
pub fn answer(op: OpCode, header: ReplyHeader, body: &[u8]) -> Result<Response, ErrorCode> {
    if header.err != ErrorCode::OK {
        return Err(header.err);
    }
    Ok(Response::decode(op, &mut Reader::new(body)).unwrap())
}

/// A create request for an open node.
pub fn create(path: &str, mode: CreateMode, data: &[u8]) -> Request {
    let data = Some(Bytes::copy_from_slice(data));
    Request::Create(Create { kind: CreateKind::Create, path: path.into(), data, acl: Acl::open(), mode })
}

/// What a server says to a four-letter word.
pub fn word(addr: SocketAddr, word: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(word.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
