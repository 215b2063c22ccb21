//! A child process that is never left behind: signals, waiting, and an end with its owner.

use crate::eventually::within;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// One child process. It stays in the test's process group, so that Ctrl-C and a test runner's time limit
/// reach it as well; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Managed {
    child: Child,
    name: String,
}

impl Managed {
    pub(crate) fn spawn(command: &mut Command, hint: &str) -> Managed {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot run {name}: {error}; {hint}"));
        Managed { child, name }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// Sends a signal; a process that has ended is not bothered (its number may be another's by now).
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(Pid::from_child(&self.child), signal)
                .unwrap_or_else(|error| panic!("cannot send {signal:?} to {}: {error}", self.name));
        }
    }

    /// Stops it where it stands (SIGSTOP), and returns once it has stopped.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
        crate::eventually(Duration::from_secs(5), "a process to stand still", || {
            (!self.can_run()).then_some(())
        });
    }

    /// Whether it is there and not frozen.
    pub(crate) fn can_run(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The state follows the name in parentheses, and the name may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
    }

    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().expect("a child of ours can be waited for")
    }

    /// Asks it to end (SIGTERM, and SIGCONT lest it sleeps) and waits; `None` if it did not end in time.
    pub(crate) fn stop(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        self.wait(patience)
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        within(patience, || self.ended())
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // A panic in a drop would hide the test's own; the process is gone at the latest with its group.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, for messages about a server that failed.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
