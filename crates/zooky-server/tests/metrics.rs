//! The metrics as a Prometheus server scrapes them.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use support::{Raw, config};
use tempfile::TempDir;
use zooky_server::{Server, StartError};
use zooky_wire::CreateMode;

fn get(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    // In two pieces, as networks do it.
    let (first, second) = request.split_at(request.len() / 2);
    stream.write_all(first.as_bytes()).unwrap();
    stream.write_all(second.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a number in a scrape.
#[track_caller]
fn value(scrape: &str, name: &str) -> u64 {
    let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {scrape}")).parse().unwrap()
}

#[test]
fn a_scrape_shows_what_is_there() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::start(config).unwrap();
    let metrics = server.metrics_addr().unwrap();
    let mut client = Raw::connect(server.addr());
    let scrape = || get(metrics, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    let before = scrape();
    client.create("/a", CreateMode::EPHEMERAL, b"data").unwrap();
    assert!(client.exists("/none", true).is_none());
    let after = scrape();
    let (head, body) = after.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    for (name, more) in
        [("znode_count", 1), ("ephemerals_count", 1), ("watch_count", 1), ("zooky_server_last_zxid", 1)]
    {
        assert_eq!(value(&after, name), value(&before, name) + more, "{name}");
    }
    assert_eq!(value(&after, "num_alive_connections"), 2);
    assert_eq!(value(&after, "global_sessions"), 1);
    assert!(value(&after, "zooky_server_tree_bytes") > value(&before, "zooky_server_tree_bytes"));
    assert!(get(metrics, "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn it_is_off_by_default_and_of_no_use_to_the_impolite() {
    let dir = TempDir::new().unwrap();
    let server = support::start(dir.path());
    assert_eq!(server.metrics_addr(), None);
    drop(server);
    let mut config = config(dir.path());
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    config.limits.first_packet = Duration::from_millis(300);
    let server = Server::start(config.clone()).unwrap();
    let mut client = Raw::connect(server.addr());
    let endless = "GET /".to_owned() + &"x".repeat(20_000);
    for request in [&endless[..], "GET /metrics HTTP/1.1\r\n", "ruok"] {
        let mut stream = TcpStream::connect(server.metrics_addr().unwrap()).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        // Closed, perhaps hard, and without an answer.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    assert!(client.exists("/a", false).is_none());
    drop(server);
    config.metrics = Some("0.0.0.0:0".parse().unwrap());
    let refused = Server::start(config.clone()).unwrap_err();
    assert!(matches!(refused, StartError::ExposedMetrics { .. }), "{refused}");
    assert!(refused.to_string().contains("--metrics"), "{refused}");
    config.insecure = true;
    drop(Server::start(config).unwrap());
}
