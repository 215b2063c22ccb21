//! This test binary run again as another process, which can be frozen and killed.

use std::io::{BufRead, Lines, StdinLock};
use std::process::Command;

use zooky_testkit::Talk;

const ARGS: &str = "ZOOKY_TEST_CHILD";

/// Runs the test `name` of this binary in a process of its own, with arguments for [`args`].
pub fn spawn(name: &str, args: &[&str]) -> Talk {
    Talk::start(command(name, args))
}

/// The same, not yet started.
pub fn command(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]);
    command.env(ARGS, args.join("\n"));
    command
}

/// The arguments, if this process is such a child. A test for children does nothing otherwise.
pub fn args() -> Option<Vec<String>> {
    let args = std::env::var(ARGS).ok()?;
    Some(args.split('\n').map(String::from).collect())
}

/// One line for the parent. The test runner leaves its own line unfinished, hence the one before.
pub fn say(line: impl std::fmt::Display) {
    println!("\n{line}");
}

/// What the parent says, line by line.
pub fn heard() -> Lines<StdinLock<'static>> {
    std::io::stdin().lock().lines()
}
