//! What a server says of itself when it is sent `srvr`. Servers answer it unless told not to.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// What a server may take to accept, and to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER: u64 = 65_536;

/// The answer.
pub(crate) struct Srvr(String);

impl Srvr {
    /// Asks on a new connection.
    ///
    /// # Errors
    /// Nothing answers there, or not in time, or not to this word.
    pub(crate) fn ask(mut stream: TcpStream) -> io::Result<Srvr> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"srvr")?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        Ok(Srvr(String::from_utf8_lossy(&answer).into_owned()))
    }

    /// The answer that somebody else has asked for.
    pub(crate) fn of(answer: String) -> Srvr {
        Srvr(answer)
    }

    /// What stands behind this key.
    pub(crate) fn after(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }

    /// The newest transaction.
    pub(crate) fn zxid(&self) -> Option<u64> {
        u64::from_str_radix(self.after("Zxid")?.strip_prefix("0x")?, 16).ok()
    }
}

/// Where a server of this machine is reached that listens at `addr`: one that listens at all addresses, at this one.
pub(crate) fn reached_at(addr: SocketAddr) -> SocketAddr {
    let ip = if addr.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { addr.ip() };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_keys() {
        let srvr = Srvr("Zookeeper version: 3.9.0-x, built on y\nZxid: 0x1f\nMode: standalone\n".to_string());
        assert_eq!((srvr.zxid(), srvr.after("Mode")), (Some(31), Some("standalone")));
        assert_eq!((srvr.after("Mod"), Srvr(String::new()).zxid()), (None, None));
    }

    #[test]
    fn one_that_listens_everywhere_is_reached_at_loopback() {
        for (listens, reached) in
            [("0.0.0.0:7", "127.0.0.1:7"), ("[::]:7", "127.0.0.1:7"), ("[::1]:7", "[::1]:7")]
        {
            assert_eq!(reached_at(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
