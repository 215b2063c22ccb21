//! One connection to one server: TCP, or TLS over it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::boottime::{BootInstant, BootTimer};
use crate::servers::Server;
use crate::tls::TlsConfig;

/// Room that is made before each read.
const READ_BYTES: usize = 16 * 1024;

/// An open connection.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Looks the server's name up and tries its addresses one after the other, each for its share of the time.
    pub(crate) async fn open(server: Server, tls: Option<TlsConfig>, within: Duration) -> io::Result<Stream> {
        let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await?;
        let addresses: Vec<SocketAddr> = found.collect();
        let share = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match in_time(Stream::open_at(address, &server.host, tls.as_ref()), share).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn open_at(address: SocketAddr, host: &str, tls: Option<&TlsConfig>) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Stream::Tcp(stream)) };
        let name = tls.name_for(host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.client.clone()).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// What carries it.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Reads what is there behind `bytes`; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        bytes.reserve(READ_BYTES);
        // These futures keep nothing between polls, so that a new one may be made each time.
        match self {
            Stream::Tcp(stream) => std::pin::pin!(stream.read_buf(bytes)).poll(cx),
            Stream::Tls(stream) => std::pin::pin!(stream.read_buf(bytes)).poll(cx),
        }
    }

    /// Writes as much of `bytes` as goes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Sees to it that what was written leaves.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // There is no buffer of ours in between.
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// `tokio::time` would stand still while the machine sleeps, and may not be enabled.
pub(crate) async fn in_time<T>(work: impl Future<Output = io::Result<T>>, within: Duration) -> io::Result<T> {
    let mut timer = BootTimer::new()?;
    timer.set(BootInstant::now() + within)?;
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        timer.poll(cx).map(|fired| {
            fired?;
            Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"))
        })
    })
    .await
}
