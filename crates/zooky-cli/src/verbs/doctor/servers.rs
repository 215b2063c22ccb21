//! Each server by itself: its name, its port, its version.

use super::{Check, State};
use crate::config::{Config, Servers};
use crate::embedded::state::StateDir;
use crate::locks;
use crate::srvr::{PATIENCE, Srvr};
use std::time::Instant;
use zooky::session::{Inquiry, InquiryError, TlsConfig};

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let tls = match locks::tls(config) {
        Ok(tls) => tls,
        Err(failure) => return vec![Check::wrong("TLS", failure.line())],
    };
    let list = config.servers.text().split('/').next().unwrap_or_default();
    let servers = list.split(',').map(str::trim).filter(|server| !server.is_empty());
    let looks: Vec<_> = servers
        .map(|server| {
            let (server, tls) = (server.to_string(), tls.clone());
            tokio::spawn(async move { look(&server, tls.as_ref()).await })
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

async fn look(server: &str, tls: Option<&TlsConfig>) -> Check {
    let name = format!("server {server}");
    let start = Instant::now();
    let inquiry = match Inquiry::open(server, tls, PATIENCE).await {
        Ok(inquiry) => inquiry,
        Err(error) => return Check::wrong(name, error.to_string()),
    };
    let took = start.elapsed().as_secs_f64() * 1e3;
    let by_tls = if tls.is_some() { " by TLS" } else { "" };
    let connected = format!("connected to {}{by_tls} in {took:.1} ms", inquiry.address());
    match inquiry.ask("srvr").await {
        Ok(answer) => Check::ok(name, format!("{}; {connected}", version(&Srvr::of(answer)))),
        Err(error @ InquiryError::WantsTls) => Check::wrong(name, format!("{error} (--ca)")),
        // Sessions may do nevertheless.
        Err(error) => Check::new(name, State::Warning, format!("{connected}; {error}")),
    }
}

/// What it says of its version and mode.
fn version(srvr: &Srvr) -> String {
    let version = srvr.after("Zookeeper version").and_then(|rest| rest.split([',', '-']).next());
    let Some(version) = version.map(str::trim) else { return "does not tell its version".to_string() };
    match srvr.after("Mode") {
        Some(mode) => format!("version {version}, {}", mode.trim()),
        None => format!("version {version}"),
    }
}
