//! `zooky run` two hundred times at once on one name. It has a file of its own: so many processes take the machine for
//! themselves, and others' sessions would not survive beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

#[test]
fn two_hundred_at_once_exclude_each_other() {
    common::crowd(200);
}
