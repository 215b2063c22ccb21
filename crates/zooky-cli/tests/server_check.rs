//! `zooky server check`, as it is typed: lines, JSON, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Server, run, zooky};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn check(dir: &Path, flags: &[&str]) -> Command {
    let mut command = zooky(&["server", "check"]);
    command.arg(dir).args(flags);
    command
}

/// A server's directory after a lock was taken and given back; the server has stopped.
fn used() -> (tempfile::TempDir, PathBuf) {
    let mut server = Server::start();
    assert_eq!(run(&mut server.zooky(&["run", "job", "--", "true"])).0, 0);
    server.process.stop();
    let log = std::fs::read_dir(server.data.path().join("version-2")).unwrap().flatten();
    let log = log.map(|entry| entry.path()).find(|path| path.ends_with("log.1")).unwrap();
    (server.data, log)
}

#[test]
fn a_sound_directory() {
    let (dir, _) = used();
    let (code, out, errors) = run(&mut check(dir.path(), &[]));
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("snapshot.0: sound, "), "{out}");
    assert!(lines[1].starts_with("log.1: sound, "), "{out}");
    assert!(lines[2].starts_with("a start goes on from 0x"), "{out}");
    assert_eq!((lines[3], lines.len()), ("sound", 4));

    let (code, out, _) = run(&mut check(dir.path(), &["--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["verdict"]), (0, &Value::from("sound")));
    assert_eq!(report["start"]["zxid"], report["logs"][0]["last"]);
    assert_eq!(report["start"]["replayed"], report["logs"][0]["transactions"]);
    assert_eq!((&report["refused"], &report["logs"][0]["damage"]), (&Value::Null, &Value::Null));
}

#[test]
fn damage_that_a_start_refuses_and_damage_that_it_does_not_need() {
    let (dir, log) = used();
    let sound = std::fs::read(&log).unwrap();
    let mut broken = sound.clone();
    broken[40] ^= 0xff;
    std::fs::write(&log, broken).unwrap();
    let (code, out, _) = run(&mut check(dir.path(), &[]));
    assert_eq!(code, 65, "{out}");
    assert!(out.contains("log.1: DAMAGED") && out.ends_with("unusable as it is\n"), "{out}");
    let (_, out, _) = run(&mut check(dir.path(), &["--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["start"], Value::Null);
    assert!(report["refused"].as_str().unwrap().contains("corrupt"), "{out}");

    std::fs::write(&log, sound).unwrap();
    // A snapshot that is no snapshot, and whose transactions the log has.
    std::fs::write(log.with_file_name("snapshot.2"), "ZKSN").unwrap();
    let (code, out, _) = run(&mut check(dir.path(), &[]));
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("snapshot.2: DAMAGED"), "{out}");
}

#[test]
fn a_directory_in_use_and_one_that_is_none() {
    let server = Server::start();
    let (code, out, errors) = run(&mut check(server.data.path(), &[]));
    assert_eq!((code, out.as_str()), (71, ""));
    assert!(errors.contains("in use"), "{errors}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut check(empty.path(), &[])).0, 65);
}
