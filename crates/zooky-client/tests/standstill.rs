//! A program that stands still (SIGSTOP, a suspend) past its session's timeout must know at its first look.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use zooky_client::{Acl, BootInstant, CreateMode, Error, Session, SessionConfig, State};
use zooky_testkit::{Apache, eventually};

const SERVER: &str = "ZOOKY_TEST_STANDSTILL_SERVER";

#[test]
fn apache_client_stopped_past_its_timeout_knows_at_its_first_look() {
    let apache = Apache::builder().tick_ms(500).start();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--ignored"])
        .env(SERVER, apache.hosts())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("ready")));
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    let start = BootInstant::now();
    eventually(Duration::from_secs(10), "the timeout", || {
        (BootInstant::now().saturating_since(start) > Duration::from_millis(2_500)).then_some(())
    });
    writeln!(stdin, "look").unwrap();
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let said: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{said:?}");
    assert!(said.iter().any(|line| line == "all is lost"), "{said:?}");
}

/// Its only thread waits for a line, so that nothing but its own look can tell it.
#[tokio::test]
#[ignore = "started by the test above"]
async fn the_child() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let config = SessionConfig::new(server.parse().unwrap()).timeout(Duration::from_secs(2));
    let session = Session::connect(config).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    assert_eq!(session.state(), State::Lost);
    let resumed = BootInstant::now();
    session.lost().await;
    assert!(BootInstant::now().saturating_since(resumed) < Duration::from_millis(100));
    assert_eq!(session.get("/eph").await.unwrap_err(), Error::SessionLost);
    println!("all is lost");
}
