//! The pains of lock users, as the issue lists of other libraries tell them: one file for each, named after its number
//! in the project's list, with the issues that it comes from. Each test shows that it does not hurt here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

mod pain_03_a_node_of_a_dead_session;
mod pain_05_a_create_that_may_have_happened;
mod pain_08_a_deadlock_after_a_reconnect;
mod pain_10_readers_and_writers;

use zooky::{Client, Dialect, Lock, RwLock};

/// The dialects that our handles write.
const DIALECTS: [Dialect; 3] = [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools];

fn lock(client: &Client, path: &str, dialect: Dialect) -> Lock {
    Lock::new(client, path).unwrap().dialect(dialect).unwrap()
}

fn rwlock(client: &Client, path: &str, dialect: Dialect) -> RwLock {
    RwLock::new(client, path).unwrap().dialect(dialect).unwrap()
}
