//! The process that becomes the user's command. It is started first and waits at a gate, so that the watchdog
//! and the terminal are ready before the command runs: if `zooky run` dies in between, nothing was started.

use crate::exit::{self, say};
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Arguments: the process that holds the gate, its descriptor there, the command. The gate is opened through
/// /proc and not inherited, so that the command does not inherit it either.
pub(crate) fn main(args: &[OsString]) -> u8 {
    let [holder, gate, program, rest @ ..] = args else { return exit::USAGE };
    if !pass(holder, gate) {
        return exit::LOST;
    }
    let error = Command::new(program).args(rest).exec();
    let name = program.display();
    match error.kind() {
        ErrorKind::NotFound => {
            say(format_args!("{name}: command not found"));
            exit::NOT_FOUND
        }
        _ => {
            say(format_args!("{name}: cannot be run: {error}"));
            exit::NOT_EXECUTABLE
        }
    }
}

/// Waits for the one byte that means go; the end of the pipe means that `zooky run` is gone.
fn pass(holder: &OsString, gate: &OsString) -> bool {
    let path = format!("/proc/{}/fd/{}", holder.display(), gate.display());
    let Ok(mut gate) = File::open(path) else { return false };
    gate.read_exact(&mut [0]).is_ok()
}
