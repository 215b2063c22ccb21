//! Every lock of ours beside every lock of others that we know, on one path, in both orders of arrival: they exclude
//! each other, or ours, coming second, is refused, or theirs, coming second, is reported.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "interop/changes.rs"]
mod changes;
mod common;
#[path = "interop/pairs.rs"]
mod pairs;
#[path = "interop/semaphores.rs"]
mod semaphores;
#[path = "interop/table.rs"]
mod table;

use std::fmt::Write;
use std::time::Duration;

use common::servers::{Ours, Single, TICK, apache};
use common::{Observer, client};
use pairs::{Stock, meet_all, meet_ours};
use table::{OURS, Program, THEIRS, Theirs};
use tokio::runtime::Handle;
use zooky::Dialect;
use zooky_testkit::Ensemble;

/// For a whole matrix, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn kazoo_curator_and_others_beside_ours() {
    let server = Ours::start(TICK);
    matrix(&server.hosts());
}

#[test]
fn apache_kazoo_curator_and_others_beside_ours() {
    let server = apache(TICK);
    matrix(&server.hosts());
}

#[test]
fn ensemble_kazoo_curator_and_others_beside_ours() {
    let ensemble = Ensemble::start();
    matrix(&ensemble.hosts());
}

/// Four programs with stock clients, side by side.
fn matrix(hosts: &str) {
    let of = |program: Program| THEIRS.iter().filter(move |theirs| theirs.program == program);
    let java: Vec<&Theirs> = of(Program::Java).collect();
    let python: Vec<&Theirs> = of(Program::Python).collect();
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

ensemble!();

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

backends!(ours_write_what_theirs_write:
    ours_kazoo_and_curator_write_what_ours_write,
    apache_kazoo_and_curator_write_what_ours_write);

/// Our nodes and directories beside the stock clients': names, data and ACLs are the same but for what is random.
async fn ours_write_what_theirs_write(hosts: String) {
    let client = client(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let mut java = Stock::start(Program::Java, &hosts);
    let mut python = Stock::start(Program::Python, &hosts);
    let kinds = [
        "Lock",
        "WriteLock",
        "ReadLock",
        "mutex",
        "writer",
        "reader",
        "ZkLock",
        "ZkWriteLock",
        "ZkReadLock",
        "ZkAsyncLock",
    ];
    for ((dialect, handle), kind) in OURS.into_iter().zip(kinds) {
        let [our_root, their_root] = ["ours", "theirs"].map(|who| format!("/written-{who}-{kind}"));
        let stock = if dialect == Dialect::Curator { &mut java } else { &mut python };
        stock.make(kind, &format!("{their_root}/lock"));
        stock.begin();
        assert_eq!(stock.granted(), "true");
        let (told, _waits) = tokio::sync::mpsc::unbounded_channel();
        let guard =
            pairs::acquire(&client, &format!("{our_root}/lock"), (dialect, handle), told).await.unwrap();

        let mut seen = Vec::new();
        for root in [&our_root, &their_root] {
            let names = observer.children(&format!("{root}/lock")).await;
            assert_eq!(names.len(), 1);
            let mut written = Vec::new();
            for path in [root.clone(), format!("{root}/lock"), format!("{root}/lock/{}", names[0])] {
                let (data, stat) = observer.get(&path).await.unwrap();
                let (acl, _) = observer.session.acl(&path).await.unwrap();
                // kazoo's data is the application's; ours is the owner.
                let data =
                    if path.ends_with(&names[0]) && dialect == Dialect::Kazoo { "".into() } else { data };
                written.push((data, acl, stat.ephemeral_owner == 0));
            }
            let id = if dialect == Dialect::Curator { 3..39 } else { 0..32 };
            let mut shape = names[0].clone();
            shape.replace_range(id, "");
            seen.push((shape, written));
        }
        assert_eq!(seen[0], seen[1], "{dialect}, {kind}");
        guard.release().await.unwrap();
        stock.release();
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
