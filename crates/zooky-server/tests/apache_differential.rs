//! The same requests to our server and to Apache ZooKeeper: the same replies and the same events, field by field.
//!
//! Random but seeded sequences over two connections each. Zxids, times and session ids are compared by what
//! they are equal to, not by their value. What differs on purpose is listed in `docs/server.md`.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "apache_differential/handshakes.rs"]
mod handshakes;
#[path = "apache_differential/packets.rs"]
mod packets;
#[path = "apache_differential/requests.rs"]
mod requests;
#[path = "support/client.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use requests::{Dice, Theme};
use support::{Raw, config};
use tempfile::TempDir;
use zooky_server::{Config, Server};
use zooky_testkit::{Apache, ApacheBuilder, seeds_from_env};
use zooky_wire::{ErrorCode, MultiResult, Reader, Request, Response, Stat, xid};

/// Requests in each sequence.
const STEPS: usize = 16;
/// The super user, whose password is `test`.
const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// What a server makes of a request, in a form that two servers can be compared by.
#[derive(Debug, PartialEq)]
struct Shown {
    /// `Err`: the connection was closed.
    reply: Result<(ErrorCode, usize, Option<Response>), support::Lost>,
    /// Events on each connection.
    events: Vec<Vec<String>>,
}

/// One server and two sessions on it.
struct Side {
    clients: Vec<Raw>,
    /// Zxids in the order in which they were first seen.
    zxids: HashMap<i64, i64>,
}

impl Side {
    fn new(addr: SocketAddr) -> Side {
        Side {
            clients: vec![Raw::connect(addr), Raw::connect(addr)],
            zxids: HashMap::from([(0, 0), (-1, -1)]),
        }
    }

    fn send(&mut self, who: usize, request: &Request) {
        let _ = self.clients[who].send(std::slice::from_ref(request));
    }

    /// The reply, and all events that the request caused.
    fn receive(&mut self, who: usize, request: &Request) -> Shown {
        let reply = self.clients[who].reply().map(|(header, body)| {
            let response = (header.err == ErrorCode::OK).then(|| {
                let mut response = Response::decode(request.op(), &mut Reader::new(&body)).unwrap();
                self.normalise(&mut response);
                response
            });
            // A multi of 3.8 is shorter, see below.
            let length = if matches!(response, Some(Response::Multi(_))) { 0 } else { body.len() };
            (header.err, length, response)
        });
        let mut events = Vec::new();
        for client in &mut self.clients {
            // A ping is answered behind the events that are on their way.
            if client.send(&[Request::Ping]).is_ok()
                && let Ok((header, _)) = client.reply()
            {
                assert_eq!(header.xid, xid::PING);
            }
            if matches!(request, Request::CloseSession) {
                // In which order a session's ephemerals go is nobody's business.
                client.events.sort_by(|a, b| (a.kind.0, &a.path).cmp(&(b.kind.0, &b.path)));
            }
            events.push(
                client.events.drain(..).map(|e| format!("{:?} {:?} {}", e.kind, e.state, e.path)).collect(),
            );
        }
        Shown { reply, events }
    }

    fn normalise(&mut self, response: &mut Response) {
        match response {
            Response::PathStat(_, stat)
            | Response::Stat(stat)
            | Response::Data(_, stat)
            | Response::Acl(_, stat) => {
                self.stat(stat);
            }
            Response::NamesStat(names, stat) => {
                names.sort();
                self.stat(stat);
            }
            Response::Names(names) => names.sort(),
            Response::WhoAmI(infos) => infos.sort_by(|a, b| (&a.scheme, &a.user).cmp(&(&b.scheme, &b.user))),
            Response::Multi(results) => {
                for result in results {
                    match result {
                        // 3.8 answers create2 in a multi like create, 3.9 (and we) with the stat too.
                        MultiResult::Create2(path, ..) => *result = MultiResult::Create(std::mem::take(path)),
                        MultiResult::SetData(stat) | MultiResult::GetData(_, stat) => self.stat(stat),
                        MultiResult::GetChildren(names) => names.sort(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn stat(&mut self, stat: &mut Stat) {
        for zxid in [&mut stat.czxid, &mut stat.mzxid, &mut stat.pzxid] {
            let next = self.zxids.len() as i64;
            *zxid = *self.zxids.entry(*zxid).or_insert(next);
        }
        stat.mtime_ms = 0;
        stat.ctime_ms = 0;
        let owner = self.clients.iter().position(|c| c.session.session_id == stat.ephemeral_owner);
        stat.ephemeral_owner = owner.map_or(stat.ephemeral_owner, |i| i as i64 + 1);
    }
}

/// Differences that `docs/server.md` gives reasons for.
fn on_purpose(request: &Request, we: &Shown, they: &Shown) -> bool {
    let codes = [we, they].map(|shown| shown.reply.as_ref().map_or(ErrorCode::OK, |reply| reply.0));
    let fewer = |ours: &[String], theirs: &[String]| {
        let mut theirs = theirs.iter();
        ours.iter().all(|event| theirs.any(|other| other == event))
    };
    match request {
        // Alone, one that holds closes the connection there.
        Request::Check { .. } => codes == [ErrorCode::UNIMPLEMENTED, ErrorCode::OK] && they.reply.is_err(),
        // 3.8 finds any session's watch at the path, 3.9 (and we) the own ones alone.
        Request::CheckWatches { .. } => codes[0] == ErrorCode::NO_WATCHER,
        // Whoever may not read a node learned its stat in 3.8.0.
        Request::Exists { .. } => codes == [ErrorCode::NO_AUTH, ErrorCode::OK],
        // What was missed on a node that the caller may not read is not told.
        Request::SetWatches { .. } | Request::SetWatches2 { .. } => {
            we.reply == they.reply
                && we.events.iter().zip(&they.events).all(|(ours, theirs)| fewer(ours, theirs))
        }
        _ => false,
    }
}

#[test]
fn random_requests_get_the_replies_of_apache() {
    compare(Theme::All, 0..300);
}

#[test]
fn quotas_are_kept_and_enforced_as_by_apache() {
    compare(Theme::Quotas, 0..150);
}

#[test]
fn the_super_user_may_what_apache_lets_it() {
    compare(Theme::Super, 0..100);
}

#[test]
#[ignore = "25,000 sequences"]
fn soak_random_requests_get_the_replies_of_apache() {
    compare(Theme::All, seeds_from_env(1_000..20_000));
    compare(Theme::Quotas, seeds_from_env(1_000..4_000));
    compare(Theme::Super, seeds_from_env(1_000..4_000));
}

/// Our server's settings, with the super user that Apache's has in tests.
fn ours(dir: &Path) -> Config {
    let mut config = config(dir);
    config.super_digest = Some(SUPER_DIGEST.to_owned());
    config
}

/// Runs each seed's story against both servers, ours first; a story says what differed.
fn compare_with(
    ours: Config,
    apache: ApacheBuilder,
    seeds: std::ops::Range<u64>,
    mut story: impl FnMut(u64, &mut Dice, [SocketAddr; 2]) -> Option<String>,
) {
    let (ours, apache) = (Server::start(ours).unwrap(), apache.super_digest(SUPER_DIGEST).start());
    let addrs = [ours.addr(), apache.addr()];
    let differ = seeds.filter_map(|seed| {
        let what = story(seed, &mut Dice::new(seed), addrs)?;
        Some(format!("seed {seed}: {what}"))
    });
    let differ: Vec<String> = differ.collect();
    let first = &differ[..differ.len().min(40)];
    assert!(differ.is_empty(), "{} sequences differ:\n{}", differ.len(), first.join("\n"));
}

fn compare(theme: Theme, seeds: std::ops::Range<u64>) {
    let dir = TempDir::new().unwrap();
    let mut settings = ours(dir.path());
    settings.enforce_quota = theme == Theme::Quotas;
    let apache = Apache::builder().extra(&format!("enforceQuota={}", settings.enforce_quota));
    let (mut excused, total) = (0, seeds.end - seeds.start);
    compare_with(settings, apache, seeds, |seed, dice, addrs| {
        let mut sides = addrs.map(Side::new);
        let different = sequence(theme, seed, dice, &mut sides);
        for client in sides.iter_mut().flat_map(|side| &mut side.clients) {
            let _ = client.send(&[Request::CloseSession]);
            let _ = client.reply();
        }
        match different? {
            Differ::OnPurpose => {
                excused += 1;
                None
            }
            Differ::Wrongly(what) => Some(what),
        }
    });
    assert!(excused * 20 < total, "{excused} sequences differ on purpose: that hides too much");
}

/// How two servers differed.
enum Differ {
    OnPurpose,
    Wrongly(String),
}

fn sequence(theme: Theme, seed: u64, dice: &mut Dice, [here, there]: &mut [Side; 2]) -> Option<Differ> {
    let top = format!("/s{seed}");
    let mut told = Vec::new();
    for step in 0..STEPS {
        let who = dice.below(2);
        let request = requests::themed(theme, dice, &top, step);
        here.send(who, &request);
        there.send(who, &request);
        let (we, they) = (here.receive(who, &request), there.receive(who, &request));
        told.push(format!("{who}: {request:?}"));
        if we != they && on_purpose(&request, &we, &they) {
            // From here on the two may know different watches.
            return Some(Differ::OnPurpose);
        }
        if we != they {
            let told = told.join("\n    ");
            return Some(Differ::Wrongly(format!("\n    {told}\n  we   {we:?}\n  they {they:?}")));
        }
        if they.reply.is_err() {
            return None;
        }
    }
    None
}
