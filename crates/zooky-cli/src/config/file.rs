//! The file with the user's settings: TOML, named by `ZOOKY_CONFIG`, else `zooky/config.toml` below `XDG_CONFIG_HOME` or
//! `~/.config`.

use super::Identity;
use crate::exit::{self, Failure};
use crate::{cli, xdg};
use serde::{Deserialize, Deserializer, de};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;
use zooky::session::Acl;

/// What is in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(skip)]
    pub(crate) path: PathBuf,
    pub(crate) servers: Option<String>,
    pub(crate) lock_root: Option<String>,
    #[serde(default, deserialize_with = "timeout")]
    pub(crate) session_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "identities")]
    pub(crate) auth: Vec<Identity>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    #[serde(default, deserialize_with = "acl")]
    pub(crate) acl: Vec<Acl>,
}

impl File {
    /// The file that there is; an empty one if there is none.
    ///
    /// # Errors
    /// One that was named and is not there, cannot be read or makes no sense.
    pub(crate) fn find() -> Result<File, Failure> {
        let named = super::variable("ZOOKY_CONFIG")?.map(PathBuf::from);
        let Some(path) = named.clone().or_else(usual) else { return Ok(File::default()) };
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(exit::CONFIG, format!("{}: {error}", path.display()))
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {
                return Ok(File::default());
            }
            Err(error) => return Err(failed(&error)),
        };
        File::read(&text).map(|file| File { path: path.clone(), ..file }).map_err(|error| failed(&error))
    }

    /// # Errors
    /// In one line; it repeats no part of the text, which may hold passwords.
    fn read(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|error| {
            let line =
                error.span().and_then(|span| text.get(..span.start)).map(|to| to.matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{line}{}", error.message().replace('\n', " "))
        })
    }
}

/// Where it is when nobody says anything.
fn usual() -> Option<PathBuf> {
    xdg::base("XDG_CONFIG_HOME", ".config").map(|base| base.join("zooky/config.toml"))
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    cli::session_timeout(&seconds.to_string()).map(Some).map_err(de::Error::custom)
}

fn identities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Identity>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| Identity::read(text)).collect::<Result<_, _>>().map_err(de::Error::custom)
}

fn acl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Acl>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| super::read_acl(text)).collect::<Result<_, _>>().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_it() {
        let text = "servers = \"zk1:2181\"\nlock_root = \"/app\"\nsession_timeout = 2.5\nauth = [\"digest:a:b\"]\n\
             ca = \"/ca.pem\"\nacl = [\"auth::cdrwa\"]\n";
        let file = File::read(text).unwrap();
        assert_eq!(file.servers.as_deref(), Some("zk1:2181"));
        assert_eq!(file.lock_root.as_deref(), Some("/app"));
        assert_eq!(file.session_timeout, Some(Duration::from_millis(2_500)));
        assert_eq!((file.auth.len(), file.acl), (1, Acl::creator_all()));
        assert_eq!((file.ca, file.cert), (Some(PathBuf::from("/ca.pem")), None));
        assert_eq!(
            File::read("session_timeout = 20").unwrap().session_timeout,
            Some(Duration::from_secs(20))
        );
        assert!(File::read("").unwrap().servers.is_none());
    }

    #[test]
    fn nonsense_is_told_with_its_line_and_without_secrets() {
        let error = File::read("servers = \"h\"\nserver = \"x\"\n").unwrap_err();
        assert!(error.starts_with("line 2: ") && error.contains("server"), "{error}");
        for text in ["session_timeout = 0", "session_timeout = \"x\"", "auth = [\"hunter2\"]", "servers = ["]
        {
            let error = File::read(text).unwrap_err();
            assert!(error.starts_with("line 1: ") && !error.contains("hunter2"), "{error}");
        }
    }
}
