//! The helper processes: this same program, started by itself under names that no user types. They are
//! dispatched before anything else is set up, so that they start fast and hold nothing.

use crate::{embedded, run, verbs};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Waits for the word to become the user's command.
pub(crate) const LAUNCH: &str = "__launch";
/// Ends the command's process group before the lock can be lost.
pub(crate) const WATCHDOG: &str = "__watchdog";
/// The embedded server in the background.
pub(crate) const SERVE: &str = "__serve";
/// One process of the demo.
pub(crate) const DEMO_WORKER: &str = "__demo-worker";

/// Does a helper's work, if that is what this process was started for.
pub(crate) fn main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next()?;
    let rest: Vec<OsString> = args.collect();
    match name.to_str()? {
        LAUNCH => Some(run::launcher::main(&rest)),
        WATCHDOG => Some(run::watchdog::main(&rest)),
        SERVE => Some(embedded::serve::main(&rest)),
        DEMO_WORKER => Some(verbs::demo::worker::main(&rest)),
        _ => None,
    }
}

/// This program again, as the helper `name`: by the kernel's own link, so that an upgrade that replaces the file
/// on the disk meanwhile does no harm.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("zooky").arg(name);
    command
}
