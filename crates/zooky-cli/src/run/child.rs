//! The user's command in a process group of its own: started at a gate, signalled as a group, reaped.

use super::launcher;
use super::terminal::Terminal;
use crate::exit::{self, Failure};
use crate::hidden;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, set_child_subreaper,
    test_kill_process_group, wait,
};
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::time::Duration;

/// How long a group that has to end may take after TERM.
const GRACE: Duration = Duration::from_millis(200);

/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// The command's process group. Its leader is the launcher, which becomes the command.
#[derive(Debug)]
pub(crate) struct Child {
    group: Pid,
    terminal: Option<Terminal>,
    code: Option<u8>,
    gate: Gate,
}

/// Both ends stay open until this process ends or gives up: the launcher opens the reading one through /proc, whenever it
/// comes to it.
#[derive(Debug)]
struct Gate {
    _read: OwnedFd,
    write: OwnedFd,
}

impl Child {
    /// Starts the launcher, which waits for [`go`](Child::go). If that never comes, because this process ended
    /// or returned early, nothing is run.
    ///
    /// # Errors
    /// When the system refuses a process or a pipe.
    pub(crate) fn at_gate(command: &[OsString]) -> Result<Child, Failure> {
        let failed = |error| Failure::os("cannot start the command", error);
        // What the command leaves behind is then ours to reap, and so its group's end is seen.
        set_child_subreaper(Some(getpid())).map_err(|error| failed(error.into()))?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let mut launcher = hidden::command(hidden::LAUNCH);
        launcher.arg(getpid().as_raw_nonzero().to_string()).arg(read.as_raw_fd().to_string()).args(command);
        launcher.process_group(0);
        let launched = launcher.spawn().map_err(failed)?;
        let group = Pid::from_child(&launched);
        Ok(Child { group, terminal: Terminal::open(), code: None, gate: Gate { _read: read, write } })
    }

    /// The number of the group, which is that of the command.
    pub(crate) fn group(&self) -> Pid {
        self.group
    }

    /// Lets the launcher become the command, with `environment` besides what we have; the terminal is the command's then, if it was
    /// ours.
    pub(crate) fn go(&self, environment: &[(&str, String)]) -> Result<(), Failure> {
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| terminal.is_talked_to()) {
            terminal.give(self.group);
        }
        // A launcher that was killed meanwhile is noticed by its end.
        let mut word = &launcher::word(environment)[..];
        while !word.is_empty() {
            match rustix::io::write(&self.gate.write, word) {
                Ok(written) => word = &word[written..],
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => break,
                Err(error) => return Err(Failure::os("cannot start the command", error)),
            }
        }
        Ok(())
    }

    /// Passes a signal on to every process of the group.
    pub(crate) fn signal(&self, signal: Signal) {
        // A group that has just ended needs no signal; one that is not ours to signal (sudo) cannot have it.
        let _ = kill_process_group(self.group, signal);
    }

    /// Ends the group: TERM, and after 200 ms KILL. Returns when not a single process of it is left.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::TERM);
        let mut beat = tokio::time::interval(LOOK);
        for look in 0_u32.. {
            beat.tick().await;
            self.reap();
            if self.group_is_gone() {
                return;
            }
            if look * LOOK >= GRACE {
                self.signal(Signal::KILL);
            }
        }
    }

    /// Collects what has ended or stopped; call it at each SIGCHLD.
    pub(crate) fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((pid, status))) if pid == self.group => self.changed(status),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn changed(&mut self, status: WaitStatus) {
        if let Some(code) = status.exit_status() {
            self.code = Some(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
        } else if let Some(signal) = status.terminating_signal() {
            self.code = Some(exit::SIGNAL.saturating_add(u8::try_from(signal).unwrap_or(0)));
        } else if let (Some(signal), Some(terminal)) = (status.stopping_signal(), &mut self.terminal) {
            terminal.stopped(self.group, signal);
        }
    }

    /// The command's exit code, once it has ended; 128 and the signal's number if one killed it.
    pub(crate) fn code(&self) -> Option<u8> {
        self.code
    }

    /// Whether not a single process of the group is left.
    pub(crate) fn group_is_gone(&self) -> bool {
        self.code.is_some() && test_kill_process_group(self.group) == Err(Errno::SRCH)
    }

    /// After a SIGCONT to us: the user has brought the job back, so the command goes on too.
    pub(crate) fn resume(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.give(self.group);
        }
        self.signal(Signal::CONT);
    }

    /// Lends the terminal to a command that waits for it, if we have it now.
    pub(crate) fn offer_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.offer(self.group);
        }
    }

    /// Takes the terminal back, for the script that goes on after us. Call it when the group has ended.
    pub(crate) fn return_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.group);
        }
    }
}
