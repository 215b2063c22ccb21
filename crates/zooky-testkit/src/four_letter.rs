//! ZooKeeper's four-letter words: the plain-text questions that a server answers beside its protocol.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No healthy server takes longer; a stopped one must not hold a test up for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends one word (`ruok`, `srvr`, `mntr`, …) to the server at `addr` and returns all that it answers.
///
/// # Errors
/// When nothing listens there, or the answer is not complete within two seconds.
pub fn four_letter(addr: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What `srvr` calls the server's mode: `standalone`, `leader` or `follower`; none while it serves nobody.
pub(crate) fn mode(addr: SocketAddr) -> Option<String> {
    let answer = four_letter(addr, "srvr").ok()?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(|mode| mode.trim().to_string())
}
