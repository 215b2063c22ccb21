//! A conversation, line by line, with a program in another language: how tests steer kazoo and Curator.

use crate::machine::MachineClock;
use crate::managed::{Managed, tail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

/// How often it is looked whether the time is over.
const LOOK: Duration = Duration::from_millis(250);

/// A running program that reads lines and answers with lines. Dropping it kills it.
#[derive(Debug)]
pub struct Talk {
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
    process: Managed,
    work: TempDir,
}

impl Talk {
    /// Runs any program that reads and writes lines; a test that runs itself again as another process, for
    /// example.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn start(command: Command) -> Talk {
        let work = tempfile::Builder::new().prefix("zooky-talk-").tempdir().expect("a temporary directory");
        Talk::spawn(command, work, "is it built?")
    }

    /// Runs `command` in the way of this module; `work` is kept until the program has ended.
    pub(crate) fn spawn(mut command: Command, work: TempDir, hint: &str) -> Talk {
        let stderr = fs::File::create(work.path().join("stderr")).expect("a file for its messages");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut process = Managed::spawn(&mut command, hint);
        let stdin = process.child().stdin.take();
        let stdout = process.child().stdout.take().expect("its standard output is piped");
        let (sender, lines) = channel();
        // Ends by itself: with the program's output, or when nobody listens any more.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Talk { stdin, lines, heard: Vec::new(), process, work }
    }

    /// Sends one line to its standard input.
    ///
    /// # Panics
    /// When it no longer reads, with the end of its standard error.
    pub fn send_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its standard input was closed by this test");
        if let Err(error) = writeln!(stdin, "{line}").and_then(|()| stdin.flush()) {
            panic!("the program does not take {line:?}: {error}\n{}", self.account());
        }
    }

    /// Closes its standard input, which ends a program that reads until the end.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the next line that starts with `prefix`, passing over others, and returns what follows the
    /// prefix, trimmed.
    ///
    /// # Panics
    /// When no such line comes in time, or the program ends first; the message shows what it said.
    #[track_caller]
    pub fn expect_line(&mut self, prefix: &str, timeout: Duration) -> String {
        match self.next_line(prefix, timeout) {
            Ok(rest) => rest,
            Err(why) => panic!("no line {prefix:?}: {why}\n{}", self.account()),
        }
    }

    /// Whether a line that starts with `prefix` comes within `timeout`; not if the program ends first. For showing that
    /// something does *not* happen; such a test is as slow as its timeout.
    pub fn hears_line(&mut self, prefix: &str, timeout: Duration) -> bool {
        self.next_line(prefix, timeout).is_ok()
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Freezes it (SIGSTOP) until [`resume`](Talk::resume); returns once it stands still.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets a frozen program go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    /// When it has not ended in time.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        self.close_input();
        match self.process.wait(timeout) {
            Some(status) => status,
            None => panic!("the program has not ended after {timeout:?}\n{}", self.account()),
        }
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.stderr_path()).unwrap_or_default()).into_owned()
    }

    fn next_line(&mut self, prefix: &str, timeout: Duration) -> Result<String, String> {
        let mut clock = MachineClock::start();
        loop {
            let left = clock.left_of(timeout);
            match self.lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => {
                    let rest = line.strip_prefix(prefix).map(|rest| rest.trim().to_string());
                    self.heard.push(line);
                    if let Some(rest) = rest {
                        return Ok(rest);
                    }
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    return Err(format!("not within {clock}"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the program's output ended".to_string()),
            }
        }
    }

    fn account(&self) -> String {
        format!(
            "it said:\n{}\nits standard error ends with:\n{}",
            self.heard.join("\n"),
            tail(&self.stderr())
        )
    }

    fn stderr_path(&self) -> PathBuf {
        self.work.path().join("stderr")
    }
}
