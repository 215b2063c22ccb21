//! `zooky run`'s end of the pipes to its watchdog: start it, tell it the deadline, hear what it did.

use crate::exit::Failure;
use crate::hidden;
use rustix::process::Pid;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// How long a watchdog may take to be ready, on the busiest machine.
const START: Duration = Duration::from_secs(10);

/// How long its last words are waited for.
const FINISH: Duration = Duration::from_secs(1);

/// What the watchdog has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bark {
    /// It sent TERM to the command's group.
    Term,
    /// It sent KILL.
    Kill,
    /// It has ended though nobody told it to.
    Gone,
}

/// A watchdog that was started, and does not know yet when to bark.
#[derive(Debug)]
pub(crate) struct Whelp {
    group: Pid,
    words: OwnedFd,
    answers: OwnedFd,
}

/// A watchdog that watches.
#[derive(Debug)]
pub(crate) struct Keeper {
    group: Pid,
    timeout: Duration,
    told_ns: u64,
    words: OwnedFd,
    answers: Receiver,
}

fn failed(error: std::io::Error) -> Failure {
    Failure::os("cannot start the watchdog", error)
}

impl Whelp {
    /// Starts a watchdog for `group`. Until it watches, all that it does is to end the group should we vanish.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(group: Pid) -> Result<Whelp, Failure> {
        let mut command = hidden::bare_command(hidden::WATCHDOG);
        command.arg(group.as_raw_nonzero().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(failed)?;
        let (Some(words), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Whelp { group, words: words.into(), answers: answers.into() })
    }

    /// Tells it the session's timeout and the deadline, and returns when it watches.
    ///
    /// # Errors
    /// When it does not in ten seconds.
    pub(crate) async fn watch(self, timeout: Duration, deadline_ns: u64) -> Result<Keeper, Failure> {
        let Whelp { group, words, answers } = self;
        let word = format!("watch {} {deadline_ns}\n", timeout.as_nanos());
        rustix::io::write(&words, word.as_bytes()).map_err(|error| failed(error.into()))?;
        let mut answers = Receiver::from_owned_fd(answers).map_err(failed)?;
        // The session lives on this thread: it must not be blocked meanwhile.
        match tokio::time::timeout(START, answers.read_u8()).await {
            Ok(Ok(b'r')) => {}
            Ok(_) => return Err(failed(std::io::ErrorKind::BrokenPipe.into())),
            Err(_) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        }
        // A watchdog that somebody has stopped must not stop us.
        rustix::io::ioctl_fionbio(&words, true).map_err(|error| failed(error.into()))?;
        Ok(Keeper { group, timeout, told_ns: deadline_ns, words, answers })
    }
}

impl Keeper {
    /// Passes the deadline on if it has advanced.
    pub(crate) fn deadline(&mut self, deadline_ns: u64) {
        if deadline_ns > self.told_ns && self.tell(&format!("deadline {deadline_ns}\n")) {
            self.told_ns = deadline_ns;
        }
    }

    /// The lock is lost: the group must end now.
    pub(crate) fn lost(&self) {
        self.tell("lost\n");
    }

    /// The group has ended, and so does the watchdog: what it had done that was not heard of yet.
    pub(crate) async fn finish(&mut self) -> Vec<Bark> {
        self.tell("done\n");
        let mut unheard = Vec::new();
        let rest = async {
            loop {
                match self.bark().await {
                    Bark::Gone => break,
                    bark => unheard.push(bark),
                }
            }
        };
        // One that was stopped by somebody does not answer; its pipe ends with us.
        let _ = tokio::time::timeout(FINISH, rest).await;
        unheard
    }

    /// What it does next. Cancel-safe.
    pub(crate) async fn bark(&mut self) -> Bark {
        match self.answers.read_u8().await {
            Ok(b't') => Bark::Term,
            Ok(_) => Bark::Kill,
            Err(_) => Bark::Gone,
        }
    }

    /// Another one in the place of one that has gone.
    pub(crate) async fn replace(&mut self, deadline_ns: u64) -> Result<(), Failure> {
        *self = Whelp::start(self.group)?.watch(self.timeout, deadline_ns).await?;
        Ok(())
    }

    /// Whether the words fitted into the pipe. If the watchdog is gone, [`bark`](Keeper::bark) says so.
    fn tell(&self, words: &str) -> bool {
        rustix::io::write(&self.words, words.as_bytes()).is_ok()
    }
}
