//! The pains of lock users, as the issue lists of other libraries tell them: one file for each, named after its number
//! in the project's list, with the issues that it comes from. Each test shows that it does not hurt here.
//!
//! Two are elsewhere, by the same names: 17, a command that outlives its lock, in `zooky-cli/tests/run_loss.rs`; 18, a fork
//! in Python, in `python/tests/test_process.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

mod pain_01_a_lost_lock_unnoticed;
mod pain_02_a_stale_writer;
mod pain_03_a_node_of_a_dead_session;
mod pain_04_orphans_in_the_queue;
mod pain_05_a_create_that_may_have_happened;
mod pain_06_a_release_without_a_connection;
mod pain_07_the_end_of_the_sequence;
mod pain_08_a_deadlock_after_a_reconnect;
mod pain_09_callbacks_on_the_event_thread;
mod pain_10_readers_and_writers;
mod pain_11_a_gap_in_a_downgrade;
mod pain_12_herds;
mod pain_13_semaphores_that_leak;
mod pain_14_empty_directories;
mod pain_15_watches_of_those_who_gave_up;
mod pain_16_tries_that_write;
mod pain_19_two_handles_on_one_session;
mod pain_20_who_holds_it;
mod pain_mixed_dialects;

use zooky::{Client, Dialect, Lock, RwLock};

ensemble!();

/// The dialects that our handles write.
const DIALECTS: [Dialect; 3] = [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools];

fn lock(client: &Client, path: &str, dialect: Dialect) -> Lock {
    Lock::new(client, path).unwrap().dialect(dialect).unwrap()
}

fn rwlock(client: &Client, path: &str, dialect: Dialect) -> RwLock {
    RwLock::new(client, path).unwrap().dialect(dialect).unwrap()
}
