//! The seam to the library: connecting (with the embedded default), and its errors as exit codes and lines.

use crate::config::{Config, Identity, Servers, Tls};
use crate::embedded;
use crate::exit::{self, Failure, say};
use crate::table::{self, Cell, Colour};
use std::time::Duration;
use zooky::inspect::Contender;
use zooky::session::{ConnectError, ConnectFailures, Error as SessionError, ServerList, TlsConfig};
use zooky::{Client, Dialect, Error, Mode, Owner, SessionConfig};

/// How long servers are looked for, at most: one that is just starting is worth a moment.
const CONNECTING: Duration = Duration::from_secs(10);
/// When we say what we are waiting for: until then it may just be a server that starts.
const TELLING: Duration = Duration::from_secs(1);
/// How many turns the session's task gets to send its last request: one is enough.
const TURNS: usize = 4;
/// How long a session is closed for at the end, before we leave that to its timeout.
const CLOSING: Duration = Duration::from_secs(2);

/// Connects to the servers, after starting the embedded one if that is what the configuration comes to.
///
/// # Errors
/// One line that names the servers.
pub(crate) async fn connect(config: &Config) -> Result<Client, Failure> {
    let (servers, default) = match &config.servers {
        Servers::Named(servers) => (servers, None),
        Servers::Default(address) => (address, Some(embedded::ensure(address).await?)),
    };
    let list: ServerList = servers.parse().map_err(|error| failure(&Error::Servers(error)))?;
    // Whoever wants short sessions does not want to look for a server any longer.
    let patience = config.session_timeout.min(CONNECTING);
    let failures = ConnectFailures::default();
    let mut session = SessionConfig::new(list).timeout(config.session_timeout).connect_timeout(patience);
    for Identity { scheme, credentials } in &config.identities {
        session = session.auth(scheme.clone(), credentials.as_bytes());
    }
    if let Some(tls) = tls(config)? {
        session = session.tls(tls);
    }
    let opening = Client::connect_with(session.failures(failures.clone()));
    let client = telling(opening, &failures, patience).await.map_err(|error| failure(&error))?;
    if let Some(default) = default {
        default.connected();
    }
    Ok(client)
}

/// How the servers are reached, if by TLS: those that were named, for an embedded one has none.
///
/// # Errors
/// A file that cannot be read, or does not hold what it should.
pub(crate) fn tls(config: &Config) -> Result<Option<TlsConfig>, Failure> {
    let (Servers::Named(_), Some(Tls { ca, identity })) = (&config.servers, &config.tls) else {
        return Ok(None);
    };
    let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    TlsConfig::new(ca, identity).map(Some).map_err(|error| Failure::new(exit::CONFIG, error))
}

/// Connects, does something with the client, and closes the session.
///
/// # Errors
/// Those of connecting, and the work's.
pub(crate) async fn with<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let client = connect(config).await?;
    let done = work(&client).await;
    close(client).await;
    done
}

/// The library's errors become ours by `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        failure(&error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        failure(&Error::Session(error))
    }
}

/// Says once what the servers fail with if connecting takes long, and goes on: whoever has mistyped a port need not wait
/// for the end, and a server that is just starting is still waited for.
async fn telling<T>(opening: impl Future<Output = T>, failures: &ConnectFailures, patience: Duration) -> T {
    let mut opening = std::pin::pin!(opening);
    tokio::select! {
        biased;
        opened = &mut opening => return opened,
        () = tokio::time::sleep(TELLING) => {}
    }
    let told = failures.to_string();
    let why = if told.is_empty() { "no answer from the servers yet" } else { &told };
    let left = patience.saturating_sub(TELLING).as_secs_f64();
    if left > 0.0 {
        say(format_args!("{why}; trying for another {left:.0} s"));
    }
    opening.await
}

/// Closes the session: its locks and its place in queues are given up at once. Bounded in time.
pub(crate) async fn close(client: Client) {
    let _ = tokio::time::timeout(CLOSING, client.close()).await;
}

/// Closes a session that has nothing left, and does not wait for the answer: the request is on its way, which the end of this
/// process does not change.
pub(crate) async fn leave(client: Client) {
    let mut closing = std::pin::pin!(client.close());
    // The session's own task has its turn, and sends.
    for _ in 0..TURNS {
        tokio::select! {
            biased;
            _ = &mut closing => return,
            () = tokio::task::yield_now() => {}
        }
    }
}

/// The library's error as ours.
pub(crate) fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Path { .. } | Error::NodePath { .. } | Error::Session(SessionError::BadPath(_)) => exit::DATA,
        Error::LeasesDiffer { .. } | Error::NoSemaphore { .. } => exit::DATA,
        Error::NamedTwice { .. } | Error::NoSuchRecipe { .. } | Error::NotWritten { .. } => exit::USAGE,
        Error::ForeignContender { .. } | Error::UnknownChild { .. } | Error::SequenceExhausted { .. } => {
            exit::DATA
        }
        Error::Servers(_) => exit::USAGE,
        Error::Connect(
            ConnectError::AuthFailed | ConnectError::AuthRequired | ConnectError::SaslUnsupported,
        ) => exit::DENIED,
        Error::Connect(ConnectError::Local { .. }) => exit::OS,
        Error::Session(
            SessionError::NoAuth { .. } | SessionError::AuthFailed | SessionError::AuthRequired,
        ) => exit::DENIED,
        Error::Session(
            SessionError::NoNode { .. }
            | SessionError::NodeExists { .. }
            | SessionError::BadVersion { .. }
            | SessionError::NotEmpty { .. },
        ) => exit::NO,
        Error::Session(SessionError::TooLarge { .. }) => exit::DATA,
        Error::Lost { .. } => exit::LOST,
        _ => exit::UNAVAILABLE,
    };
    Failure::new(code, error)
}

/// Whether the error says that there is no such lock.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Session(SessionError::NoNode { .. }))
}

/// The answer that there is none.
pub(crate) fn no_lock(path: &str) -> Failure {
    Failure::new(exit::NO, format!("there is no lock {path}"))
}

/// Who stands behind a contender: `pid 4711 (user@host, program)` as far as it says so itself.
pub(crate) fn describe(contender: &Contender) -> String {
    let text = match &contender.owner {
        Some(owner) => describe_owner(owner),
        None => {
            let data = String::from_utf8_lossy(&contender.data);
            let named = if data.is_empty() { String::new() } else { format!(", {data:?}") };
            format!("{} session 0x{:x}{named}", contender.dialect, contender.session())
        }
    };
    table::printable(&text)
}

/// The same, of one of zooky's own.
pub(crate) fn describe_owner(owner: &Owner) -> String {
    let id = owner.id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
    let text = format!("pid {} ({}@{}, {}{id})", owner.pid, owner.user, owner.host, owner.program);
    table::printable(&text)
}

/// A lock's status, in zktools' words.
pub(crate) fn status(locked: bool) -> &'static str {
    if locked { "Locked" } else { "Free" }
}

/// A contender's mode: whether it shares the lock, or has one of a number of leases.
pub(crate) fn mode(contender: &Contender) -> &'static str {
    match (contender.dialect, contender.mode) {
        (Dialect::KazooSemaphore, _) => "lease",
        (_, Mode::Exclusive) => "exclusive",
        (_, Mode::Shared) => "shared",
    }
}

/// What a contender does: it holds or it waits, with the colour of it.
pub(crate) fn standing(contender: &Contender) -> Cell {
    if contender.holding == Some(true) { Colour::Good.cell("holds") } else { Colour::Busy.cell("waits") }
}
