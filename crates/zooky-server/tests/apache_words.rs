//! Every four-letter word says here what it says on Apache ZooKeeper, numbers and dates aside.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "apache_words/missing.rs"]
mod missing;
#[path = "support/client.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use support::{Raw, config};
use tempfile::TempDir;
use zooky_server::{FourLetterWords, Server};
use zooky_testkit::{Apache, four_letter};
use zooky_wire::{CreateMode, Request};

/// A session with two ephemerals and a watch of each kind.
fn busy_client(addr: SocketAddr) -> Raw {
    let mut client = Raw::connect(addr);
    client.create("/a", CreateMode::PERSISTENT, b"").unwrap();
    client.create("/a/e", CreateMode::EPHEMERAL, b"").unwrap();
    client.create("/a/f", CreateMode::EPHEMERAL, b"").unwrap();
    client.exists("/a", true);
    client.call(Request::GetChildren { path: "/a".into(), watch: true }).unwrap();
    client
}

/// The word's answer with every number as `#`; lines of equal rank sorted.
fn shape(addr: SocketAddr, word: &str) -> Vec<String> {
    let said = four_letter(addr, word).unwrap();
    let lines = said.lines().map(|line| {
        let cut = ["expire at ", "Zookeeper version: "].into_iter().find_map(|at| line.split_once(at));
        let line = cut.map_or(line, |(before, _)| before);
        numbers_away(line)
    });
    lines.collect()
}

fn numbers_away(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            rest = rest.strip_prefix("0x").unwrap_or(rest);
            rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '.');
            shown.push('#');
        } else {
            shown.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    shown
}

#[test]
fn words_say_what_apache_says() {
    let dir = TempDir::new().unwrap();
    let mut settings = config(dir.path());
    settings.four_letter_words = FourLetterWords::All;
    let ours = Server::start(settings).unwrap();
    let apache = Apache::start();
    let (mut here, mut there) = (busy_client(ours.addr()), busy_client(apache.addr()));
    for word in ["ruok", "isro", "srvr", "wchs", "wchc", "wchp", "crst", "srst", "dirs"] {
        assert_eq!(shape(ours.addr(), word), shape(apache.addr(), word), "{word}");
    }
    // Who asks is a connection itself: the session's line is the one to compare.
    for word in ["stat", "cons"] {
        let line = |addr| {
            shape(addr, word)
                .into_iter()
                .find(|line| line.contains("recved=#") && !line.contains("[#](queued=#,recved=#,sent=#)"))
        };
        assert_eq!(line(ours.addr()), line(apache.addr()), "{word}");
    }
    let sessions = |addr| {
        let dump = shape(addr, "dump");
        let end = dump.iter().position(|line| line == "Connections dump:").unwrap();
        dump[..end].to_vec()
    };
    assert_eq!(sessions(ours.addr()), sessions(apache.addr()));
    // What was reset counts anew, the same on both.
    here.exists("/a", false);
    there.exists("/a", false);
    let counts = |addr: SocketAddr| {
        let said = four_letter(addr, "cons").unwrap();
        let line = said.lines().find(|line| line.contains("sid=")).unwrap().to_owned();
        let field =
            |name: &str| line.split([',', '(']).find_map(|f| f.strip_prefix(name)).unwrap().to_owned();
        ["recved=", "lop=", "to=", "lcxid="].map(field)
    };
    assert_eq!(counts(ours.addr()), counts(apache.addr()));
    // No key of ours alone, and none missing but for a reason.
    for word in ["mntr", "conf", "envi"] {
        let keys = |addr| -> Vec<String> {
            let said = four_letter(addr, word).unwrap();
            said.lines().filter_map(|line| line.split(['\t', '=']).next()).map(str::to_owned).collect()
        };
        let (known, present) = (keys(apache.addr()), keys(ours.addr()));
        for key in &present {
            assert!(known.contains(key), "{word}: Apache knows no {key}");
        }
        if word == "conf" {
            assert_eq!(present, known);
        }
        let missing = known.iter().filter(|key| !present.contains(key));
        let missing: BTreeSet<String> = missing.filter_map(|key| measured(key, &known)).collect();
        let excused = missing::keys(word);
        let wrong: Vec<&String> = missing.symmetric_difference(&excused).collect();
        assert!(wrong.is_empty(), "{word}: without a reason in missing.rs, or not missing: {wrong:?}");
    }
}

/// What a key is about: the many that show one distribution are called by `avg`; `None`: it is about a node's name, too.
fn measured(key: &str, known: &[String]) -> Option<String> {
    let parts: Vec<&str> = key.splitn(3, '_').collect();
    let [zk, part, rest] = parts[..] else { return Some(key.to_owned()) };
    if rest.ends_with("_per_namespace") {
        return None;
    }
    let is_one = known.contains(&format!("{zk}_cnt_{rest}"));
    Some(if is_one { format!("{zk}_avg_{rest}") } else { format!("{zk}_{part}_{rest}") })
}
