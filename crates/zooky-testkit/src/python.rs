//! Programs in Python, above all kazoo: the client whose locks ours must exclude and be excluded by.

use crate::talk::Talk;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The interpreter that has kazoo: `ZOOKY_TEST_PYTHON`, else the one that `make peers` installs.
///
/// # Panics
/// When there is none.
pub fn python_venv() -> PathBuf {
    let named = std::env::var_os("ZOOKY_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| crate::workspace().join(".peers/venv/bin/python"));
    assert!(python.exists(), "no Python interpreter at {}: run `make peers`", python.display());
    python
}

/// A Python program, given as its text.
///
/// ```no_run
/// # use zooky_testkit::{Apache, Script};
/// # use std::time::Duration;
/// let server = Apache::start();
/// let mut script = Script::new("import sys; print('connecting to', sys.argv[1])").arg(server.hosts()).spawn();
/// assert_eq!(script.expect_line("connecting to", Duration::from_secs(10)), server.hosts());
/// ```
#[derive(Debug, Clone)]
pub struct Script {
    code: String,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    interpreter: Option<PathBuf>,
}

impl Script {
    /// A program with this text.
    pub fn new(code: &str) -> Script {
        Script { code: code.to_string(), args: Vec::new(), env: Vec::new(), interpreter: None }
    }

    /// One more argument, `sys.argv[1]` being the first.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Several more arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more variable for its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Another interpreter than the one of [`python_venv`].
    pub fn interpreter(mut self, python: PathBuf) -> Self {
        self.interpreter = Some(python);
        self
    }

    /// Runs it; its output is not buffered.
    ///
    /// # Panics
    /// When the interpreter is missing.
    pub fn spawn(self) -> Talk {
        let work = tempfile::Builder::new().prefix("zooky-script-").tempdir().expect("a temporary directory");
        let file = work.path().join("script.py");
        fs::write(&file, &self.code).expect("the script is written");
        let mut command = Command::new(self.interpreter.unwrap_or_else(python_venv));
        command.arg("-u").arg(&file).args(&self.args).envs(self.env);
        Talk::spawn(command, work, "run `make peers`")
    }
}
