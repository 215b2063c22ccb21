//! How every verb ends: the exit codes, and [`Failure`], an error's one line and its code.
//!
//! The codes above 63 are those of `sysexits.h`, as flock(1) uses them; `docs/cli.md` lists them for users.

use std::fmt;
use std::io::{self, Write};

/// All went well.
pub(crate) const OK: u8 = 0;
/// The answer is no: no such lock, no server running, an overlap in the demo. Also `run`'s on a conflict,
/// unless `-E` says otherwise.
pub(crate) const NO: u8 = 1;
/// The command line is wrong (EX_USAGE).
pub(crate) const USAGE: u8 = 64;
/// The data is wrong: a directory that is not ours, a corrupt log, a bad path (EX_DATAERR).
pub(crate) const DATA: u8 = 65;
/// No server could be reached, or it went away (EX_UNAVAILABLE).
pub(crate) const UNAVAILABLE: u8 = 69;
/// `run` only: the lock was lost, or about to be, and the command was stopped for it (EX_SOFTWARE).
pub(crate) const LOST: u8 = 70;
/// The system refused something: a process, a port, a file (EX_OSERR).
pub(crate) const OS: u8 = 71;
/// Standard output could not be written (EX_IOERR).
pub(crate) const OUTPUT: u8 = 74;
/// The server refused for want of rights (EX_NOPERM).
pub(crate) const DENIED: u8 = 77;
/// The environment lacks something that is needed, such as HOME (EX_CONFIG).
pub(crate) const CONFIG: u8 = 78;
/// `run` only: CMD is there and cannot be run, as shells say it.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// `run` only: there is no CMD.
pub(crate) const NOT_FOUND: u8 = 127;
/// To be added to a signal's number, as shells do.
pub(crate) const SIGNAL: u8 = 128;

/// Why the command ends without having done its work: one line for the user and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    /// Ends with `code` after `zooky: message`.
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Failure {
        Failure { code, message: Some(message.to_string()) }
    }

    /// The system refused `what`.
    pub(crate) fn os(what: impl fmt::Display, error: impl fmt::Display) -> Failure {
        Failure::new(OS, format!("{what}: {error}"))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// What it says, on one line.
    pub(crate) fn line(&self) -> String {
        self.message.as_deref().unwrap_or_default().replace('\n', " ")
    }

    /// Writes the line and gives the code.
    pub(crate) fn report(self) -> u8 {
        if let Some(message) = self.message {
            say(message);
        }
        self.code
    }
}

/// Writing results failed. A reader that has gone away (`zooky list | head`) is no error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure { code: OK, message: None }
        } else {
            Failure::new(OUTPUT, format!("cannot write the result: {error}"))
        }
    }
}

/// One line on standard error. If that is closed, there is nobody to tell.
pub(crate) fn say(message: impl fmt::Display) {
    // An error of several lines becomes one: a line per event is what logs and cron mails are read by.
    let line = format!("zooky: {message}\n").trim_end().replace('\n', " ") + "\n";
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Prints clap's answer (help, the version or what is wrong), and gives the code for it.
pub(crate) fn usage(error: &clap::Error) -> u8 {
    let _ = error.print();
    if error.use_stderr() { USAGE } else { OK }
}
