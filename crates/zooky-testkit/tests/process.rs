//! A server as a child process: a few lines of Python stand in for one.

use std::path::Path;
use std::process::Command;
use zooky_testkit::{ServerProcess, four_letter, free_port, python_venv};

const SERVER: &str = "
import socketserver, sys
class Word(socketserver.BaseRequestHandler):
    def handle(self):
        if self.request.recv(4) == b'ruok':
            self.request.sendall(b'imok')
class Server(socketserver.TCPServer):
    allow_reuse_address = True
print('listening', file=sys.stderr)
Server(('127.0.0.1', int(sys.argv[1])), Word).serve_forever()
";

fn python(code: &str, port: u16) -> Command {
    let mut command = Command::new(python_venv());
    command.args(["-c", code, &port.to_string()]);
    command
}

#[test]
fn a_server_is_started_killed_frozen_and_started_again() {
    let port = free_port();
    let addr = ([127, 0, 0, 1], port).into();
    let mut server = ServerProcess::start(python(SERVER, port), addr);
    server.pause();
    assert!(four_letter(addr, "ruok").is_err());
    server.resume();
    assert_eq!(four_letter(addr, "ruok").unwrap(), "imok");
    server.kill();
    assert!(four_letter(addr, "ruok").is_err());
    server.restart();
    assert_eq!(server.stderr().matches("listening").count(), 2);
    assert!(!server.stop().success(), "the script dies of SIGTERM");
    server.restart();
    let process = format!("/proc/{}", server.pid());
    drop(server);
    assert!(!Path::new(&process).exists());
}

#[test]
fn a_server_that_refuses_to_start_says_why() {
    let port = free_port();
    let refusing = python("import sys; sys.exit('the port is in use')", port);
    let failure = ServerProcess::try_start(refusing, ([127, 0, 0, 1], port).into()).unwrap_err();
    assert!(failure.contains("exit status: 1") && failure.contains("the port is in use"), "{failure}");
}
