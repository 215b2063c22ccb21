//! TLS is no way around the limits: they hold behind it as without, and a good client beside it notices nothing.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::Read;
use std::time::Duration;

use support::{Raw, config, word};
use tempfile::TempDir;
use tls::Sealed;
use zooky_server::{Limits, Server};
use zooky_wire::{CreateMode, ErrorCode, Request};

/// A server with TLS besides, and a client of the other port.
fn serve(change: impl FnOnce(&mut Limits)) -> (Server, Raw, TempDir) {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.tls = Some(tls::settings());
    change(&mut config.limits);
    let server = Server::start(config).unwrap();
    let good = Raw::connect(server.addr());
    (server, good, dir)
}

#[track_caller]
fn goes_on(good: &mut Raw) {
    let path = good.create("/good", CreateMode::EPHEMERAL, b"x").unwrap();
    good.call(Request::Delete { path, version: -1 }).unwrap();
}

#[test]
fn the_time_to_the_first_packet_includes_the_handshake() {
    let (server, mut good, _dir) = serve(|limits| limits.first_packet = Duration::from_secs(2));
    let addr = server.tls_addr().unwrap();
    // Nothing at all; a hello that does not end; and one with nothing behind its handshake.
    let (mut mute, mut slow, mut shaken) = (Raw::open(addr), Raw::open(addr), Sealed::open(addr));
    slow.raw(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
    for raw in [&mut mute, &mut slow] {
        // An alert, perhaps, that this is the end.
        let ended = raw.stream.read_to_end(&mut Vec::new());
        assert!(!matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "not closed");
    }
    assert_eq!(shaken.frame(), None);
    goes_on(&mut good);
}

#[test]
fn answers_that_nobody_reads_wait_and_others_do_not() {
    const LARGE: usize = 100_000;
    const ASKED: usize = 400;
    let (server, mut good, _dir) = serve(|limits| {
        (limits.unread_soft_bytes, limits.unread_hard_bytes) = (200_000, 1_000_000);
    });
    good.create("/large", CreateMode::PERSISTENT, &[7; LARGE]).unwrap();
    let mut late = Sealed::connect_for(server.tls_addr().unwrap(), 40_000);
    late.send(&vec![Request::GetData { path: "/large".into(), watch: false }; ASKED]);
    (0..20).for_each(|_| goes_on(&mut good));
    let mntr = word(server.addr(), "mntr");
    let received = mntr.lines().find_map(|line| line.strip_prefix("zk_packets_received\t")).unwrap();
    assert!(received.parse::<usize>().unwrap() < ASKED, "it is not read on: {mntr}");
    for number in 0..ASKED {
        let (header, len) = late.reply().expect("who only reads late is not closed");
        assert_eq!((header.err, len > LARGE), (ErrorCode::OK, true), "{number}");
    }
}

#[test]
fn events_that_nobody_reads_end_the_connection() {
    let (server, mut good, _dir) = serve(|limits| {
        (limits.unread_soft_bytes, limits.unread_hard_bytes) = (100_000, 1_000_000);
    });
    let mut deaf = Sealed::connect_for(server.tls_addr().unwrap(), 40_000);
    let path = format!("/{}", "x".repeat(4_000));
    deaf.send(&[Request::AddWatch { path: path.clone(), mode: 0 }]);
    assert_eq!(deaf.reply().unwrap().0.err, ErrorCode::OK);
    good.create(&path, CreateMode::PERSISTENT, b"").unwrap();
    let sets = vec![Request::SetData { path, data: None, version: -1 }; 100];
    zooky_testkit::eventually(
        Duration::from_secs(60),
        "the connection to be closed, not the session",
        || {
            good.send(&sets).unwrap();
            sets.iter().for_each(|_| assert_eq!(good.reply().unwrap().0.err, ErrorCode::OK));
            let mntr = word(server.addr(), "mntr");
            // The good one and the one that asks.
            let closed = mntr.contains("zk_num_alive_connections\t2\n");
            (closed && mntr.contains("zk_global_sessions\t2\n")).then_some(())
        },
    );
    goes_on(&mut good);
}
