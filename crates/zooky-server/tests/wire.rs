//! The server as clients see it, over real sockets.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{Raw, config, create, new_session, start, word};
use tempfile::TempDir;
use zooky_server::{FourLetterWords, Server, StartError};
use zooky_wire::{
    ConnectRequest, CreateMode, ErrorCode, EventType, OpCode, Request, Response, WatcherEvent, Writer, xid,
};

fn scratch() -> TempDir {
    TempDir::new().unwrap()
}

#[test]
fn a_session_is_opened_and_served_in_one_flight() {
    let dir = scratch();
    let server = start(dir.path());
    let mut client = Raw::open(server.addr());
    let mut w = Writer::new();
    let mark = w.begin_frame();
    new_session(6_000).encode(&mut w);
    w.end_frame(mark);
    let requests = [
        create("/lock", CreateMode::EPHEMERAL, b"me"),
        Request::GetChildren { path: "/".into(), watch: false },
    ];
    for (number, request) in (1..).zip(&requests) {
        let mark = w.begin_frame();
        request.encode(number, &mut w);
        w.end_frame(mark);
    }
    client.raw(w.as_slice()).unwrap();
    let answer = client.frame().unwrap();
    let answer = zooky_wire::ConnectResponse::decode(&mut zooky_wire::Reader::new(&answer)).unwrap();
    assert_eq!((answer.timeout_ms, answer.password.len()), (6_000, 16));
    let (header, body) = client.reply().unwrap();
    assert_eq!(support::answer(OpCode::CREATE, header, &body), Ok(Response::Path("/lock".into())));
    let (header, body) = client.reply().unwrap();
    let names = vec!["lock".to_owned(), "zookeeper".to_owned()];
    match support::answer(OpCode::GET_CHILDREN, header, &body) {
        Ok(Response::Names(mut found)) => {
            found.sort();
            assert_eq!(found, names);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_watch_is_told_before_any_reply_that_shows_the_change() {
    let dir = scratch();
    let server = start(dir.path());
    let (mut watcher, mut writer) = (Raw::connect(server.addr()), Raw::connect(server.addr()));
    assert!(watcher.exists("/w", true).is_none());
    writer.create("/w", CreateMode::PERSISTENT, b"").unwrap();
    assert!(watcher.exists("/w", true).is_some());
    let event = |kind, path: &str| WatcherEvent {
        kind,
        state: zooky_wire::KeeperState::SYNC_CONNECTED,
        path: path.into(),
    };
    assert_eq!(watcher.events, [event(EventType::CREATED, "/w")]);
    watcher.events.clear();
    writer.call(Request::Delete { path: "/w".into(), version: -1 }).unwrap();
    assert_eq!(watcher.event(), event(EventType::DELETED, "/w"));
}

#[test]
fn an_ephemeral_goes_with_its_session_and_not_before() {
    let dir = scratch();
    let mut config = config(dir.path());
    config.tick = Duration::from_millis(100);
    let server = Server::start(config).unwrap();
    let mut silent = Raw::open(server.addr());
    silent.shake(&new_session(300)).unwrap();
    let mut watcher = Raw::open(server.addr());
    watcher.shake(&new_session(2_000)).unwrap();
    let before = Instant::now();
    silent.create("/e", CreateMode::EPHEMERAL, b"").unwrap();
    assert!(watcher.exists("/e", true).is_some());
    assert_eq!(watcher.event().kind, EventType::DELETED);
    assert!(before.elapsed() >= Duration::from_millis(300), "after {:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_millis(900), "after {:?}", before.elapsed());
    assert!(silent.frame().is_err(), "its connection is closed");
    let gone = Raw::reattach(server.addr(), &silent).unwrap();
    assert_eq!((gone.session.session_id, gone.session.timeout_ms), (0, 0));
}

#[test]
fn a_session_moves_to_another_connection() {
    let dir = scratch();
    let server = start(dir.path());
    let mut first = Raw::connect(server.addr());
    first.create("/mine", CreateMode::EPHEMERAL, b"").unwrap();
    let mut second = Raw::reattach(server.addr(), &first).unwrap();
    assert_eq!(second.session, first.session);
    let stat = second.exists("/mine", false).unwrap();
    assert_eq!(stat.ephemeral_owner, first.session.session_id);
    assert!(first.frame().is_err(), "the old connection is closed");

    let mut forged = Raw::open(server.addr());
    let session_id = first.session.session_id;
    forged.shake(&ConnectRequest { session_id, ..new_session(10_000) }).unwrap();
    assert_eq!(forged.session.session_id, 0, "a wrong password looks like an expired session");
    let mut ahead = Raw::open(server.addr());
    let result = ahead.shake(&ConnectRequest { last_zxid_seen: 1 << 40, ..new_session(10_000) });
    assert!(result.is_err(), "a client that is ahead is closed without an answer");
}

#[test]
fn unknown_requests_and_closing() {
    let dir = scratch();
    let server = start(dir.path());
    let mut client = Raw::connect(server.addr());
    let mut w = Writer::new();
    let mark = w.begin_frame();
    w.i32(77);
    w.i32(12_345);
    w.end_frame(mark);
    client.raw(w.as_slice()).unwrap();
    let (header, body) = client.reply().unwrap();
    assert_eq!((header.xid, header.err, body.len()), (77, ErrorCode::UNIMPLEMENTED, 0));
    assert!(client.frame().is_err(), "the original closes such a connection");
    let mut client = Raw::connect(server.addr());
    client.send(&[Request::Ping]).unwrap();
    assert_eq!(client.reply().unwrap().0.xid, xid::PING);
    client.call(Request::CloseSession).unwrap();
    assert!(client.frame().is_err());
}

#[test]
fn four_letter_words_are_answered_as_the_original_does() {
    let dir = scratch();
    let mut settings = config(dir.path());
    let server = Server::start(settings.clone()).unwrap();
    let _client = Raw::connect(server.addr());
    assert_eq!(word(server.addr(), "ruok"), "imok");
    assert_eq!(word(server.addr(), "ruok\n"), "imok");
    let srvr = word(server.addr(), "srvr");
    assert!(srvr.starts_with("Zookeeper version: 3.9.0-zooky-"), "{srvr}");
    assert!(srvr.contains("Mode: standalone\n") && srvr.contains("Zxid: 0x1\n"), "{srvr}");
    assert!(word(server.addr(), "mntr").contains("zk_global_sessions\t1\n"));
    for refused in ["envi", "isro", "stat", "dump", "conf", "cons", "wchs", "wchc", "wchp", "crst", "srst"] {
        let answer = format!("{refused} is not executed because it is not in the whitelist.\n");
        assert_eq!(word(server.addr(), refused), answer);
    }
    drop(server);
    settings.four_letter_words = FourLetterWords::All;
    let server = Server::start(settings).unwrap();
    assert!(word(server.addr(), "envi").contains("zookeeper.version=3.9.0-zooky-"));
    assert_eq!(word(server.addr(), "isro"), "rw");
    assert!(word(server.addr(), "conf").contains("tickTime=2000\n"));
}

#[test]
fn packets_that_cannot_be_are_refused_and_others_do_not_notice() {
    let dir = scratch();
    let server = start(dir.path());
    let mut good = Raw::connect(server.addr());
    for bytes in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff; 8], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 2, 1, 1]] {
        let mut bad = Raw::open(server.addr());
        bad.raw(bytes).unwrap();
        assert!(bad.frame().is_err(), "{bytes:?}");
    }
    let mut bad = Raw::connect(server.addr());
    bad.raw(&[0, 0x10, 0, 0, 1]).unwrap();
    assert!(bad.frame().is_err(), "a frame of 1 MiB");
    let mut largest = Raw::connect(server.addr());
    largest.create("/large", CreateMode::PERSISTENT, &vec![1; 1_000_000]).unwrap();
    assert_eq!(good.exists("/large", false).unwrap().data_length, 1_000_000);
}

#[test]
fn limits_on_connections() {
    let dir = scratch();
    let mut config = config(dir.path());
    config.limits.connections_per_loopback = 2;
    config.limits.first_packet = Duration::from_millis(100);
    let server = Server::start(config).unwrap();
    let first = Raw::connect(server.addr());
    let mut mute = Raw::open(server.addr());
    // Until that one is closed for its silence there is no room.
    assert!(mute.frame().is_err());
    let second = Raw::connect(server.addr());
    let mut third = Raw::open(server.addr());
    assert!(third.shake(&new_session(10_000)).is_err());
    drop((first, second));
}

#[test]
fn a_reader_that_does_not_read_is_held_back_and_costs_nobody_else() {
    let dir = scratch();
    let mut config = config(dir.path());
    config.limits.unread_soft_bytes = 100_000;
    let server = Server::start(config).unwrap();
    let mut good = Raw::connect(server.addr());
    good.create("/big", CreateMode::PERSISTENT, &vec![7; 500_000]).unwrap();
    let mut lazy = Raw::connect(server.addr());
    let get = || Request::GetData { path: "/big".into(), watch: false };
    for _ in 0..200 {
        lazy.send(&[get()]).unwrap();
    }
    assert!(good.exists("/big", false).is_some());
    for _ in 0..200 {
        let (header, body) = lazy.reply().unwrap();
        assert_eq!((header.err, body.len()), (ErrorCode::OK, 4 + 500_000 + 68));
    }
}

#[test]
fn what_cannot_be_started_says_so() {
    let dir = scratch();
    let server = start(dir.path());
    assert!(matches!(Server::start(config(dir.path())), Err(StartError::Locked { .. })));

    let other = scratch();
    let mut taken = config(other.path());
    taken.listen = server.addr();
    let error = Server::start(taken).unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");

    std::fs::write(other.path().join("thesis.tex"), "mine").unwrap();
    let error = Server::start(config(other.path())).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");

    let error = Server::start(config("/proc/nothing".as_ref())).unwrap_err();
    assert!(matches!(error, StartError::DataDir { .. }), "{error}");
    server.stop().unwrap();
    start(dir.path()).stop().unwrap();
}
