//! Ports for test servers, which no other test on this machine is given.

use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Mutex;

/// Above the ports of well-known services.
const FIRST: u16 = 15_000;

/// The locks of the ports given out; they are held until the process ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port that nobody listens on and that no other call returns, in any process of this user, while this
/// process lives. It lies below the kernel's range for outgoing connections, so that no client takes it while
/// a server is down between two starts.
///
/// # Panics
/// When no port is free, or the lock files cannot be made in the temporary directory.
pub fn free_port() -> u16 {
    let directory = lock_directory();
    let span = first_ephemeral().saturating_sub(FIRST).max(1);
    // Each caller starts elsewhere, so that parallel tests do not queue for the same few locks.
    let start = (RandomState::new().build_hasher().finish() % u64::from(span)) as u16;
    for step in 0..span {
        let port = FIRST + (start + step) % span;
        let path = directory.join(format!("{port}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        // A second lock on the same file fails within this process too: each opening stands for itself.
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            HELD.lock().expect("no holder of this lock panics").push(file);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + span);
}

fn lock_directory() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    let directory = std::env::temp_dir().join(format!("zooky-test-ports-{user}"));
    std::fs::create_dir_all(&directory)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
    directory
}

fn first_ephemeral() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next().and_then(|word| word.parse().ok());
    first.filter(|&port| port > FIRST + 1_000).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_given_once() {
        let mut ports: Vec<u16> = (0..200).map(|_| free_port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|&port| port < first_ephemeral()));
    }
}
