//! The members of an ensemble as text: what `/zookeeper/config` holds and `reconfig` changes.
//!
//! One line for each member, `server.N=HOST:PORT:PORT:ROLE;HOST:PORT`, and at the end `version=HEX`.

use std::collections::BTreeMap;
use std::fmt;

/// The number of this server.
pub(super) const OWN_NUMBER: i64 = 1;
/// How many members a configuration may have: more is no ensemble but an attack.
const MAX_MEMBERS: usize = 255;

/// Text that describes no member or no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    host: String,
    quorum_port: u16,
    election_port: u16,
    votes: bool,
    /// Where it takes clients, `host:port`.
    client: Option<String>,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Members {
    by_number: BTreeMap<i64, Member>,
    pub(super) version: i64,
}

impl Members {
    /// This server alone, which takes clients at `client` (`host:port`). It has no use for the other two
    /// ports; they are those that the original's documentation gives.
    pub(super) fn alone(client: &str) -> Members {
        let host = client.rsplit_once(':').map_or(client, |(host, _)| host).to_owned();
        let client = Some(client.to_owned());
        let own = Member { host, quorum_port: 2888, election_port: 3888, votes: true, client };
        Members { by_number: BTreeMap::from([(OWN_NUMBER, own)]), version: 0 }
    }

    /// Reads a whole configuration; lines may be separated by commas too.
    pub(super) fn parse(text: &str) -> Result<Members, Malformed> {
        let mut members = Members { by_number: BTreeMap::new(), version: 0 };
        for line in text.split([',', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once('=').ok_or(Malformed)? {
                ("version", hex) => members.version = i64::from_str_radix(hex, 16).map_err(|_| Malformed)?,
                (key, _) if !key.starts_with("server.") => return Err(Malformed),
                _ => members.join(line)?,
            }
        }
        Ok(members)
    }

    /// Adds a member, or replaces the one of its number: `server.N=...`.
    pub(super) fn join(&mut self, line: &str) -> Result<(), Malformed> {
        let (key, spec) = line.split_once('=').ok_or(Malformed)?;
        let number = key.rsplit('.').next().unwrap_or_default().parse().map_err(|_| Malformed)?;
        let member = Member::parse(spec)?;
        let taken = |other: &Member| other.addresses().any(|a| member.addresses().any(|b| a == b));
        if self.by_number.iter().any(|(&other, m)| other != number && taken(m)) {
            return Err(Malformed);
        }
        self.by_number.insert(number, member);
        if self.by_number.len() > MAX_MEMBERS { Err(Malformed) } else { Ok(()) }
    }

    /// Removes a member by its number; one that is not there is no error.
    pub(super) fn leave(&mut self, number: &str) -> Result<(), Malformed> {
        self.by_number.remove(&number.trim().parse().map_err(|_| Malformed)?);
        Ok(())
    }

    /// The numbers of those that vote.
    pub(super) fn voters(&self) -> Vec<i64> {
        self.by_number.iter().filter(|(_, m)| m.votes).map(|(&number, _)| number).collect()
    }
}

impl Member {
    fn parse(spec: &str) -> Result<Member, Malformed> {
        // All three addresses must be there, and their ports must be ports.
        let (server, client) = spec.split_once(';').ok_or(Malformed)?;
        let client = match split_host(client) {
            Some((host, port)) => (host, port),
            None => ("0.0.0.0", client),
        };
        let client = format!("{}:{}", client.0, port(client.1)?);
        let (host, rest) = split_first_host(server).ok_or(Malformed)?;
        let rest: Vec<&str> = rest.split(':').collect();
        let (quorum_port, election_port, votes) = match rest[..] {
            [quorum, election] => (port(quorum)?, port(election)?, true),
            [quorum, election, role] => (port(quorum)?, port(election)?, votes(role)?),
            _ => return Err(Malformed),
        };
        if quorum_port == election_port {
            return Err(Malformed);
        }
        Ok(Member { host: host.to_owned(), quorum_port, election_port, votes, client: Some(client) })
    }

    fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        let own = [self.quorum_port, self.election_port].map(|port| format!("{}:{port}", self.host));
        own.into_iter().chain(self.client.clone())
    }
}

fn votes(role: &str) -> Result<bool, Malformed> {
    match role.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(true),
        "observer" => Ok(false),
        _ => Err(Malformed),
    }
}

fn port(text: &str) -> Result<u16, Malformed> {
    text.trim().parse().map_err(|_| Malformed)
}

/// `host:rest`; an IPv6 host stands in brackets.
fn split_first_host(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('[') {
        let end = text.find("]:")?;
        return Some((&text[..=end], &text[end + 2..]));
    }
    text.split_once(':')
}

fn split_host(text: &str) -> Option<(&str, &str)> {
    split_first_host(text).filter(|(_, port)| !port.contains(':'))
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, m) in &self.by_number {
            let role = if m.votes { "participant" } else { "observer" };
            write!(f, "server.{number}={}:{}:{}:{role}", m.host, m.quorum_port, m.election_port)?;
            if let Some(client) = &m.client {
                write!(f, ";{client}")?;
            }
            f.write_str("\n")?;
        }
        write!(f, "version={:x}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_it_is_written() {
        let mut members = Members::alone("127.0.0.1:2181");
        members.join("server.9=10.0.0.9:1:2:observer;3456").unwrap();
        members.join("server.7=[::1]:1:2;[::1]:3").unwrap();
        members.version = 0x1f;
        let text = members.to_string();
        assert_eq!(
            text,
            "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\n\
             server.7=[::1]:1:2:participant;[::1]:3\n\
             server.9=10.0.0.9:1:2:observer;0.0.0.0:3456\nversion=1f"
        );
        assert_eq!(Members::parse(&text), Ok(members.clone()));
        assert_eq!(members.voters(), [1, 7]);
        members.leave("7").unwrap();
        assert_eq!(members.voters(), [1]);
    }

    #[test]
    fn what_is_no_member_is_refused() {
        let mut members = Members::alone("127.0.0.1:2181");
        for bad in [
            "",
            "some thing",
            "server.x=h:1:2;3",
            "server.2=h:1:2",
            "server.2=h:1:1;3",
            "server.2=h:1:2:king;3",
            "server.2=h:1:2;70000",
            "server.2=h:1;3",
            "server.2=127.0.0.1:2888:5;6",
        ] {
            assert_eq!(members.join(bad), Err(Malformed), "{bad}");
        }
        assert_eq!(members.leave("one"), Err(Malformed));
        assert!(Members::parse("group.1=1:2").is_err());
    }
}
