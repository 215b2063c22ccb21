//! First packets: sessions made, found again, refused.

use std::net::SocketAddr;

use zooky_testkit::Apache;
use zooky_wire::{ConnectRequest, ErrorCode, Request, Writer};

use super::requests::Dice;
use super::support::{Lost, Raw, new_session};
use super::{compare_with, ours};

const STEPS: usize = 8;

/// What comes of a first packet, as far as it can be the same on two servers.
#[derive(Debug, PartialEq, Eq)]
struct Welcome {
    timeout_ms: i32,
    /// Which of the sessions so far; the next one if it is new.
    session: Option<usize>,
    password_len: usize,
    protocol_version: i32,
    read_only: Option<bool>,
    /// What the connection answers to a ping then.
    ping: Result<ErrorCode, Lost>,
    /// Whether the connection that had this session is still served.
    old: Option<bool>,
}

struct Side {
    addr: SocketAddr,
    clients: Vec<Raw>,
}

/// A first packet without what differs between servers.
#[derive(Debug, Clone)]
struct Ask {
    request: ConnectRequest,
    /// The session to show, one that was made before.
    session: Option<usize>,
    password: Password,
    /// Whether the zxid is the newest one that was seen, plus this.
    zxid: i64,
    /// What follows in the packet.
    tail: usize,
}

#[derive(Debug, Clone, Copy)]
enum Password {
    Own,
    Wrong,
    Long(usize),
}

#[test]
fn first_packets_get_the_answers_of_apache() {
    compare(0..60);
}

#[test]
#[ignore = "ten minutes"]
fn soak_first_packets_get_the_answers_of_apache() {
    compare(1_000..6_000);
}

fn compare(seeds: std::ops::Range<u64>) {
    let dir = tempfile::TempDir::new().unwrap();
    compare_with(ours(dir.path()), Apache::builder(), seeds, |_, dice, addrs| sequence(dice, addrs));
}

fn sequence(dice: &mut Dice, addrs: [SocketAddr; 2]) -> Option<String> {
    let mut sides = addrs.map(|addr| Side { addr, clients: Vec::new() });
    let mut told = Vec::new();
    for _ in 0..STEPS {
        let known = sides[0].clients.len();
        if known > 0 && dice.below(5) == 0 {
            // A session that is closed is not found again.
            let which = dice.below(known);
            for side in &mut sides {
                let _ = side.clients[which].send(&[Request::CloseSession]);
                while side.clients[which].reply().is_ok() {}
            }
            told.push(format!("close {which}"));
            continue;
        }
        let ask = any(dice, known);
        let [we, they] = &mut sides;
        let (we, they) = (we.shake(&ask), they.shake(&ask));
        told.push(format!("{ask:?}"));
        if we != they {
            let told = told.join("\n    ");
            return Some(format!("\n    {told}\n  we   {we:?}\n  they {they:?}"));
        }
        if ask.session.is_some() && !matches!(ask.password, Password::Own) {
            // There, this has closed the connection of the session all the same.
            return None;
        }
    }
    None
}

fn any(dice: &mut Dice, known: usize) -> Ask {
    let timeout_ms =
        [10_000, 10_000, 0, 1, -1, 3_999, 4_000, 40_000, 40_001, i32::MAX, i32::MIN][dice.below(11)];
    let session = (known > 0 && dice.below(2) == 0).then(|| dice.below(known));
    let lengths = [0, 1, 15, 16, 17, 300];
    let password = match dice.below(4) {
        _ if session.is_none() => Password::Long(lengths[dice.below(lengths.len())]),
        0 => Password::Wrong,
        1 if dice.below(2) == 0 => Password::Long(lengths[dice.below(lengths.len())]),
        _ => Password::Own,
    };
    let request = ConnectRequest {
        protocol_version: [0, 0, 0, 1, -1][dice.below(5)],
        // An id that nobody has.
        session_id: if session.is_none() && dice.below(6) == 0 { 0x7777 } else { 0 },
        read_only: [None, Some(false), Some(true)][dice.below(3)],
        ..new_session(timeout_ms)
    };
    let zxid = [0, 0, 0, 0, -5, 1 << 40][dice.below(6)];
    let tail = if dice.below(6) == 0 { 1 + dice.below(5) } else { 0 };
    Ask { request, session, password, zxid, tail }
}

impl Side {
    fn shake(&mut self, ask: &Ask) -> Result<Welcome, Lost> {
        let mut request = ask.request.clone();
        let seen = self.clients.iter().map(|client| client.zxid).max().unwrap_or(0);
        request.last_zxid_seen = if ask.zxid == 0 { seen } else { ask.zxid };
        let own = ask.session.map(|which| &self.clients[which].session);
        if let Some(own) = own {
            request.session_id = own.session_id;
        }
        request.password = match (ask.password, own) {
            (Password::Own, Some(own)) => own.password.clone(),
            (Password::Wrong, Some(own)) => own.password.iter().map(|byte| byte ^ 1).collect(),
            (Password::Long(length), _) => vec![7; length],
            _ => vec![0; 16],
        };
        let mut w = Writer::new();
        let mark = w.begin_frame();
        request.encode(&mut w);
        for _ in 0..ask.tail {
            w.bool(false);
        }
        w.end_frame(mark);
        let mut client = Raw::open(self.addr);
        client.raw(w.as_slice())?;
        client.welcomed()?;
        let ping = client.send(&[Request::Ping]).and_then(|()| client.reply()).map(|(header, _)| header.err);
        let answer = client.session.clone();
        let found = self.clients.iter().position(|one| one.session.session_id == answer.session_id);
        let session = (answer.session_id != 0).then(|| found.unwrap_or(self.clients.len()));
        let old = found.map(|which| {
            let old = &mut self.clients[which];
            old.send(&[Request::Ping]).and_then(|()| old.reply()).is_ok()
        });
        let welcome = Welcome {
            timeout_ms: answer.timeout_ms,
            session,
            password_len: answer.password.len(),
            protocol_version: answer.protocol_version,
            read_only: answer.read_only,
            ping,
            old,
        };
        match (session, found) {
            (Some(_), Some(which)) => self.clients[which] = client,
            (Some(_), None) => self.clients.push(client),
            (None, _) => {}
        }
        Ok(welcome)
    }
}
