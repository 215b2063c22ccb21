//! What the tests of the command share: a server to talk to, and the command as a user types it.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;
use zooky_testkit::{ServerProcess, eventually, free_port};

/// The binary under test.
pub(crate) const ZOOKY: &str = env!("CARGO_BIN_EXE_zooky");
/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The shortest session timeout that the servers grant with their usual tick.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);

/// The command with an empty environment but for PATH, so that nothing of the caller's leaks in.
pub(crate) fn zooky<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(ZOOKY);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).args(args);
    command
}

/// Our server in the foreground, on a port and a directory of its own.
pub(crate) struct Server {
    pub(crate) process: ServerProcess,
    pub(crate) data: TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        let port = free_port();
        Server::start_at(port)
    }

    pub(crate) fn start_at(port: u16) -> Server {
        let data = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{port}");
        let mut command = zooky(&["server", "--listen", &listen, "--data-dir"]);
        command.arg(data.path());
        let process = ServerProcess::start(command, listen.parse().unwrap());
        Server { process, data }
    }

    pub(crate) fn hosts(&self) -> String {
        self.process.hosts()
    }

    /// `zooky --servers … args`, with the shortest session timeout.
    pub(crate) fn zooky<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        named(&self.hosts(), args)
    }
}

/// `zooky --servers hosts args`, with the shortest session timeout.
pub(crate) fn named<S: AsRef<OsStr>>(hosts: &str, args: &[S]) -> Command {
    let mut command = zooky(&["--servers", hosts, "--session-timeout", &TIMEOUT.as_secs().to_string()]);
    command.args(args);
    command
}

/// Runs it to its end; a command that hangs, or whose pipes somebody keeps open, fails the test.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(LONG) {
        Ok(output) => output.unwrap(),
        Err(_) => panic!("{command:?} has not ended, or its pipes are still open"),
    }
}

/// Its exit code and both outputs as text.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = output(command);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it exits and is not killed"), text(output.stdout), text(output.stderr))
}

/// A command that runs beside the test; killed at the end, and so is its child's group.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    /// The next line on standard output; blocks for it.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).unwrap();
        if read == 0 {
            let status = self.wait();
            panic!("no line, it ended with {status}: {}", self.errors());
        }
        line.trim_end().to_string()
    }

    /// The next line on standard error; blocks for it.
    pub(crate) fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// The rest of its standard output, once all who hold it have ended.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }

    /// The rest of its standard error.
    pub(crate) fn errors(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually(LONG, "the command to end", || self.child.try_wait().unwrap())
    }

    #[track_caller]
    pub(crate) fn code(&mut self) -> i32 {
        self.wait().code().expect("it exits and is not killed")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The watchdog ends the group then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a GET, head and body.
pub(crate) fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether not one process of the group is left (zombies count as gone once they are reaped).
pub(crate) fn group_is_gone(group: &str) -> bool {
    let group = Pid::from_raw(group.parse().unwrap()).unwrap();
    test_kill_process_group(group) == Err(rustix::io::Errno::SRCH)
}

/// A script that the user's command is, run by sh.
pub(crate) fn sh(script: &str) -> [String; 3] {
    ["sh".to_string(), "-c".to_string(), script.to_string()]
}

/// The lines of a file, none if it is not there.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_string).collect()
}

/// A read-modify-write without any other protection, so many times at once: nobody overlaps, tokens grow in the order of the
/// grants, all have their turn, and nobody is left in the queue.
pub(crate) fn crowd(count: usize) {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let script = "
        mkdir inside || echo overlap >> trouble
        n=$(cat count 2>/dev/null || echo 0)
        echo $ZOOKY_FENCING_TOKEN >> tokens
        echo $((n + 1)) > count
        rmdir inside || echo overlap >> trouble";
    // A busy machine may need more than ten seconds for so many sessions; those who find no server begin anew.
    let flags =
        ["--servers", &server.hosts(), "--session-timeout", "40", "run", "--retry", "20", "crowd", "--"];
    let start = |_| Running::start(zooky(&flags).args(sh(script)).current_dir(dir.path()));
    let mut all: Vec<Running> = (0..count).map(start).collect();
    for one in &mut all {
        let ended = eventually(LONG * 5, "the whole crowd to end", || one.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(0), "{}", one.errors());
    }
    assert_eq!(lines(&dir.path().join("trouble")), Vec::<String>::new());
    assert_eq!(lines(&dir.path().join("count")), [count.to_string()]);
    let tokens = lines(&dir.path().join("tokens"));
    assert!(tokens.is_sorted_by(|a, b| a < b), "tokens grow in the order of grants: {tokens:?}");
    assert_eq!(run(zooky(&flags[..5]).args(["-n", "crowd", "--", "true"])).0, 0, "the queue is empty");
}
