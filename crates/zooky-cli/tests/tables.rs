//! `zooky list` and `zooky show`: the seed's tables, ours and JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Running, Server, run, sh};

fn hold(server: &Server, args: &[&str]) -> Running {
    let mut running = Running::start(server.zooky(args).args(sh("echo in; exec sleep 1000")));
    assert_eq!(running.line(), "in");
    running
}

#[test]
fn nothing_is_an_empty_table() {
    let server = Server::start();
    let (code, out, errors) = run(&mut server.zooky(&["list"]));
    assert_eq!(
        (code, out.as_str(), errors.as_str()),
        (0, "LOCK  STATUS  MODE  HOLDER  WAITERS  SINCE\n", "")
    );
    let (code, out, _) = run(&mut server.zooky(&["list", "--json"]));
    assert_eq!((code, out.as_str()), (0, "[]\n"));
    assert_eq!(
        run(&mut server.zooky(&["--lock_root", "/ZktoolsLocks", "list"])).1,
        "LOCK                               STATUS\n"
    );
}

#[test]
fn a_held_lock_with_a_waiter() {
    let server = Server::start();
    assert_eq!(run(&mut server.zooky(&["run", "free", "--", "true"])).0, 0);
    let holder = hold(&server, &["run", "fred", "--"]);
    let mut waiter = Running::start(&mut server.zooky(&["run", "fred", "--", "true"]));
    waiter.error_line();

    let (code, out, errors) = run(&mut server.zooky(&["list"]));
    assert_eq!((code, errors.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["LOCK", "STATUS", "MODE", "HOLDER", "WAITERS", "SINCE"]);
    assert_eq!(rows[1][..5], ["fred", "Locked", "exclusive", "pid", &holder.child.id().to_string()]);
    assert_eq!(rows[2], ["free", "Free", "-", "-", "0", "-"]);

    let (_, out, _) = run(&mut common::zooky(&["--host", &server.hosts(), "--lock_root", "/locks", "list"]));
    assert_eq!(
        out,
        "\
LOCK                               STATUS
fred                               Locked
free                               Free
"
    );

    let (code, out, _) = run(&mut server.zooky(&["show", "fred"]));
    assert_eq!(code, 0);
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!(rows.len(), 3, "{out}");
    assert!(rows[0].starts_with("LOCK HOLDER"), "{out}");
    assert!(
        rows[1].contains(" holds ") && rows[1].contains(&format!("pid {} (", holder.child.id())),
        "{out}"
    );
    assert!(
        rows[2].contains(" waits ") && rows[2].contains(&format!("pid {} (", waiter.child.id())),
        "{out}"
    );

    let (_, out, _) = run(&mut server.zooky(&["--lock_root", "/locks", "show", "fred"]));
    let rows: Vec<&str> = out.lines().collect();
    assert!(rows[0].starts_with("LOCK HOLDER") && rows[0].ends_with("INFO"), "{out}");
    for key in ["'pzxid': ", "'ephemeralOwner': ", "'modified_ago': ", "'created_ago': ", "'czxid': "] {
        assert!(rows[1].contains(key), "{out}");
    }
}

#[test]
fn json_says_the_same() {
    let server = Server::start();
    let holder = hold(&server, &["run", "-s", "shared", "--"]);
    let (code, out, _) = run(&mut server.zooky(&["list", "--json"]));
    assert_eq!(code, 0);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    let lock = &list[0];
    assert_eq!(lock["path"], "/locks/shared");
    assert_eq!((&lock["status"], &lock["mode"]), (&"Locked".into(), &"shared".into()));
    assert_eq!(lock["holders"][0]["owner"]["pid"], holder.child.id());
    assert_eq!(lock["waiters"], 0);
    let (_, out, _) = run(&mut server.zooky(&["show", "--json", "shared"]));
    let view: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(view["contenders"][0]["holding"], true);
    assert_eq!(view["contenders"][0]["owner"]["pid"], holder.child.id());
}

#[test]
fn a_lock_that_is_not_there() {
    let server = Server::start();
    let (code, out, errors) = run(&mut server.zooky(&["show", "nobody"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(errors, "zooky: there is no lock /locks/nobody\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = Server::start();
    let script =
        format!("{} --servers {} list | true; echo ${{PIPESTATUS[0]}}", common::ZOOKY, server.hosts());
    let (_, out, errors) = run(std::process::Command::new("bash").args(["-c", &script]));
    assert_eq!((out.as_str(), errors.as_str()), ("0\n", ""));
    let script = format!("{} --servers {} list > /dev/full", common::ZOOKY, server.hosts());
    let (code, _, errors) = run(std::process::Command::new("sh").args(["-c", &script]));
    assert_eq!(code, 74);
    assert!(errors.starts_with("zooky: cannot write the result: "), "{errors}");
}
