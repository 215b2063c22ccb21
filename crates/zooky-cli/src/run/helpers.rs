//! The two processes that a command needs, started while the lock is still being asked for: their start takes about as long as
//! a free lock.

use super::child::Child;
use super::keeper::Whelp;
use crate::exit::Failure;
use std::ffi::OsString;
use tokio::task::JoinHandle;

/// The launcher at its gate, and its watchdog. Dropped, both end.
#[derive(Debug)]
pub(crate) struct Helpers {
    pub(crate) child: Child,
    pub(crate) whelp: Whelp,
}

/// Helpers on their way.
#[derive(Debug)]
pub(crate) struct Starting(JoinHandle<Result<Helpers, Failure>>);

impl Starting {
    /// Begins to start them for this command, on another thread: this one has the session to look after.
    pub(crate) fn begin(command: &[OsString]) -> Starting {
        let command = command.to_vec();
        Starting(tokio::task::spawn_blocking(move || {
            let child = Child::at_gate(&command)?;
            let whelp = Whelp::start(child.group())?;
            Ok(Helpers { child, whelp })
        }))
    }

    /// # Errors
    /// When the system refuses a process or a pipe.
    pub(crate) async fn done(self) -> Result<Helpers, Failure> {
        self.0.await.map_err(|error| Failure::os("cannot start the command", error))?
    }
}
