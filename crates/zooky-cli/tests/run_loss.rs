//! `zooky run` when the lock cannot be kept: the command's whole group is gone before the deadline, whoever was
//! stopped or killed; and when all is quiet, nothing happens to it. The tests named after pain 17 are those of the issues that
//! it comes from (consul#2022, consul#9788, and `etcdctl lock`, which ignores the loss).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, TIMEOUT, sh, zooky};
use rustix::process::Signal;
use std::time::Instant;
use zooky_testkit::eventually;

/// The exit code that says so.
const LOST: i32 = 70;

/// A command of two processes that do not care about TERM; prints its group.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $$; wait; sleep 1000";
/// One that cleans up on TERM.
const POLITE: &str = "trap 'echo cleaned; exit 0' TERM; echo $$; while :; do sleep 0.05; done";

fn hold(server: &Server, script: &str) -> (Running, String) {
    let mut running = Running::start(server.zooky(&["run", "loss", "--"]).args(sh(script)));
    let group = running.line();
    (running, group)
}

/// Waits for the group's end; it must come before any server could give the lock to another.
#[track_caller]
fn gone_in_time(group: &str, silent_since: Instant) {
    eventually(LONG, "the group to end", || all_dead(group).then_some(()));
    let took = silent_since.elapsed();
    assert!(took < TIMEOUT, "the group was there for {took:?} after the last sign of life");
}

#[test]
fn pain_17_a_silent_server_ends_the_command_in_time() {
    let mut server = Server::start();
    let (mut running, group) = hold(&server, STUBBORN);
    // Whatever was acknowledged was sent before this moment.
    server.process.pause();
    let paused = Instant::now();
    gone_in_time(&group, paused);
    assert_eq!(running.code(), LOST);
    let errors = running.errors();
    assert!(errors.contains("TERM sent to the command"), "{errors}");
    assert!(errors.contains("KILL sent to the command"), "{errors}");
    server.process.resume();
}

#[test]
fn a_polite_command_has_time_to_clean_up() {
    let mut server = Server::start();
    let (mut running, group) = hold(&server, POLITE);
    server.process.pause();
    let paused = Instant::now();
    gone_in_time(&group, paused);
    assert_eq!((running.line(), running.code()), ("cleaned".to_string(), LOST));
    server.process.resume();
}

#[test]
fn pain_17_a_stopped_run_does_not_keep_the_command_alive() {
    let server = Server::start();
    let (mut running, group) = hold(&server, STUBBORN);
    running.signal(Signal::STOP);
    let stopped = Instant::now();
    gone_in_time(&group, stopped);
    running.signal(Signal::CONT);
    assert_eq!(running.code(), LOST);
    // What the watchdog did meanwhile is told, though the command is gone when it is heard of.
    let errors = running.errors();
    assert!(errors.contains("TERM sent to the command"), "{errors}");
    assert!(errors.contains("KILL sent to the command"), "{errors}");
}

#[test]
fn pain_17_a_killed_run_takes_the_command_with_it() {
    let server = Server::start();
    for script in [STUBBORN, POLITE] {
        let (running, group) = hold(&server, script);
        running.signal(Signal::KILL);
        let killed = Instant::now();
        gone_in_time(&group, killed);
    }
}

#[test]
fn a_node_that_somebody_deletes_ends_the_command() {
    let server = Server::start();
    let (mut running, group) = hold(&server, STUBBORN);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = zooky::Client::connect(&server.hosts()).await.unwrap();
        let holder = zooky::inspect::show(&client, "/locks/loss").await.unwrap().remove(0);
        client.session().await.unwrap().delete(&holder.path, -1).await.unwrap();
        client.close().await.unwrap();
    });
    eventually(LONG, "the group to end", || all_dead(&group).then_some(()));
    assert_eq!(running.code(), LOST);
    let errors = running.errors();
    assert!(errors.contains("the lock /locks/loss is lost; TERM sent to the command"), "{errors}");
}

/// A server that is frozen before the command starts: it must not be started on a lock that may be gone.
#[test]
fn no_server_in_time_means_no_command() {
    let mut server = Server::start();
    let (running, _group) = hold(&server, STUBBORN);
    let mut waiter = Running::start(&mut server.zooky(&["run", "loss", "--", "echo", "ran"]));
    waiter.error_line();
    server.process.pause();
    running.signal(Signal::KILL);
    // Nobody can grant it now; the waiter gives up only when it is told to.
    waiter.signal(Signal::TERM);
    assert_eq!((waiter.rest().as_str(), waiter.code()), ("", 143));
    server.process.resume();
}

/// Signals from the terminal and to the job reach the watchdog's neighbours only.
#[test]
fn a_killed_watchdog_is_replaced() {
    let mut server = Server::start();
    let (mut running, group) = hold(&server, STUBBORN);
    let first = watchdog(&group);
    std::process::Command::new("kill").args(["-TERM", &first.to_string()]).status().unwrap();
    assert_eq!(watchdog(&group), first, "TERM does not reach it");
    std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    eventually(LONG, "another watchdog", || (watchdog(&group) != first).then_some(()));
    server.process.pause();
    let paused = Instant::now();
    gone_in_time(&group, paused);
    assert_eq!(running.code(), LOST);
    server.process.resume();
}

#[test]
fn a_command_without_a_watchdog_ends_before_its_lock_is_free() {
    let server = Server::start();
    let (mut running, group) = hold(&server, STUBBORN);
    let first = watchdog(&group);
    // It can open nothing more, so that there are no pipes for another watchdog.
    let pid = running.child.id().to_string();
    let limited =
        std::process::Command::new("prlimit").args(["--pid", &pid, "--nofile=3:"]).status().unwrap();
    assert!(limited.success());
    let alive = format!("kill -0 {group} 2>/dev/null && echo alive || echo gone");
    let mut next = Running::start(server.zooky(&["run", "loss", "--"]).args(sh(&alive)));
    let waiting = next.error_line();
    assert!(waiting.contains("waiting for /locks/loss"), "{waiting}");

    std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    assert_eq!(next.line(), "gone", "the command is still there, and the lock is another's");
    assert_eq!(running.code(), 71);
    let errors = running.errors();
    assert!(errors.starts_with("zooky: cannot start the watchdog: "), "{errors}");
    assert_eq!(next.code(), 0);
}

#[test]
fn a_quiet_time_brings_no_term() {
    let server = Server::start();
    // More than twice the session timeout, which is one that a busy machine does not make quiet.
    let script = "trap 'echo term; exit 9' TERM; sleep 25 & wait; echo done";
    let quiet = ["--servers", &server.hosts(), "--session-timeout", "12", "run", "quiet", "--"];
    let mut running = Running::start(zooky(&quiet).args(sh(script)));
    assert_eq!((running.line(), running.code()), ("done".to_string(), 0));
}

#[test]
fn a_short_silence_brings_no_term() {
    let mut server = Server::start();
    let mut running = Running::start(server.zooky(&["run", "blip", "--"]).args(sh(POLITE)));
    running.line();
    let restarted = Instant::now();
    server.process.kill();
    server.process.restart();
    // A busy machine may take its time; the promise is about short silences only.
    if restarted.elapsed() < TIMEOUT / 20 {
        let (_, _, errors) = common::run(&mut server.zooky(&["run", "other", "--", "true"]));
        assert_eq!(errors, "");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.line(), "cleaned");
}

/// Whether every process of the group has ended. Some stay zombies for a while: until `zooky run` goes on, or until
/// init gets round to its orphans.
fn all_dead(group: &str) -> bool {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    !stats.into_iter().any(|stat| {
        let mut words = stat.rsplit_once(") ").unwrap().1.split(' ');
        let state = words.next().unwrap();
        // State, parent, group.
        words.nth(1) == Some(group) && state != "Z" && state != "X"
    })
}

/// The process that watches the group.
#[track_caller]
fn watchdog(group: &str) -> u32 {
    let start = format!("zooky\0__watchdog\0{group}\0");
    eventually(LONG, "a watchdog", || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = processes.filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            line.starts_with(start.as_bytes()).then_some(pid)
        });
        pids.next()
    })
}
