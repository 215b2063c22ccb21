//! Every lock of ours beside every lock of others that we know, on one path, in both orders of arrival: they exclude
//! each other, or ours, coming second, is refused, or theirs, coming second, is reported.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "interop/pairs.rs"]
mod pairs;
#[path = "interop/table.rs"]
mod table;

use std::fmt::Write;
use std::time::Duration;

use common::servers::{Ours, Single, TICK, apache};
use common::{Observer, client};
use pairs::{Stock, meet_all, meet_ours};
use table::{OURS, Program, THEIRS, Theirs};
use tokio::runtime::Handle;
use zooky_testkit::Ensemble;

/// For a whole matrix, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn kazoo_curator_and_others_beside_ours() {
    let server = Ours::start(TICK);
    matrix(&server.hosts(), |_| true);
}

#[test]
fn apache_kazoo_curator_and_others_beside_ours() {
    let server = apache(TICK);
    matrix(&server.hosts(), |_| true);
}

#[test]
fn ensemble_kazoo_curator_and_zktools_beside_ours() {
    let ensemble = Ensemble::start();
    matrix(&ensemble.hosts(), |theirs| theirs.representative);
}

/// Four programs with stock clients, side by side.
fn matrix(hosts: &str, wanted: impl Fn(&Theirs) -> bool) {
    let of = |program: Program| THEIRS.iter().filter(move |theirs| theirs.program == program);
    let java: Vec<&Theirs> = of(Program::Java).filter(|theirs| wanted(theirs)).collect();
    let python: Vec<&Theirs> = of(Program::Python).filter(|theirs| wanted(theirs)).collect();
    let mut groups = vec![(Program::Java, java)];
    groups.extend(python.chunks(python.len().div_ceil(3)).map(|some| (Program::Python, some.to_vec())));
    common::run(PATIENCE, async {
        let runtime = Handle::current();
        let mut threads = Vec::new();
        for (program, group) in groups {
            let (runtime, hosts) = (runtime.clone(), hosts.to_owned());
            // Talking with a program blocks: not on the runtime's threads.
            threads.push(tokio::task::spawn_blocking(move || {
                let mut stock = Stock::start(program, &hosts);
                for theirs in group {
                    runtime.block_on(meet_all(theirs, &mut stock, &hosts));
                }
            }));
        }
        for thread in threads {
            thread.await.unwrap();
        }
    });
}

backends!(ours_of_all_dialects_beside_ours: ours_of_all_dialects, apache_ours_of_all_dialects);

async fn ours_of_all_dialects_beside_ours(hosts: String) {
    let clients = [client(&hosts).await, client(&hosts).await];
    let observer = Observer::new(&hosts).await;
    for first in OURS {
        for second in OURS {
            meet_ours(first, second, &clients, &observer).await;
        }
    }
}

/// The document's table, line by line.
#[test]
fn the_document_says_what_the_table_says() {
    let mut lines = Vec::new();
    for theirs in &THEIRS {
        let meetings = theirs.meetings();
        // kazoo's Lock and WriteLock write the same, and so do ours: one column for both.
        assert_eq!(meetings[0], meetings[1], "{}", theirs.name);
        let mut line = format!("| {} |", theirs.name);
        for (_, meeting) in OURS.iter().zip(meetings).skip(1) {
            write!(line, " {} |", meeting.in_words()).unwrap();
        }
        lines.push(line);
    }
    let document = include_str!("../../../docs/interop.md");
    let table = document.lines().skip_while(|line| !line.starts_with("| theirs |")).skip(2);
    let found: Vec<&str> = table.take_while(|line| line.starts_with("| ")).collect();
    assert!(found == lines, "docs/interop.md is to have this table:\n{}", lines.join("\n"));
}
