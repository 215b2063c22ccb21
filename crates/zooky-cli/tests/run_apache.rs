//! `zooky run` on Apache ZooKeeper: the same exclusion, the same loss.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, TIMEOUT, group_is_gone, lines, named, run, sh};
use rustix::process::Signal;
use std::time::Instant;
use zooky_testkit::{Apache, Ensemble, eventually};

#[test]
fn conflicts_and_exit_codes() {
    let apache = Apache::start();
    let hosts = apache.hosts();
    assert_eq!(run(named(&hosts, &["run", "x", "--"]).args(sh("exit 7"))).0, 7);
    let mut holder = Running::start(named(&hosts, &["run", "x", "--"]).args(sh("echo in; exec sleep 1000")));
    holder.line();
    assert_eq!(run(&mut named(&hosts, &["run", "-n", "x", "--", "true"])).0, 1);
    assert_eq!(run(&mut named(&hosts, &["run", "-w", "0.1", "-E", "9", "x", "--", "true"])).0, 9);
    holder.signal(Signal::TERM);
    assert_eq!(holder.code(), 143);
    assert_eq!(run(&mut named(&hosts, &["run", "-n", "x", "--", "true"])).0, 0);
}

#[test]
fn a_silent_server_ends_the_command_in_time() {
    let mut apache = Apache::start();
    let script = "trap '' TERM; echo $$; sleep 1000";
    let mut running = Running::start(named(&apache.hosts(), &["run", "x", "--"]).args(sh(script)));
    let group = running.line();
    apache.pause();
    let paused = Instant::now();
    eventually(LONG, "the group to end", || group_is_gone(&group).then_some(()));
    assert!(paused.elapsed() < TIMEOUT, "{:?}", paused.elapsed());
    assert_eq!(running.code(), 70);
    apache.resume();
}

/// The leader dies while ten contend; a command that was stopped for it is no failure, two at once would be.
#[test]
fn a_dying_leader_lets_no_two_in() {
    let mut ensemble = Ensemble::start();
    let dir = tempfile::tempdir().unwrap();
    // Too short to be worth stopping; what it has begun it ends.
    let script = "trap '' TERM
        mkdir inside || echo overlap >> trouble
        echo $ZOOKY_FENCING_TOKEN >> tokens
        rmdir inside || echo overlap >> trouble";
    let mut all: Vec<Running> = (0..10)
        .map(|_| {
            let mut command = common::zooky(&["--servers", &ensemble.hosts(), "run", "led", "--"]);
            Running::start(command.args(sh(script)).current_dir(dir.path()))
        })
        .collect();
    let leader = ensemble.leader();
    ensemble.member(leader).kill();
    for one in &mut all {
        let code = one.code();
        assert!(code == 0 || code == 70, "{code}: {}", one.errors());
    }
    assert_eq!(lines(&dir.path().join("trouble")), Vec::<String>::new());
    let tokens = lines(&dir.path().join("tokens"));
    assert!(tokens.len() >= 5, "{tokens:?}");
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}
