//! One connection's socket and its two buffers.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown};

use bytes::{Bytes, BytesMut};
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustls::ServerConnection;
use zooky_wire::{FrameError, frame_end, take_frame};

use super::outgoing::Outgoing;
use super::sealed::Sealed;
use super::{Effort, Traffic, metrics};
use crate::config::Limits;

/// For so long after it was opened a connection is new.
pub(crate) const NEW_MS: u64 = 20;

/// What reading once brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Some bytes, or none for now.
    Open,
    /// The other side has finished.
    End,
}

/// What writing once came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is sent.
    All,
    /// The socket takes more, but others come first.
    Portion,
    /// The socket takes no more for now.
    Full,
}

/// So much is written to a socket at once: the kernel copies it, and wakes its reader, while everybody waits.
pub(super) const FLUSH_BYTES: usize = 64 << 10;

/// Who has sent so much of a frame has room made for all of it.
const LONG_FRAME: usize = 64 << 10;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trade {
    /// ZooKeeper's protocol, four-letter words included.
    Client,
    /// The same inside TLS.
    Tls,
    /// One request for the metrics, over HTTP.
    Metrics,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Its number, never used twice.
    pub(crate) key: u64,
    /// Who is at the other end.
    pub(crate) peer: IpAddr,
    /// What it is for.
    pub(crate) trade: Trade,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: i64,
    /// When it was opened, in `mono_ms`.
    pub(crate) since_ms: u64,
    /// What it asked, and how long that took.
    pub(crate) traffic: Traffic,
    /// How much of the loop's time it had of late.
    pub(crate) effort: Effort,
    socket: TcpStream,
    /// The TLS around it, if there is one.
    sealed: Option<Sealed>,
    input: BytesMut,
    output: Outgoing,
    /// The socket may have bytes to read.
    pub(crate) readable: bool,
    /// The other side has finished, so a short read is not the last one.
    pub(crate) read_closed: bool,
    /// It stands in the list of connections to be served.
    pub(crate) in_ready: bool,
    /// It stands in the list of connections to be flushed.
    pub(crate) in_dirty: bool,
    /// Its first whole packet is there.
    pub(crate) greeted: bool,
    /// No more of its requests are read until its answers have drained.
    pub(crate) paused: bool,
    /// Nothing more is read from it.
    pub(crate) finished: bool,
    /// It is closed once its output is sent.
    pub(crate) close_when_sent: bool,
    /// The core has been told that it is gone.
    pub(crate) forgotten: bool,
    /// Answers that wait for the disk, and their bytes.
    pub(crate) held_count: usize,
    /// See `held_count`.
    pub(crate) held_bytes: usize,
    /// The size of the request that is being served, if that takes several steps.
    pub(crate) asked_bytes: usize,
    /// What its buffers took when they were measured last.
    pub(super) measured: usize,
    /// All that was ever read from it, in bytes.
    pub(crate) read_bytes: u64,
}

impl Conn {
    pub(super) fn new(key: u64, socket: TcpStream, peer: IpAddr) -> Conn {
        Conn {
            key,
            peer,
            trade: Trade::Client,
            opened_ms: 0,
            since_ms: 0,
            traffic: Traffic::default(),
            effort: Effort::default(),
            socket,
            sealed: None,
            input: BytesMut::new(),
            output: Outgoing::default(),
            readable: true,
            read_closed: false,
            in_ready: false,
            in_dirty: false,
            greeted: false,
            paused: false,
            finished: false,
            close_when_sent: false,
            forgotten: false,
            held_count: 0,
            held_bytes: 0,
            asked_bytes: 0,
            measured: 0,
            read_bytes: 0,
        }
    }

    /// Whether it has come just now.
    pub(crate) fn is_new(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) < NEW_MS
    }

    /// Its other end, `host:port`.
    pub(crate) fn address(&self) -> String {
        // One that is gone already has no address; the host is known still.
        self.socket.peer_addr().map_or_else(|_| self.peer.to_string(), |addr| addr.to_string())
    }

    /// Reads once, by way of `scratch`.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Fill> {
        if self.sealed.is_some() {
            return self.fill_from_tls(scratch.len());
        }
        match self.socket.read(scratch) {
            Ok(0) => Ok(Fill::End),
            Ok(n) => {
                // A short read has emptied the socket; an edge tells of what comes later.
                self.readable = n == scratch.len() || self.read_closed;
                self.input.extend_from_slice(&scratch[..n]);
                self.read_bytes += n as u64;
                Ok(Fill::Open)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Fill::Open)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Fill::Open),
            Err(e) => Err(e),
        }
    }

    /// Whether nothing has come in behind what was taken out, and nothing will: the other side has finished or is gone. Reads
    /// once to find out.
    pub(crate) fn has_left(&mut self, scratch: &mut [u8]) -> bool {
        self.sealed.is_none() && self.input.is_empty() && !matches!(self.fill(scratch), Ok(Fill::Open))
    }

    /// Reads about `most` bytes, and takes out of their records what was in them.
    fn fill_from_tls(&mut self, most: usize) -> io::Result<Fill> {
        let Some(sealed) = &mut self.sealed else { return Ok(Fill::End) };
        let came = sealed.fill(&mut self.socket, &mut self.input, most)?;
        self.read_bytes += came.bytes as u64;
        self.readable &= !came.emptied;
        Ok(came.fill)
    }

    /// Puts TLS around it, before anything is read.
    pub(crate) fn wrap(&mut self, tls: ServerConnection) {
        self.sealed = Some(Sealed::new(tls));
    }

    /// Whether TLS has something to say, an answer in its handshake for instance.
    pub(crate) fn wants_flush(&self) -> bool {
        self.sealed.as_ref().is_some_and(Sealed::wants_flush)
    }

    /// The subject of the client's certificate, once: when the handshake is done and it has proved it.
    pub(crate) fn take_subject(&mut self) -> Option<String> {
        self.sealed.as_mut()?.take_subject()
    }

    /// Whether it is in the middle of a long frame: what that asks takes its time.
    pub(crate) fn has_long_frame(&self) -> bool {
        self.input.len() >= LONG_FRAME
    }

    /// The first four bytes, if it has sent so many and not yet a packet.
    pub(crate) fn opening(&self) -> Option<[u8; 4]> {
        if self.greeted { None } else { self.input.first_chunk::<4>().copied() }
    }

    /// The next whole frame that has come in, without its length.
    pub(crate) fn next_frame(&mut self, limit: usize) -> Result<Option<Bytes>, FrameError> {
        let frame = take_frame(&mut self.input, limit);
        if let Ok(None) = frame
            && self.input.len() >= LONG_FRAME
            && let Some(end) = frame_end(&self.input, limit)?
        {
            // To grow by and by would be to copy it again and again, in leaps that everybody waits for.
            self.input.reserve(end.saturating_sub(self.input.len()));
        }
        if self.input.is_empty() && self.input.capacity() > 0 {
            // Thousands of idle sessions must not hold a buffer each.
            self.input = BytesMut::new();
        }
        frame
    }

    /// The first line of a request for metrics, once its head is there; an error if it grows too long.
    pub(crate) fn http_request(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let request = metrics::request(&self.input).map(<[u8]>::to_vec);
        if request.is_none() && self.input.len() > metrics::HEAD_BYTES {
            return Err(());
        }
        self.greeted |= request.is_some();
        Ok(request)
    }

    /// Puts bytes behind the output; nothing is sent before [`Conn::flush`].
    pub(crate) fn send(&mut self, bytes: Bytes) {
        self.output.push(bytes);
    }

    /// Writes what the socket takes, up to a portion. `ends`: if it is to be closed, then at once.
    pub(crate) fn flush(&mut self, ends: bool) -> io::Result<Flushed> {
        if let Some(sealed) = &mut self.sealed {
            let flushed = sealed.flush(&mut self.socket, &mut self.output)?;
            self.output.shrink();
            return Ok(flushed);
        }
        // The last answer leaves together with the end of the connection: one packet less.
        let more = if ends && self.close_when_sent { SendFlags::MORE } else { SendFlags::empty() };
        while !self.output.is_empty() {
            let first = self.output.first();
            let portion = &first[..first.len().min(FLUSH_BYTES)];
            // A piece that is not the last one does not leave alone.
            let more = if portion.len() < self.output.len() { more | SendFlags::MORE } else { more };
            match send(&self.socket, portion, more | SendFlags::NOSIGNAL) {
                Ok(n) => {
                    self.output.advance(n);
                    if n == FLUSH_BYTES && !self.output.is_empty() {
                        return Ok(Flushed::Portion);
                    }
                }
                Err(Errno::WOULDBLOCK) => return Ok(Flushed::Full),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.shrink();
        Ok(Flushed::All)
    }

    /// What all of its buffers take.
    pub(super) fn buffer_bytes(&self) -> usize {
        let sealed = self.sealed.as_ref().map_or(0, Sealed::room);
        self.input.capacity() + self.output.room() + self.held_bytes + self.asked_bytes + sealed
    }

    /// Bytes that wait for the disk or for the reader.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.held_bytes + self.output.len() + self.sealed.as_ref().map_or(0, Sealed::ahead)
    }

    /// Whether so much waits for it that no more of its requests should be read.
    pub(crate) fn is_behind(&self, limits: &Limits) -> bool {
        self.unread_bytes() > limits.unread_soft_bytes || self.held_count >= limits.outstanding
    }

    /// Ends the connection in good order: what was sent still arrives, unless more waits to be read than `reads` times
    /// `scratch`.
    pub(crate) fn shut_down(&mut self, scratch: &mut [u8], reads: usize) {
        if let Some(sealed) = &mut self.sealed {
            sealed.say_goodbye(&mut self.socket);
        }
        // Closing with unread input resets the connection, which may destroy the last answer on its way.
        // All three may fail because the other side is gone: then there is nothing to be done.
        let _ = self.socket.shutdown(Shutdown::Write);
        // Not for ever: the other side may send faster than this reads.
        for _ in 0..reads {
            if !matches!(self.socket.read(scratch), Ok(n) if n == scratch.len()) {
                return;
            }
        }
    }
}
