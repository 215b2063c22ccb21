//! The raw arguments, the environment and the file, resolved once: which servers, which lock, as whom.
//!
//! One precedence for every setting: the flag, else the environment variable, else the file, else the default. `zooky
//! doctor` shows what came of it, and where each value stands.

mod file;

use crate::cli::{self, Globals};
use crate::exit::{self, Failure};
use file::File;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a NAME without a leading slash lives.
pub(crate) const LOCKS: &str = "/locks";
/// Where zktools keeps its locks.
pub(crate) const ZKTOOLS: &str = "/ZktoolsLocks";
/// Whom to talk to when nobody says anything.
const SERVERS: &str = "localhost:2181";
/// How long the servers keep our locks when they hear nothing from us.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds for the whole command.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Whom to talk to.
    pub(crate) servers: Servers,
    /// Where a NAME without a leading slash lives, if anybody said so.
    pub(crate) lock_root: Option<String>,
    /// `--lock_root` is on the command line: whoever types that wants zktools' tables.
    pub(crate) as_zktools: bool,
    /// What to ask the servers for.
    pub(crate) session_timeout: Duration,
    /// Who we are, for the nodes' ACLs.
    pub(crate) identities: Vec<Identity>,
    /// Where all this stands, for `doctor`.
    pub(crate) settings: Vec<Setting>,
}

/// Whom to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Named by the user: never replaced by a server of ours.
    Named(String),
    /// Nobody was named: what answers at this address, else the embedded server.
    Default(String),
}

impl Servers {
    /// Their list, as text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Servers::Named(servers) | Servers::Default(servers) => servers,
        }
    }
}

/// An identity that the servers are told. Its credentials are shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) scheme: String,
    pub(crate) credentials: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The scheme, and of digest's credentials the user.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.split_once(':').filter(|_| self.scheme == "digest");
        write!(f, "{}:{}", self.scheme, user.map_or("…".to_string(), |(user, _)| format!("{user}:…")))
    }
}

/// A setting, its value and where that stands.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) => write!(f, "--{name}"),
            Source::Variable(name) => write!(f, "environment {name}"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Default => f.write_str("default"),
        }
    }
}

impl Config {
    /// The command line first, then the environment, then the file, then the defaults.
    ///
    /// # Errors
    /// A variable or a file that makes no sense.
    pub(crate) fn resolve(globals: &Globals) -> Result<Config, Failure> {
        let file = File::find()?;
        let mut settings = Vec::new();
        let mut note = |name, value: &dyn fmt::Display, source: &Source| {
            settings.push(Setting { name, value: value.to_string(), source: source.clone() });
        };

        let named = Value::flag("servers", globals.servers.clone())
            .or_variable("ZOOKY_SERVERS", |text| Ok(text.to_string()))?
            .or_file(&file, |file| file.servers.clone());
        let (servers, source) = match named.taken {
            Some((servers, source)) => (Servers::Named(servers), source),
            None => {
                let address = Value::none().or_variable("ZOOKY_DEFAULT_ADDR", |text| Ok(text.to_string()))?;
                let (address, source) = address.or_default(SERVERS.to_string());
                (Servers::Default(address), source)
            }
        };
        note("servers", &servers.text(), &source);

        let root = Value::flag("lock_root", globals.lock_root.clone())
            .or_variable("ZOOKY_LOCK_ROOT", |text| Ok(text.to_string()))?
            .or_file(&file, |file| file.lock_root.clone());
        let as_zktools = matches!(root.taken, Some((_, Source::Flag(_))));
        let (lock_root, source) = match root.taken {
            Some((root, source)) => (Some(root), source),
            None => (None, Source::Default),
        };
        note("lock_root", &lock_root.as_deref().unwrap_or(LOCKS), &source);

        let (session_timeout, source) = Value::flag("session-timeout", globals.session_timeout)
            .or_variable("ZOOKY_SESSION_TIMEOUT", cli::session_timeout)?
            .or_file(&file, |file| file.session_timeout)
            .or_default(SESSION_TIMEOUT);
        note("session_timeout", &format_args!("{} s", session_timeout.as_secs_f64()), &source);

        let (identities, source) = Value::none()
            .or_variable("ZOOKY_AUTH", |text| text.lines().map(Identity::read).collect())?
            .or_file(&file, |file| (!file.auth.is_empty()).then(|| file.auth.clone()))
            .or_default(Vec::new());
        let shown: Vec<String> = identities.iter().map(Identity::to_string).collect();
        note("auth", &if shown.is_empty() { "nobody".to_string() } else { shown.join(", ") }, &source);

        Ok(Config { servers, lock_root, as_zktools, session_timeout, identities, settings })
    }

    /// Nothing but these servers and this timeout: what a helper process is told.
    pub(crate) fn plain(servers: String, session_timeout: Duration) -> Config {
        Config {
            servers: Servers::Named(servers),
            lock_root: None,
            as_zktools: false,
            session_timeout,
            identities: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// The full path of the lock that the user calls `name`. Whether it is a good path, the library says.
    pub(crate) fn lock_path(&self, name: &str) -> String {
        if name.starts_with('/') { name.to_string() } else { format!("{}/{name}", self.root()) }
    }

    /// Where a NAME without a leading slash lives.
    pub(crate) fn root(&self) -> &str {
        self.lock_root.as_deref().unwrap_or(LOCKS).trim_end_matches('/')
    }

    /// Where locks are looked for.
    pub(crate) fn roots(&self) -> Vec<&str> {
        match &self.lock_root {
            Some(root) => vec![root],
            None => vec![LOCKS, ZKTOOLS],
        }
    }

    /// The name by which the verbs take the lock at `path`.
    pub(crate) fn short<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.root()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
    }
}

impl Identity {
    /// `scheme:credentials`, as `digest:user:password`.
    fn read(text: &str) -> Result<Identity, String> {
        match text.split_once(':') {
            Some((scheme, credentials)) if !scheme.is_empty() => {
                Ok(Identity { scheme: scheme.to_string(), credentials: credentials.to_string() })
            }
            // The text may be a password: it is not repeated.
            _ => Err("an identity is SCHEME:CREDENTIALS, as digest:user:password".to_string()),
        }
    }
}

/// A setting on its way through the sources: the first that has it counts.
struct Value<T> {
    taken: Option<(T, Source)>,
}

impl<T> Value<T> {
    fn none() -> Value<T> {
        Value { taken: None }
    }

    fn flag(name: &'static str, given: Option<T>) -> Value<T> {
        Value { taken: given.map(|value| (value, Source::Flag(name))) }
    }

    fn or_variable(
        self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Value<T>, Failure> {
        if self.taken.is_some() {
            return Ok(self);
        }
        let Some(text) = variable(name)? else { return Ok(self) };
        let value = read(&text).map_err(|error| Failure::new(exit::CONFIG, format!("{name}: {error}")))?;
        Ok(Value { taken: Some((value, Source::Variable(name))) })
    }

    fn or_file(self, file: &File, get: impl Fn(&File) -> Option<T>) -> Value<T> {
        let read = || get(file).map(|value| (value, Source::File(file.path.clone())));
        Value { taken: self.taken.or_else(read) }
    }

    fn or_default(self, default: T) -> (T, Source) {
        self.taken.unwrap_or((default, Source::Default))
    }
}

/// An environment variable; one that is empty counts as not set, as cron's do.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::new(exit::CONFIG, format!("{name}: it is not UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        let mut config = Config::plain("h".to_string(), Duration::from_secs(10));
        assert_eq!(config.lock_path("backup"), "/locks/backup");
        assert_eq!(config.lock_path("a/b"), "/locks/a/b");
        assert_eq!(config.lock_path("/a/b"), "/a/b");
        assert_eq!(config.short("/locks/a/b"), "a/b");
        assert_eq!(config.short("/locksmith/a"), "/locksmith/a");
        config.lock_root = Some("/ZktoolsLocks/".to_string());
        assert_eq!(config.lock_path("fred"), "/ZktoolsLocks/fred");
        assert_eq!(config.short("/ZktoolsLocks/fred"), "fred");
    }

    #[test]
    fn credentials_are_not_shown() {
        let identity = Identity::read("digest:ops:secret:word").unwrap();
        assert_eq!((identity.scheme.as_str(), identity.credentials.as_str()), ("digest", "ops:secret:word"));
        assert_eq!(format!("{identity} {identity:?}"), "digest:ops:… digest:ops:…");
        assert_eq!(Identity::read("sasl:token").unwrap().to_string(), "sasl:…");
        assert!(!Identity::read("secret").unwrap_err().contains("secret"));
    }
}
