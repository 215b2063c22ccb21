//! TCP as far as the client uses it; the other end is the simulator.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use tokio::net::*;

use crate::state::{Arrival, Link, Machine, Sending};

/// The name's only address, whatever the name.
///
/// # Errors
/// None; a real look-up may fail.
#[allow(clippy::unused_async)] // as tokio's
pub async fn lookup_host<H: AsRef<str>>((_, port): (H, u16)) -> io::Result<impl Iterator<Item = SocketAddr>> {
    Ok([SocketAddr::from((Ipv4Addr::LOCALHOST, port))].into_iter())
}

/// What a connection of a machine is at.
#[derive(Debug, Default)]
pub struct Stage {
    open: bool,
    inbox: VecDeque<Bytes>,
    end: Option<io::ErrorKind>,
    ended: bool,
    waker: Option<Waker>,
}

impl Stage {
    pub(crate) fn arrives(&mut self, arrival: Arrival) -> Option<Waker> {
        match arrival {
            Arrival::Accepted => self.open = true,
            Arrival::Refused => self.end = Some(io::ErrorKind::ConnectionRefused),
            Arrival::Bytes(bytes) => self.inbox.push_back(bytes),
            Arrival::End => self.ended = true,
            Arrival::Reset => self.end = Some(io::ErrorKind::ConnectionReset),
        }
        self.waker.take()
    }
}

/// A simulated connection; dropping it closes it.
#[derive(Debug)]
pub struct TcpStream {
    machine: Machine,
    link: Link,
}

impl TcpStream {
    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(_: SocketAddr) -> io::Result<TcpStream> {
        let machine = Machine::present().ok_or_else(|| io::Error::other("no machine is running"))?;
        let link = {
            let mut state = machine.state();
            let link = Link(state.next_id());
            state.stages.insert(link, Stage::default());
            link
        };
        machine.send(link, Sending::Connect);
        let stream = TcpStream { machine, link };
        std::future::poll_fn(|cx| {
            stream.stage(|stage| {
                if let Some(end) = stage.end {
                    return Poll::Ready(Err(io::Error::from(end)));
                }
                if stage.open {
                    return Poll::Ready(Ok(()));
                }
                stage.waker = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await?;
        Ok(stream)
    }

    /// Nothing is held back here anyway.
    ///
    /// # Errors
    /// None.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn stage<T>(&self, with: impl FnOnce(&mut Stage) -> T) -> T {
        with(self.machine.state().stages.entry(self.link).or_default())
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stage(|stage| {
            if let Some(end) = stage.end {
                return Poll::Ready(Err(end.into()));
            }
            let Some(first) = stage.inbox.front_mut() else {
                if stage.ended {
                    return Poll::Ready(Ok(()));
                }
                stage.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let len = first.len().min(into.remaining());
            into.put_slice(&first[..len]);
            first.advance(len);
            if first.is_empty() {
                stage.inbox.pop_front();
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(end) = self.stage(|stage| stage.end) {
            return Poll::Ready(Err(end.into()));
        }
        // Sometimes only some of it is taken.
        let random = self.machine.state().random() as usize;
        let len = if random.is_multiple_of(8) { 1 + random / 8 % bytes.len().max(1) } else { bytes.len() };
        let len = len.min(bytes.len());
        self.machine.send(self.link, Sending::Bytes(Bytes::copy_from_slice(&bytes[..len])));
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.machine.state().stages.remove(&self.link);
        self.machine.send(self.link, Sending::Close);
    }
}

/// Nothing simulated has an event loop of its own.
#[derive(Debug, Clone)]
pub struct Arrivals;

impl Arrivals {
    /// Does nothing.
    pub fn include(&self, _connection: &TcpStream) -> io::Result<()> {
        Ok(())
    }
}
