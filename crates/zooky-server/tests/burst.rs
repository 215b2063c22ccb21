//! Many clients at once, as when a server comes back: all of them get their sessions.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support {
    pub(crate) mod child;
    #[path = "client.rs"]
    mod client;
    pub(crate) use client::*;
}

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use support::child::{ServerChild, serve_if_child};
use support::{Raw, new_session};
use tempfile::TempDir;
use zooky_wire::{CreateMode, Request, Writer};

const BURST: usize = 200;

#[test]
fn serve_as_child() {
    serve_if_child();
}

/// Connects them one after the other and has each say hello, without waiting for any answer.
fn burst(addr: SocketAddr) -> Vec<Raw> {
    let mut w = Writer::new();
    let mark = w.begin_frame();
    new_session(30_000).encode(&mut w);
    w.end_frame(mark);
    let comes = |number: usize| {
        // So that a connection that waits for its place is told by its number.
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10));
        let mut raw = Raw::over(stream.unwrap_or_else(|error| panic!("connection {number}: {error}")));
        raw.raw(w.as_slice()).unwrap();
        raw
    };
    (0..BURST).map(comes).collect()
}

fn all_have_sessions(mut all: Vec<Raw>) {
    let mut sessions = BTreeSet::new();
    for raw in &mut all {
        raw.welcomed().unwrap();
        sessions.insert(raw.session.session_id);
    }
    assert_eq!((sessions.len(), sessions.contains(&0)), (BURST, false));
    for raw in &mut all {
        assert!(raw.exists("/", false).is_some());
    }
}

#[test]
fn two_hundred_connects_in_one_go_get_their_sessions() {
    let dir = TempDir::new().unwrap();
    let server = support::start(dir.path());
    let mut good = Raw::connect(server.addr());
    let all = burst(server.addr());
    // Who is there already is served beside them.
    let path = good.create("/good", CreateMode::EPHEMERAL, b"").unwrap();
    all_have_sessions(all);
    good.call(Request::Delete { path, version: -1 }).unwrap();
}

/// Nobody accepts them meanwhile: they have to find a place in the kernel's queue, or come again after seconds.
#[test]
fn they_do_so_while_the_server_stands_still() {
    let dir = TempDir::new().unwrap();
    let server = ServerChild::start(dir.path());
    server.stop();
    let all = burst(server.addr);
    server.go_on();
    all_have_sessions(all);
}
