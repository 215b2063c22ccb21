//! The fenced register: what it refuses, and that it notices overlaps, between processes too.

#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::Duration;
use zooky_testkit::{FencedRegister, Mode, RecordKind, Stale, eventually};

fn register() -> (tempfile::TempDir, FencedRegister) {
    let directory = tempfile::tempdir().unwrap();
    let register = FencedRegister::open(directory.path().join("register"));
    (directory, register)
}

#[test]
fn a_stale_writer_is_refused() {
    let (_directory, register) = register();
    register.write(5, "first").unwrap();
    register.write(5, "first, again").unwrap();
    register.write(7, "second").unwrap();
    assert_eq!(register.write(6, "late"), Err(Stale { token: 6, newest: 7 }));
    assert_eq!(register.history().len(), 3);
}

#[test]
fn a_reader_yields_to_writers_only_and_a_writer_to_readers_too() {
    let (_directory, register) = register();
    register.write(5, "writer").unwrap();
    drop(register.enter(9, Mode::Read, "reader").unwrap());
    drop(register.enter(6, Mode::Read, "earlier reader").unwrap());
    assert_eq!(register.write(8, "writer").unwrap_err().newest, 9);
    assert_eq!(register.enter(4, Mode::Read, "stale reader").unwrap_err().newest, 5);
    assert!(register.enter(u128::MAX, Mode::Write, "the largest token").is_ok());
}

#[test]
fn overlaps_are_seen_through_another_handle() {
    let (directory, register) = register();
    let other = FencedRegister::open(directory.path().join("register"));
    let reader = register.enter(1, Mode::Read, "a").unwrap();
    let second = other.enter(2, Mode::Read, "b").unwrap();
    assert_eq!(register.overlaps(), []);
    let writer = other.enter(3, Mode::Write, "c").unwrap();
    let pairs: Vec<_> =
        register.overlaps().iter().map(|one| (one.inside.who.clone(), one.entering.who.clone())).collect();
    assert_eq!(pairs, [("a".to_string(), "c".to_string()), ("b".to_string(), "c".to_string())]);
    assert!(second.write().is_err(), "a reader that was overtaken is stale");
    drop((reader, second, writer));
    drop(register.enter(4, Mode::Write, "d").unwrap());
    assert_eq!(other.overlaps().len(), 2);
    let leaves = other.history().iter().filter(|record| record.kind == RecordKind::Leave).count();
    assert_eq!(leaves, 4);
}

/// Not a test of its own: the other process of the one below, which runs this with a path in the environment.
#[test]
fn helper_that_stays_inside() {
    let Some(path) = std::env::var_os("ZOOKY_TEST_REGISTER") else { return };
    let _entry = FencedRegister::open(path).enter(1, Mode::Write, "other process").unwrap();
    std::thread::park_timeout(Duration::from_secs(60));
}

#[test]
fn a_living_process_overlaps_and_a_dead_one_does_not() {
    let (directory, register) = register();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_stays_inside"])
        .env("ZOOKY_TEST_REGISTER", directory.path().join("register"))
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(30), "the other process to come in", || register.history().pop());
    drop(register.enter(2, Mode::Write, "beside it").unwrap());
    assert_eq!(register.overlaps().len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(register.enter(3, Mode::Write, "after it").unwrap());
    assert_eq!(register.overlaps().len(), 1);
    assert!(register.history().iter().any(|record| record.kind == RecordKind::Gone));
}
