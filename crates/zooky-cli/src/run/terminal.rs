//! Job control: the command's group is not ours, so a terminal must be told which one may read from it.
//!
//! If we are in the foreground and standard input and output are terminals, the command's group becomes the
//! foreground at once (Ctrl-C and Ctrl-Z then go to it and not to us). Otherwise (a pipeline, where `less` beside us
//! needs the terminal, or a job in the background) it gets the terminal when it first asks for it, that is, when the
//! kernel stops it with TTIN or TTOU. Where those are ignored, as in bash's `$(…)`, it cannot be stopped and would get
//! an error instead, so there it gets the terminal at once. Without one, as under cron, there is nothing to do.

use crate::proc;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, getpgrp, getsid, kill_current_process_group, kill_process_group};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::fs::File;

/// Our controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: File,
    wanted: bool,
}

impl Terminal {
    /// None if there is none.
    pub(crate) fn open() -> Option<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Terminal { tty, wanted: false })
    }

    /// Whether the command should have it from the start: somebody sits at both its ends, or it could not ask.
    pub(crate) fn is_talked_to(&self) -> bool {
        let cannot_ask = proc::ignored_signals() & (1 << (Signal::TTIN.as_raw() - 1)) != 0;
        cannot_ask || isatty(std::io::stdin()) && isatty(std::io::stdout())
    }

    /// Gives it to a command that was stopped for want of it, if the user has made us the foreground meanwhile
    /// (shells send no CONT to a job that they take for running).
    pub(crate) fn offer(&mut self, group: Pid) {
        if self.wanted && self.give(group) {
            self.wanted = false;
            let _ = kill_process_group(group, Signal::CONT);
        }
    }

    /// Makes `group` the foreground, if we are it now: a job in the background has no terminal to give.
    pub(crate) fn give(&self, group: Pid) -> bool {
        self.foreground() == Some(getpgrp()) && tcsetpgrp(&self.tty, group).is_ok()
    }

    /// Makes our own group the foreground again, if `group` still is it.
    pub(crate) fn take_back(&self, group: Pid) {
        if self.foreground() != Some(group) {
            return;
        }
        // From the background this call would stop us with TTOU, unless that is blocked.
        let mut ttou = SigSet::empty();
        ttou.add(NixSignal::SIGTTOU);
        if ttou.thread_block().is_ok() {
            let _ = tcsetpgrp(&self.tty, getpgrp());
            let _ = ttou.thread_unblock();
        }
    }

    /// `group` was stopped: for want of the terminal, then it gets it; or by Ctrl-Z, then our whole job stops,
    /// so that the shell sees it. (The watchdog goes on: a job that sleeps too long loses its lock.)
    pub(crate) fn stopped(&mut self, group: Pid, signal: i32) {
        if [Signal::TTIN, Signal::TTOU].iter().any(|one| one.as_raw() == signal) {
            self.wanted = true;
            self.offer(group);
        } else if self.foreground() == Some(group) && !in_shells_own_group() {
            self.take_back(group);
            let _ = kill_current_process_group(Signal::STOP);
        }
    }

    fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.tty).ok()
    }
}

/// Whether stopping our group would stop the shell that should go on, as inside its `$(…)`.
fn in_shells_own_group() -> bool {
    getsid(None).map_or(true, |session| session == getpgrp())
}
