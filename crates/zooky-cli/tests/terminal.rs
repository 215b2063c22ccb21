//! `zooky run` at a terminal: the command can read from it, Ctrl-C and Ctrl-Z reach it, and the shell gets the
//! terminal back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Server, ZOOKY};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

/// A shell in a session of its own, on a terminal of its own.
struct Terminal {
    shell: Child,
    keyboard: File,
    screen: Receiver<u8>,
    shown: String,
}

impl Terminal {
    fn start(server: &Server, shell: &[&str]) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let tty = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).args(shell).env("ZOOKY_SERVERS", server.hosts());
        command.env("PS1", "prompt> ").env("ZOOKY", ZOOKY).env("TERM", "dumb").env_remove("PROMPT_COMMAND");
        let shell = command.stdin(tty()).stdout(tty()).stderr(tty()).spawn().unwrap();
        let keyboard = File::from(keyboard);
        let mut reader = keyboard.try_clone().unwrap();
        let (show, screen) = channel();
        std::thread::spawn(move || {
            let mut byte = [0];
            while matches!(reader.read(&mut byte), Ok(1)) && show.send(byte[0]).is_ok() {}
        });
        Terminal { shell, keyboard, screen, shown: String::new() }
    }

    fn bash(server: &Server) -> Terminal {
        let mut terminal = Terminal::start(server, &["bash", "--norc", "--noediting", "-i"]);
        terminal.sees("prompt> ");
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text is shown, after what was seen before.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let end = Instant::now() + LONG;
        while !self.shown.contains(text) {
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(byte) => self.shown.push(char::from(byte)),
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in {LONG:?}, but {:?}", self.shown),
                Err(RecvTimeoutError::Disconnected) => panic!("the shell is gone, shown {:?}", self.shown),
            }
        }
        let seen = self.shown.find(text).unwrap() + text.len();
        self.shown.drain(..seen);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn the_command_reads_what_is_typed_and_ctrl_c_ends_it() {
    let server = Server::start();
    let mut terminal = Terminal::bash(&server);
    terminal.types("$ZOOKY run t sh -c 'echo rea''dy; read x; echo got:$x:'\n");
    terminal.sees("ready");
    terminal.types("typed\n");
    terminal.sees("got:typed:");
    terminal.sees("prompt> ");
    terminal.types("$ZOOKY run t sh -c 'echo rea''dy; exec sleep 1000'\n");
    terminal.sees("ready");
    terminal.types("\x03");
    terminal.sees("prompt> ");
    terminal.types("echo code:$?:\n");
    terminal.sees("code:130:");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_brings_it_back() {
    let server = Server::start();
    let mut terminal = Terminal::bash(&server);
    terminal.types("$ZOOKY run t sh -c 'echo rea''dy; read x; echo got:$x:'\n");
    terminal.sees("ready");
    terminal.types("\x1a");
    terminal.sees("Stopped");
    terminal.sees("prompt> ");
    terminal.types("fg\n");
    terminal.sees("run t");
    terminal.types("typed\n");
    terminal.sees("got:typed:");
    terminal.sees("prompt> ");
}

#[test]
fn a_job_in_the_background_gets_the_terminal_with_fg() {
    let server = Server::start();
    let mut terminal = Terminal::bash(&server);
    terminal.types("$ZOOKY run t sh -c 'echo rea''dy; read x; echo got:$x:' &\n");
    terminal.sees("ready");
    terminal.types("fg\n");
    terminal.sees("run t");
    terminal.types("typed\n");
    terminal.sees("got:typed:");
}

#[test]
fn inside_a_substitution_the_command_can_ask_the_user() {
    let server = Server::start();
    let mut terminal = Terminal::bash(&server);
    terminal.types("x=$($ZOOKY run t sh -c 'echo rea''dy >/dev/tty; read y </dev/tty; echo $y')\n");
    terminal.sees("ready");
    terminal.types("typed\n");
    terminal.sees("prompt> ");
    terminal.types("echo got:$x:\n");
    terminal.sees("got:typed:");
}

#[test]
fn a_script_has_the_terminal_again_afterwards() {
    let server = Server::start();
    let script = "$ZOOKY run t sh -c 'read x; echo first:$x:'; echo next; read y; echo second:$y:";
    let mut terminal = Terminal::start(&server, &["sh", "-c", script]);
    terminal.types("one\n");
    terminal.sees("first:one:");
    terminal.sees("next");
    terminal.types("two\n");
    terminal.sees("second:two:");
}

#[test]
fn the_demo_draws_in_place() {
    let server = Server::start();
    let mut terminal = Terminal::start(&server, &["sh", "-c", "$ZOOKY demo --delay-ms 5; echo code:$?:"]);
    terminal.sees("processes contend for /locks/demo");
    terminal.sees("HOLDS");
    terminal.sees("3 of 3 held the lock, overlaps: 0");
    terminal.sees("code:0:");
}
