//! Cutting connections in the kernel: a chain of packet-filter rules that vanishes with its owner.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PREFIX: &str = "zooky-";
/// `-w`: other tests change rules at the same time; the tool then waits for its turn.
const WAIT: [&str; 2] = ["-w", "20"];

/// A chain of rules of our own. Only loopback traffic passes through it.
#[derive(Debug)]
pub(crate) struct Cut {
    chain: String,
}

impl Cut {
    /// Makes the chain, empty.
    ///
    /// # Panics
    /// When rules cannot be set here.
    pub(crate) fn new() -> Cut {
        let suffix = RandomState::new().build_hasher().finish() as u32;
        // The process number tells a later test run whether the owner is still there.
        let cut = Cut { chain: format!("{PREFIX}{}-{suffix:08x}", std::process::id()) };
        demand(&["-N", &cut.chain]);
        demand(&["-I", "INPUT", "-i", "lo", "-j", &cut.chain]);
        cut
    }

    /// Drops whatever travels to or from these listeners, all at one instant, instead of what was dropped before.
    pub(crate) fn drop_only(&self, listeners: &[(Ipv4Addr, u16)]) {
        let mut rules = format!("*filter\n:{0} -\n-F {0}\n", self.chain);
        for (address, port) in listeners {
            rules += &format!("-A {} -p tcp -d {address} --dport {port} -j DROP\n", self.chain);
            rules += &format!("-A {} -p tcp -s {address} --sport {port} -j DROP\n", self.chain);
        }
        rules += "COMMIT\n";
        let mut command = Command::new(tool("iptables-restore"));
        command
            .args(WAIT)
            .arg("--noflush")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| refuse(&error.to_string()));
        let mut stdin = child.stdin.take().expect("its standard input is piped");
        stdin.write_all(rules.as_bytes()).expect("the rules are read");
        drop(stdin);
        let output = child.wait_with_output().expect("its output is read");
        if !output.status.success() {
            refuse(&String::from_utf8_lossy(&output.stderr));
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        remove(&self.chain);
    }
}

fn remove(chain: &str) {
    let _ = run(&["-D", "INPUT", "-i", "lo", "-j", chain]);
    let _ = run(&["-F", chain]);
    let _ = run(&["-X", chain]);
}

/// Removes what test processes left that were killed before they could do so: a later ensemble may be given the
/// same ports. Without the right to do so there is nothing to remove.
pub(crate) fn sweep() {
    let Ok(output) = run(&["-S"]) else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(chain) = line.strip_prefix("-N ").filter(|chain| chain.starts_with(PREFIX)) else {
            continue;
        };
        let owner = chain[PREFIX.len()..].split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            remove(chain);
        }
    }
}

/// Resets every TCP connection to the listener at `address`.
pub(crate) fn reset(address: SocketAddr) {
    let filter =
        ["dst", &address.ip().to_string(), "dport", "=", &address.port().to_string()].map(String::from);
    match Command::new(tool("ss")).args(["-K", "-t", "-n", "state", "established"]).args(filter).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => refuse(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => refuse(&error.to_string()),
    }
}

fn demand(args: &[&str]) {
    match run(args) {
        Ok(output) if output.status.success() => {}
        Ok(output) => refuse(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => refuse(&error.to_string()),
    }
}

fn run(args: &[&str]) -> std::io::Result<Output> {
    Command::new(tool("iptables")).args(WAIT).args(args).output()
}

/// Debian keeps it where only root's search path leads.
fn tool(name: &str) -> String {
    let path = format!("/usr/sbin/{name}");
    if Path::new(&path).exists() { path } else { name.to_string() }
}

fn refuse(why: &str) -> ! {
    panic!(
        "cannot cut connections: {}\nThis test needs iptables (`make peers` installs it) and the right to use \
         it: root, or CAP_NET_ADMIN in a network namespace of one's own (`unshare -rn`).",
        why.trim()
    );
}
