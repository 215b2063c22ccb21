//! `docs/json.md` is true: what the verbs print has the fields and types of its samples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, run, sh};
use serde_json::Value;
use zooky_testkit::eventually;

/// The sample under the heading that begins with this command.
fn sample(command: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("## `zooky {command}")).expect(command);
    let (_, block) = section.split_once("```json\n").unwrap();
    serde_json::from_str(block.split_once("```").unwrap().0).unwrap()
}

/// Where `real` has other fields or types than `sample`. Null stands for any type; a list's elements are all as its first.
fn differences(at: &str, sample: &Value, real: &Value, found: &mut Vec<String>) {
    match (sample, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(sample), Value::Object(real)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            if names(sample) != names(real) {
                found.push(format!("{at}: {:?} is documented, {:?} printed", names(sample), names(real)));
            }
            for (name, sample) in sample {
                differences(&format!("{at}.{name}"), sample, real.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(sample), Value::Array(real)) => {
            let Some(sample) = sample.first() else { return };
            for real in real {
                differences(&format!("{at}[]"), sample, real, found);
            }
        }
        _ if std::mem::discriminant(sample) == std::mem::discriminant(real) => {}
        _ => found.push(format!("{at}: {sample} is documented, {real} printed")),
    }
}

#[track_caller]
fn as_documented(command: &str, printed: &str) {
    let real: Value = serde_json::from_str(printed).unwrap();
    assert!(!matches!(&real, Value::Array(all) if all.is_empty()), "{command}: nothing to compare");
    let mut found = Vec::new();
    differences(command, &sample(command), &real, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_verb_prints_what_is_documented() {
    let server = Server::start();
    let zooky = |args: &[&str]| {
        // A timeout that a busy machine does not reach.
        let mut command = common::zooky(&["--servers", &server.hosts(), "--session-timeout", "30"]);
        command.args(args);
        command
    };
    let json = |args: &[&str]| {
        let (_, out, errors) = run(&mut zooky(args));
        assert!(!out.is_empty(), "{args:?}: {errors}");
        out
    };
    let mut holder = Running::start(
        zooky(&["elect", "--revocable", "--id", "a", "x", "--"]).args(sh("echo in; exec sleep 1000")),
    );
    assert_eq!(holder.line(), "in");
    let _waiter = Running::start(&mut zooky(&["run", "x", "--", "true"]));
    eventually(LONG, "a waiter", || {
        json(&["show", "--json", "x"]).contains("\"holding\": false").then_some(())
    });
    assert_eq!(run(&mut zooky(&["run", "once", "--", "true"])).0, 0);
    assert_eq!(run(&mut zooky(&["node", "set", "/n", "42"])).0, 0);

    as_documented("list", &json(&["list", "--json"]));
    as_documented("show", &json(&["show", "--json", "x"]));
    as_documented("tree", &json(&["tree", "--json"]));
    as_documented("elect", &json(&["elect", "--json", "x"]));
    as_documented("node get", &json(&["node", "get", "--json", "/n"]));
    as_documented("node get", &json(&["node", "set", "--json", "/n", "43"]));
    as_documented("node get", &json(&["node", "watch", "--json", "-n", "1", "/n"]));
    as_documented("node ls", &json(&["node", "ls", "--json", "/"]));
    as_documented("doctor", &json(&["doctor", "--json"]));
    as_documented("bench", &json(&["bench", "--json", "--seconds", "0.1", "--clients", "2"]));
    as_documented("clean", &json(&["clean", "--json", "--age", "0"]));
    as_documented("revoke", &json(&["revoke", "--json", "x"]));
}

#[test]
fn a_deadlock_is_as_documented() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(zooky::Client::connect(&server.hosts())).unwrap();
    let lock = |name: &str, id: &str| {
        let owner = zooky::Owner::this_process().with_id(id);
        zooky::Lock::new(&client, &format!("/locks/{name}")).unwrap().with_owner(owner)
    };
    let held = runtime.block_on(async {
        (lock("a", "one").acquire().await.unwrap(), lock("b", "two").acquire().await.unwrap())
    });
    let (one, two) = (lock("b", "one"), lock("a", "two"));
    runtime.spawn(async move { one.acquire().await.map(|_| ()) });
    runtime.spawn(async move { two.acquire().await.map(|_| ()) });
    let printed = eventually(LONG, "the deadlock", || {
        let (code, out, _) = run(&mut server.zooky(&["deadlocks", "--json"]));
        (code == 1).then_some(out)
    });
    as_documented("deadlocks", &printed);
    runtime.block_on(async { drop(held) });
}

#[test]
fn what_the_server_verbs_print_is_documented() {
    let mut server = Server::start();
    assert_eq!(run(&mut server.zooky(&["run", "x", "--", "true"])).0, 0);
    server.process.stop();
    let state = tempfile::tempdir().unwrap();
    let json = |args: &[&str]| {
        let mut command = common::zooky(&["server"]);
        let (code, out, errors) = run(command.args(args).env("XDG_STATE_HOME", state.path()));
        assert_eq!(code, 0, "{args:?}: {errors}");
        out
    };
    as_documented("server check", &json(&["check", "--json", server.data.path().to_str().unwrap()]));
    json(&["start", "--listen", "127.0.0.1:0"]);
    as_documented("server status", &json(&["status", "--json"]));
    json(&["stop"]);
}

#[test]
fn a_difference_is_seen() {
    let mut found = Vec::new();
    let sample = serde_json::json!([{ "a": 1, "b": "x", "c": null }]);
    differences(
        "",
        &sample,
        &serde_json::json!([{ "a": 2, "b": "y", "c": 3 }, { "a": null, "b": "", "c": {} }]),
        &mut found,
    );
    assert_eq!(found, Vec::<String>::new());
    differences("", &sample, &serde_json::json!([{ "a": "1", "b": "y", "d": 3 }]), &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
}
