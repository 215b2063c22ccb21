//! The listening socket.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::StartError;

/// How many connections may wait to be accepted: bursts of hundreds are normal when a server comes back.
pub(super) const BACKLOG: i32 = 4_096;

/// Takes the address; nothing can connect before [`Listener::listen`].
pub(crate) fn bind(addr: SocketAddr) -> Result<Socket, StartError> {
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Those who come in by it have it from the first: one call less for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&addr.into())?;
        Ok(socket)
    };
    open().map_err(|source| refused(addr, source))
}

/// The address that was taken, its port filled in.
pub(crate) fn local_addr(socket: &Socket, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    let addr = socket.local_addr().map_err(|source| StartError::Listen { addr: asked, source })?;
    Ok(addr.as_socket().unwrap_or(asked))
}

fn refused(addr: SocketAddr, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { addr },
        _ => StartError::Listen { addr, source },
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

/// What an attempt to accept brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection.
    Conn(TcpStream, SocketAddr),
    /// No more for now.
    Nothing,
    /// The process or the system has no room for more; try again later.
    Full(io::Error),
}

impl Listener {
    /// Opens the doors. Returns the address too, its port filled in.
    pub(crate) fn listen(socket: Socket, addr: SocketAddr) -> Result<(Listener, SocketAddr), StartError> {
        socket.listen(BACKLOG).map_err(|source| refused(addr, source))?;
        let socket = TcpListener::from_std(socket.into());
        let addr = socket.local_addr().map_err(|source| StartError::Listen { addr, source })?;
        Ok((Listener { socket }, addr))
    }

    /// Its port.
    pub(crate) fn port(&self) -> Option<u16> {
        self.socket.local_addr().ok().map(|addr| addr.port())
    }

    /// For registering with a poll.
    pub(crate) fn source(&mut self) -> &mut TcpListener {
        &mut self.socket
    }

    /// Takes one connection.
    pub(crate) fn accept(&self) -> Accepted {
        loop {
            match self.socket.accept() {
                Ok((stream, peer)) => return Accepted::Conn(stream, peer),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Accepted::Nothing,
                // It was gone before it was accepted, or a signal came.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(e) => return Accepted::Full(e),
            }
        }
    }
}
