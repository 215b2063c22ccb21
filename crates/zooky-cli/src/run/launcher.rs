//! The process that becomes the user's command. It is started before the lock is had and waits at a gate, so that all is
//! ready then, the watchdog and the terminal too: if `zooky run` dies before, nothing was started.

use crate::exit::{self, say};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Arguments: the process that holds the gate, its descriptor there, the command. The gate is opened through
/// /proc and not inherited, so that the command does not inherit it either.
pub(crate) fn main(args: &[OsString]) -> u8 {
    let [holder, gate, program, rest @ ..] = args else { return exit::USAGE };
    let Some(environment) = pass(holder, gate) else { return exit::LOST };
    let error = Command::new(program).args(rest).envs(environment).exec();
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

/// Waits for the word, which is what the command finds in its environment; the end of the pipe before the whole of it
/// means that `zooky run` is gone, or does not hold the lock.
fn pass(holder: &OsString, gate: &OsString) -> Option<Vec<(String, String)>> {
    let path = format!("/proc/{}/fd/{}", holder.display(), gate.display());
    let mut gate = BufReader::new(File::open(path).ok()?);
    let mut word = String::new();
    gate.read_line(&mut word).ok()?;
    // A line that was cut off is no JSON.
    serde_json::from_str(&word).ok()
}

/// The word that lets a launcher pass.
pub(crate) fn word(environment: &[(&str, String)]) -> Vec<u8> {
    // Serializing text cannot fail; nothing at all would be no word.
    let mut word = serde_json::to_vec(environment).unwrap_or_default();
    word.push(b'\n');
    word
}
