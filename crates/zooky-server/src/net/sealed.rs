//! TLS around one connection: what it keeps is bounded and counted.
//!
//! Inwards waits what is not whole: a record, or before that a message of the handshake. Outwards it seals no more ahead of
//! the socket than one record; the rest of an answer waits where all answers do, as it is.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use rustls::ServerConnection;

use super::conn::{FLUSH_BYTES, Fill, Flushed};
use super::outgoing::Outgoing;

/// So much is sealed ahead of the socket: the longest record.
const AHEAD: usize = 16 << 10;
/// The longest record as it comes in, and the longest message of a handshake; rustls keeps no more of them.
const RECORD: usize = (16 << 10) + 2_048 + 5;
const HANDSHAKE: usize = (64 << 10) - 1;
/// What rustls makes room for beyond what has come in.
const READ_ROOM: usize = 4 << 10;

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) fill: Fill,
    /// Bytes that were read, sealed as they were.
    pub(super) bytes: usize,
    /// The socket has no more for now.
    pub(super) emptied: bool,
}

/// The server's end of TLS.
#[derive(Debug)]
pub(super) struct Sealed {
    tls: Box<ServerConnection>,
    /// Whose certificate it is has been told.
    told: bool,
    /// At most so much has come in and is not whole.
    partial: usize,
    /// So much is sealed and not sent.
    ahead: usize,
}

impl Sealed {
    pub(super) fn new(mut tls: ServerConnection) -> Sealed {
        tls.set_buffer_limit(Some(AHEAD));
        Sealed { tls: Box::new(tls), told: false, partial: 0, ahead: 0 }
    }

    /// Reads about `most` bytes if so many are there, and puts what was in them behind `input`.
    pub(super) fn fill(
        &mut self,
        socket: &mut impl Read,
        input: &mut BytesMut,
        most: usize,
    ) -> io::Result<Came> {
        let mut came = Came { fill: Fill::Open, bytes: 0, emptied: false };
        while came.bytes < most {
            let read = match self.tls.read_tls(socket) {
                Ok(0) => return Ok(Came { fill: Fill::End, ..came }),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    came.emptied = true;
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            came.bytes += read;
            let state =
                self.tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            let opened = state.plaintext_bytes_to_read();
            // What was opened ended in what was read just now; only what came behind it can be left.
            let before = if opened > 0 { 0 } else { self.partial };
            let longest = if self.tls.is_handshaking() { HANDSHAKE } else { RECORD };
            self.partial = (before + read).min(longest);
            let start = input.len();
            input.resize(start + opened, 0);
            self.tls.reader().read_exact(&mut input[start..])?;
            if state.peer_has_closed() {
                return Ok(Came { fill: Fill::End, ..came });
            }
        }
        Ok(came)
    }

    /// Seals and writes what the socket takes, up to a portion.
    pub(super) fn flush(&mut self, socket: &mut impl Write, output: &mut Outgoing) -> io::Result<Flushed> {
        let mut sent = 0;
        loop {
            // Before the end of the handshake nothing can be sealed.
            let seals = !self.tls.is_handshaking() && !output.is_empty();
            if !seals && !self.tls.wants_write() {
                return Ok(if output.is_empty() { Flushed::All } else { Flushed::Full });
            }
            if sent >= FLUSH_BYTES {
                return Ok(Flushed::Portion);
            }
            if seals {
                let taken = self.tls.writer().write(output.first())?;
                output.advance(taken);
                self.ahead += taken;
            }
            match self.tls.write_tls(socket) {
                Ok(n) => {
                    sent += n;
                    let left = self.ahead.saturating_sub(n);
                    self.ahead = if self.tls.wants_write() { left } else { 0 };
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Full),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether it has something to say itself, an answer in its handshake for instance.
    pub(super) fn wants_flush(&self) -> bool {
        self.tls.wants_write()
    }

    /// The subject of the client's certificate, once: when the handshake is done and it has proved it.
    pub(super) fn take_subject(&mut self) -> Option<String> {
        if self.told || self.tls.is_handshaking() {
            return None;
        }
        self.told = true;
        super::subject::subject(self.tls.peer_certificates()?.first()?)
    }

    /// Says that this is the end, and why perhaps, if the socket takes it.
    pub(super) fn say_goodbye(&mut self, socket: &mut impl Write) {
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(socket);
    }

    /// The most that rustls's buffers for data take, in bytes.
    pub(super) fn room(&self) -> usize {
        READ_ROOM + self.partial + self.ahead
    }

    /// Bytes of answers that are sealed and wait for the reader.
    pub(super) fn ahead(&self) -> usize {
        self.ahead
    }
}

#[cfg(test)]
#[path = "../../tests/support/tls_client.rs"]
mod tls_client;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rustls::ClientConnection;
    use rustls::pki_types::ServerName;

    use super::tls_client::pem;
    use super::*;
    use crate::TlsSettings;
    use crate::net::Tls;

    /// A socket's two directions, of which the outward one takes only so much.
    #[derive(Debug, Default)]
    struct Wire {
        inward: Vec<u8>,
        outward: Vec<u8>,
        takes: usize,
    }

    impl Read for Wire {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.inward.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = buffer.len().min(self.inward.len());
            buffer[..n].copy_from_slice(&self.inward[..n]);
            self.inward.drain(..n);
            Ok(n)
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.takes - self.outward.len());
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.outward.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn server() -> Sealed {
        let settings = TlsSettings::new("127.0.0.1:0".parse().unwrap(), pem("server.pem"), pem("server.key"));
        Sealed::new(Tls::load(&settings).unwrap().accept().unwrap())
    }

    fn client() -> ClientConnection {
        tls_client::client(ServerName::try_from("localhost").unwrap())
    }

    /// Both ends after their handshake, and the wire between them.
    fn shaken() -> (Sealed, ClientConnection, Wire) {
        let (mut server, mut client) = (server(), client());
        let mut wire = Wire { takes: usize::MAX, ..Wire::default() };
        while client.is_handshaking() || server.tls.is_handshaking() {
            client.write_tls(&mut wire.inward).ok();
            let came = server.fill(&mut wire, &mut BytesMut::new(), usize::MAX).unwrap();
            assert!(came.emptied);
            assert_eq!(server.flush(&mut wire, &mut Outgoing::default()).unwrap(), Flushed::All);
            receive(&mut client, &mut wire);
        }
        (server, client, wire)
    }

    /// What the client reads of all that has gone outwards.
    fn receive(client: &mut ClientConnection, wire: &mut Wire) -> usize {
        let outward = std::mem::take(&mut wire.outward);
        let (mut rest, mut total) = (&outward[..], 0);
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            let opened = client.process_new_packets().unwrap().plaintext_bytes_to_read();
            client.reader().read_exact(&mut vec![0; opened]).unwrap();
            total += opened;
        }
        total
    }

    #[test]
    fn a_large_answer_goes_a_portion_at_a_time_and_is_sealed_no_further_than_a_record_ahead() {
        const ANSWER: usize = 1 << 20;
        let (mut server, mut client, mut wire) = shaken();
        let mut output = Outgoing::default();
        output.push(Bytes::from(vec![7; ANSWER]));
        let (mut received, mut portions) = (0, 0);
        while server.flush(&mut wire, &mut output).unwrap() == Flushed::Portion {
            portions += 1;
            assert!(wire.outward.len() < FLUSH_BYTES + AHEAD + 1_024, "{} at once", wire.outward.len());
            received += receive(&mut client, &mut wire);
        }
        received += receive(&mut client, &mut wire);
        assert_eq!((received, server.ahead()), (ANSWER, 0));
        assert!(portions >= ANSWER / (FLUSH_BYTES + AHEAD), "{portions} portions");

        // Nobody reads: of all that waits one record is sealed, and it is counted.
        output.push(Bytes::from(vec![7; ANSWER]));
        wire.takes = 100;
        assert_eq!(server.flush(&mut wire, &mut output).unwrap(), Flushed::Full);
        let sealed = ANSWER - output.len();
        assert!(sealed <= AHEAD + wire.takes, "{sealed} sealed");
        assert!((sealed - 100..=AHEAD).contains(&server.ahead()), "{} counted", server.ahead());
        assert!(server.room() >= server.ahead());
    }

    #[test]
    fn what_is_not_whole_is_counted() {
        // A message of the handshake that never ends; each of its records is whole.
        let mut opening = server();
        let mut wire = Wire { takes: usize::MAX, ..Wire::default() };
        let (mut input, hello) = (BytesMut::new(), [&[1, 0, 0xff, 0xf0][..], &[0; 60_000]].concat());
        let mut sent = 0;
        for piece in hello.chunks(AHEAD) {
            wire.inward.extend([22, 3, 1]);
            wire.inward.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            wire.inward.extend(piece);
            sent += piece.len();
            opening.fill(&mut wire, &mut input, usize::MAX).unwrap();
            assert!(opening.room() >= sent, "{} counted of {sent}", opening.room());
        }
        assert!(opening.room() <= HANDSHAKE + READ_ROOM);

        // A record that never ends, behind one that does.
        let (mut server, mut client, mut wire) = shaken();
        client.writer().write_all(&[7; 10]).unwrap();
        client.write_tls(&mut wire.inward).unwrap();
        wire.inward.extend([23, 3, 3, 0x40, 0]);
        wire.inward.extend([7; 16_000]);
        server.fill(&mut wire, &mut input, usize::MAX).unwrap();
        assert_eq!(input.len(), 10);
        assert!((16_005..=RECORD + READ_ROOM).contains(&server.room()), "{} counted", server.room());
    }

    #[test]
    fn what_is_whole_is_not_counted_for_ever() {
        let (mut server, mut client, mut wire) = shaken();
        let mut input = BytesMut::new();
        for size in [100_000, 1] {
            client.writer().write_all(&vec![7; size.min(60_000)]).unwrap();
            while client.wants_write() {
                client.write_tls(&mut wire.inward).unwrap();
            }
            server.fill(&mut wire, &mut input, usize::MAX).unwrap();
        }
        assert_eq!(input.len(), 60_001);
        assert!(server.room() <= READ_ROOM + 100, "{} counted", server.room());
    }
}
