//! Two dozen hostile clients, in a process of their own that is held to a fifth of one core: the server's memory stays
//! under its bounds, and a good client gets its answers. A further one fills the tree meanwhile. How fast the good one gets its
//! answers is measured by `zooky-bench hostile`. All bounds are there at once, and one stands in for another; what each does
//! alone is shown in `bounds`.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "hostile/bounds.rs"]
mod bounds;
#[path = "support/client.rs"]
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Raw, config, word};
use tempfile::TempDir;
use zooky_server::{FourLetterWords, Server};
use zooky_testkit::{HOSTILE_CLIENTS, HOSTILE_SHARE, Talk, attack};
use zooky_wire::{CreateMode, ErrorCode, Request};

const ADDR: &str = "ZOOKY_TEST_HOSTILE_ADDR";
const DIR: &str = "ZOOKY_TEST_HOSTILE_DIR";
/// The only bound that is narrow; without this variable all of them are.
const ONLY: &str = "ZOOKY_TEST_HOSTILE_ONLY";
const MIB: usize = 1 << 20;
/// Each of the three bounds: on the tree, on watches, on buffers.
const BOUND: usize = 24 * MIB;
/// What may come on top: the log's buffers and what the allocator keeps.
const BESIDES: usize = 32 * MIB;
const TIME: Duration = Duration::from_secs(12);
/// What the greedy client puts into each of its nodes.
const GREED: usize = 256 << 10;
/// What it leaves room for, so that the attackers have the node that they read and do not read.
const ROOM: usize = 2 * MIB;

/// One more node, if there is room for it.
fn grab(greedy: &mut Raw, number: usize) -> Result<String, ErrorCode> {
    greedy.create(&format!("/greedy{number}"), CreateMode::PERSISTENT, &[9; GREED])
}

/// This very test binary again, as something else.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

#[test]
fn attack_as_child() {
    let Ok(addr) = std::env::var(ADDR) else { return };
    let (share, ended) = attack(addr.parse().unwrap(), TIME, None);
    println!("\nshare {share}\nended {ended:?}");
}

#[test]
fn serve_as_child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut config = config(dir.as_ref());
    config.four_letter_words = FourLetterWords::All;
    if let Ok(bound) = std::env::var(ONLY) {
        config.limits = bounds::only(&bound);
        config.tls = Some(tls::settings());
    } else {
        config.limits.buffer_bytes = BOUND;
        config.limits.core.max_tree_bytes = BOUND as u64;
        config.limits.core.max_watch_bytes = BOUND as u64;
        config.limits.core.max_watch_bytes_per_session = BOUND as u64 / 2;
    }
    let server = Server::start(config).unwrap();
    println!("\nserving {}", server.addr());
    if let Some(addr) = server.tls_addr() {
        println!("with TLS {addr}");
    }
    server.wait().unwrap();
}

/// A server in a process of its own, with all bounds or with one alone.
fn serve(dir: &Path, only: Option<&str>) -> (Talk, SocketAddr) {
    let mut server = again("serve_as_child");
    server.env(DIR, dir);
    if let Some(bound) = only {
        server.env(ONLY, bound);
    }
    let mut server = Talk::start(server);
    let addr = server.expect_line("serving", Duration::from_secs(20)).parse().unwrap();
    (server, addr)
}

/// The most that a process has held resident, in bytes.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

#[test]
fn hostile_clients_do_not_fill_the_memory_and_a_good_one_is_served() {
    let dir = TempDir::new().unwrap();
    let (server, addr) = serve(dir.path(), None);
    let mut good = Raw::connect(addr);
    good.create("/good", CreateMode::PERSISTENT, b"good").unwrap();
    let mut greedy = Raw::connect(addr);
    let mut grabbed = 0;
    while grabbed < (BOUND - ROOM) / GREED {
        grab(&mut greedy, grabbed).unwrap();
        grabbed += 1;
    }
    let quiet = peak(server.pid());

    let mut hostile = again("attack_as_child");
    let hostile =
        hostile.env(ADDR, addr.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    zooky_testkit::eventually(Duration::from_secs(60), "the attackers' node", || {
        good.exists("/hostile-large", false)
    });
    let begin = std::time::Instant::now();
    let (mut answers, mut refused) = (0_usize, 0_usize);
    while begin.elapsed() < TIME {
        good.call(Request::SetData { path: "/good".into(), data: None, version: -1 }).unwrap();
        let path = good.create("/e", CreateMode::EPHEMERAL, b"").unwrap();
        good.call(Request::Delete { path, version: -1 }).unwrap();
        answers += 3;
        match grab(&mut greedy, grabbed) {
            Ok(_) => grabbed += 1,
            Err(code) => {
                assert_eq!(code, ErrorCode::QUOTA_EXCEEDED);
                refused += 1;
            }
        }
    }
    let said = hostile.wait_with_output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(answers > 0, "no answer in {TIME:?}: {said}");
    let share: f64 = said.split("share ").nth(1).and_then(|s| s.lines().next()).unwrap().parse().unwrap();
    assert!(share < HOSTILE_SHARE * 1.2, "{HOSTILE_CLIENTS} took {share} of a core");
    for kind in ["oversized", "malformed", "watch bomb", "flood"] {
        assert!(!said.contains(&format!("(\"{kind}\", 0)")), "nothing came of the {kind}: {said}");
    }
    assert!(grabbed * GREED < BOUND && refused > 0, "the tree took {grabbed} nodes of {GREED} bytes");
    let grown = peak(server.pid()) - quiet;
    // The tree was nearly full before.
    let bound = 2 * BOUND + ROOM + BESIDES;
    println!("{} MiB in quiet; grown by {} MiB, {} are the bound", quiet / MIB, grown / MIB, bound / MIB);
    assert!(grown < bound, "{} MiB more than in quiet, {} MiB are the bound", grown / MIB, bound / MIB);
    // All of it goes away again with the connections, but for the tree.
    let stat = good.exists("/good", false).unwrap();
    assert_eq!(stat.version as usize, answers / 3);
    zooky_testkit::eventually(Duration::from_secs(60), "the hostile sessions' watches to be gone", || {
        let _ = good.exists("/good", false);
        word(addr, "wchs").starts_with("0 connections watching 0 paths").then_some(())
    });
}
