//! The raw arguments, the environment and the file, resolved once: which servers, which lock, as whom.
//!
//! One precedence for every setting: the flag, else the environment variable, else the file, else the default. `zooky
//! doctor` shows what came of it, and where each value stands.

mod file;

use crate::cli::{self, Globals};
use crate::exit::{self, Failure};
use file::File;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zooky::session::{Acl, perms};

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
    /// TLS to servers that are named.
    pub(crate) tls: Option<Tls>,
    /// Who may do what with nodes that we create.
    pub(crate) acl: Vec<Acl>,
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

/// The files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Whose certificates the servers must have.
    pub(crate) ca: PathBuf,
    /// Our own certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// # Errors
    /// What does not go together, by name.
    fn of(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<Tls>, Failure> {
        let wrong = |why: &str| Err(Failure::new(exit::CONFIG, why));
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return wrong("cert and key are needed together"),
        };
        match (ca, identity) {
            (Some(ca), identity) => Ok(Some(Tls { ca, identity })),
            (None, None) => Ok(None),
            (None, Some(_)) => wrong("cert and key are for TLS, which needs ca as well"),
        }
    }

    /// The same for a process that we start.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &Path)> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [(CERT, cert), (KEY, key)]);
        [(CA, &self.ca)].into_iter().chain(identity).map(|(name, path)| (name, path.as_path())).collect()
    }
}

/// The variables that name the files of TLS.
const CA: &str = "ZOOKY_CA";
const CERT: &str = "ZOOKY_CERT";
const KEY: &str = "ZOOKY_KEY";

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

        let mut tls_file =
            |name, flag: &Option<PathBuf>, variable, in_file: &dyn Fn(&File) -> Option<PathBuf>| {
                let found = Value::flag(name, flag.clone())
                    .or_variable(variable, |text| Ok(PathBuf::from(text)))?
                    .or_file(&file, in_file);
                let (path, source) = found.taken.unzip();
                let shown = path.as_ref().map_or("none".to_string(), |path| path.display().to_string());
                note(name, &shown, &source.unwrap_or(Source::Default));
                Ok::<_, Failure>(path)
            };
        let ca = tls_file("ca", &globals.ca, CA, &|file| file.ca.clone())?;
        let cert = tls_file("cert", &globals.cert, CERT, &|file| file.cert.clone())?;
        let key = tls_file("key", &globals.key, KEY, &|file| file.key.clone())?;
        let tls = Tls::of(ca, cert, key)?;

        let (acl, source) = Value::none()
            .or_variable("ZOOKY_ACL", |text| text.lines().map(read_acl).collect())?
            .or_file(&file, |file| (!file.acl.is_empty()).then(|| file.acl.clone()))
            .or_default(Acl::open());
        note("acl", &acl.iter().map(show_acl).collect::<Vec<_>>().join(", "), &source);

        Ok(Config { servers, lock_root, as_zktools, session_timeout, identities, tls, acl, settings })
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

/// The letters of an ACL's rights, in zkCli's order.
const RIGHTS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// `scheme:id:rights`, as zkCli takes it: `auth::cdrwa` is whoever creates the node.
fn read_acl(text: &str) -> Result<Acl, String> {
    let wrong = || format!("{text:?}: an entry is SCHEME:ID:RIGHTS, as auth::cdrwa or world:anyone:r");
    let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (id, letters) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let right = |letter| RIGHTS.iter().find(|(one, _)| *one == letter).map(|(_, bit)| bit);
    let rights = letters.chars().try_fold(0, |rights, letter| right(letter).map(|bit| rights | bit));
    match rights {
        Some(rights) if rights != 0 && !scheme.is_empty() => Ok(Acl::new(rights, scheme, id)),
        _ => Err(wrong()),
    }
}

/// The same for people; of a digest only the user, for a digest of a password is nothing for a bug report.
pub(crate) fn show_acl(entry: &Acl) -> String {
    let letters: String =
        RIGHTS.iter().filter(|(_, bit)| entry.perms & bit != 0).map(|(letter, _)| letter).collect();
    let id = match entry.id.id.split_once(':') {
        Some((user, _)) if entry.id.scheme == "digest" => user,
        _ => &entry.id.id,
    };
    format!("{}:{id}:{letters}", entry.id.scheme)
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
        let mut config = Config {
            servers: Servers::Named("h".to_string()),
            lock_root: None,
            as_zktools: false,
            session_timeout: SESSION_TIMEOUT,
            identities: Vec::new(),
            tls: None,
            acl: Acl::open(),
            settings: Vec::new(),
        };
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
    fn acls_are_written_as_for_zkcli() {
        for (text, shown) in [
            ("auth::cdrwaa", "auth::cdrwa"),
            ("world:anyone:awr", "world:anyone:rwa"),
            ("digest:ops:2a/q=:cd", "digest:ops:cd"),
            ("x509:CN=a,OU=b:r", "x509:CN=a,OU=b:r"),
        ] {
            assert_eq!(show_acl(&read_acl(text).unwrap()), shown);
        }
        assert_eq!(read_acl("digest:ops:2a/q=:cd").unwrap().id.id, "ops:2a/q=");
        for text in ["", "world", "world:anyone", "world:anyone:", "world:anyone:x", ":anyone:r"] {
            assert!(read_acl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_tls_needs_is_needed_together() {
        let file = |name: &str| Some(PathBuf::from(name));
        assert_eq!(Tls::of(None, None, None).unwrap(), None);
        let tls = Tls::of(file("ca"), file("c"), file("k")).unwrap().unwrap();
        let variables: Vec<_> =
            tls.variables().iter().map(|(name, path)| format!("{name}={}", path.display())).collect();
        assert_eq!(variables, ["ZOOKY_CA=ca", "ZOOKY_CERT=c", "ZOOKY_KEY=k"]);
        for (ca, cert, key) in
            [(file("ca"), file("c"), None), (file("ca"), None, file("k")), (None, file("c"), file("k"))]
        {
            assert!(Tls::of(ca, cert, key).is_err());
        }
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
