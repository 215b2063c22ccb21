//! The raw arguments and the environment, resolved once: which servers, which lock.

use crate::cli::Globals;
use crate::exit::Failure;
use std::time::Duration;

/// Where a NAME without a leading slash lives.
pub(crate) const LOCKS: &str = "/locks";
/// Where zktools keeps its locks.
pub(crate) const ZKTOOLS: &str = "/ZktoolsLocks";

/// What holds for the whole command.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Whom to talk to.
    pub(crate) servers: Servers,
    /// `--lock_root`, if it was given.
    pub(crate) lock_root: Option<String>,
    /// What to ask the servers for.
    pub(crate) session_timeout: Duration,
}

/// Whom to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Named by the user: never replaced by a server of ours.
    Named(String),
    /// Nobody was named: what answers at this address, else the embedded server.
    Default(String),
}

impl Config {
    /// The command line first, then the environment, then the defaults.
    pub(crate) fn resolve(globals: &Globals) -> Result<Config, Failure> {
        let servers = match globals.servers.clone() {
            Some(servers) => Servers::Named(servers),
            None => match variable("ZOOKY_SERVERS")? {
                Some(servers) => Servers::Named(servers),
                None => {
                    Servers::Default(variable("ZOOKY_DEFAULT_ADDR")?.unwrap_or("localhost:2181".to_string()))
                }
            },
        };
        let lock_root = globals.lock_root.clone();
        Ok(Config { servers, lock_root, session_timeout: globals.session_timeout })
    }

    /// The full path of the lock that the user calls `name`. Whether it is a good path, the library says.
    pub(crate) fn lock_path(&self, name: &str) -> String {
        if name.starts_with('/') {
            return name.to_string();
        }
        let root = self.lock_root.as_deref().unwrap_or(LOCKS);
        format!("{}/{name}", root.trim_end_matches('/'))
    }
}

/// An environment variable; one that is empty counts as not set, as cron's do.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::new(crate::exit::CONFIG, format!("{name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        let mut config = Config {
            servers: Servers::Named("h".to_string()),
            lock_root: None,
            session_timeout: Duration::from_secs(10),
        };
        assert_eq!(config.lock_path("backup"), "/locks/backup");
        assert_eq!(config.lock_path("a/b"), "/locks/a/b");
        assert_eq!(config.lock_path("/a/b"), "/a/b");
        config.lock_root = Some("/ZktoolsLocks/".to_string());
        assert_eq!(config.lock_path("fred"), "/ZktoolsLocks/fred");
    }
}
