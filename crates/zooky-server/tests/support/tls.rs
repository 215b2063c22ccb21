//! TLS for tests: a server's settings, and a client as bare as the one without.
#![allow(dead_code, unreachable_pub)] // each test uses its part

#[path = "tls_client.rs"]
mod client;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::pem;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use zooky_server::TlsSettings;
use zooky_wire::{Reader, ReplyHeader, Request, Writer, take_frame};

/// TLS on any free port, for clients without a certificate.
pub fn settings() -> TlsSettings {
    TlsSettings::new("127.0.0.1:0".parse().unwrap(), pem("server.pem"), pem("server.key"))
}

/// A connection inside TLS.
#[derive(Debug)]
pub struct Sealed {
    stream: StreamOwned<ClientConnection, TcpStream>,
    input: BytesMut,
    next_xid: i32,
}

impl Sealed {
    /// A connection whose handshake is done, and that has sent nothing yet.
    pub fn open(addr: SocketAddr) -> Sealed {
        let client = client::client(ServerName::from(addr.ip()));
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Sealed { stream, input: BytesMut::new(), next_xid: 1 }
    }

    /// A new session.
    pub fn connect_for(addr: SocketAddr, timeout_ms: i32) -> Sealed {
        let mut sealed = Sealed::open(addr);
        let mut w = Writer::new();
        let mark = w.begin_frame();
        super::support::new_session(timeout_ms).encode(&mut w);
        w.end_frame(mark);
        sealed.stream.write_all(w.as_slice()).unwrap();
        sealed.frame().expect("a session");
        sealed
    }

    /// Sends requests.
    pub fn send(&mut self, requests: &[Request]) {
        let mut w = Writer::new();
        for request in requests {
            let mark = w.begin_frame();
            request.encode(self.next_xid, &mut w);
            w.end_frame(mark);
            self.next_xid += 1;
        }
        self.stream.write_all(w.as_slice()).unwrap();
    }

    /// The next frame; `None` if the connection has ended.
    pub fn frame(&mut self) -> Option<Bytes> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(frame) = take_frame(&mut self.input, 64 << 20).unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut chunk) {
                Ok(n @ 1..) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing in time"),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The next reply's header, and how many bytes came behind it.
    pub fn reply(&mut self) -> Option<(ReplyHeader, usize)> {
        let frame = self.frame()?;
        let mut r = Reader::new(&frame);
        Some((ReplyHeader::decode(&mut r).unwrap(), r.remaining()))
    }
}
