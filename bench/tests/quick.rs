//! That every measurement can be made at all, against the real servers and clients; and what the wire shows. Nothing
//! here judges how fast anything is.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

/// What a run with these arguments printed.
fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_zooky-bench")).args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {}:\n{stderr}\n{stdout}", output.status);
    stdout.into_owned()
}

/// How many rows a table of the report has; all of its figures are numbers.
fn rows(report: &str, title: &str) -> usize {
    let table = report.split(&format!("\n## {title}")).nth(1).unwrap_or_else(|| panic!("{title}:\n{report}"));
    let table: Vec<&str> = table.lines().skip(4).take_while(|line| line.starts_with('|')).collect();
    assert!(table.iter().all(|row| !["NaN", "inf"].iter().any(|bad| row.contains(bad))), "{report}");
    table.len()
}

#[test]
fn a_quick_run_on_apache_and_redis_fills_every_table() {
    let report = bench(&["--quick", "--only", "a,b,c,tasks,readers,drain,behind,join"]);
    let rows = |title: &str| rows(&report, title);
    let servers = report.matches("server Apache").count() + report.matches("server zooky server").count();
    let zooky = usize::from(report.contains("client zooky "));
    let (everybody, own) = ((4 + zooky) * servers, 2);
    assert_eq!(rows("A free lock, release awaited"), everybody + own, "{report}");
    assert_eq!(rows("A free lock, back to back"), everybody + own, "{report}");
    assert_eq!(rows("64 locks at once"), everybody + own, "{report}");
    assert_eq!(rows("Handoff among 8 sessions"), everybody + 1, "{report}");
    assert_eq!(rows("64 tasks of one process"), everybody - servers + 1, "{report}");
    assert_eq!(rows("A read/write lock"), 3 * servers, "{report}");
    assert_eq!(rows("100 waiters in one queue"), everybody, "{report}");
    assert_eq!(rows("Handoff between 2 sessions"), everybody, "{report}");
    assert_eq!(rows("Joining a queue"), everybody, "{report}");
    assert!(rows("The machine's limits") >= 2, "{report}");
}

#[test]
fn a_quick_run_compares_the_server_with_apache_and_redis() {
    let report = bench(&["--quick", "--only", "server,starts"]);
    for (title, expected) in [
        ("The server's bars", 11),
        ("The bars of starts", 2),
        ("Writes and reads", 11),
        ("One write alone", 5),
        ("64 locks, beside redis", 5),
        ("Sessions and watches", 3),
        ("Start to the first answer", 4),
        ("Resident memory", 4),
    ] {
        assert_eq!(rows(&report, title), expected, "{title}:\n{report}");
    }
    assert!(!report.contains("| – |"), "{report}");
}

#[test]
fn a_free_lock_on_apache_costs_one_round_trip() {
    for peer in ["floor", "zooky"] {
        let trace = bench(&["trace", "--peer", peer]);
        assert!(trace.contains("1 round trip(s) until the lock was held: create"), "{trace}");
        assert!(trace.contains("3 requests;"), "{trace}");
    }
}

#[test]
fn curator_on_apache_is_seen_to_take_two_round_trips() {
    let trace = bench(&["trace", "--peer", "curator"]);
    assert!(
        trace.contains("2 round trip(s) until the lock was held: create2, getChildren2, delete"),
        "{trace}"
    );
}

#[test]
fn a_quick_run_sets_hostile_clients_upon_a_good_one() {
    let report = bench(&["--quick", "--only", "hostile"]);
    for line in ["| writes, from sending | ", "| reads, from sending | ", "The server's resident memory: "] {
        assert!(report.lines().any(|it| it.starts_with(line) && !it.contains("NaN")), "{line}: {report}");
    }
}

#[test]
fn a_quick_run_compares_kazoo_and_zooky_in_python() {
    let report = bench(&["--quick", "--only", "python"]);
    assert_eq!(rows(&report, "zooky's acquisitions per second / kazoo's"), 8, "{report}");
    assert_eq!(rows(&report, "A free lock"), 8, "{report}");
    assert_eq!(rows(&report, "Handoff among 8 sessions in one process"), 8, "{report}");
    assert!(!report.contains("| – |"), "{report}");
}

/// Needs `zooky` in the same directory, which a build of the workspace puts there.
#[test]
fn a_quick_run_compares_the_command_with_flock() {
    let written = concat!(env!("CARGO_TARGET_TMPDIR"), "/the-command-beside-flock.md");
    assert_eq!(rows(&bench(&["--quick", "--only", "run", "--out", written]), "One command"), 2);
    // And it has a place in the document.
    assert_eq!(rows(&std::fs::read_to_string(written).unwrap(), "One command"), 2);
}
