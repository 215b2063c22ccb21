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
