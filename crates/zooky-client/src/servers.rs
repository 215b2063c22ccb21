//! Which servers there are: `host:port,host:port/chroot`.

use std::fmt;
use std::str::FromStr;

use zooky_wire::{PathError, validate_path};

use crate::chroot::Chroot;

const DEFAULT_PORT: u16 = 2181;

/// The servers of one ZooKeeper service, and optionally the chroot below which all paths lie.
///
/// Its text is `host:port,host:port/chroot`; the port is 2181 if it is left out, IPv6 addresses stand in brackets.
/// Names are looked up at each connection, and all their addresses tried.
///
/// ```
/// use zooky_client::ServerList;
/// let list: ServerList = "zk1,zk2:2182,[::1]:2183/app/a".parse().unwrap();
/// assert_eq!(list.to_string(), "zk1:2181,zk2:2182,[::1]:2183/app/a");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerList {
    pub(crate) servers: Vec<Server>,
    pub(crate) chroot: Chroot,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no list of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerListError {
    /// There is no server in it.
    #[error("{text:?} names no server; write host:port,host:port/chroot")]
    Empty {
        /// The text.
        text: String,
    },
    /// One of the servers is not written as `host:port`.
    #[error("{server:?} is not a server ({why}); write host:port, or [address]:port for IPv6")]
    Server {
        /// The part of the text.
        server: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The chroot is no path.
    #[error("the chroot is not valid: {0}")]
    Chroot(#[from] PathError),
}

impl ServerList {
    /// The chroot as a path; `/` if there is none.
    pub fn chroot(&self) -> String {
        if self.chroot.is_root() { "/".to_owned() } else { self.chroot.to_string() }
    }

    /// The servers as `host:port`, without the chroot.
    pub fn servers(&self) -> impl Iterator<Item = String> + '_ {
        self.servers.iter().map(Server::to_string)
    }
}

impl FromStr for ServerList {
    type Err = ServerListError;

    fn from_str(text: &str) -> Result<Self, ServerListError> {
        let text = text.trim();
        let (list, chroot) = match text.find('/') {
            Some(i) => text.split_at(i),
            None => (text, "/"),
        };
        validate_path(chroot)?;
        let servers = list
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(Server::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(ServerListError::Empty { text: text.to_owned() });
        }
        Ok(ServerList { servers, chroot: Chroot::new(chroot) })
    }
}

impl Server {
    pub(crate) fn parse(text: &str) -> Result<Server, ServerListError> {
        let fault = |why| ServerListError::Server { server: text.to_owned(), why };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) = rest.split_once(']').ok_or_else(|| fault("a bracket is missing"))?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(fault("no IPv6 address in the brackets"));
                }
                match tail {
                    "" => (host, None),
                    _ => (host, Some(tail.strip_prefix(':').ok_or_else(|| fault("no port behind it"))?)),
                }
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(fault("too many colons")),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.chars().any(char::is_whitespace) {
            return Err(fault("no host"));
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| fault("no such port"))?,
            None => DEFAULT_PORT,
        };
        Ok(Server { host: host.to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, server) in self.servers.iter().enumerate() {
            write!(f, "{}{server}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "{}", self.chroot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (text, shown) in [
            ("a", "a:2181"),
            (" a:1 , b ", "a:1,b:2181"),
            ("127.0.0.1:5/", "127.0.0.1:5"),
            ("[::1]", "[::1]:2181"),
            ("[fe80::1]:7,b:8/x/y", "[fe80::1]:7,b:8/x/y"),
        ] {
            assert_eq!(text.parse::<ServerList>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "", " , ", "/a", "a:", "a:b", "a:0", "a:70000", "::1", "[::1", "[x]:1", "[::1]2", ":1", "a b:1",
            "a/b/",
        ] {
            assert!(text.parse::<ServerList>().is_err(), "{text:?}");
        }
    }
}
