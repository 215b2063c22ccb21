//! One bound after the other stands alone between a client and the server's memory; all others are so wide that they are in
//! nobody's way. Without it the server would take what these clients send, a dozen times as much as the bound.
//!
//! Bounds that are no matter of bytes (connections, sessions, the first packet) have their tests in `limits.rs`, and that on
//! requests that wait for the disk has its own in `fsync.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use zooky_server::Limits;
use zooky_testkit::Talk;
use zooky_wire::{CreateMode, ErrorCode, Request};

use super::support::{Raw, create, word};
use super::{MIB, peak, serve};

/// Each bound in bytes; and what a client goes for.
const BOUND: usize = 8 * MIB;
const ATTACK: usize = 96 * MIB;
/// What the server may grow by: the bound, a buffer that was moved to a larger place, and what the allocator keeps.
const ALLOWED: usize = 32 * MIB;
/// In nobody's way.
const WIDE: usize = 1 << 30;
/// As long as the server allows: a session that ends would take along what it made the server hold.
const TIMEOUT_MS: i32 = 40_000;
/// The length of a path that is watched, and of one that is listed.
const LONG: usize = 4_000;

/// The limits of a server where `bound` alone is narrow.
pub(super) fn only(bound: &str) -> Limits {
    let mut limits = Limits::default();
    (limits.unread_soft_bytes, limits.unread_hard_bytes, limits.buffer_bytes) = (WIDE, WIDE, WIDE);
    limits.first_packet = Duration::from_secs(600);
    limits.core.max_watches_per_session = WIDE;
    limits.core.max_watch_bytes = WIDE as u64;
    limits.core.max_watch_bytes_per_session = WIDE as u64;
    match bound {
        "frames" => limits.frame_bytes = BOUND,
        "buffers" => limits.buffer_bytes = BOUND,
        "answers" => limits.unread_soft_bytes = BOUND,
        "events" => limits.unread_hard_bytes = BOUND,
        "watches" => limits.core.max_watches_per_session = BOUND / LONG,
        "watch bytes" => limits.core.max_watch_bytes = BOUND as u64,
        "watch bytes of a session" => limits.core.max_watch_bytes_per_session = BOUND as u64,
        unknown => panic!("no bound {unknown}"),
    }
    limits
}

/// A server in a process of its own, and a good client that is to notice nothing.
struct Attacked {
    good: Raw,
    quiet: usize,
    addr: SocketAddr,
    tls_addr: SocketAddr,
    server: Talk,
    _dir: TempDir,
}

impl Attacked {
    fn with_only(bound: &str) -> Attacked {
        let dir = TempDir::new().unwrap();
        let (mut server, addr) = serve(dir.path(), Some(bound));
        let tls_addr = server.expect_line("with TLS", Duration::from_secs(20)).parse().unwrap();
        let mut good = Raw::connect_for(addr, TIMEOUT_MS);
        good.create("/good", CreateMode::PERSISTENT, b"").unwrap();
        Attacked { good, quiet: peak(server.pid()), addr, tls_addr, server, _dir: dir }
    }

    fn connect(&self) -> Raw {
        Raw::connect_for(self.addr, TIMEOUT_MS)
    }

    /// The good client is served as ever.
    #[track_caller]
    fn serves(&mut self) {
        let path = self.good.create("/good/e", CreateMode::EPHEMERAL, b"").unwrap();
        self.good.call(Request::Delete { path, version: -1 }).unwrap();
    }

    /// It is served, and the server has not grown by more than it may.
    #[track_caller]
    fn holds(&mut self) {
        self.serves();
        let grown = peak(self.server.pid()) - self.quiet;
        println!("grown by {} MiB; {} MiB are allowed", grown / MIB, ALLOWED / MIB);
        assert!(grown < ALLOWED, "grown by {} MiB, {} MiB are allowed", grown / MIB, ALLOWED / MIB);
    }

    fn number(&self, key: &str) -> usize {
        let mntr = word(self.addr, "mntr");
        let line = mntr.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
        line.unwrap_or_else(|| panic!("no {key} in {mntr}")).parse().unwrap()
    }

    /// Until the server has read all the requests that it is willing to read: the good client's come in between, so that the
    /// server has had its turns.
    fn until_it_reads_no_more(&mut self) {
        const OURS: usize = 20;
        let (mut before, mut idle) = (self.number("zk_packets_received"), 0);
        while idle < 10 {
            (0..OURS).for_each(|_| assert!(self.good.exists("/good", false).is_some()));
            let now = self.number("zk_packets_received");
            idle = if now - before > OURS { 0 } else { idle + 1 };
            before = now;
        }
    }
}

#[test]
fn a_frame_is_not_taken_in_beyond_its_bound() {
    let mut server = Attacked::with_only("frames");
    let mut bad = server.connect();
    let piece = vec![7; MIB];
    let length = i32::try_from(ATTACK + 1).unwrap();
    // It is closed on the way.
    let _ = bad.raw(&length.to_be_bytes());
    for _ in 0..ATTACK / MIB {
        if bad.raw(&piece).is_err() {
            break;
        }
    }
    server.holds();
    assert!(bad.frame().is_err());
}

#[test]
fn frames_that_never_end_take_no_more_than_all_buffers_may() {
    const EACH: usize = 900_000;
    let mut server = Attacked::with_only("buffers");
    let start = [&1_000_000_i32.to_be_bytes()[..], &vec![7; EACH]].concat();
    let mut open: Vec<Raw> = (0..ATTACK / EACH).map(|_| server.connect()).collect();
    for raw in &mut open {
        // One that is closed already takes no more.
        let _ = raw.raw(&start);
        server.serves();
    }
    until_few_are_left(&mut open, EACH);
    server.holds();
}

fn is_closed(raw: &Raw) -> bool {
    raw.stream.set_nonblocking(true).unwrap();
    !matches!(raw.stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Until no more are open than the bound has room for, with `each` bytes.
fn until_few_are_left(open: &mut Vec<Raw>, each: usize) {
    zooky_testkit::eventually(Duration::from_secs(20), "most of them to be closed", || {
        open.retain(|raw| !is_closed(raw));
        (open.len() * each <= BOUND).then_some(())
    });
}

/// What TLS keeps of a message that is not whole counts as well.
#[test]
fn handshakes_that_never_end_take_no_more_than_all_buffers_may() {
    const EACH: usize = 60_000;
    let mut server = Attacked::with_only("buffers");
    // A client's hello of nearly 64 KiB, the most that is put together, in records that are whole.
    let hello = [&[1, 0, 0xff, 0xf0][..], &[7; EACH]].concat();
    let mut start = Vec::new();
    for piece in hello.chunks(16 << 10) {
        start.extend([22, 3, 1]);
        start.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
        start.extend(piece);
    }
    let mut open = Vec::new();
    for number in 0..ATTACK / EACH {
        let mut raw = Raw::open(server.tls_addr);
        // One that is closed already takes no more.
        let _ = raw.raw(&start);
        open.push(raw);
        if number % 16 == 0 {
            server.serves();
            open.retain(|raw| !is_closed(raw));
        }
    }
    until_few_are_left(&mut open, EACH);
    server.holds();
}

#[test]
fn answers_that_nobody_reads_are_not_made() {
    const CHILDREN: usize = 500;
    let mut server = Attacked::with_only("answers");
    let child = |i: usize| format!("/list/{i:0200}");
    let top = std::iter::once(create("/list", CreateMode::PERSISTENT, b""));
    let all: Vec<Request> =
        top.chain((0..CHILDREN).map(|i| create(&child(i), CreateMode::PERSISTENT, b""))).collect();
    server.good.send(&all).unwrap();
    all.iter().for_each(|_| assert_eq!(server.good.reply().unwrap().0.err, ErrorCode::OK));
    let mut late = server.connect();
    // Lists, because each answer has its own; data would be the tree's.
    let asked = ATTACK / (CHILDREN * 204);
    late.send(&vec![Request::GetChildren { path: "/list".into(), watch: false }; asked]).unwrap();
    server.until_it_reads_no_more();
    server.holds();
    // Who only reads late gets them all.
    (0..asked).for_each(|_| assert_eq!(late.reply().unwrap().0.err, ErrorCode::OK));
}

#[test]
fn events_that_nobody_reads_are_not_kept() {
    let mut server = Attacked::with_only("events");
    let mut deaf = server.connect();
    let path = format!("/{}", "x".repeat(LONG));
    deaf.call(Request::AddWatch { path: path.clone(), mode: 0 }).unwrap();
    server.good.create(&path, CreateMode::PERSISTENT, b"").unwrap();
    let sets = vec![Request::SetData { path, data: None, version: -1 }; 100];
    // The good one's connection, and that of who asks.
    let mut closed = false;
    for _ in 0..ATTACK / (LONG * sets.len()) {
        server.good.send(&sets).unwrap();
        sets.iter().for_each(|_| assert_eq!(server.good.reply().unwrap().0.err, ErrorCode::OK));
        closed = server.number("zk_num_alive_connections") == 2;
        if closed {
            break;
        }
    }
    server.holds();
    assert!(closed, "nobody reads them, and the connection is open");
}

/// Sets watches on long paths. How many the server took; none any more once the connection is closed.
fn bomb(client: &mut Raw, numbers: std::ops::Range<usize>) -> usize {
    let path = |n: usize| format!("/{n:06}{}", "w".repeat(LONG - 7));
    let all: Vec<Request> = numbers.map(|n| Request::Exists { path: path(n), watch: true }).collect();
    if client.send(&all).is_err() {
        return 0;
    }
    let taken = |_: &Request| match client.reply() {
        Ok((header, _)) if header.err == ErrorCode::INVALID_CALLBACK => 0,
        Ok((header, _)) => {
            assert_eq!(header.err, ErrorCode::NO_NODE);
            1
        }
        Err(_) => 0,
    };
    all.iter().map(taken).sum()
}

/// So many watches go into one packet's worth of requests.
const BOMB: usize = MIB / LONG;

/// One client sets watch after watch.
fn watches_of_one_client(bound: &str) {
    let mut server = Attacked::with_only(bound);
    let mut bad = server.connect();
    let mut taken = 0;
    for first in (0..ATTACK / LONG).step_by(BOMB) {
        taken += bomb(&mut bad, first..first + BOMB);
        server.serves();
    }
    server.holds();
    assert!(taken > 0 && taken * LONG <= BOUND, "{taken} watches");
}

#[test]
fn a_client_has_no_more_watches_than_it_may() {
    watches_of_one_client("watches");
}

#[test]
fn a_client_has_no_longer_watches_than_it_may() {
    watches_of_one_client("watch bytes of a session");
}

#[test]
fn all_watches_together_take_no_more_than_they_may() {
    let mut server = Attacked::with_only("watch bytes");
    let mut all = Vec::new();
    for first in (0..ATTACK / LONG).step_by(BOMB) {
        let mut bad = server.connect();
        bomb(&mut bad, first..first + BOMB);
        all.push(bad);
        server.serves();
    }
    server.holds();
    assert!(server.number("zk_watch_count") * LONG <= BOUND);
}
