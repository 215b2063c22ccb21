//! ZooKeeper's own command-line client on our server: it shows what it shows on Apache ZooKeeper.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use support::{config, start};
use tempfile::TempDir;
use zooky_server::Server;
use zooky_testkit::Apache;

const COMMANDS: &str = "
create /a one
create -e /a/e two
create -s /a/s- x
create -e -s /a/t- x
create -c /c
create -t 60000 /ttl x
create /a again
create /none/below x
ls -s /a
ls -R /
get -s /a
set -v 0 /a three
set -v 0 /a four
set -s /a four
stat /a/e
getEphemerals
getEphemerals /none
getAllChildrenNumber /a
whoami
addauth digest user:password
setAcl /c auth:user:password:cdrwa
getAcl -s /c
setquota -n 10 /c
setquota -B 1000 /c
create /c/d 12345
listquota /c
delquota /c
addWatch -m PERSISTENT /c
set /c x
removewatches /c
sync /a
config
delete /a
delete -v 7 /c/d
deleteall /a
ls /
version
quit
";

/// Runs the commands; what the client says, zxids and times as `#`, and the watch events apart.
fn zkcli(addr: SocketAddr) -> (Vec<String>, Vec<String>) {
    let work = TempDir::new().unwrap();
    let mut client = Command::new("/usr/share/zookeeper/bin/zkCli.sh");
    client.args(["-server", &addr.to_string()]).env("ZOO_LOG_DIR", work.path()).current_dir(work.path());
    client.env("TZ", "UTC").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().expect("zkCli.sh runs: `make peers` installs it");
    client.stdin.take().unwrap().write_all(COMMANDS.trim_start().as_bytes()).unwrap();
    let said = client.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let mut lines = Vec::new();
    let mut events = Vec::new();
    for out in [said.stdout, said.stderr] {
        for line in String::from_utf8(out).unwrap().lines() {
            if line.starts_with("WatchedEvent") {
                events.push(line.to_owned());
            } else if !line.is_empty() && line != "WATCHER::" {
                lines.push(without_numbers(line, addr));
            }
        }
    }
    (lines, events)
}

fn without_numbers(line: &str, addr: SocketAddr) -> String {
    match line.split_once(" = ") {
        Some((name @ ("cZxid" | "mZxid" | "pZxid" | "ctime" | "mtime"), _)) => format!("{name} = #"),
        Some(("ephemeralOwner", owner)) if owner != "0x0" => "ephemeralOwner = #".to_owned(),
        _ => line.replace(&addr.to_string(), "SERVER"),
    }
}

#[test]
fn zkcli_says_what_it_says_on_apache() {
    let dir = TempDir::new().unwrap();
    let ours = start(dir.path());
    let apache = Apache::start();
    let (lines, events) = zkcli(ours.addr());
    for expected in ["[/a/e, /a/t-0000000002]", "Output stat for /c count=2,bytes=5", "[c, ttl, zookeeper]"] {
        assert!(lines.iter().any(|line| line == expected), "no {expected} in {lines:#?}");
    }
    assert_eq!((lines, events), zkcli(apache.addr()));
}

#[test]
fn zkcli_shows_a_reconfiguration() {
    let dir = TempDir::new().unwrap();
    let mut settings = config(dir.path());
    settings.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
    let server = Server::start(settings).unwrap();
    let mut client = Command::new("/usr/share/zookeeper/bin/zkCli.sh");
    client.args(["-server", &server.addr().to_string()]).env("ZOO_LOG_DIR", dir.path());
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().expect("zkCli.sh runs: `make peers` installs it");
    let commands =
        b"addauth digest super:test\nreconfig -add 9=10.0.0.9:1:2:observer;10.0.0.9:3\nconfig\nquit\n";
    client.stdin.take().unwrap().write_all(commands).unwrap();
    let said = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
    let own = format!("server.1=127.0.0.1:2888:3888:participant;{}", server.addr());
    assert_eq!(said.matches(&own).count(), 2, "{said}");
    assert_eq!(said.matches("server.9=10.0.0.9:1:2:observer;10.0.0.9:3").count(), 2, "{said}");
}
