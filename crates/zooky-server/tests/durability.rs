//! What was acknowledged is there after any end of the server.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support {
    pub(crate) mod child;
    #[path = "client.rs"]
    mod client;
    pub(crate) use client::*;
}

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use support::child::{ServerChild, serve_if_child};
use support::{Raw, answer, create, start};
use tempfile::TempDir;
use zooky_wire::{CreateMode, ErrorCode, OpCode, Request, Response};

#[test]
fn serve_as_child() {
    serve_if_child();
}

#[test]
fn a_restart_keeps_tree_and_sessions() {
    let dir = TempDir::new().unwrap();
    let server = start(dir.path());
    let mut client = Raw::connect(server.addr());
    client.create("/keep", CreateMode::PERSISTENT, b"data").unwrap();
    let first = client.create("/keep/s-", CreateMode::EPHEMERAL_SEQUENTIAL, b"").unwrap();
    let before = client.exists("/keep", false).unwrap();
    server.stop().unwrap();
    assert!(client.frame().is_err());

    let server = start(dir.path());
    let mut client = Raw::reattach(server.addr(), &client).unwrap();
    assert_eq!(client.session.timeout_ms, 10_000);
    assert_eq!(client.exists("/keep", false).unwrap(), before);
    assert_eq!(client.exists(&first, false).unwrap().ephemeral_owner, client.session.session_id);
    let second = client.create("/keep/s-", CreateMode::EPHEMERAL_SEQUENTIAL, b"").unwrap();
    assert_eq!((first.as_str(), second.as_str()), ("/keep/s-0000000000", "/keep/s-0000000001"));
    client.call(Request::CloseSession).unwrap();
    drop(server);

    let server = start(dir.path());
    let gone = Raw::reattach(server.addr(), &client).unwrap();
    assert_eq!(gone.session.session_id, 0, "a closed session stays closed");
    assert!(Raw::connect(server.addr()).children("/keep").is_empty());
}

/// The server stands still for longer than the sessions' timeouts. What their clients have sent meanwhile counts as a sign of
/// life, also that of clients who asked much before and come after the others.
#[test]
fn a_standstill_of_the_server_ends_no_session_whose_client_asks() {
    let dir = TempDir::new().unwrap();
    let server = ServerChild::start(dir.path());
    let much = vec![Request::Exists { path: "/".into(), watch: false }; 1_000];
    let mut clients: Vec<Raw> = (0..20).map(|_| Raw::connect_for(server.addr, 4_000)).collect();
    let ask = |client: &mut Raw| client.send(&much).unwrap();
    let hear = |client: &mut Raw| {
        for _ in &much {
            assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
        }
    };
    clients.iter_mut().for_each(ask);
    clients.iter_mut().for_each(hear);
    server.stop();
    clients.iter_mut().for_each(ask);
    // Longer than the timeout and the time that the server rounds it up by; nothing else can bring this about.
    std::thread::sleep(Duration::from_secs(7));
    server.go_on();
    for client in &mut clients {
        hear(client);
        client.create("/alive-", CreateMode::EPHEMERAL_SEQUENTIAL, b"").unwrap();
    }
}

/// What one cycle did, as far as the server said so.
#[derive(Debug, Default)]
struct Acknowledged {
    created: BTreeMap<String, Vec<u8>>,
    deleted: BTreeSet<String>,
    /// Sent, but the answer never came: it may have happened.
    deletes_in_doubt: BTreeSet<String>,
}

/// Keeps `depth` requests in flight until the server is gone: creates, each with its own data, and a delete
/// of every third node.
fn load(mut client: Raw, thread: usize, cycle: usize, depth: usize) -> Acknowledged {
    let mut done = Acknowledged::default();
    let mut flight = std::collections::VecDeque::new();
    let mut sent = 0;
    let mut doomed = Vec::new();
    loop {
        let mut requests = Vec::new();
        while flight.len() < depth {
            let request = match doomed.pop() {
                Some(path) => Request::Delete { path, version: -1 },
                None => {
                    sent += 1;
                    let data = format!("{cycle}.{thread}.{sent}");
                    create("/load/n", CreateMode::PERSISTENT_SEQUENTIAL, data.as_bytes())
                }
            };
            flight.push_back(request.clone());
            requests.push(request);
        }
        let answered = client.send(&requests).and_then(|()| client.reply());
        let Ok((header, body)) = answered else {
            done.deletes_in_doubt.extend(flight.into_iter().filter_map(|request| match request {
                Request::Delete { path, .. } => Some(path),
                _ => None,
            }));
            return done;
        };
        match flight.pop_front().unwrap() {
            Request::Create(create) => {
                let Ok(Response::Path(path)) = answer(OpCode::CREATE, header, &body) else {
                    panic!("{header:?}")
                };
                if done.created.len() % 3 == 0 {
                    doomed.push(path.clone());
                }
                let data = create.data.unwrap().to_vec();
                assert_eq!(done.created.insert(path, data), None, "a sequence number came twice");
            }
            Request::Delete { path, .. } => {
                assert_eq!(header.err, ErrorCode::OK);
                done.deleted.insert(path);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What must be there and what must not.
fn verify(client: &mut Raw, cycle: &Acknowledged) {
    for (path, data) in &cycle.created {
        if cycle.deletes_in_doubt.contains(path) {
            continue;
        }
        let found = client.call(Request::GetData { path: path.clone(), watch: false });
        match found {
            Ok(Response::Data(Some(found), _)) => {
                assert!(!cycle.deleted.contains(path), "{path} was deleted and is back");
                assert_eq!(&found[..], &data[..], "{path}");
            }
            Err(ErrorCode::NO_NODE) => {
                assert!(cycle.deleted.contains(path), "{path} was acknowledged and is gone");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_killed_server_has_lost_nothing_it_acknowledged() {
    kill_and_verify(200);
}

#[test]
#[ignore = "goes on for a quarter of an hour: make soak"]
fn soak_a_killed_server_has_lost_nothing_it_acknowledged() {
    kill_and_verify(std::env::var("ZOOKY_KILL_CYCLES").map_or(5_000, |n| n.parse().unwrap()));
}

fn kill_and_verify(cycles: usize) {
    let dir = TempDir::new().unwrap();
    let mut server = ServerChild::start(dir.path());
    // Long enough for a machine that has much else to do: what ends with its time has not been lost.
    let mut holder = Raw::connect_for(server.addr, 40_000);
    holder.create("/load", CreateMode::PERSISTENT, b"").unwrap();
    holder.create("/held", CreateMode::EPHEMERAL, b"").unwrap();
    let mut random: u64 = 0x2545_f491_4f6c_dd1d ^ u64::from(std::process::id());
    let mut seen = BTreeSet::new();
    let mut zxid = 0;
    let (mut writes, started) = (0, Instant::now());
    for cycle in 0..cycles {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_micros((random >> 33) % 15_000);
        let loads = [1, 4, 32].map(|depth| {
            let client = Raw::connect(server.addr);
            std::thread::spawn(move || load(client, depth, cycle, depth))
        });
        // This is the fault itself: the moment of death, not a wait for something.
        std::thread::sleep(life);
        server.kill();
        let done = loads.map(|load| load.join().unwrap());

        // Half of them take snapshots all the time, roll and purge logs, and are killed in the midst of that.
        server = match cycle % 2 {
            0 => ServerChild::start_with_snapshots(100, dir.path()),
            _ => ServerChild::start(dir.path()),
        };
        holder = Raw::reattach(server.addr, &holder).unwrap();
        let owner = holder.exists("/held", false).map(|stat| stat.ephemeral_owner);
        assert_eq!(owner, Some(holder.session.session_id), "cycle {cycle}");
        assert!(holder.zxid >= zxid, "the zxid went back");
        zxid = holder.zxid;
        for cycle in &done {
            verify(&mut holder, cycle);
            for path in cycle.created.keys() {
                assert!(seen.insert(path.clone()), "{path} was given twice");
            }
            writes += cycle.created.len() + cycle.deleted.len();
        }
    }
    let names =
        std::fs::read_dir(dir.path().join("version-2")).unwrap().map(|entry| entry.unwrap().file_name());
    let snapshots = names.filter(|name| name.to_string_lossy().starts_with("snapshot.")).count();
    assert!(snapshots > 1, "no snapshot was taken");
    println!("{cycles} kills, {writes} acknowledged writes, {:?}", started.elapsed());
}
