//! A bare connection to a ZooKeeper server: blocking, one thread, nothing kept that is not asked for.

use crate::failure::Failure;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateKind, CreateMode, ErrorCode, MAX_FRAME_DEFAULT,
    OpCode, PASSWORD_LEN, Reader, ReplyHeader, Request, Response, WatcherEvent, Writer, take_frame, xid,
};

/// Long enough for a session that sends nothing while it waits for its turn.
const SESSION_TIMEOUT_MS: i32 = 40_000;

/// One session on one connection.
pub(crate) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    output: Writer,
    xid: i32,
    session: i64,
    /// What the outstanding requests asked, oldest first.
    asked: VecDeque<(i32, OpCode)>,
}

/// What came off the wire.
pub(crate) enum Arrival {
    /// The reply to the request with this xid; an error in place of a body.
    Reply(i32, Result<Response, ErrorCode>),
    /// A watch fired.
    Event(WatcherEvent),
}

impl Connection {
    /// Opens a new session.
    pub(crate) fn open(hosts: &str) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(hosts).map_err(Failure::io(&format!("connecting to {hosts}")))?;
        Connection::open_on(stream)
    }

    /// Opens a new session on a connection that is there.
    pub(crate) fn open_on(stream: TcpStream) -> Result<Connection, Failure> {
        stream.set_nodelay(true)?;
        let mut connection = Connection::from_parts(stream, 0);
        let hello = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: SESSION_TIMEOUT_MS,
            session_id: 0,
            password: vec![0; PASSWORD_LEN],
            read_only: Some(false),
        };
        let mark = connection.output.begin_frame();
        hello.encode(&mut connection.output);
        connection.output.end_frame(mark);
        connection.flush()?;
        let frame = connection.frame()?;
        connection.session = ConnectResponse::decode(&mut Reader::new(&frame))?.session_id;
        Ok(connection)
    }

    /// The socket and the last xid, for one who reads and writes itself; nothing may be outstanding.
    pub(crate) fn into_parts(self) -> (TcpStream, i32) {
        (self.stream, self.xid)
    }

    /// A connection again, from what [`Connection::into_parts`] gave; its session's number is not known any more.
    pub(crate) fn from_parts(stream: TcpStream, xid: i32) -> Connection {
        Connection {
            stream,
            input: BytesMut::new(),
            output: Writer::new(),
            xid,
            session: 0,
            asked: VecDeque::new(),
        }
    }

    /// The session's number.
    pub(crate) fn session(&self) -> i64 {
        self.session
    }

    /// Adds a request to what the next flush sends, and returns its xid.
    pub(crate) fn queue(&mut self, request: &Request) -> i32 {
        self.xid += 1;
        self.asked.push_back((self.xid, request.op()));
        let mark = self.output.begin_frame();
        request.encode(self.xid, &mut self.output);
        self.output.end_frame(mark);
        self.xid
    }

    /// Sends what is queued, in one write.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let mut buffer = std::mem::take(&mut self.output).into_buf();
        self.stream.write_all(&buffer)?;
        buffer.clear();
        self.output = Writer::from_buf(buffer);
        Ok(())
    }

    /// The next reply or event; waits for it.
    pub(crate) fn arrival(&mut self) -> Result<Arrival, Failure> {
        let frame = self.frame()?;
        self.read_arrival(&frame)
    }

    /// The next reply or event, if it has come already.
    pub(crate) fn arrived(&mut self) -> Result<Option<Arrival>, Failure> {
        match take_frame(&mut self.input, MAX_FRAME_DEFAULT)? {
            Some(frame) => self.read_arrival(&frame).map(Some),
            None => Ok(None),
        }
    }

    /// The reply to the request `xid`; earlier replies must be without error and are passed over, events too.
    pub(crate) fn reply(&mut self, xid: i32) -> Result<Result<Response, ErrorCode>, Failure> {
        loop {
            match self.arrival()? {
                Arrival::Reply(number, result) if number == xid => return Ok(result),
                Arrival::Reply(_, Err(code)) => return Err(refused(code)),
                Arrival::Reply(_, Ok(_)) | Arrival::Event(_) => {}
            }
        }
    }

    /// Sends one request and waits for its reply.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Result<Response, ErrorCode>, Failure> {
        let xid = self.queue(request);
        self.flush()?;
        self.reply(xid)
    }

    /// Waits for the next event; replies on the way must be without error.
    pub(crate) fn event(&mut self) -> Result<WatcherEvent, Failure> {
        loop {
            match self.arrival()? {
                Arrival::Event(event) => return Ok(event),
                Arrival::Reply(_, Err(code)) => return Err(refused(code)),
                Arrival::Reply(_, Ok(_)) => {}
            }
        }
    }

    /// Makes a persistent node and its parents, where they are missing.
    pub(crate) fn make_path(&mut self, path: &str) -> Result<(), Failure> {
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).chain([path.len()]);
        for end in ends {
            match self.ask(&create(&path[..end], CreateMode::PERSISTENT, Bytes::new()))? {
                Ok(_) | Err(ErrorCode::NODE_EXISTS) => {}
                Err(code) => return Err(refused(code)),
            }
        }
        Ok(())
    }

    /// Ends the session.
    pub(crate) fn close(mut self) -> Result<(), Failure> {
        self.ask(&Request::CloseSession)?.map(|_| ()).map_err(refused)
    }

    fn read_arrival(&mut self, frame: &[u8]) -> Result<Arrival, Failure> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader)?;
        if header.xid == xid::EVENT {
            return Ok(Arrival::Event(WatcherEvent::decode(&mut reader)?));
        }
        match self.asked.pop_front() {
            Some((number, _)) if number == header.xid && header.err != ErrorCode::OK => {
                Ok(Arrival::Reply(number, Err(header.err)))
            }
            Some((number, op)) if number == header.xid => {
                Ok(Arrival::Reply(number, Ok(Response::decode(op, &mut reader)?)))
            }
            _ => Err(Failure::Unreadable(format!("a reply to no request of ours: {}", header.xid))),
        }
    }

    fn frame(&mut self) -> Result<Bytes, Failure> {
        loop {
            if let Some(frame) = take_frame(&mut self.input, MAX_FRAME_DEFAULT)? {
                return Ok(frame);
            }
            let mut chunk = [0; 1 << 14];
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(Failure::Refused("the server closed the connection".to_string()));
            }
            self.input.extend_from_slice(&chunk[..n]);
        }
    }
}

/// A create that everybody may undo.
pub(crate) fn create(path: &str, mode: CreateMode, data: Bytes) -> Request {
    Request::Create(Create {
        kind: CreateKind::Create,
        path: path.to_string(),
        data: Some(data),
        acl: Acl::open(),
        mode,
    })
}

/// What a server's refusal means to a measurement.
pub(crate) fn refused(code: ErrorCode) -> Failure {
    Failure::Refused(format!("the server answered: {code}"))
}
