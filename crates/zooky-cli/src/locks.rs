//! The seam to the library: connecting (with the embedded default), and its errors as exit codes and lines.

use crate::config::{Config, Servers};
use crate::embedded;
use crate::exit::{self, Failure};
use std::time::Duration;
use zooky::{Client, Contender, Error, ServerList, SessionConfig, SessionError};

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
    let list: ServerList = servers.parse().map_err(|error| Failure::new(exit::USAGE, error))?;
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
    use zooky::SessionError as Session;
    let code = match error {
        Error::Session(Session::BadPath(_)) => exit::DATA,
        Error::Session(Session::NoAuth { .. } | Session::AuthFailed) => exit::DENIED,
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
    match &contender.owner {
        Some(owner) => {
            let text = format!("pid {} ({}@{}, {})", owner.pid, owner.user, owner.host, owner.program);
            crate::table::printable(&text)
        }
        None => {
            let data = String::from_utf8_lossy(&contender.raw_data);
            let named = if data.is_empty() { String::new() } else { format!(" ({data})") };
            crate::table::printable(&format!("session 0x{:x}{named}", contender.session))
        }
    }
}

/// Since when a contender is there, in milliseconds since 1970: by its own account, else the server's.
pub(crate) fn since_ms(contender: &Contender) -> i64 {
    contender.owner.as_ref().map_or(contender.stat.ctime_ms, |owner| owner.since_ms)
}

/// A lock's status, in zktools' words.
pub(crate) fn status(status: zooky::inspect::Status) -> &'static str {
    match status {
        zooky::inspect::Status::Locked => "Locked",
        zooky::inspect::Status::Free => "Free",
    }
}

/// A contender's mode: whom it shares the lock with.
pub(crate) fn mode(mode: zooky::Mode) -> &'static str {
    match mode {
        zooky::Mode::Read => "shared",
        _ => "exclusive",
    }
}
