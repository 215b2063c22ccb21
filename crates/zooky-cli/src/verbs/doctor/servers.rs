//! Each server by itself: its name, its port, its version.

use super::{Check, State};
use crate::config::{Config, Servers};
use crate::embedded::state::StateDir;
use crate::srvr::{PATIENCE, Srvr};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

/// Where servers listen that are named without a port.
const PORT: &str = "2181";

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let list = config.servers.text().split('/').next().unwrap_or_default();
    let servers = list.split(',').map(str::trim).filter(|server| !server.is_empty());
    let looks: Vec<_> = servers
        .map(|server| {
            let server = server.to_string();
            tokio::task::spawn_blocking(move || look(&server))
        })
        .collect();
    let mut checks = Vec::new();
    for look in looks {
        // It does not panic.
        checks.extend(look.await.ok());
    }
    if let (Servers::Default(_), Some(running)) =
        (&config.servers, StateDir::look().and_then(|dir| dir.running()))
    {
        let says = format!("ours runs at {}, data in {}", running.listen, running.data_dir.display());
        checks.push(Check::ok("embedded server", says));
    }
    checks
}

/// Whether opening a session would start no server.
pub(super) fn may_connect(config: &Config, checks: &[Check]) -> bool {
    match config.servers {
        Servers::Named(_) => true,
        Servers::Default(_) => checks.iter().all(|check| check.state != State::Wrong),
    }
}

fn look(server: &str) -> Check {
    let name = format!("server {server}");
    let with_port = if has_port(server) { server.to_string() } else { format!("{server}:{PORT}") };
    let addresses: Vec<_> = match with_port.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Check::wrong(name, format!("its name cannot be looked up: {error}")),
    };
    let mut refusal = "its name has no address".to_string();
    for address in addresses {
        let start = Instant::now();
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let took = start.elapsed().as_secs_f64() * 1e3;
                let version = version(stream).unwrap_or_else(|_| "does not tell its version".to_string());
                return Check::ok(name, format!("{version}; connected to {address} in {took:.1} ms"));
            }
            Err(error) => refusal = format!("{address}: {error}"),
        }
    }
    Check::wrong(name, refusal)
}

/// Whether a port stands behind the name, or behind the bracket of an IPv6 address.
fn has_port(server: &str) -> bool {
    server.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

/// What it says of its version and mode.
fn version(stream: TcpStream) -> io::Result<String> {
    let srvr = Srvr::ask(stream)?;
    let version = srvr.after("Zookeeper version").and_then(|rest| rest.split([',', '-']).next());
    let version = version.ok_or(io::ErrorKind::InvalidData)?;
    Ok(match srvr.after("Mode") {
        Some(mode) => format!("version {}, {}", version.trim(), mode.trim()),
        None => format!("version {}", version.trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::has_port;

    #[test]
    fn ports_are_told_from_addresses() {
        for (server, expected) in
            [("h", false), ("h:1", true), ("[::1]", false), ("[::1]:1", true), ("10.0.0.1:1", true)]
        {
            assert_eq!(has_port(server), expected, "{server}");
        }
    }
}
