//! The seam to the library: connecting (with the embedded default), and its errors as exit codes and lines.

use crate::config::{Config, Servers};
use crate::embedded;
use crate::exit::{self, Failure};
use crate::table;
use std::time::Duration;
use zooky::inspect::Contender;
use zooky::session::{ConnectError, Error as SessionError, ServerList};
use zooky::{Client, Error, Mode, SessionConfig};

/// How long servers are looked for, at most: one that is just starting is worth a moment.
const CONNECTING: Duration = Duration::from_secs(10);
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
    let session = SessionConfig::new(list).timeout(config.session_timeout).connect_timeout(patience);
    let client = Client::connect_with(session).await.map_err(|error| failure(&error))?;
    if let Some(default) = default {
        default.connected();
    }
    Ok(client)
}

/// Closes the session: its locks and its place in queues are given up at once. Bounded in time.
pub(crate) async fn close(client: Client) {
    let _ = tokio::time::timeout(CLOSING, client.close()).await;
}

/// The library's error as ours.
pub(crate) fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Path { .. } | Error::Session(SessionError::BadPath(_)) => exit::DATA,
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
        Error::Lost { .. } => exit::LOST,
        _ => exit::UNAVAILABLE,
    };
    Failure::new(code, error)
}

/// Whether the error says that there is no such lock.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Session(SessionError::NoNode { .. }))
}

/// Who stands behind a contender: `pid 4711 (user@host, program)` as far as it says so itself.
pub(crate) fn describe(contender: &Contender) -> String {
    let text = match &contender.owner {
        Some(owner) => format!("pid {} ({}@{}, {})", owner.pid, owner.user, owner.host, owner.program),
        None => {
            let data = String::from_utf8_lossy(&contender.data);
            let named = if data.is_empty() { String::new() } else { format!(", {data:?}") };
            format!("{} session 0x{:x}{named}", contender.dialect, contender.session())
        }
    };
    table::printable(&text)
}

/// A lock's status, in zktools' words.
pub(crate) fn status(locked: bool) -> &'static str {
    if locked { "Locked" } else { "Free" }
}

/// A contender's mode: whether it shares the lock.
pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
    }
}
