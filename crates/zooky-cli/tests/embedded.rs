//! The embedded default: one server shared by all, in nobody's way, and never in the place of another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, get, run, zooky};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use zooky::session::CreateMode;
use zooky_testkit::{Apache, eventually, four_letter, free_port};

/// A user with nothing at all: an empty state directory and a free default address.
struct User {
    state: TempDir,
    port: u16,
}

impl User {
    fn new() -> User {
        User { state: tempfile::tempdir().unwrap(), port: free_port() }
    }

    fn zooky(&self, args: &[&str]) -> Command {
        let mut command = zooky(args);
        command.env("XDG_STATE_HOME", self.state.path());
        command.env("ZOOKY_DEFAULT_ADDR", format!("localhost:{}", self.port));
        command
    }

    fn is_served(&self) -> bool {
        run(&mut self.zooky(&["server", "status"])).0 == 0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.zooky(&["server", "stop"]).output();
    }
}

#[test]
fn no_server_is_started_for_a_bad_name() {
    let user = User::new();
    let (code, _, errors) = run(&mut user.zooky(&["run", "/bad//name", "--", "true"]));
    assert_eq!((code, errors.lines().count()), (65, 1), "{errors}");
    assert!(!user.is_served());
}

/// Its own entry too: else the locks of a server in it would go with the power.
#[test]
fn a_new_state_directory_is_durable() {
    let home = tempfile::tempdir().unwrap();
    let top = std::fs::canonicalize(home.path()).unwrap();
    let trace = top.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-yy", "-e", "trace=fsync", "-o"]).arg(&trace).arg(common::ZOOKY);
    let (code, _, errors) = run(command.args(["server", "status"]).env_clear().env("HOME", &top));
    assert_eq!(code, 1, "{errors}");
    assert!(top.join(".local/state/zooky").is_dir());
    let said = std::fs::read_to_string(trace).unwrap();
    for above in ["", "/.local", "/.local/state"] {
        let above = format!("<{}{above}>", top.display());
        assert!(said.lines().any(|call| call.contains(&above) && call.ends_with("= 0")), "{above}: {said}");
    }
}

#[test]
fn a_newcomer_needs_nothing() {
    let user = User::new();
    let (code, out, errors) = run(&mut user.zooky(&["run", "backup", "--", "echo", "done"]));
    assert_eq!((code, out.as_str()), (0, "done\n"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("for this machine only"), "{errors}");
    assert!(errors.contains("`zooky server stop`"), "{errors}");
    let (code, out, _) = run(&mut user.zooky(&["server", "status"]));
    assert_eq!(code, 0);
    assert!(out.starts_with(&format!("running at 127.0.0.1:{}, process ", user.port)), "{out}");
    // The second time there is nothing to be said.
    assert_eq!(run(&mut user.zooky(&["run", "backup", "--", "true"])), (0, String::new(), String::new()));
    assert_eq!(run(&mut user.zooky(&["server", "stop"])).0, 0);
    assert_eq!(run(&mut user.zooky(&["server", "status"])).0, 1);
    assert_eq!(run(&mut user.zooky(&["server", "stop"])).0, 1);
    // And again, on the same data: it was ours, so its absence is no outage.
    assert_eq!(run(&mut user.zooky(&["run", "-n", "backup", "--", "true"])).0, 0);
}

#[test]
fn commands_at_once_share_one_server() {
    let user = User::new();
    let mut all: Vec<Running> =
        (0..8).map(|_| Running::start(&mut user.zooky(&["run", "same", "--", "true"]))).collect();
    let mut told = 0;
    for one in &mut all {
        let (code, errors) = (one.code(), one.errors());
        assert_eq!(code, 0, "{errors}");
        told += errors.matches("started a server").count();
    }
    assert_eq!(told, 1);
}

/// cron waits until all who hold its pipes have ended, and so does `$(…)`; so do these tests, by `output`.
#[test]
fn nobody_waits_for_the_server() {
    let user = User::new();
    let script = format!("exec 9>&1; exec 8>&2; {} run job -- echo done", common::ZOOKY);
    let mut cron = user.zooky(&[] as &[&str]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).envs(cron.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (code, out, errors) = run(&mut shell);
    assert_eq!((code, out.as_str()), (0, "done\n"), "{errors}");
    assert!(user.is_served(), "it stays when the command has gone");
    drop(cron.output());
}

#[test]
fn descriptors_of_the_caller_reach_the_command_and_not_its_helpers() {
    let server = Server::start();
    let script = format!(
        "exec 9>&1; exec {} --servers {} run fd -- sh -c 'echo nine >&9'",
        common::ZOOKY,
        server.hosts()
    );
    let (code, out, errors) = run(Command::new("sh").args(["-c", &script]));
    assert_eq!((code, out.as_str()), (0, "nine\n"), "{errors}");
}

#[test]
fn an_outage_of_another_server_is_no_reason_to_start_ours() {
    let user = User::new();
    let mut other = Server::start_at(user.port);
    assert_eq!(run(&mut user.zooky(&["run", "x", "--", "true"])), (0, String::new(), String::new()));
    other.process.kill();
    let (code, _, errors) = run(&mut user.zooky(&["run", "x", "--", "true"]));
    assert_eq!(code, 69);
    assert!(errors.contains("another ZooKeeper answered before"), "{errors}");
    assert!(errors.contains("zooky server forget"), "{errors}");
    assert!(!user.is_served());
    assert_eq!(run(&mut user.zooky(&["server", "forget"])).0, 0);
    assert_eq!(run(&mut user.zooky(&["run", "x", "--", "true"])).0, 0);
    assert!(user.is_served());
}

#[test]
fn an_outage_of_apache_zookeeper_is_remembered_too() {
    let mut apache = Apache::start();
    let user = User { state: tempfile::tempdir().unwrap(), port: apache.addr().port() };
    assert_eq!(run(&mut user.zooky(&["run", "x", "--", "true"])).0, 0);
    apache.kill();
    assert_eq!(run(&mut user.zooky(&["run", "x", "--", "true"])).0, 69);
    assert!(!user.is_served());
}

#[test]
fn a_server_that_was_named_is_never_replaced() {
    let user = User::new();
    let named = format!("localhost:{}", user.port);
    for (args, env) in
        [(vec!["--servers", &named], None), (vec!["--host", &named], None), (vec![], Some(&named))]
    {
        let mut command = user.zooky(&args);
        command.args(["--session-timeout", "2", "run", "x", "--", "true"]);
        command.envs(env.map(|servers| ("ZOOKY_SERVERS", servers)));
        let (code, _, errors) = run(&mut command);
        assert_eq!(code, 69, "{errors}");
        // What it goes on trying, then the failure.
        let lines: Vec<&str> = errors.lines().collect();
        let told = |line: &&str| line.contains("trying for another") || line.contains("no session at");
        assert!(lines.len() <= 2 && lines.iter().all(told), "{errors}");
        assert!(lines.last().is_some_and(|line| line.contains("no session at")), "{errors}");
        assert!(!user.is_served());
    }
}

#[test]
fn without_a_home_there_is_a_clear_error() {
    let user = User::new();
    let mut command = user.zooky(&["run", "x", "--", "true"]);
    let (code, _, errors) = run(command.env_remove("XDG_STATE_HOME"));
    assert_eq!(code, 78);
    assert!(errors.contains("neither XDG_STATE_HOME nor HOME"), "{errors}");
    let blocked = user.state.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let (code, _, errors) = run(user.zooky(&["run", "x", "--", "true"]).env("XDG_STATE_HOME", &blocked));
    assert_eq!((code, errors.lines().count()), (78, 1), "{errors}");
}

/// What `zooky server start` says, and whether it is so.
#[test]
fn started_by_hand_it_is_where_it_was_told() {
    let user = User::new();
    let listen = format!("127.0.0.1:{}", user.port);
    let metrics = format!("127.0.0.1:{}", free_port());
    // A path of the caller's working directory, which the server does not keep.
    let start = |data: &str| {
        let mut command = user.zooky(&["server", "start", "--listen", &listen, "--data-dir", data]);
        command.args(["--metrics", &metrics]);
        command.env("ZOOKY_FOUR_LETTER_WORDS", "isro").current_dir(user.state.path());
        run(&mut command)
    };
    let (code, out, errors) = start("mine");
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(out.starts_with(&format!("serving at {listen}, process ")), "{out}");
    let addr = listen.parse().unwrap();
    assert_eq!(four_letter(addr, "isro").unwrap(), "rw", "it serves, and the environment counts");

    let (_, json, _) = run(&mut user.zooky(&["server", "status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let data = user.state.path().join("mine");
    assert_eq!(
        (&status["listen"], &status["data_dir"]),
        (&listen.as_str().into(), &data.to_str().unwrap().into())
    );
    assert!(out.contains(&format!("process {},", status["pid"])), "{out} {json}");
    let directory = std::fs::read_link(format!("/proc/{}/cwd", status["pid"])).unwrap();
    assert_eq!(directory.to_str(), Some("/"));

    let locks = || get(&metrics, "/metrics").contains("\nzooky_locks_held 0\n").then_some(());
    eventually(LONG, "its metrics, those of the locks among them", locks);

    let (code, out, _) = start("mine");
    assert_eq!((code, out.starts_with("running already at ")), (0, true), "{out}");
    let (code, _, errors) = start("another");
    assert_eq!((code, errors.contains("another one runs at ")), (1, true), "{errors}");
    assert_eq!(run(&mut user.zooky(&["server", "stop"])).0, 0);
    assert_eq!(run(&mut user.zooky(&["server", "status", "--json"])), (1, "null\n".into(), String::new()));
    assert!(four_letter(addr, "isro").is_err());
}

#[test]
fn a_start_that_fails_says_why() {
    let user = User::new();
    let taken = Server::start_at(user.port);
    let (code, out, errors) = run(&mut user.zooky(&["server", "start", "--listen", &taken.hosts()]));
    assert_eq!((code, out.as_str(), errors.lines().count()), (69, "", 1), "{errors}");
    assert!(errors.contains("is in use"), "{errors}");
    let (code, _, errors) = run(&mut user.zooky(&["server", "start", "--tick-time", "soon"]));
    assert_eq!((code, errors.contains("--tick-time")), (64, true), "{errors}");
    assert!(!user.is_served());
}

#[test]
fn a_snapshot_when_it_is_asked_for() {
    let user = User::new();
    assert_eq!(run(&mut user.zooky(&["server", "snapshot"])).0, 1);
    assert_eq!(run(&mut user.zooky(&["run", "job", "--", "true"])).0, 0);
    let snapshot = || {
        let (code, out, errors) = run(&mut user.zooky(&["server", "snapshot"]));
        assert_eq!((code, errors.as_str()), (0, ""));
        out.trim_end().to_string()
    };
    // As soon as nothing changes any more, it is the same one again. (The lock's watchdog may end its session after the command.)
    let file = eventually(LONG, "two of one state", || Some(snapshot()).filter(|one| *one == snapshot()));
    let file = Path::new(&file);
    assert!(file.exists(), "{file:?}");
    assert_eq!(run(&mut user.zooky(&["server", "stop"])).0, 0);
    // A start reads that one and needs no log.
    let mut check = user.zooky(&["server", "check", "--json"]);
    let (_, json, _) = run(check.arg(file.parent().unwrap()));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let start = (&report["start"]["snapshot"], &report["start"]["replayed"]);
    assert_eq!(start, (&file.file_name().unwrap().to_str().unwrap().into(), &0.into()), "{json}");
}

/// One that is under way when it is asked for does not show what came after its beginning.
#[test]
fn a_snapshot_shows_all_that_was_there_when_it_was_asked_for() {
    let user = User::new();
    assert_eq!(run(&mut user.zooky(&["run", "job", "--", "true"])).0, 0);
    let (_, json, _) = run(&mut user.zooky(&["server", "status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let server = Pid::from_raw(status["pid"].as_i64().unwrap() as i32).unwrap();
    let unfinished = Path::new(status["data_dir"].as_str().unwrap()).join("version-2/unfinished-snapshot");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let session = runtime.block_on(async {
        let client = zooky::Client::connect(&format!("127.0.0.1:{}", user.port)).await.unwrap();
        let session = client.session().await.unwrap();
        // So much that a snapshot takes its time.
        for n in 0..20 {
            let (path, data) = (format!("/ballast-{n}"), vec![b'x'; 900_000]);
            session.create(&path, data, CreateMode::PERSISTENT, &zooky::Acl::open()).await.unwrap();
        }
        session
    });
    kill_process(server, Signal::USR1).unwrap();
    eventually(LONG, "a snapshot to be under way", || unfinished.exists().then_some(()));
    let made = session.create("/late", "", CreateMode::PERSISTENT, &zooky::Acl::open());
    let made = runtime.block_on(made).unwrap().stat.czxid;
    let (code, out, errors) = run(&mut user.zooky(&["server", "snapshot"]));
    assert_eq!((code, errors.as_str()), (0, ""));
    let zxid =
        out.trim_end().rsplit_once("snapshot.").map(|(_, zxid)| i64::from_str_radix(zxid, 16).unwrap());
    assert!(zxid >= Some(made), "{out} does not show {made:#x}");
}

/// The number in a stale state file may be anybody's by now.
#[test]
fn stop_never_signals_a_stranger() {
    let user = User::new();
    let state = user.state.path().join("zooky");
    std::fs::create_dir(&state).unwrap();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    let stale = format!(
        r#"{{"pid":{},"started":1,"listen":"127.0.0.1:{}","since_ms":0,"data_dir":"/nowhere"}}"#,
        stranger.id(),
        user.port
    );
    std::fs::write(state.join("server.json"), stale).unwrap();
    assert_eq!(run(&mut user.zooky(&["server", "stop"])).0, 1);
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
