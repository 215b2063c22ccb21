//! `zooky top` as its user sees it: in a terminal that tmux draws.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, ZOOKY, lines, run, sh};
use std::process::Command;
use tempfile::TempDir;
use zooky_testkit::{Apache, eventually};

/// A terminal of tmux, of a tmux of its own.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    fn start(command: &str) -> Terminal {
        let terminal = Terminal { dir: tempfile::tempdir().unwrap() };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "14", command]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.dir.path().join("tmux")).args(args).env("TERM", "xterm-256color");
        let output = command.output().expect("tmux is installed: run `make peers`");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// The screen, once all of these words are on it.
    #[track_caller]
    fn until(&self, words: &[&str]) -> String {
        let mut last = String::new();
        let mut look = || {
            last = self.tmux(&["capture-pane", "-p"]);
            words.iter().all(|word| last.contains(word)).then_some(())
        };
        let end = std::time::Instant::now() + LONG;
        while look().is_none() {
            assert!(std::time::Instant::now() < end, "no {words:?} on\n{last}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        last
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let mut command = Command::new("tmux");
        let _ = command.arg("-S").arg(self.dir.path().join("tmux")).arg("kill-server").output();
    }
}

/// The line of the screen with this word.
fn line<'a>(screen: &'a str, word: &str) -> &'a str {
    screen.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} on\n{screen}"))
}

#[test]
fn top_shows_sorts_filters_and_frees() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let got = dir.path().join("got");
    let second = sh(&format!("echo second >> {}; exec sleep 1000", got.display()));
    let mut holder = Running::start(&mut server.zooky(&["run", "deploy", "--", "sleep", "1000"]));
    let mut shared =
        Running::start(&mut server.zooky(&["run", "--shared", "archive", "--", "sleep", "1000"]));
    let script =
        format!("{ZOOKY} --servers {} --session-timeout 4 top; echo left with $?; cat", server.hosts());
    let top = Terminal::start(&script);
    top.until(&["/locks/deploy", "/locks/archive", "2 locks, 2 held, 0 waiting"]);
    let mut args = vec!["run", "deploy", "--"];
    args.extend(second.iter().map(String::as_str));
    let mut waiter = Running::start(&mut server.zooky(&args));
    let screen = top.until(&["1 waiting"]);
    let deploy = line(&screen, "/locks/deploy");
    assert!(
        deploy.contains("exclusive") && deploy.contains(&format!("pid {}", holder.child.id())),
        "{screen}"
    );
    assert!(line(&screen, "/locks/archive").contains("shared"), "{screen}");

    // By waiters first, by path after two presses.
    let before = |screen: &str, a: &str, b: &str| screen.find(a).unwrap() < screen.find(b).unwrap();
    assert!(before(&screen, "/locks/deploy", "/locks/archive"), "{screen}");
    top.keys(&["s", "s"]);
    let screen = top.until(&["by path"]);
    assert!(before(&screen, "/locks/archive", "/locks/deploy"), "{screen}");

    top.keys(&["/", "d", "e", "p", "Enter"]);
    let screen = top.until(&["1 with \"dep\"", "q quit"]);
    assert!(!screen.contains("/locks/archive"), "{screen}");

    // Asked once more: any key but y leaves it.
    top.keys(&["x"]);
    top.until(&["remove the node of", "y: yes"]);
    top.keys(&["n"]);
    top.until(&["left as it is"]);
    assert!(lines(&got).is_empty());
    top.keys(&["x"]);
    top.until(&["y: yes"]);
    top.keys(&["y"]);
    top.until(&["removed pid"]);
    eventually(LONG, "the second one to get the lock", || (lines(&got) == ["second"]).then_some(()));
    // Its command was ended, because its lock was lost.
    assert_eq!(holder.code(), 70);

    top.keys(&["q"]);
    top.until(&["left with 0"]);
    for running in [&mut waiter, &mut shared] {
        running.signal(rustix::process::Signal::TERM);
        running.wait();
    }
}

/// Enter opens the queue of the chosen lock: who, how, where, with what and since when, live; and it is revoked from there.
fn enter_opens_the_queue(hosts: &str) {
    let named = |args: &[&str]| {
        let mut command = common::zooky(&["--servers", hosts, "--session-timeout", "30"]);
        command.args(args);
        command
    };
    let mut holder = Running::start(&mut named(&["run", "deploy", "--", "sleep", "1000"]));
    let top = Terminal::start(&format!(
        "{ZOOKY} --servers {hosts} --session-timeout 30 top; echo left with $?; cat"
    ));
    top.until(&["1 locks, 1 held, 0 waiting"]);
    top.keys(&["Enter"]);
    top.until(&["/locks/deploy: 1 holding, 0 waiting", "Esc back"]);
    let mut second = Running::start(&mut named(&["run", "--revocable", "deploy", "--", "true"]));
    top.until(&["1 holding, 1 waiting"]);
    let mut third = Running::start(&mut named(&["run", "--shared", "deploy", "--", "sleep", "1000"]));
    let pid = |running: &Running| format!("pid {} (", running.child.id());
    // All three have been read.
    let screen = top.until(&["1 holding, 2 waiting", &pid(&holder), &pid(&second), &pid(&third)]);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = &host[..host.len().min(12)];
    for (place, who, words) in [
        ("1. ", &holder, ["holds", "exclusive", host, "sleep", "Z", " s"]),
        ("2. ", &second, ["waits", "exclusive", host, "true", "Z", " s"]),
        ("3. ", &third, ["waits", "shared", host, "sleep", "Z", " s"]),
    ] {
        let line = line(&screen, &pid(who));
        assert!(line.starts_with(place) && words.iter().all(|word| line.contains(word)), "{screen}");
    }

    // One who waits is asked, and nobody else.
    top.keys(&["Down", "r"]);
    top.until(&[&pid(&second), "who waits for /locks/deploy, to give it up?"]);
    top.keys(&["y"]);
    assert_eq!(second.code(), 1);
    top.until(&["1 holding, 1 waiting"]);
    assert!(holder.child.try_wait().unwrap().is_none());
    // The holder's node is removed; the next one has its place on the same screen.
    top.keys(&["Home", "x"]);
    top.until(&["remove the node of", &pid(&holder), "It may be at work"]);
    top.keys(&["y"]);
    assert_eq!(holder.code(), 70);
    let screen = top.until(&["1 holding, 0 waiting"]);
    let first = line(&screen, &pid(&third));
    assert!(first.starts_with("1. ") && first.contains("holds"), "{screen}");

    top.keys(&["Escape"]);
    top.until(&["1 locks, 1 held, 0 waiting", "Enter queue"]);
    top.keys(&["q"]);
    top.until(&["left with 0"]);
    third.signal(rustix::process::Signal::TERM);
    third.wait();
}

#[test]
fn top_opens_a_queue_on_our_server() {
    enter_opens_the_queue(&Server::start().hosts());
}

#[test]
fn top_opens_a_queue_on_apache() {
    enter_opens_the_queue(&Apache::start().hosts());
}

#[test]
fn top_without_a_terminal_says_what_to_do() {
    let server = Server::start();
    let (code, out, err) = run(&mut server.zooky(&["top"]));
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("zooky list"), "{err}");
}

/// `r` on either server: who listens is asked, who does not is told as deaf, and the lock goes on only after the first.
fn r_asks(hosts: &str) {
    // Locks that a busy machine does not lose.
    let named = |args: &[&str]| {
        let mut command = common::zooky(&["--servers", hosts, "--session-timeout", "30"]);
        command.args(args);
        command
    };
    let script = "trap 'exit 5' TERM; echo in; while :; do sleep 0.05; done";
    let mut listens = Running::start(named(&["run", "--revocable", "listens", "--"]).args(sh(script)));
    let mut deaf = Running::start(named(&["run", "deaf", "--"]).args(sh(script)));
    for holder in [&mut listens, &mut deaf] {
        assert_eq!(holder.line(), "in");
    }
    let top = Terminal::start(&format!(
        "{ZOOKY} --servers {hosts} --session-timeout 30 top; echo left with $?; cat"
    ));
    top.until(&["2 locks, 2 held, 0 waiting"]);
    top.keys(&["/", "l", "i", "s", "t", "Enter"]);
    top.until(&["1 with \"list\"", "q quit"]);
    top.keys(&["r"]);
    top.until(&["y: yes"]);
    top.keys(&["y"]);
    // Its own code: it had TERM and ended by itself.
    assert_eq!(listens.code(), 5);
    top.until(&[&format!("asked pid {}", listens.child.id())]);
    top.keys(&["/", "Escape"]);
    // A key that comes right behind Escape would be one together with Alt.
    top.until(&["2 locks, 1 held, 0 waiting", "q quit"]);
    top.keys(&["/", "d", "e", "a", "f", "Enter"]);
    top.until(&["1 with \"deaf\"", "q quit"]);
    top.keys(&["r"]);
    top.until(&["y: yes"]);
    top.keys(&["y"]);
    top.until(&[&format!("pid {}", deaf.child.id()), "cannot be asked"]);
    assert!(deaf.child.try_wait().unwrap().is_none());
    // As every other end, TERM leaves the terminal as it was.
    top.keys(&["C-c"]);
    top.until(&["left with 0"]);
    deaf.signal(rustix::process::Signal::TERM);
    deaf.wait();
}

#[test]
fn top_asks_on_our_server() {
    r_asks(&Server::start().hosts());
}

#[test]
fn top_asks_on_apache() {
    r_asks(&Apache::start().hosts());
}
