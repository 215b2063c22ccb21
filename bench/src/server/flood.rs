//! Many requests at once on many connections, by one thread: the client's side should cost next to nothing.

use super::load::DATA;
use super::order::{Rate, Times, What};
use crate::failure::Failure;
use crate::peers::us_since;
use crate::peers::wire::{Connection, create, refused};
use bytes::{Buf, Bytes, BytesMut};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use zooky_wire::{
    CreateMode, ErrorCode, MAX_FRAME_DEFAULT, Reader, ReplyHeader, Request, Writer, take_frame, xid,
};

const DIRECTORY: &str = "/bench/flood";
const READ: &str = "/bench/flood/read";
/// Once a second at most nothing arrives: then the server has forgotten us.
const SILENCE: Duration = Duration::from_secs(30);

/// Keeps `in_flight` requests under way on each of `sessions` sessions until the limit, then lets them finish.
pub(super) fn flood(
    hosts: &str,
    what: What,
    sessions: usize,
    in_flight: usize,
    limit: Duration,
) -> Result<Rate, Failure> {
    let mut poll = Poll::new()?;
    let mut streams =
        (0..sessions).map(|i| Stream::open(hosts, what, i, &poll)).collect::<Result<Vec<_>, _>>()?;
    let mut events = Events::with_capacity(sessions);
    let (mut scratch, start) = (vec![0; 1 << 17], Instant::now());
    let end = start + limit;
    let mut count = 0;
    for stream in &mut streams {
        (0..in_flight).for_each(|_| stream.first(what));
        stream.flush()?;
    }
    while streams.iter().any(|stream| !stream.asked.is_empty()) {
        poll.poll(&mut events, Some(SILENCE))?;
        if events.is_empty() {
            return Err(Failure::Refused("the server has fallen silent".to_string()));
        }
        let more = Instant::now() < end;
        for event in &events {
            count += streams[event.token().0].turn(&mut scratch, more)?;
        }
    }
    let rate = Rate { count, seconds: start.elapsed().as_secs_f64() };
    streams.into_iter().try_for_each(|stream| stream.close())?;
    Ok(rate)
}

/// What is known of a request under way.
enum Asked {
    Create,
    Delete,
    Read,
}

struct Stream {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    xid: i32,
    asked: VecDeque<Asked>,
    /// A create, with its length in front; only the xid changes.
    create: Vec<u8>,
    /// A read, likewise.
    read: Vec<u8>,
}

impl Stream {
    fn open(hosts: &str, what: What, number: usize, poll: &Poll) -> Result<Stream, Failure> {
        let mut connection = Connection::open(hosts)?;
        let directory = format!("{DIRECTORY}/{number}");
        connection.make_path(&directory)?;
        if what == What::Reads {
            match connection.ask(&create(READ, CreateMode::PERSISTENT, Bytes::from_static(DATA)))? {
                Ok(_) | Err(ErrorCode::NODE_EXISTS) => {}
                Err(code) => return Err(refused(code)),
            }
        }
        let make =
            create(&format!("{directory}/n-"), CreateMode::EPHEMERAL_SEQUENTIAL, Bytes::from_static(DATA));
        let read = Request::GetData { path: READ.to_string(), watch: false };
        let (stream, xid) = connection.into_parts();
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Stream {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            xid,
            asked: VecDeque::new(),
            create: frame(&make),
            read: frame(&read),
        })
    }

    fn first(&mut self, what: What) {
        match what {
            What::Writes => self.ask(Asked::Create),
            What::Reads => self.ask(Asked::Read),
        }
    }

    fn ask(&mut self, asked: Asked) {
        let template = match asked {
            Asked::Read => &self.read,
            _ => &self.create,
        };
        self.xid += 1;
        let start = self.output.len();
        self.output.extend_from_slice(template);
        self.output[start + 4..start + 8].copy_from_slice(&self.xid.to_be_bytes());
        self.asked.push_back(asked);
    }

    fn delete(&mut self, path: &str) {
        self.xid += 1;
        let mut w = Writer::from_buf(std::mem::take(&mut self.output));
        let mark = w.begin_frame();
        Request::Delete { path: path.to_string(), version: -1 }.encode(self.xid, &mut w);
        w.end_frame(mark);
        self.output = w.into_buf();
        self.asked.push_back(Asked::Delete);
    }

    /// Takes what has come, asks as much again if there is to be more; returns how many requests are done.
    fn turn(&mut self, scratch: &mut [u8], more: bool) -> Result<u64, Failure> {
        let mut done = 0;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Refused("the server closed the connection".to_string())),
                Ok(n) => {
                    self.input.extend_from_slice(&scratch[..n]);
                    while let Some(frame) = take_frame(&mut self.input, MAX_FRAME_DEFAULT)? {
                        self.take(&frame, more)?;
                        done += 1;
                    }
                    if n < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()?;
        Ok(done)
    }

    fn take(&mut self, frame: &[u8], more: bool) -> Result<(), Failure> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader)?;
        if header.err != ErrorCode::OK {
            return Err(refused(header.err));
        }
        match self.asked.pop_front() {
            // Also at the end: nothing is left behind.
            Some(Asked::Create) => self.delete(reader.str()?),
            Some(Asked::Delete) if more => self.ask(Asked::Create),
            Some(Asked::Read) if more => self.ask(Asked::Read),
            Some(_) => {}
            None => return Err(Failure::Unreadable("a reply to no request of ours".to_string())),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => self.output.advance(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        let stream = std::net::TcpStream::from(self.stream);
        stream.set_nonblocking(false)?;
        Connection::from_parts(stream, self.xid).close()
    }
}

/// A request with its length in front.
fn frame(request: &Request) -> Vec<u8> {
    let mut w = Writer::new();
    let mark = w.begin_frame();
    request.encode(0, &mut w);
    w.end_frame(mark);
    w.as_slice().to_vec()
}

/// One session changes a node that all others watch for good; timed from the change to the last one's event.
pub(super) fn fan_out(hosts: &str, watchers: usize, limit: Duration) -> Result<Times, Failure> {
    const WATCHED: &str = "/bench/flood/watched";
    let mut changer = Connection::open(hosts)?;
    changer.make_path(WATCHED)?;
    let mut poll = Poll::new()?;
    let mut waiting = Vec::new();
    for number in 0..watchers {
        let mut connection = Connection::open(hosts)?;
        let watch = Request::AddWatch { path: WATCHED.to_string(), mode: 0 };
        connection.ask(&watch)?.map_err(refused)?;
        let (stream, xid) = connection.into_parts();
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        waiting.push((stream, xid));
    }
    let set =
        Request::SetData { path: WATCHED.to_string(), data: Some(Bytes::from_static(DATA)), version: -1 };
    let mut events = Events::with_capacity(1_024);
    let (mut times, start) = (Times::default(), Instant::now());
    while times.us.is_empty() || start.elapsed() < limit {
        let begin = Instant::now();
        let xid = changer.queue(&set);
        changer.flush()?;
        let mut told = 0;
        while told < watchers {
            poll.poll(&mut events, Some(SILENCE))?;
            if events.is_empty() {
                return Err(Failure::Refused(format!("only {told} of {watchers} were told")));
            }
            for event in &events {
                told += events_of(&mut waiting[event.token().0].0)?;
            }
        }
        times.us.push(us_since(begin));
        changer.reply(xid)?.map_err(refused)?;
    }
    for (stream, xid) in waiting {
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(false)?;
        Connection::from_parts(stream, xid).close()?;
    }
    changer.close()?;
    Ok(times)
}

/// How many whole events are there to be read. An event comes in one piece: it is small, and its socket was empty.
fn events_of(stream: &mut TcpStream) -> Result<usize, Failure> {
    let mut scratch = [0; 1_024];
    let mut input = BytesMut::new();
    let mut count = 0;
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return Err(Failure::Refused("the server closed the connection".to_string())),
            Ok(n) => {
                input.extend_from_slice(&scratch[..n]);
                while let Some(frame) = take_frame(&mut input, MAX_FRAME_DEFAULT)? {
                    let header = ReplyHeader::decode(&mut Reader::new(&frame))?;
                    count += usize::from(header.xid == xid::EVENT);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && input.is_empty() => return Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
