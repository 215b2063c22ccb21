//! The helper processes: this same program, started by itself under names that no user types. They are
//! dispatched before anything else is set up, so that they start fast and hold nothing.

use crate::{embedded, run, verbs};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Waits for the word to become the user's command.
pub(crate) const LAUNCH: &str = "__launch";
/// Ends the command's process group before the lock can be lost.
pub(crate) const WATCHDOG: &str = "__watchdog";
/// The embedded server in the background.
pub(crate) const SERVE: &str = "__serve";
/// One process of the demo.
pub(crate) const DEMO_WORKER: &str = "__demo-worker";

/// How a new process comes to [`main_from`](crate::main_from): a program, and what its command line begins with.
///
/// ```
/// use zooky_cli::Invocation;
///
/// let python = Invocation::new("/usr/bin/python3", ["-m", "zooky"]).keeping("PYTHONPATH");
/// # let _ = (python, Invocation::this_program());
/// ```
#[derive(Debug, Clone)]
pub struct Invocation {
    program: PathBuf,
    name: Option<&'static str>,
    leading: Vec<OsString>,
    environment: Vec<OsString>,
}

impl Invocation {
    /// The running program itself, by the kernel's own link, so that an upgrade that replaces the file on the disk
    /// meanwhile does no harm.
    pub fn this_program() -> Invocation {
        Invocation { name: Some("zooky"), ..Invocation::new("/proc/self/exe", [""; 0]) }
    }

    /// `program`, whose arguments begin with `leading`; the helper's name and arguments come behind. Helpers may be started in
    /// another working directory: name the program by its full path.
    pub fn new(
        program: impl Into<PathBuf>,
        leading: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Invocation {
        let leading = leading.into_iter().map(Into::into).collect();
        Invocation { program: program.into(), name: None, leading, environment: Vec::new() }
    }

    /// Passes this environment variable to helpers that get no other.
    #[must_use]
    pub fn keeping(mut self, variable: impl Into<OsString>) -> Invocation {
        self.environment.push(variable.into());
        self
    }

    fn command(&self, helper: &str) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(name) = self.name {
            command.arg0(name);
        }
        command.args(&self.leading).arg(helper);
        command
    }
}

static INVOCATION: OnceLock<Invocation> = OnceLock::new();

/// How helpers are to be started in this process; the first call counts.
pub(crate) fn remember(invocation: Invocation) {
    let _ = INVOCATION.set(invocation);
}

/// Does a helper's work, if that is what this process was started for.
pub(crate) fn main(args: &[OsString]) -> Option<u8> {
    let [_, name, rest @ ..] = args else { return None };
    match name.to_str()? {
        LAUNCH => Some(run::launcher::main(rest)),
        WATCHDOG => Some(run::watchdog::main(rest)),
        SERVE => Some(embedded::serve::main(rest)),
        DEMO_WORKER => Some(verbs::demo::worker::main(rest)),
        _ => None,
    }
}

/// This program again, as the helper `name`.
pub(crate) fn command(name: &str) -> Command {
    INVOCATION.get_or_init(Invocation::this_program).command(name)
}

/// The same with an empty environment, for a helper that nothing of ours concerns.
pub(crate) fn bare_command(name: &str) -> Command {
    let invocation = INVOCATION.get_or_init(Invocation::this_program);
    let mut command = invocation.command(name);
    command.env_clear();
    for variable in &invocation.environment {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_is_named_behind_the_leading_arguments() {
        let python = Invocation::new("/usr/bin/python3", ["-m", "zooky"]);
        let command = python.command(WATCHDOG);
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(
            (command.get_program(), &words[..]),
            ("/usr/bin/python3".as_ref(), &["-m".as_ref(), "zooky".as_ref(), WATCHDOG.as_ref()][..])
        );
        assert_eq!(Invocation::this_program().command(SERVE).get_program(), "/proc/self/exe");
    }

    #[test]
    fn only_helpers_are_taken_for_helpers() {
        for words in [&["zooky"][..], &["zooky", "list"], &["__watchdog"], &[]] {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            assert_eq!(main(&words), None, "{words:?}");
        }
        assert_eq!(main(&["zooky".into(), LAUNCH.into()]), Some(crate::exit::USAGE));
    }
}
