//! Four-letter words: what a server says of itself, without a session.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{Stream, in_time};
use crate::servers::{Server, ServerListError};
use crate::tls::TlsConfig;

/// The longest answer that is read: `mntr` of a newer Apache ZooKeeper has some tens of kilobytes.
const ANSWER_BYTES: u64 = 1 << 20;
/// How a server that speaks TLS alone says that it did not understand: an alert.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// A connection to one server, on which it can be asked one four-letter word (`srvr`, `mntr`, …): by TLS where sessions would
/// come by TLS, for a port that has TLS only answers to nothing else.
///
/// Dropping it, or a future of it, closes the connection; nothing else depends on it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let one = server.addr().to_string();
/// use zooky_client::Inquiry;
///
/// // one: "localhost:2181", say
/// let inquiry = Inquiry::open(&one, None, std::time::Duration::from_secs(2)).await?;
/// assert!(inquiry.ask("srvr").await?.contains("Mode: standalone"));
/// # Ok(()) }
/// ```
pub struct Inquiry {
    stream: Stream,
    address: SocketAddr,
    within: Duration,
}

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InquiryError {
    /// The text names no server.
    #[error(transparent)]
    Server(#[from] ServerListError),
    /// Its name cannot be looked up, nothing answers there, or TLS did not come about.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection was there, and an answer was not.
    #[error("no answer to {word}: {why}{}", hint(.by_tls))]
    Silent {
        /// The word.
        word: String,
        /// What happened instead.
        why: io::Error,
        /// Whether it was asked by TLS.
        by_tls: bool,
    },
    /// It was asked in plain text and wants TLS.
    #[error("this port speaks TLS and cannot be asked in plain text; name the authority of its certificate")]
    WantsTls,
}

fn hint(by_tls: &bool) -> &'static str {
    // Four bytes are too few for a TLS server to see that they are no TLS: it waits for more.
    if *by_tls { "" } else { "; a port that has TLS only cannot be asked in plain text" }
}

impl Inquiry {
    /// Connects to `server`, which is `host:port` (2181 if there is no port), by TLS if there are settings for it. Connecting, and
    /// later the answer, may take as long as `within`.
    ///
    /// # Errors
    /// See [`InquiryError`].
    pub async fn open(
        server: &str,
        tls: Option<&TlsConfig>,
        within: Duration,
    ) -> Result<Inquiry, InquiryError> {
        let server = Server::parse(server)?;
        let open = async {
            let stream = Stream::open(server, tls.cloned(), within).await?;
            let address = stream.tcp().peer_addr()?;
            Ok(Inquiry { stream, address, within })
        };
        in_time(open, within).await.map_err(InquiryError::Connect)
    }

    /// The address at which the server was reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the word, and reads until the server hangs up, as it does behind its answer. A word that it does not answer to, it
    /// refuses in a line of text; that is an answer, too.
    ///
    /// # Errors
    /// See [`InquiryError`].
    pub async fn ask(self, word: &str) -> Result<String, InquiryError> {
        let Inquiry { stream, within, .. } = self;
        let by_tls = matches!(stream, Stream::Tls(_));
        let talk = async {
            match stream {
                Stream::Tcp(stream) => exchange(stream, word).await,
                Stream::Tls(stream) => exchange(stream, word).await,
            }
        };
        let silent = |why| InquiryError::Silent { word: word.to_owned(), why, by_tls };
        let answer = in_time(talk, within).await.map_err(silent)?;
        if answer.is_empty() {
            return Err(silent(io::Error::new(ErrorKind::UnexpectedEof, "it hung up")));
        }
        if !by_tls && answer.starts_with(&TLS_ALERT) {
            return Err(InquiryError::WantsTls);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl std::fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn exchange<S>(mut stream: S, word: &str) -> io::Result<Vec<u8>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(word.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES).read_to_end(&mut answer).await {
        // Servers hang up without TLS's own word of farewell.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => Ok(answer),
        read => read.map(|_| answer),
    }
}
