//! A server as a child process: this very test binary, started again with a variable in its environment.
#![allow(dead_code, unreachable_pub)] // each test uses its part

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use zooky_server::{Config, Server};

const DIR: &str = "ZOOKY_TEST_SERVER_DIR";
/// Transactions between snapshots, if not the default.
pub const SNAPSHOTS: &str = "ZOOKY_TEST_SERVER_SNAPSHOTS";
/// Requests of one connection that may wait for the disk, if not the default.
pub const OUTSTANDING: &str = "ZOOKY_TEST_SERVER_OUTSTANDING";

/// To be called by a test named `serve_as_child` in each binary that uses [`ServerChild`]: serves, if this
/// process is such a child, until it is killed or fails.
pub fn serve_if_child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), dir);
    if let Ok(transactions) = std::env::var(SNAPSHOTS) {
        config.snapshot_transactions = transactions.parse().unwrap();
    }
    if let Ok(requests) = std::env::var(OUTSTANDING) {
        config.limits.outstanding = requests.parse().unwrap();
    }
    let server = Server::start(config).unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nserving as {} at {}", std::process::id(), server.addr()).unwrap();
    stdout.flush().unwrap();
    let code = match server.wait() {
        Ok(()) => 0,
        Err(error) => {
            writeln!(stdout, "failed: {error}").unwrap();
            stdout.flush().unwrap();
            3
        }
    };
    std::process::exit(code);
}

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct ServerChild {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    /// The server itself; under another command it is not `child`.
    pid: Pid,
    pub addr: SocketAddr,
}

impl ServerChild {
    pub fn start(dir: &Path) -> ServerChild {
        ServerChild::start_under(&[], dir)
    }

    /// Starts one that takes a snapshot after at most so many transactions.
    pub fn start_with_snapshots(transactions: u32, dir: &Path) -> ServerChild {
        let variable = format!("{SNAPSHOTS}={transactions}");
        ServerChild::start_under(&["env".into(), variable.into()], dir)
    }

    /// Starts it as the argument of another command.
    #[allow(clippy::zombie_processes)] // a test whose server does not start ends at once
    pub fn start_under(prefix: &[OsString], dir: &Path) -> ServerChild {
        let me = std::env::current_exe().unwrap().into_os_string();
        let line: Vec<OsString> = prefix.iter().cloned().chain([me]).collect();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(["--exact", "serve_as_child", "--nocapture", "--test-threads=1"]);
        let mut child = command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the server did not start");
            if let Some(rest) = line.trim().strip_prefix("serving as ") {
                let (pid, addr) = rest.split_once(" at ").unwrap();
                let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
                return ServerChild { child, stdout, pid, addr: addr.parse().unwrap() };
            }
        }
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) {
        kill_process(self.pid, Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP; returns when all its threads stand still.
    pub fn stop(&self) {
        kill_process(self.pid, Signal::STOP).unwrap();
        let tasks = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        let stands = |stat: &str| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let threads = std::fs::read_dir(&tasks).unwrap();
            let mut stats =
                threads.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
            if stats.all(|stat| stands(&stat)) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "the server does not stop");
            std::thread::yield_now();
        }
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        kill_process(self.pid, Signal::CONT).unwrap();
    }

    /// Waits until it ends by itself; what it said, and its status.
    pub fn ended(mut self) -> (String, ExitStatus) {
        let mut said = String::new();
        while self.stdout.read_line(&mut said).unwrap() > 0 {}
        (said, self.child.wait().unwrap())
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
