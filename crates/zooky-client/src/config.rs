//! How a session is to be opened.

use std::time::Duration;

use crate::failures::ConnectFailures;
use crate::machine::Arrivals;
use crate::servers::ServerList;
use crate::tls::TlsConfig;

/// How a session is to be opened. Fields are read when [`Session::connect`](crate::Session::connect) is called.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The servers, and the chroot below which all paths lie.
    pub servers: ServerList,
    /// The session timeout to ask for; servers move it into their limits. Default 10 s.
    pub timeout: Duration,
    /// How long opening the session may take in all, over every server. Default 10 s.
    pub connect_timeout: Duration,
    /// Identities (scheme, credentials) that are added on every connection.
    pub auth: Vec<(String, Vec<u8>)>,
    /// TLS, if the servers want it.
    pub tls: Option<TlsConfig>,
    /// How much earlier than the servers could expire it the session is Lost. Default: a twentieth of the
    /// negotiated timeout. It covers clocks that run at different speeds, not pauses.
    pub margin: Option<Duration>,
    /// How many requests may wait for their answers, or for a connection. Default 65,536.
    pub max_outstanding: usize,
    /// The longest answer that is accepted, in bytes. Default 16 MiB.
    pub max_reply: usize,
    /// The longest request that is sent, in bytes. Default: 1 MiB less one byte, the servers' own default.
    pub max_request: usize,
    /// Where it is told what servers fail with; it may be read before [`connect`](crate::Session::connect) is through.
    pub failures: ConnectFailures,
    /// What is told when something has come from the server.
    pub arrivals: Option<Arrivals>,
}

impl SessionConfig {
    /// The defaults, for these servers.
    pub fn new(servers: ServerList) -> SessionConfig {
        SessionConfig {
            servers,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            auth: Vec::new(),
            tls: None,
            margin: None,
            max_outstanding: 65_536,
            max_reply: 16 << 20,
            max_request: zooky_wire::MAX_FRAME_DEFAULT,
            failures: ConnectFailures::default(),
            arrivals: None,
        }
    }

    /// Asks for another session timeout.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives opening the session more or less time.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// Adds an identity, for example `("digest", "user:password")`. SASL is refused when the session is opened.
    #[must_use]
    pub fn auth(mut self, scheme: impl Into<String>, credentials: impl Into<Vec<u8>>) -> Self {
        self.auth.push((scheme.into(), credentials.into()));
        self
    }

    /// Connects by TLS.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Shares what servers fail with, so that it can be told while the session is still being opened.
    #[must_use]
    pub fn failures(mut self, failures: ConnectFailures) -> Self {
        self.failures = failures;
        self
    }

    /// Tells another event loop when something has come. For programs that drive the runtime from there, so that no
    /// thread has to be woken in between.
    #[must_use]
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = Some(arrivals);
        self
    }

    /// Sets another margin.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }
}

/// Credentials are left out.
impl std::fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionConfig")
            .field("servers", &self.servers.to_string())
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("auth", &self.auth.iter().map(|(scheme, _)| scheme).collect::<Vec<_>>())
            .field("tls", &self.tls.is_some())
            .field("margin", &self.margin)
            .finish_non_exhaustive()
    }
}
