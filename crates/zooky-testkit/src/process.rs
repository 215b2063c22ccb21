//! Any server in a process of its own, `zooky server` above all: started, killed, frozen and started again.

use crate::eventually::within;
use crate::four_letter::four_letter;
use crate::managed::{Managed, tail};
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);

/// A server that speaks ZooKeeper's four-letter words. Dropping it kills it.
///
/// ```no_run
/// # use zooky_testkit::{ServerProcess, free_port};
/// # use std::process::Command;
/// let addr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
/// let mut command = Command::new("zooky");
/// command.args(["server", "--listen", &format!("{addr}"), "--data-dir", "data"]);
/// let mut server = ServerProcess::start(command, addr);
/// server.kill();
/// server.restart();
/// ```
#[derive(Debug)]
pub struct ServerProcess {
    command: Command,
    addr: SocketAddr,
    process: Option<Managed>,
    work: TempDir,
}

impl ServerProcess {
    /// Runs `command` and returns when it answers `ruok` with `imok` at `addr`. Its standard error goes to a
    /// file, see [`stderr`](ServerProcess::stderr).
    ///
    /// # Panics
    /// When it ends or stays silent, with the end of its standard error.
    pub fn start(command: Command, addr: SocketAddr) -> ServerProcess {
        ServerProcess::try_start(command, addr).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Like [`start`](ServerProcess::start), for tests of servers that must refuse to start: the error is
    /// the exit status (or that it stays silent) and what it wrote to standard error.
    pub fn try_start(command: Command, addr: SocketAddr) -> Result<ServerProcess, String> {
        let work = tempfile::Builder::new().prefix("zooky-server-").tempdir().expect("a temporary directory");
        File::create(work.path().join("stderr")).expect("a file for its messages");
        let mut server = ServerProcess { command, addr, process: None, work };
        server.launch()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a client's connect string.
    pub fn hosts(&self) -> String {
        self.addr.to_string()
    }

    /// The number of the running process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("this server is not running").pid()
    }

    /// The exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(Managed::ended)
    }

    /// All that it has written to standard error, over all its starts.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.stderr_path()).unwrap_or_default()).into_owned()
    }

    /// Kills it at once (SIGKILL) and waits until it is gone. Killing one that does not run does nothing.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end (SIGTERM), waits, and tells how it ended.
    ///
    /// # Panics
    /// When it does not run, or has not ended after half a minute.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("this server is not running");
        process.stop(STOP).unwrap_or_else(|| panic!("the server ignores SIGTERM:\n{}", tail(&self.stderr())))
    }

    /// Kills it if it runs, and runs the same command again until it answers.
    ///
    /// # Panics
    /// As [`start`](ServerProcess::start).
    pub fn restart(&mut self) {
        self.launch().unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Freezes it (SIGSTOP) until [`resume`](ServerProcess::resume); returns once it stands still.
    pub fn pause(&mut self) {
        self.process.as_mut().expect("this server is not running").pause();
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process.as_mut().expect("this server is not running").resume();
    }

    fn launch(&mut self) -> Result<(), String> {
        self.kill();
        let stderr = OpenOptions::new().append(true).open(self.stderr_path()).expect("the file was made");
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut process = Managed::spawn(&mut self.command, "is it built?");
        let addr = self.addr;
        let answered = within(START, || {
            if let Some(status) = process.ended() {
                return Some(Err(status));
            }
            matches!(four_letter(addr, "ruok").as_deref(), Ok("imok")).then_some(Ok(()))
        });
        let why = match answered {
            Some(Ok(())) => {
                self.process = Some(process);
                return Ok(());
            }
            Some(Err(status)) => format!("ended with {status}"),
            None => format!("does not answer at {addr} after {START:?}"),
        };
        Err(format!("{:?} {why}\n{}", self.command.get_program(), tail(&self.stderr())))
    }

    fn stderr_path(&self) -> PathBuf {
        self.work.path().join("stderr")
    }
}
