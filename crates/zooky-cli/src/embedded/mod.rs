//! The embedded default: where nobody named a server and nothing answers at localhost:2181, a server of our own
//! in the background, for this machine only.
//!
//! The dangerous case is an outage of a ZooKeeper that *is* meant to be there: a second one in its place would give
//! locks away that are held at the first. So what once answered at the address and was not ours is remembered,
//! and then a refused connection is an error.

pub(crate) mod numbers;
pub(crate) mod serve;
pub(crate) mod state;

use crate::exit::{self, Failure, say};
use crate::hidden;
use state::{Running, StateDir};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::Stdio;
use std::time::Duration;

/// What loopback does not answer within this time is not refused either.
const PROBE: Duration = Duration::from_secs(2);

/// What was found at the default address.
#[derive(Debug)]
pub(crate) struct Found {
    address: String,
    ours: bool,
}

impl Found {
    /// A session was opened there: so it is a ZooKeeper. If it is not ours, that is remembered.
    pub(crate) fn connected(&self) {
        if !self.ours
            && let Ok(dir) = StateDir::open()
        {
            // Without a place to remember it in there is none for an embedded server either.
            let _ = dir.note_foreign(&self.address);
        }
    }
}

/// Sees to it that something answers at the default `address`, if it may. Safe to be called by several processes at
/// once: they share one server.
///
/// # Errors
/// When another ZooKeeper used to answer there, or ours does not start.
pub(crate) async fn ensure(address: &str) -> Result<Found, Failure> {
    let address = address.to_string();
    // Waiting for another process that is just starting the server must not keep us from hearing signals.
    let found = tokio::task::spawn_blocking(move || ensure_blocking(address)).await;
    found.map_err(|error| Failure::os("cannot look for a server", error))?
}

fn ensure_blocking(address: String) -> Result<Found, Failure> {
    let addresses = loopback(&address)?;
    if answers(&addresses) {
        let ours =
            StateDir::open().ok().and_then(|dir| dir.running()).is_some_and(|one| one.is_at(&addresses));
        return Ok(Found { address, ours });
    }
    let dir = StateDir::open()?;
    let _alone = dir.lock()?;
    // Another command may have started it while we waited for the lock.
    if !answers(&addresses) {
        if let Some(when) = dir.foreign_since(&address) {
            return Err(Failure::new(
                exit::UNAVAILABLE,
                format!(
                    "nothing answers at {address}, where another ZooKeeper answered before (first seen {when}): \
                     start that one again, or name servers with --servers; if it is gone for good, \
                     `zooky server forget` lets zooky start its own"
                ),
            ));
        }
        start(&dir, &addresses)?;
    }
    Ok(Found { address, ours: true })
}

/// The addresses behind the default, which must be this machine's own.
fn loopback(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    let wrong = |why: String| Failure::new(exit::CONFIG, format!("the default address {address} {why}"));
    let addresses: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| wrong(format!("cannot be looked up: {error}")))?.collect();
    if addresses.is_empty() || addresses.iter().any(|one| !one.ip().is_loopback()) {
        return Err(wrong("is not this machine's loopback".to_string()));
    }
    Ok(addresses)
}

/// Whether anything listens at one of the addresses: only a refusal by all means that nothing does.
fn answers(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|address| match TcpStream::connect_timeout(address, PROBE) {
        Ok(_) => true,
        // No loopback of this family at all is as good as refused.
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::AddrNotAvailable | ErrorKind::NetworkUnreachable
        ),
    })
}

/// Starts the server for the default address and waits until it listens. The caller holds the state directory's lock.
fn start(dir: &StateDir, addresses: &[SocketAddr]) -> Result<(), Failure> {
    let Some(&listen) = addresses.iter().find(|one| one.is_ipv4()).or(addresses.first()) else {
        return Err(Failure::new(exit::UNAVAILABLE, "cannot start the embedded server: no address"));
    };
    let (at, _) = in_background(dir, serve::default_args(dir, listen))?;
    say(format_args!(
        "nothing answers at localhost: started a server for this machine only, at {at}, data in {}; \
         `zooky server stop` stops it",
        dir.data().display()
    ));
    Ok(())
}

/// Starts the background process and waits until it listens: where, and its number. The caller holds the state directory's
/// lock.
pub(crate) fn in_background(
    dir: &StateDir,
    args: impl IntoIterator<Item = OsString>,
) -> Result<(String, u32), Failure> {
    let failed =
        |why: String| Failure::new(exit::UNAVAILABLE, format!("cannot start the embedded server: {why}"));
    let log = dir.log_for_append()?;
    let mut command = hidden::command(hidden::SERVE);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut process = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut answer = String::new();
    if let Some(stdout) = process.stdout.take() {
        // Its standard output ends with its first line, or with itself.
        BufReader::new(stdout).read_line(&mut answer).map_err(|error| failed(error.to_string()))?;
    }
    match answer.trim_end().split_once(' ') {
        Some(("ready", at)) => Ok((at.to_string(), process.id())),
        Some(("error", why)) => Err(failed(why.to_string())),
        _ => Err(failed(format!("it ended at once; see {}", dir.log().display()))),
    }
}

/// The server in the background, if it runs.
pub(crate) fn running() -> Result<Option<Running>, Failure> {
    Ok(StateDir::open()?.running())
}
