//! `zooky server` in the foreground, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Running, Server, run, zooky};
use rustix::process::Signal;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use zooky_testkit::{four_letter, free_port};

fn serve(port: u16, dir: &Path) -> Command {
    let mut command = zooky(&["server", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]);
    command.arg(dir);
    command
}

#[test]
fn it_serves_until_asked_to_stop() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let mut server = Running::start(&mut serve(port, dir.path()));
        let line = server.error_line();
        assert!(line.starts_with(&format!("zooky: serving at 127.0.0.1:{port}, data in ")), "{line}");
        assert_eq!(four_letter(([127, 0, 0, 1], port).into(), "ruok").unwrap(), "imok");
        server.signal(signal);
        assert_eq!(server.code(), 0, "{signal:?}");
    }
}

/// The limit that a shell sets for a careless program is not that of a server.
#[test]
fn it_takes_more_connections_than_the_usual_limit_of_open_files() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let plain = serve(port, dir.path());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -n 48 && exec \"$0\" \"$@\""]).arg(plain.get_program());
    command.args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut server = Running::start(&mut command);
    assert!(server.error_line().starts_with("zooky: serving at "));
    let open: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    assert_eq!(four_letter(([127, 0, 0, 1], port).into(), "ruok").unwrap(), "imok");
    drop(open);
    server.signal(Signal::TERM);
    assert_eq!(server.code(), 0);
}

/// One line, non-zero, and the thing is named.
#[track_caller]
fn refused(command: &mut Command, names: &str) {
    let (code, out, errors) = run(command);
    assert_ne!(code, 0);
    assert_eq!(out, "");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("zooky: ") && errors.contains(names), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_port_in_use() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    refused(&mut serve(server.process.addr().port(), dir.path()), &server.hosts());
}

#[test]
fn a_directory_that_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    refused(&mut serve(free_port(), dir.path()), dir.path().to_str().unwrap());
}

#[test]
fn a_directory_that_cannot_be() {
    let file = tempfile::NamedTempFile::new().unwrap();
    refused(&mut serve(free_port(), &file.path().join("data")), file.path().to_str().unwrap());
}

#[test]
fn a_directory_that_is_in_use() {
    let server = Server::start();
    refused(&mut serve(free_port(), server.data.path()), server.data.path().to_str().unwrap());
}

#[test]
fn a_corrupt_log() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let mut server = Running::start(&mut serve(port, dir.path()));
    server.error_line();
    let hosts = format!("127.0.0.1:{port}");
    for _ in 0..3 {
        assert_eq!(run(&mut common::named(&hosts, &["run", "x", "--", "true"])).0, 0);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.code(), 0);
    let version = dir.path().join("version-2");
    let logs = std::fs::read_dir(&version).unwrap().flatten().map(|entry| entry.path());
    let log =
        logs.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log.")).min().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    // Inside the first transaction, behind the file's header and the entry's checksum and length.
    bytes[40] ^= 0xff;
    std::fs::write(&log, bytes).unwrap();
    refused(&mut serve(free_port(), dir.path()), log.to_str().unwrap());
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let file = dir.path().join("zoo.cfg");
    let data = dir.path().join("data");
    let text = format!("dataDir={}\nclientPort={port}\ntickTime=1500\nclientPrt=1\n", data.display());
    std::fs::write(&file, text).unwrap();
    let mut command = zooky(&["server", "--max-session-timeout", "31s"]);
    command.env("ZOOKY_SERVER_CONFIG", &file).env("ZOOKY_FOUR_LETTER_WORDS", "*");
    command.env("ZOOKY_MAX_SESSION_TIMEOUT", "32000").env("ZOOKY_TICK_TIME", "");
    let mut server = Running::start(&mut command);
    assert!(server.error_line().contains("line 4: clientPrt is not known"));
    let line = server.error_line();
    assert_eq!(line, format!("zooky: serving at 127.0.0.1:{port}, data in {}", data.display()));
    let conf = four_letter(([127, 0, 0, 1], port).into(), "conf").unwrap();
    for line in ["tickTime=1500\n", "minSessionTimeout=3000\n", "maxSessionTimeout=31000\n"] {
        assert!(conf.contains(line), "{conf}");
    }
}

#[test]
fn an_address_that_others_reach_must_be_meant() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut command = zooky(&["server", "--listen", listen, "--data-dir"]);
        let (code, out, errors) = run(command.arg(&data));
        assert_eq!((code, out.as_str(), errors.lines().count()), (64, "", 1), "{errors}");
        assert!(errors.contains(listen) && errors.contains("--insecure"), "{errors}");
        assert!(!data.exists(), "nothing was touched");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = zooky(&["server", "--listen", "0.0.0.0:0", "--insecure", "--data-dir"]);
    let mut server = Running::start(command.arg(dir.path()));
    assert!(server.error_line().starts_with("zooky: serving at 0.0.0.0:"));
    assert!(server.error_line().contains("anybody who reaches"));
    server.signal(Signal::TERM);
    assert_eq!(server.code(), 0);
}
