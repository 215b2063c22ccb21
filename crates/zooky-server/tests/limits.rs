//! Every limit: who goes over it gets the original's answer, and a good client beside it notices nothing.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::time::Duration;

use support::{Raw, config, create, new_session};
use tempfile::TempDir;
use zooky_server::{Config, Limits, Server};
use zooky_wire::{CreateMode, ErrorCode, MultiResult, Request, Response, Writer};

/// A server with other limits than usual, and a client that is to notice nothing.
struct Bench {
    server: Server,
    good: Raw,
    writes: usize,
    _dir: TempDir,
}

impl Bench {
    fn with(change: impl FnOnce(&mut Limits)) -> Bench {
        let dir = TempDir::new().unwrap();
        let mut config: Config = config(dir.path());
        change(&mut config.limits);
        let server = Server::start(config).unwrap();
        let good = Raw::connect(server.addr());
        Bench { server, good, writes: 0, _dir: dir }
    }

    fn open(&self) -> Raw {
        Raw::open(self.server.addr())
    }

    fn connect(&self) -> Raw {
        Raw::connect(self.server.addr())
    }

    /// The good client writes and reads as ever, on its first connection.
    #[track_caller]
    fn goes_on(&mut self) {
        let path = format!("/good{}", self.writes);
        self.writes += 1;
        assert_eq!(self.good.create(&path, CreateMode::EPHEMERAL, b"x").as_ref(), Ok(&path));
        assert!(self.good.exists(&path, false).is_some());
    }

    /// A further client cannot have a session.
    #[track_caller]
    fn refuses_a_session(&mut self) {
        assert!(self.open().shake(&new_session(10_000)).is_err());
        self.goes_on();
    }
}

#[test]
fn frames() {
    let mut b = Bench::with(|limits| limits.frame_bytes = 1_000);
    let mut bad = b.connect();
    assert!(bad.create("/small", CreateMode::PERSISTENT, &[1; 900]).is_ok());
    bad.send(&[create("/large", CreateMode::PERSISTENT, &[1; 1_000])]).unwrap();
    assert!(bad.frame().is_err());
    b.goes_on();
    assert!(b.good.exists("/large", false).is_none());
}

#[test]
fn connections_in_all() {
    let mut b = Bench::with(|limits| limits.connections = 3);
    let others = [b.connect(), b.connect()];
    b.refuses_a_session();
    drop(others);
    // Their places become free.
    zooky_testkit::eventually(Duration::from_secs(10), "a place to become free", || {
        b.open().shake(&new_session(10_000)).ok()
    });
    b.goes_on();
}

#[test]
fn connections_from_one_address() {
    let mut b = Bench::with(|limits| limits.connections_per_loopback = 2);
    let _other = b.connect();
    b.refuses_a_session();
}

#[test]
fn the_time_to_the_first_packet() {
    let mut b = Bench::with(|limits| limits.first_packet = Duration::from_millis(200));
    // Nothing at all, and a packet that never ends.
    let (mut mute, mut slow) = (b.open(), b.open());
    slow.raw(&[0, 0, 0, 44, 0, 0]).unwrap();
    assert!(mute.frame().is_err() && slow.frame().is_err());
    b.goes_on();
}

/// Of two floods that cost a client next to nothing, the one that leaves at once would make the server keep a session each
/// time.
#[test]
fn who_has_left_already_gets_no_session() {
    let mut b = Bench::with(|_| {});
    let before = b.good.exists("/", false).unwrap();
    let sessions = |b: &Bench| {
        let mntr = support::word(b.server.addr(), "mntr");
        let line = mntr.lines().find_map(|line| line.strip_prefix("zk_global_sessions\t"));
        line.unwrap().parse::<usize>().unwrap()
    };
    let mut w = Writer::new();
    let mark = w.begin_frame();
    new_session(10_000).encode(&mut w);
    w.end_frame(mark);
    let hello = w.as_slice().to_vec();
    let mark = w.begin_frame();
    Request::Ping.encode(zooky_wire::xid::PING, &mut w);
    w.end_frame(mark);
    // Corked, so that the end comes in one packet with the last bytes.
    let sends_and_ends = |b: &Bench, bytes: &[u8]| {
        let mut client = b.open();
        rustix::net::sockopt::set_tcp_cork(&client.stream, true).unwrap();
        client.raw(bytes).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        client
    };
    for _ in 0..50 {
        assert!(sends_and_ends(&b, &hello).frame().is_err(), "it is not answered");
    }
    assert_eq!(sessions(&b), 1);
    // Who asks for more has not left: its last words are served.
    let mut client = sends_and_ends(&b, w.as_slice());
    client.welcomed().unwrap();
    assert_eq!(client.reply().unwrap().0.xid, zooky_wire::xid::PING);
    assert_eq!(sessions(&b), 2);
    assert_eq!(b.good.exists("/", false).unwrap(), before);
    b.goes_on();
}

#[test]
fn requests_under_way() {
    let mut b = Bench::with(|limits| limits.outstanding = 2);
    let mut eager = b.connect();
    let number = |i: usize| format!("/eager{i:03}");
    let creates: Vec<Request> = (0..300).map(|i| create(&number(i), CreateMode::EPHEMERAL, b"")).collect();
    eager.send(&creates).unwrap();
    b.goes_on();
    // All are served, in order, if in small portions.
    for i in 0..300 {
        let (header, body) = eager.reply().unwrap();
        let answer = support::answer(zooky_wire::OpCode::CREATE, header, &body);
        assert_eq!(answer, Ok(Response::Path(number(i))));
    }
}

#[test]
fn sessions() {
    let mut b = Bench::with(|limits| limits.core.max_sessions = 2);
    let mut other = b.connect();
    b.refuses_a_session();
    // It may change its connection, and when it ends another one may begin.
    let mut again = Raw::reattach(b.server.addr(), &other).unwrap();
    assert_eq!(again.session, other.session);
    assert!(other.frame().is_err());
    b.refuses_a_session();
    again.call(Request::CloseSession).unwrap();
    b.connect();
    b.goes_on();
}

#[test]
fn watches_of_one_session() {
    let mut b = Bench::with(|limits| limits.core.max_watches_per_session = 10);
    let mut bomber = b.connect();
    let exists = |i: usize| Request::Exists { path: format!("/none{i}"), watch: true };
    let answers: Vec<_> = (0..11).map(|i| bomber.call(exists(i)).unwrap_err()).collect();
    assert_eq!(answers[..10], [ErrorCode::NO_NODE; 10]);
    assert_eq!(answers[10], ErrorCode::INVALID_CALLBACK);
    b.goes_on();
    assert!(b.good.exists("/none0", true).is_none(), "each session has its own");
    assert!(bomber.exists("/none0", false).is_none(), "the connection lives on");
}

#[test]
fn answers_that_nobody_reads() {
    let mut b = Bench::with(|limits| {
        (limits.unread_soft_bytes, limits.unread_hard_bytes) = (200_000, 1_000_000);
    });
    let mut late = b.connect();
    late.create("/large", CreateMode::PERSISTENT, &[7; 100_000]).unwrap();
    // Ten times as much as sockets keep; it can wait where it is, in the tree.
    let one = Request::GetData { path: "/large".into(), watch: false };
    late.send(&vec![one; 1_000]).unwrap();
    (0..20).for_each(|_| b.goes_on());
    for _ in 0..1_000 {
        let (header, body) = late.reply().expect("who only reads late is not closed");
        assert_eq!((header.err, body.len() > 100_000), (ErrorCode::OK, true));
    }
}

#[test]
fn bytes_that_nobody_reads() {
    let mut b = Bench::with(|limits| {
        (limits.unread_soft_bytes, limits.unread_hard_bytes) = (100_000, 1_000_000);
    });
    // Longer than all of this: a connection that ends with its session proves nothing.
    let mut deaf = Raw::connect_for(b.server.addr(), 40_000);
    // Events come unasked, so holding back its requests is not enough.
    let path = format!("/{}", "x".repeat(4_000));
    deaf.call(Request::AddWatch { path: path.clone(), mode: 0 }).unwrap();
    b.good.create(&path, CreateMode::PERSISTENT, b"").unwrap();
    let sets = vec![Request::SetData { path, data: None, version: -1 }; 100];
    zooky_testkit::eventually(
        Duration::from_secs(60),
        "the connection to be closed, not the session",
        || {
            b.good.send(&sets).unwrap();
            for _ in &sets {
                assert_eq!(b.good.reply().unwrap().0.err, ErrorCode::OK);
            }
            let mntr = support::word(b.server.addr(), "mntr");
            // The good one and the one that asks.
            let closed = mntr.contains("zk_num_alive_connections\t2\n");
            (closed && mntr.contains("zk_global_sessions\t2\n")).then_some(())
        },
    );
    b.goes_on();
}

#[test]
fn paths_that_are_watched() {
    let mut b = Bench::with(|_| {});
    let mut other = b.connect();
    // A node need not exist to be watched, so its path is nowhere else counted.
    let path = |n: usize| format!("/{}", "x".repeat(n - 1));
    assert_eq!(other.call(Request::Exists { path: path(4_096), watch: true }), Err(ErrorCode::NO_NODE));
    for request in
        [Request::Exists { path: path(4_097), watch: true }, Request::AddWatch { path: path(4_097), mode: 1 }]
    {
        assert_eq!(other.call(request), Err(ErrorCode::INVALID_CALLBACK));
    }
    b.goes_on();
}

#[test]
fn reads_in_one_request() {
    let mut b = Bench::with(|_| {});
    let mut other = b.connect();
    other.create("/large", CreateMode::PERSISTENT, &[7; 1_000_000]).unwrap();
    let one = Request::GetData { path: "/large".into(), watch: false };
    let Ok(Response::Multi(results)) = other.call(Request::MultiRead(vec![one; 100])) else { panic!() };
    let read = results.iter().filter(|result| matches!(result, MultiResult::GetData(..))).count();
    assert_eq!((results.len(), read), (100, 1), "a part that would go beyond 1 MiB is refused");
    b.goes_on();
}

#[test]
fn bytes_of_the_tree() {
    let mut b = Bench::with(|limits| limits.core.max_tree_bytes = 20_000);
    let mut filler = b.connect();
    let answers: Vec<_> =
        (0..30).map(|i| filler.create(&format!("/fill{i}"), CreateMode::PERSISTENT, &[1; 1_000])).collect();
    assert!(answers[0].is_ok());
    assert_eq!(answers[29], Err(ErrorCode::QUOTA_EXCEEDED));
    // It still reads and deletes, and others go on with what they have.
    assert!(b.good.exists("/fill0", false).is_some());
    filler.call(Request::Delete { path: "/fill0".into(), version: -1 }).unwrap();
    b.goes_on();
}

#[test]
fn bytes_of_one_sessions_watches() {
    let mut b = Bench::with(|limits| limits.core.max_watch_bytes_per_session = 10_000);
    let mut bomber = b.connect();
    let exists = |i: usize| Request::Exists { path: format!("/{}{i}", "x".repeat(2_000)), watch: true };
    let answers: Vec<_> = (0..5).map(|i| bomber.call(exists(i)).unwrap_err()).collect();
    assert_eq!(answers[..4], [ErrorCode::NO_NODE; 4]);
    assert_eq!(answers[4], ErrorCode::INVALID_CALLBACK);
    b.goes_on();
    assert!(b.good.exists(&format!("/{}0", "x".repeat(2_000)), true).is_none(), "each session has its own");
}

#[test]
fn bytes_in_all_buffers() {
    let mut b = Bench::with(|limits| limits.buffer_bytes = 1_500_000);
    // Requests that never become whole: each is within the bounds of a connection, all together are not.
    let mut half: Vec<Raw> = (0..4).map(|_| b.connect()).collect();
    for (i, raw) in half.iter_mut().enumerate() {
        let bytes = [&1_000_000_i32.to_be_bytes()[..], &vec![7; 300_000 + 10_000 * i]].concat();
        // One that is closed already takes no more.
        let _ = raw.raw(&bytes);
    }
    let mut more = b.connect();
    let _ = more.raw(&[&1_000_000_i32.to_be_bytes()[..], &[7; 900_000]].concat());
    let closed = half.iter_mut().chain([&mut more]).filter_map(|raw| {
        raw.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        // The others have nothing to be told.
        matches!(std::io::Read::read(&mut raw.stream, &mut [0; 1]), Ok(0)).then_some(())
    });
    assert!(closed.count() >= 1, "somebody had to go");
    b.goes_on();
}
