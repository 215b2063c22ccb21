//! The verbs of an operator, as typed, on our server and on Apache ZooKeeper: see, hold, free, follow, check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, lines, run, sh};
use rustix::process::Signal;
use std::process::{Command, Stdio};
use zooky_testkit::{Apache, eventually};

/// What is the same on every server: on ours each by itself, on Apache ZooKeeper one after the other, below a root of its own.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod on_ours {
            $(#[test] fn $test() { super::$test(&super::Server::start().hosts()) })*
        }
        const ALL: &[(&str, fn(&str))] = &[$((stringify!($test), $test),)*];
    };
}

on_both! {
    hold_prints_its_token_and_lets_go_at_a_signal,
    several_locks_are_taken_as_one,
    each_dialect_is_written_and_strangers_are_refused,
    a_semaphore_lets_so_many_in,
    a_revocable_command_gets_term_when_somebody_asks,
    wait_ends_when_the_lock_is_free,
    elections_have_a_leader_and_observers,
    a_tree_shows_who_waits_for_whom,
    a_deadlock_is_shown_and_can_be_freed,
    remove_refuses_what_is_held_without_force,
    clean_says_what_it_removes_and_whom_that_hurts,
    nodes_have_typed_values,
    a_node_is_followed,
    the_doctor_finds_nothing_wrong_and_leaves_nothing_behind,
    bench_measures_and_leaves_nothing_behind,
}

#[test]
fn all_of_it_on_apache_zookeeper() {
    let apache = Apache::start();
    for (name, test) in ALL {
        eprintln!("{name}");
        assert_eq!(ends(&apache.hosts(), &["node", "set", &format!("/{name}"), "none"]).0, 0);
        test(&format!("{}/{name}", apache.hosts()));
    }
}

/// With a timeout that a busy machine does not reach.
fn named(hosts: &str, args: &[&str]) -> Command {
    let mut command = common::zooky(&["--servers", hosts, "--session-timeout", "30"]);
    command.args(args);
    command
}

fn ends(hosts: &str, args: &[&str]) -> (i32, String, String) {
    run(&mut named(hosts, args))
}

/// A command that holds the lock and waits for a signal.
fn hold(hosts: &str, args: &[&str]) -> Running {
    let mut running = Running::start(named(hosts, args).args(sh("echo in; exec sleep 1000")));
    assert_eq!(running.line(), "in");
    running
}

/// One that waits for a lock, seen to stand in the queue.
fn queue(hosts: &str, args: &[&str], lock: &str, waiters: u64) -> Running {
    let waiter = Running::start(&mut named(hosts, args));
    eventually(LONG, "a waiter in the queue", || {
        let (_, out, _) = ends(hosts, &["show", "--json", lock]);
        let view: serde_json::Value = serde_json::from_str(&out).ok()?;
        let waiting = view["contenders"].as_array()?.iter().filter(|one| one["holding"] == false).count();
        (waiting as u64 == waiters).then_some(())
    });
    waiter
}

fn hold_prints_its_token_and_lets_go_at_a_signal(hosts: &str) {
    let mut holder = Running::start(&mut named(hosts, &["hold", "h"]));
    let token = holder.line();
    assert_eq!(token.len(), 33, "{token}");
    assert_eq!(ends(hosts, &["run", "-n", "h", "--", "true"]).0, 1);
    assert_eq!(ends(hosts, &["hold", "-n", "-E", "7", "h"]).0, 7);
    holder.signal(Signal::TERM);
    assert_eq!((holder.code(), holder.rest()), (0, String::new()));
    let (code, out, errors) =
        run(named(hosts, &["run", "-n", "h", "--"]).args(sh("echo $ZOOKY_FENCING_TOKEN")));
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(out.trim_end() > token.as_str(), "{out} after {token}");
    // Several at once: a token for each, in the order of the names.
    let mut both = Running::start(&mut named(hosts, &["hold", "h2", "h1"]));
    let (second, first) = (both.line(), both.line());
    assert!(first < second, "taken in the order of their paths: {first} {second}");
    both.signal(Signal::INT);
    assert_eq!(both.code(), 0);
}

#[test]
fn hold_works_as_a_coprocess_and_ends_with_its_shell() {
    let server = Server::start();
    let script = "
        coproc LOCK { exec $ZOOKY hold --until-eof c; }
        read -r token <&\"${LOCK[0]}\"
        echo $token
        $ZOOKY run -n c -- true; echo busy:$?
        exec {LOCK[1]}>&-
        wait $LOCK_PID; echo ended:$?
        $ZOOKY run -n c -- true; echo free:$?";
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("ZOOKY", common::ZOOKY).env("ZOOKY_SERVERS", server.hosts());
    let (_, out, errors) = run(&mut command);
    let said: Vec<&str> = out.lines().collect();
    assert_eq!(said[1..], ["busy:1", "ended:0", "free:0"], "{out} {errors}");
    assert_eq!(said[0].len(), 33);
}

#[test]
fn a_hold_that_loses_its_lock_says_so() {
    let server = Server::start();
    let mut holder = Running::start(&mut server.zooky(&["hold", "gone"]));
    holder.line();
    assert_eq!(run(&mut server.zooky(&["revoke", "--now", "gone"])).0, 0);
    assert_eq!(holder.code(), 70);
    assert_eq!(holder.errors(), "zooky: the lock /locks/gone is lost\n");
    // Nobody reads the token: it is not kept for nobody.
    let mut unread = server.zooky(&["hold", "gone"]);
    let mut unread = unread.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(unread.stdout.take());
    let code = eventually(LONG, "it to end", || unread.try_wait().unwrap()).code();
    assert_eq!(code, Some(0), "a reader that went away is no error");
    assert_eq!(run(&mut server.zooky(&["run", "-n", "gone", "--", "true"])).0, 0);
}

fn several_locks_are_taken_as_one(hosts: &str) {
    let script = "echo \"$ZOOKY_LOCK\"; echo \"$ZOOKY_FENCING_TOKEN\" | wc -l";
    let (code, out, errors) = run(named(hosts, &["run", "b", "a", "--"]).args(sh(script)));
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["/locks/b", "/locks/a", "2"]);
    let holder = hold(hosts, &["run", "b", "--"]);
    assert_eq!(ends(hosts, &["run", "-n", "a", "b", "--", "true"]).0, 1);
    assert_eq!(ends(hosts, &["run", "-n", "a", "--", "true"]).0, 0, "nothing is held by half");
    drop(holder);
    let _reader = hold(hosts, &["run", "--read", "r1", "r2", "--"]);
    assert_eq!(ends(hosts, &["run", "--read", "-n", "r2", "r1", "--", "true"]).0, 0);
    assert_eq!(ends(hosts, &["run", "--write", "-n", "r2", "--", "true"]).0, 1);
}

fn each_dialect_is_written_and_strangers_are_refused(hosts: &str) {
    for dialect in ["curator", "zktools", "kazoo"] {
        let _holder = hold(hosts, &["run", "--dialect", dialect, dialect, "--"]);
        let (_, out, _) = ends(hosts, &["show", "--json", dialect]);
        let view: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(view["contenders"][0]["dialect"].as_str().unwrap().to_lowercase(), dialect);
        assert_eq!(ends(hosts, &["run", "-n", "--dialect", dialect, dialect, "--", "true"]).0, 1);
        if dialect == "curator" {
            let (code, _, errors) = ends(hosts, &["run", "-w", "1", dialect, "--", "true"]);
            assert_eq!((code, errors.contains("Curator")), (65, true), "{errors}");
        }
    }
}

fn a_semaphore_lets_so_many_in(hosts: &str) {
    let _one = hold(hosts, &["run", "--semaphore", "2", "s", "--"]);
    let mut two = hold(hosts, &["run", "--semaphore", "2", "s", "--"]);
    assert_eq!(ends(hosts, &["run", "--semaphore", "2", "-n", "s", "--", "true"]).0, 1);
    let (code, _, errors) = ends(hosts, &["run", "--semaphore", "3", "-n", "s", "--", "true"]);
    assert_eq!(code, 65, "{errors}");
    let (_, out, _) = ends(hosts, &["show", "s"]);
    assert_eq!(out.matches(" lease ").count(), 2, "{out}");
    two.signal(Signal::TERM);
    assert_eq!(two.code(), 143);
    assert_eq!(ends(hosts, &["run", "--semaphore", "2", "-w", "10", "s", "--", "true"]).0, 0);
}

fn a_revocable_command_gets_term_when_somebody_asks(hosts: &str) {
    let script = "trap 'echo asked; exit 5' TERM; echo in; while :; do sleep 0.05; done";
    let mut holder = Running::start(named(hosts, &["run", "--revocable", "v", "--"]).args(sh(script)));
    assert_eq!(holder.line(), "in");
    let (code, out, errors) = ends(hosts, &["revoke", "v"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(out.lines().nth(1).unwrap().starts_with("asked  holds   exclusive  pid "), "{out}");
    // Its end first: that is waited for with a limit.
    assert_eq!((holder.code(), holder.rest()), (5, "asked\n".to_string()));
    assert!(holder.errors().contains(" asks for /locks/v; TERM sent to the command"));
    // Who is not revocable is told as deaf and goes on, and a waiter is not asked, unless meant.
    let mut deaf = hold(hosts, &["run", "v", "--"]);
    let mut waiter = queue(hosts, &["run", "--revocable", "-E", "9", "v", "--", "true"], "v", 1);
    let (code, out, errors) = ends(hosts, &["revoke", "v"]);
    assert!(out.lines().nth(1).unwrap().starts_with("deaf  holds   exclusive  pid "), "{out}");
    assert_eq!((code, errors.contains("--now")), (1, true), "{errors}");
    assert_eq!(ends(hosts, &["show", "v"]).1.matches("waits").count(), 1, "the waiter was not meant");
    let (code, out, _) = ends(hosts, &["revoke", "--all", "v"]);
    assert_eq!((code, out.matches("asked ").count(), out.matches("deaf ").count()), (1, 1, 1), "{out}");
    assert_eq!(waiter.code(), 9);
    assert!(waiter.errors().contains("somebody asked for /locks/v while we waited"));
    assert!(deaf.child.try_wait().unwrap().is_none());
    // By force it ends as after a loss.
    assert_eq!(ends(hosts, &["revoke", "--now", "v"]).0, 0);
    assert_eq!(deaf.code(), 70);
    let (code, out, errors) = ends(hosts, &["revoke", "v"]);
    assert_eq!((code, out.as_str(), errors.as_str()), (1, "", "zooky: nobody holds /locks/v\n"));
}

#[test]
fn revoking_those_who_have_held_for_long_spares_others() {
    let server = Server::start();
    let _holder = hold(&server.hosts(), &["run", "o", "--"]);
    let (code, _, errors) = run(&mut server.zooky(&["revoke", "--now", "--older", "3600", "o"]));
    assert_eq!((code, errors.as_str()), (1, "zooky: nobody holds /locks/o\n"));
    assert_eq!(run(&mut server.zooky(&["run", "-n", "o", "--", "true"])).0, 1);
}

#[test]
fn a_lock_delay_keeps_the_lock_closed_after_a_crash() {
    let server = Server::start();
    let mut holder = Running::start(&mut server.zooky(&["hold", "--lock-delay", "600", "d"]));
    holder.line();
    holder.signal(Signal::KILL);
    holder.wait();
    let args = ["run", "--lock-delay", "600", "-w", "8", "d", "--", "true"];
    assert_eq!(run(&mut server.zooky(&args)).0, 1, "the session was over after 4 s, the delay is not");
    assert_eq!(
        run(&mut server.zooky(&["run", "-w", "8", "d", "--", "true"])).0,
        0,
        "others are not kept out"
    );
}

#[test]
fn a_lost_lock_is_retried() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let script = "echo $$ >> runs; [ $(wc -l < runs) = 2 ] && exit 3; exec sleep 1000";
    let mut command = server.zooky(&["run", "--retry", "2", "again", "--"]);
    let mut running = Running::start(command.args(sh(script)).current_dir(dir.path()));
    eventually(LONG, "the first run", || (lines(&dir.path().join("runs")).len() == 1).then_some(()));
    assert_eq!(run(&mut server.zooky(&["revoke", "--now", "again"])).0, 0);
    assert_eq!(running.code(), 3, "the second run's own code");
    let errors = running.errors();
    assert!(errors.contains("beginning anew in 1 s (1 of 2)"), "{errors}");
    // A command's own failure is no reason to run it again.
    let (code, _, errors) = run(server.zooky(&["run", "--retry", "2", "again", "--"]).args(sh("exit 70")));
    assert_eq!((code, errors.as_str()), (70, ""));
    let nobody = ["--servers", "127.0.0.1:1", "--session-timeout", "0.5", "run", "--retry", "1", "x"];
    let (code, _, errors) = run(common::zooky(&nobody).args(["--", "true"]));
    assert_eq!(code, 69);
    assert!(errors.contains("(1 of 1)"), "{errors}");
}

fn wait_ends_when_the_lock_is_free(hosts: &str) {
    assert_eq!(ends(hosts, &["wait", "-n", "w"]).0, 0, "never used");
    let holder = hold(hosts, &["run", "w", "--"]);
    assert_eq!(ends(hosts, &["wait", "-n", "w"]).0, 1);
    assert_eq!(ends(hosts, &["wait", "-w", "0.2", "-E", "4", "w"]).0, 4);
    let mut waiter = Running::start(&mut named(hosts, &["wait", "w"]));
    assert!(waiter.error_line().starts_with("zooky: waiting for /locks/w, held by pid "));
    assert_eq!(ends(hosts, &["show", "w"]).1.lines().count(), 2, "it is in no queue");
    holder.signal(Signal::TERM);
    assert_eq!(waiter.code(), 0);
}

fn elections_have_a_leader_and_observers(hosts: &str) {
    let mut observer = Running::start(&mut named(hosts, &["elect", "--observe", "--json", "e"]));
    let leader = |line: String| {
        let change: serde_json::Value = serde_json::from_str(&line).unwrap();
        change["leader"]["owner"]["id"].as_str().map(str::to_string)
    };
    assert_eq!(leader(observer.line()), None);
    assert_eq!(ends(hosts, &["elect", "e"]).0, 1, "nobody leads");
    let mut first = Running::start(
        named(hosts, &["elect", "--id", "one", "e", "--"]).args(sh("echo in; exec sleep 1000")),
    );
    assert_eq!(first.line(), "in");
    assert_eq!(leader(observer.line()).as_deref(), Some("one"));
    assert_eq!(ends(hosts, &["elect", "-n", "e", "--", "true"]).0, 1);
    let (code, out, _) = ends(hosts, &["elect", "e"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with(&format!("pid {} (", first.child.id())) && out.contains(", one) since "),
        "{out}"
    );
    let mut second = queue(hosts, &["elect", "--id", "two", "e", "--", "true"], "e", 1);
    first.signal(Signal::TERM);
    assert_eq!((first.code(), second.code()), (143, 0));
    observer.signal(Signal::TERM);
    assert_eq!(observer.code(), 0);
}

fn a_tree_shows_who_waits_for_whom(hosts: &str) {
    let holder = hold(hosts, &["run", "deep/down", "--"]);
    let waiter = queue(hosts, &["run", "deep/down", "--", "true"], "deep/down", 1);
    let (code, out, errors) = ends(hosts, &["tree"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["/locks"]);
    assert_eq!((rows[2][0], rows[3][..].to_vec()), ("deep", vec!["down", "Locked"]));
    assert_eq!(rows[4][..5], ["1.", "holds", "exclusive", "pid", &holder.child.id().to_string()]);
    assert_eq!(rows[5][..5], ["2.", "waits", "exclusive", "pid", &waiter.child.id().to_string()]);
    assert_eq!(rows[5].last(), Some(&"1"), "{out}");
    let (code, out, errors) = ends(hosts, &["deadlocks"]);
    assert_eq!((code, out.as_str(), errors.as_str()), (0, "", "zooky: no deadlock\n"));
}

/// Two owners, each of which holds one lock and waits for the other's.
fn a_deadlock_is_shown_and_can_be_freed(hosts: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(zooky::Client::connect(hosts)).unwrap();
    let lock = |name: &str, id: &str| {
        let owner = zooky::Owner::this_process().with_id(id);
        zooky::Lock::new(&client, &format!("/locks/{name}")).unwrap().with_owner(owner)
    };
    let (a, b) = runtime.block_on(async {
        (lock("left", "ann").acquire().await.unwrap(), lock("right", "bob").acquire().await.unwrap())
    });
    let (want_b, want_a) = (lock("right", "ann"), lock("left", "bob"));
    let ann = runtime.spawn(async move { want_b.acquire().await.map(|_| ()) });
    let bob = runtime.spawn(async move { want_a.acquire().await.map(|_| ()) });
    let cycles = eventually(LONG, "the deadlock", || {
        let (code, out, _) = ends(hosts, &["deadlocks", "--json"]);
        (code == 1).then(|| serde_json::from_str::<serde_json::Value>(&out).unwrap())
    });
    let waits = cycles[0]["waits"].as_array().unwrap();
    let mut edges: Vec<(&str, &str)> = waits
        .iter()
        .map(|wait| (wait["waiter"]["owner"]["id"].as_str().unwrap(), wait["lock"].as_str().unwrap()))
        .collect();
    edges.sort_unstable();
    assert_eq!(edges, [("ann", "/locks/right"), ("bob", "/locks/left")]);
    let (code, out, _) = ends(hosts, &["deadlocks"]);
    assert_eq!(code, 1);
    assert!(
        out.starts_with("deadlock\n  pid ") && out.contains("waits for /locks/left, held by pid"),
        "{out}"
    );
    assert_eq!(ends(hosts, &["revoke", "--now", "left"]).0, 0);
    runtime.block_on(async { drop((a, b)) });
    let (ann, bob) = runtime.block_on(async { tokio::join!(ann, bob) });
    ann.unwrap().unwrap();
    bob.unwrap().unwrap();
    assert_eq!(ends(hosts, &["deadlocks"]).0, 0);
    runtime.block_on(client.close()).unwrap();
}

fn remove_refuses_what_is_held_without_force(hosts: &str) {
    assert_eq!(ends(hosts, &["run", "used", "--", "true"]).0, 0);
    let (code, out, errors) = ends(hosts, &["remove", "used"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(errors.starts_with("zooky: removed /locks/used; "), "{errors}");
    assert_eq!(ends(hosts, &["remove", "used"]).2, "zooky: there is no lock /locks/used\n");
    let mut holder = hold(hosts, &["run", "held", "--"]);
    let mut waiter = queue(hosts, &["run", "held", "--", "echo", "ran"], "held", 1);
    let (code, _, errors) = ends(hosts, &["remove", "held"]);
    assert_eq!(code, 1);
    let expected = format!("zooky: /locks/held is held by pid {} (", holder.child.id());
    assert!(errors.starts_with(&expected) && errors.contains("--force"), "{errors}");
    assert!(holder.child.try_wait().unwrap().is_none());
    // A node that is no lock's directory is not removed for one.
    assert_eq!(ends(hosts, &["node", "set", "/locks/config", "precious"]).0, 0);
    let (code, _, errors) = ends(hosts, &["remove", "config"]);
    assert_eq!((code, errors.contains("does not look like a lock")), (1, true), "{errors}");
    assert_eq!(ends(hosts, &["node", "get", "/locks/config"]).1, "precious\n");
    let (_, _, errors) = ends(hosts, &["remove", "--force", "held"]);
    assert!(errors.contains(&format!("took /locks/held from pid {} (", holder.child.id())), "{errors}");
    assert_eq!(holder.code(), 70);
    // The waiter joins again; if it was quick, it was found in the way and taken for a contender like any other.
    let code = waiter.code();
    assert!(code == 0 || code == 70, "{code}: {}", waiter.errors());
}

fn clean_says_what_it_removes_and_whom_that_hurts(hosts: &str) {
    for name in ["one", "two"] {
        assert_eq!(ends(hosts, &["run", name, "--", "true"]).0, 0);
    }
    let _holder = hold(hosts, &["run", "busy", "--"]);
    let (code, out, _) = ends(hosts, &["clean", "--dry-run", "--age", "0"]);
    assert_eq!(code, 0);
    let row = |out: &str, path: &str| {
        out.lines().find(|line| line.starts_with(path)).unwrap_or_default().to_string()
    };
    assert!(row(&out, "/locks/one ").contains("would be removed"), "{out}");
    assert!(row(&out, "/locks/one ").contains("NoNodeError"), "{out}");
    assert!(row(&out, "/locks/busy ").contains("in use"), "{out}");
    assert!(row(&ends(hosts, &["clean"]).1, "/locks/one ").contains("made a short time ago"));
    let (code, out, errors) = ends(hosts, &["clean", "--age", "0", "--json"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["removed"].as_array().unwrap().len(), 2, "{out}");
    assert_eq!(report["kept"][0]["path"], "/locks/busy");
    let (_, out, _) = ends(hosts, &["list"]);
    assert_eq!(out.lines().count(), 2, "only the one that is held: {out}");
}

fn nodes_have_typed_values(hosts: &str) {
    for (given, text, kind) in [
        ("true", "True\n", "bool"),
        ("42", "42\n", "int"),
        ("483.24", "483.24\n", "decimal"),
        ("none", "None\n", "none"),
        ("2012-01-13", "2012-01-13\n", "date"),
        ("2012-01-13T10:00:00Z", "2012-01-13T10:00:00.000000Z\n", "datetime"),
        ("{\"a\": [1, 2]}", "{\"a\":[1,2]}\n", "json"),
        ("some text", "some text\n", "text"),
        ("-5", "-5\n", "int"),
    ] {
        let (code, out, errors) = ends(hosts, &["node", "set", "/app/node", given]);
        assert_eq!((code, out.as_str(), errors.as_str()), (0, "", ""), "{given}");
        assert_eq!(ends(hosts, &["node", "get", "/app/node"]).1, text, "{given}");
        let (_, out, _) = ends(hosts, &["node", "get", "--json", "/app/node"]);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["type"], kind, "{out}");
    }
    // Byte for byte, and only if nobody was faster.
    assert_eq!(ends(hosts, &["node", "set", "--raw", "/app/node", "true"]).0, 0);
    assert_eq!(ends(hosts, &["node", "get", "--raw", "/app/node"]).1, "true");
    let (_, out, _) = ends(hosts, &["node", "get", "--json", "/app/node"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let version = report["stat"]["version"].as_i64().unwrap();
    let compare = |version: i64, value| {
        ends(hosts, &["node", "set", "--version", &version.to_string(), "/app/node", value]).0
    };
    assert_eq!((compare(version, "1"), compare(version, "2")), (0, 1));
    assert_eq!(ends(hosts, &["node", "get", "/app/node"]).1, "1\n");
    let mut from = named(hosts, &["node", "set", "--from", "-", "/app/node"]);
    let mut from = from.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut from.stdin.take().unwrap(), b"piped").unwrap();
    assert!(from.wait().unwrap().success());
    assert_eq!(ends(hosts, &["node", "get", "/app/node"]).1, "piped\n");

    assert_eq!(ends(hosts, &["node", "set", "/app/other", "x"]).0, 0);
    assert_eq!(ends(hosts, &["node", "ls", "/app"]).1, "node\nother\n");
    assert!(ends(hosts, &["node", "ls", "-l", "/app"]).1.lines().nth(2).unwrap().starts_with("other  0 "));
    let (code, _, errors) = ends(hosts, &["node", "rm", "/app"]);
    assert_eq!((code, errors.lines().count()), (1, 1), "{errors}");
    assert_eq!(ends(hosts, &["node", "rm", "-r", "/app"]).0, 0);
    for verb in [
        &["node", "get", "/app"][..],
        &["node", "ls", "/app"],
        &["node", "rm", "/app"],
        &["node", "rm", "-r", "/app"],
        &["node", "set", "--existing", "/app", "x"],
    ] {
        let (code, out, errors) = ends(hosts, verb);
        assert_eq!((code, out.as_str(), errors.lines().count()), (1, "", 1), "{verb:?} {errors}");
    }
    assert_eq!(ends(hosts, &["node", "get", "app"]).0, 65);
    assert_eq!(ends(hosts, &["node", "rm", "-r", "/"]).0, 65);
    assert_eq!(ends(hosts, &["node", "rm", "-r", "/zookeeper/quota"]).0, 65);
}

fn a_node_is_followed(hosts: &str) {
    let mut watch = Running::start(&mut named(hosts, &["node", "watch", "--json", "-n", "4", "/w"]));
    let mut next = || serde_json::from_str::<serde_json::Value>(&watch.line()).unwrap();
    assert_eq!(next()["exists"], false);
    assert_eq!(ends(hosts, &["node", "get", "/w"]).0, 1, "it creates nothing");
    assert_eq!(ends(hosts, &["node", "set", "/w", "1"]).0, 0);
    assert_eq!(next()["value"], 1);
    assert_eq!(ends(hosts, &["node", "set", "/w", "two"]).0, 0);
    assert_eq!(next()["value"], "two");
    assert_eq!(ends(hosts, &["node", "rm", "/w"]).0, 0);
    assert_eq!(next()["exists"], false);
    assert_eq!(watch.code(), 0);
}

fn the_doctor_finds_nothing_wrong_and_leaves_nothing_behind(hosts: &str) {
    let (code, out, errors) = ends(hosts, &["doctor"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    for line in
        ["servers ", "session_timeout ", "server ", "session ", "round trip ", "sync ", "lock and clock "]
    {
        assert!(out.lines().any(|found| found.starts_with(line)), "{line}: {out}");
    }
    assert!(out.contains("version 3."), "{out}");
    assert_eq!(ends(hosts, &["list", "--json"]).1, "[]\n");
}

#[test]
fn what_cannot_be_is_told_before_or_without_a_server() {
    let nobody = ["--servers", "127.0.0.1:1", "--session-timeout", "0.5"];
    let (code, out, _) = run(common::zooky(&nobody).args(["doctor", "--json"]));
    assert_eq!(code, 69);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["ok"], &report["checks"][0]["state"]), (&false.into(), &"wrong".into()));
    for option in [["--lock-delay", "1"], ["--semaphore", "2"]] {
        let (code, _, errors) =
            run(common::zooky(&nobody).arg("run").args(option).args(["a", "b", "--", "true"]));
        assert_eq!((code, errors.contains("is for one NAME only")), (64, true), "{errors}");
    }
}

fn bench_measures_and_leaves_nothing_behind(hosts: &str) {
    let args = ["bench", "--seconds", "0.3", "--clients", "3", "--json"];
    let (code, out, _) = ends(hosts, &args);
    assert_eq!(code, 0);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    for part in report["parts"].as_array().unwrap() {
        assert!(part["operations"].as_u64().unwrap() > 0, "{out}");
    }
    assert_eq!(ends(hosts, &["list", "--json"]).1, "[]\n");
}

/// As a shell reads them: a completion that is no program is none.
#[test]
fn completions_and_man_pages_come_from_the_description() {
    let (code, script, _) = run(&mut common::zooky(&["completions", "bash"]));
    assert_eq!(code, 0);
    let ask = format!(
        "{script}\nCOMP_WORDS=(zooky node ge); COMP_CWORD=2; _zooky zooky ge node; echo ${{COMPREPLY[*]}}"
    );
    let (_, out, errors) = run(Command::new("bash").args(["-c", &ask]));
    assert_eq!((out.as_str(), errors.as_str()), ("get\n", ""));
    for (shell, mark) in [("zsh", "#compdef zooky"), ("fish", "complete -c zooky")] {
        let (code, script, _) = run(&mut common::zooky(&["completions", shell]));
        assert_eq!((code, script.contains(mark)), (0, true), "{shell}");
    }
    assert_eq!(run(&mut common::zooky(&["completions", "cobol"])).0, 64);

    let dir = tempfile::tempdir().unwrap();
    let (code, _, errors) = run(common::zooky(&["man", "--dir"]).arg(dir.path()));
    assert_eq!((code, errors.as_str()), (0, ""));
    for page in ["zooky.1", "zooky-run.1", "zooky-node-get.1"] {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(".TH "), "{page}");
    }
    let (code, page, _) = run(&mut common::zooky(&["man", "run"]));
    assert_eq!((code, page.contains("revocable")), (0, true));
    assert_eq!(run(&mut common::zooky(&["man", "nonsense"])).0, 64);
}

#[test]
fn settings_have_one_precedence() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zooky/config.toml");
    std::fs::create_dir(dir.path().join("zooky")).unwrap();
    let text = format!("servers = \"{}\"\nlock_root = \"/app/locks\"\nsession_timeout = 8\n", server.hosts());
    std::fs::write(&file, text).unwrap();
    let zooky = |args: &[&str], env: &[(&str, &str)]| {
        run(common::zooky(args).env("XDG_CONFIG_HOME", dir.path()).envs(env.iter().copied()))
    };
    let (code, out, errors) = zooky(&["doctor", "--json"], &[("ZOOKY_SESSION_TIMEOUT", "6")]);
    assert_eq!(code, 0, "{errors} {out}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let from = |name: &str| {
        let settings = report["settings"].as_array().unwrap();
        let one = settings.iter().find(|setting| setting["name"] == name).unwrap();
        format!("{} {}", one["value"].as_str().unwrap(), one["from"].as_str().unwrap())
    };
    assert_eq!(from("servers"), format!("{} file {}", server.hosts(), file.display()));
    assert_eq!(from("lock_root"), format!("/app/locks file {}", file.display()));
    assert_eq!(from("session_timeout"), "6 s environment ZOOKY_SESSION_TIMEOUT");
    assert_eq!(from("auth"), "nobody default");
    // The root of the file counts, and the tables stay ours.
    assert_eq!(zooky(&["run", "x", "--", "sh", "-c", "echo $ZOOKY_LOCK"], &[]).1, "/app/locks/x\n");
    assert!(zooky(&["list"], &[]).1.starts_with("LOCK  STATUS  MODE"));
    assert_eq!(
        zooky(&["run", "x", "--", "sh", "-c", "echo $ZOOKY_LOCK"], &[("ZOOKY_LOCK_ROOT", "/env")]).1,
        "/env/x\n"
    );
    let args = ["--lock_root", "/flag", "run", "x", "--", "sh", "-c", "echo $ZOOKY_LOCK"];
    assert_eq!(zooky(&args, &[("ZOOKY_LOCK_ROOT", "/env")]).1, "/flag/x\n");

    for (env, says) in [
        (("ZOOKY_CONFIG", "/nowhere/config.toml"), "/nowhere/config.toml: "),
        (("ZOOKY_SESSION_TIMEOUT", "soon"), "ZOOKY_SESSION_TIMEOUT: "),
        (("ZOOKY_AUTH", "hunter2"), "ZOOKY_AUTH: "),
    ] {
        let (code, out, errors) = zooky(&["list"], &[env]);
        assert_eq!((code, out.as_str(), errors.lines().count()), (78, "", 1), "{errors}");
        assert!(errors.starts_with(&format!("zooky: {says}")) && !errors.contains("hunter2"), "{errors}");
    }
    std::fs::write(&file, "servers = \"h\"\nserver = 1\n").unwrap();
    let (code, _, errors) = zooky(&["list"], &[]);
    assert_eq!((code, errors.contains("config.toml: line 2: ")), (78, true), "{errors}");
}

#[test]
fn an_identity_opens_what_is_its_own() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let list = server.hosts().parse().unwrap();
        let config = zooky::SessionConfig::new(list).auth("digest", *b"ops:secret");
        let client = zooky::Client::connect_with(config).await.unwrap();
        let acl = zooky::Acl::creator_all();
        let session = client.session().await.unwrap();
        session
            .create("/private", b"42".to_vec(), zooky::session::CreateMode::PERSISTENT, &acl)
            .await
            .unwrap();
        client.close().await.unwrap();
    });
    let get = ["node", "get", "/private"];
    assert_eq!(run(&mut server.zooky(&get)).0, 77);
    let (code, out, _) = run(server.zooky(&get).env("ZOOKY_AUTH", "digest:ops:secret"));
    assert_eq!((code, out.as_str()), (0, "42\n"));
    let (_, out, _) = run(server.zooky(&["doctor"]).env("ZOOKY_AUTH", "digest:ops:secret"));
    assert!(out.contains("digest:ops:…") && !out.contains("secret"), "{out}");
}

/// Every verb that prints a result, into a pipe that nobody reads and onto a disk that is full.
#[test]
fn broken_pipes_are_quiet_and_full_disks_are_not() {
    let server = Server::start();
    let _holder = hold(&server.hosts(), &["run", "x", "--"]);
    for verb in [
        "list",
        "show x",
        "tree",
        "tree --json",
        "node get --json /locks",
        "node ls /",
        "doctor",
        "elect x",
        "completions bash",
        "man",
    ] {
        let into = |rest: &str| {
            let script = format!("{} --servers {} {verb} {rest}", common::ZOOKY, server.hosts());
            run(Command::new("bash").args(["-c", &script]))
        };
        let (_, out, errors) = into("| true; echo ${PIPESTATUS[0]}");
        assert_eq!((out.as_str(), errors.as_str()), ("0\n", ""), "{verb}");
        let (code, _, errors) = into("> /dev/full");
        assert_eq!((code, errors.lines().count()), (74, 1), "{verb} {errors}");
    }
    // `run` needs no output of its own.
    let script = format!("{} --servers {} run y -- sh -c 'exit 3' >&- 2>&-", common::ZOOKY, server.hosts());
    assert_eq!(run(Command::new("bash").args(["-c", &script])).0, 3);
    let full =
        format!("{} --servers {} run y -- sh -c 'echo x; exit 4' > /dev/full", common::ZOOKY, server.hosts());
    assert_eq!(run(Command::new("bash").args(["-c", &full])).0, 4, "the command's own trouble");
}
