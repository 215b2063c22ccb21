//! `zooky run` as a user types it: exit codes, conflicts as flock(1) has them, signals, the process group.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, group_is_gone, run, sh};
use rustix::process::Signal;
use std::process::Command;
use zooky_testkit::eventually;

#[test]
fn the_commands_exit_code_is_passed_through() {
    let server = Server::start();
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let (got, _, errors) = run(server.zooky(&["run", "codes", "--"]).args(sh(script)));
        assert_eq!((got, errors.as_str()), (code, ""), "{script}");
    }
}

#[test]
fn a_command_that_cannot_be_run_frees_the_lock() {
    let server = Server::start();
    let (code, _, errors) = run(&mut server.zooky(&["run", "x", "--", "no-such-command-anywhere"]));
    assert_eq!((code, errors.trim_end()), (127, "zooky: no-such-command-anywhere: command not found"));
    let (code, _, errors) = run(&mut server.zooky(&["run", "-n", "x", "--", "/dev/null"]));
    assert_eq!(code, 126, "{errors}");
    assert!(errors.starts_with("zooky: /dev/null: cannot be run: "), "{errors}");
    assert_eq!(run(&mut server.zooky(&["run", "-n", "x", "--", "true"])).0, 0);
}

#[test]
fn the_lock_and_its_token_are_in_the_environment() {
    let server = Server::start();
    let show = "echo $ZOOKY_LOCK; echo $ZOOKY_FENCING_TOKEN";
    let mut tokens = Vec::new();
    for (name, path) in [("env", "/locks/env"), ("a/b", "/locks/a/b"), ("/elsewhere/c", "/elsewhere/c")] {
        let (code, out, errors) = run(server.zooky(&["run", name, "--"]).args(sh(show)));
        assert_eq!(code, 0, "{errors}");
        let (lock, token) = out.trim_end().split_once('\n').unwrap();
        assert_eq!(lock, path);
        assert_eq!(token.len(), 33, "{token}");
        tokens.push(token.to_string());
    }
    assert!(tokens.is_sorted(), "{tokens:?}");
}

/// Both commands, the same conflict, the same flags: the same exit code.
#[test]
fn conflicts_are_flocks() {
    let server = Server::start();
    // A timeout that a busy machine does not reach.
    let zooky = |args: &[&str]| {
        common::zooky(&[&["--servers", &server.hosts(), "--session-timeout", "30"], args].concat())
    };
    let dir = tempfile::tempdir().unwrap();
    for holder_shared in [false, true] {
        let mode = if holder_shared { "-s" } else { "-x" };
        let mut ours = Running::start(zooky(&["run", mode, "c", "--"]).args(sh("echo in; exec sleep 1000")));
        // -F: flock becomes the command, so that ending the one ends the other.
        let file = dir.path().join(mode);
        let mut theirs = Command::new("flock");
        let mut theirs =
            Running::start(theirs.args([mode, "-F"]).arg(&file).args(sh("echo in; exec sleep 1000")));
        assert_eq!((ours.line(), theirs.line()), ("in".to_string(), "in".to_string()));
        let flags: &[&[&str]] = &[
            &["-n"],
            &["-n", "-E", "0"],
            &["-nE", "200"],
            &["-w", "0"],
            &["-w", "0.05"],
            &["-w", ".05", "-E", "75"],
            &["-s", "-n"],
            &["-s", "-n", "-E", "9"],
            &["-s", "-w", "0.05", "-E", "9"],
            &["-x", "-n"],
            &["-E", "256", "-n"],
            &["-w", "x"],
        ];
        for flags in flags {
            let (our_code, out, errors) = run(zooky(&["run"]).args(*flags).args(["c", "--", "echo", "ran"]));
            let (their_code, their_out, _) =
                run(Command::new("flock").args(*flags).arg(&file).args(["echo", "ran"]));
            assert_eq!((our_code, &out), (their_code, &their_out), "{flags:?}, held {mode}: {errors}");
        }
        ours.signal(Signal::TERM);
        assert_eq!(ours.code(), 143);
    }
}

#[test]
fn signals_are_passed_through() {
    let server = Server::start();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2] {
        let number = signal.as_raw();
        let script = format!("trap 'echo got; exit 42' {number}; echo ready; while :; do sleep 0.05; done");
        let mut command = Running::start(server.zooky(&["run", "s", "--"]).args(sh(&script)));
        assert_eq!(command.line(), "ready");
        command.signal(signal);
        assert_eq!((command.line(), command.code()), ("got".to_string(), 42), "{signal:?}");
    }
}

#[test]
fn a_signal_that_kills_the_command_is_in_the_exit_code_and_frees_the_lock() {
    let server = Server::start();
    let mut command = Running::start(server.zooky(&["run", "k", "--"]).args(sh("echo in; exec sleep 1000")));
    command.line();
    command.signal(Signal::INT);
    assert_eq!(command.code(), 130);
    assert_eq!(run(&mut server.zooky(&["run", "-n", "k", "--", "true"])).0, 0);
}

/// nohup's command must survive the hangup, under zooky as without it.
#[test]
fn ignored_signals_stay_ignored() {
    let server = Server::start();
    let script = format!(
        "trap '' HUP; exec {} --servers {} run h -- sh -c 'echo in; kill -HUP $$; echo alive'",
        common::ZOOKY,
        server.hosts()
    );
    let mut command = Command::new("sh");
    let (code, out, errors) = run(command.args(["-c", &script]));
    assert_eq!((code, out.as_str()), (0, "in\nalive\n"), "{errors}");
}

#[test]
fn grandchildren_get_the_signal_too() {
    let server = Server::start();
    let inner = "trap \"echo inner; exit\" TERM; echo ready; while :; do sleep 0.05; done";
    let script = format!("trap : TERM; sh -c '{inner}' & wait; wait; exit 5");
    let mut command = Running::start(server.zooky(&["run", "g", "--"]).args(sh(&script)));
    assert_eq!(command.line(), "ready");
    command.signal(Signal::TERM);
    assert_eq!((command.line(), command.code()), ("inner".to_string(), 5));
}

/// flock's lock lives in the descriptors of what the command leaves behind; ours as long as its group.
#[test]
fn what_the_command_leaves_behind_keeps_the_lock() {
    let server = Server::start();
    let script = "sleep 1000 >/dev/null 2>&1 & echo $$; exit 3";
    let mut command = Running::start(server.zooky(&["run", "left", "--"]).args(sh(script)));
    let group = command.line();
    assert!(command.error_line().contains("left processes in its group"));
    assert_eq!(run(&mut server.zooky(&["run", "-n", "left", "--", "true"])).0, 1);
    command.signal(Signal::TERM);
    assert_eq!(command.code(), 3);
    assert!(group_is_gone(&group));
    assert_eq!(run(&mut server.zooky(&["run", "-n", "left", "--", "true"])).0, 0);
}

#[test]
fn a_long_wait_says_for_whom_and_a_signal_ends_it() {
    let server = Server::start();
    let mut holder = Running::start(server.zooky(&["run", "w", "--"]).args(sh("echo in; exec sleep 1000")));
    holder.line();
    let mut waiter = Running::start(&mut server.zooky(&["run", "w", "--", "echo", "in"]));
    let line = waiter.error_line();
    let expected = format!("zooky: waiting for /locks/w, held by pid {} (", holder.child.id());
    assert!(line.starts_with(&expected), "{line}");
    waiter.signal(Signal::TERM);
    assert_eq!(waiter.code(), 143);
    assert_eq!((waiter.rest(), waiter.errors()), (String::new(), String::new()));
    let mut patient = Running::start(&mut server.zooky(&["run", "w", "--", "echo", "in"]));
    patient.error_line();
    holder.signal(Signal::TERM);
    assert_eq!(
        (patient.line(), patient.code()),
        ("in".to_string(), 0),
        "nobody is left in the queue before it"
    );
}

#[test]
fn fifty_at_once_exclude_each_other() {
    common::crowd(50);
}

#[test]
fn shared_holders_are_in_together() {
    let server = Server::start();
    let mut first =
        Running::start(server.zooky(&["run", "-s", "r", "--"]).args(sh("echo in; exec sleep 1000")));
    first.line();
    assert_eq!(run(&mut server.zooky(&["run", "-s", "-n", "r", "--", "true"])).0, 0);
    assert_eq!(run(&mut server.zooky(&["run", "-n", "r", "--", "true"])).0, 1);
}

/// Everything that was started for a command is gone with it.
#[test]
fn no_watchdog_stays_behind() {
    let server = Server::start();
    let mut command =
        Running::start(server.zooky(&["run", "d", "--"]).args(sh("echo $$; read line; exit 0")));
    let group = command.line();
    assert_eq!(command.code(), 0);
    eventually(LONG, "its watchdog to end", || (watchdogs(&group) == 0).then_some(()));
}

/// The processes that watch the group.
fn watchdogs(group: &str) -> usize {
    let pids = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    pids.filter_map(|path| std::fs::read(path.join("cmdline")).ok())
        .filter(|line| line.starts_with(format!("zooky\0__watchdog\0{group}\0").as_bytes()))
        .count()
}
