//! What was acknowledged is there after the power has failed: the page cache is lost, the journal is cut off where
//! it is. A real ext4 on a loop device is shut down under load (`EXT4_IOC_SHUTDOWN` without a flush), mounted again,
//! and looked through.
//!
//! It takes root, to mount. `ZOOKY_POWER_CUTS=N` cuts N times instead of 1,000.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support {
    pub(crate) mod child;
    #[path = "client.rs"]
    mod client;
    pub(crate) use client::*;
}
mod cuts {
    pub(crate) mod disk;
    pub(crate) mod load;
}

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cuts::disk::LoopDisk;
use cuts::load::{Done, Load};
use support::Raw;
use support::child::{ServerChild, serve_if_child};
use zooky_wire::{CreateMode, ErrorCode, Request, Response};

#[test]
fn serve_as_child() {
    serve_if_child();
}

#[test]
#[ignore = "takes root and minutes: make soak"]
fn soak_nothing_acknowledged_is_lost_when_the_power_fails() {
    if std::env::var_os(ALONE).is_some() {
        return cut_and_verify(std::env::var("ZOOKY_POWER_CUTS").map_or(1_000, |n| n.parse().unwrap()));
    }
    let mut alone = Command::new("unshare");
    alone.arg("--mount").arg(std::env::current_exe().unwrap()).env(ALONE, "yes");
    let this = "soak_nothing_acknowledged_is_lost_when_the_power_fails";
    alone.args(["--exact", this, "--ignored", "--nocapture", "--test-threads=1"]);
    assert!(alone.status().unwrap().success(), "see above");
}

/// Where nobody else sees what is mounted. A program that is given a copy of all mounts meanwhile, as sandboxes are, would
/// keep the file system that was shut down, and mounting it again would bring back that one.
const ALONE: &str = "ZOOKY_TEST_POWER_ALONE";

/// As long as the server allows: on a busy machine a session must not expire before it is looked at.
const TIMEOUT_MS: i32 = 40_000;
/// How many requests each session has under way.
const DEPTHS: [usize; 4] = [1, 4, 16, 64];

fn cut_and_verify(cuts: usize) {
    let disk = LoopDisk::new();
    let data = disk.path().join("data");
    let mut random = 0x2545_f491_4f6c_dd1d ^ u64::from(std::process::id());
    let mut loads: Vec<Load> = (0..DEPTHS.len()).map(Load::new).collect();
    let mut seen = BTreeSet::new();
    let (mut writes, mut by_itself, started) = (0, 0, Instant::now());
    let mut server = ServerChild::start(&data);
    let mut holder = Raw::connect_for(server.addr, TIMEOUT_MS);
    holder.create("/held", CreateMode::EPHEMERAL, b"").unwrap();
    for top in ["/nodes", "/ephemerals", "/sets"] {
        holder.create(top, CreateMode::PERSISTENT, b"").unwrap();
    }
    for load in &loads {
        holder.create(&load.set_path(), CreateMode::PERSISTENT, b"0").unwrap();
    }
    for cut in 0..cuts {
        random = next(random);
        let life = Duration::from_micros((random >> 33) % 40_000);
        // Half of the time the server stands still while the power fails, so that its last acknowledgements are
        // known to be those that were sent; else it runs into the disk's failure, and has to end by itself.
        let stands_still = cut % 2 == 0;
        let over = Arc::new(AtomicBool::new(false));
        let running: Vec<_> = loads
            .drain(..)
            .zip(DEPTHS)
            .map(|(load, depth)| {
                let (client, over) = (Raw::connect_for(server.addr, TIMEOUT_MS), over.clone());
                std::thread::spawn(move || load.run(client, depth, &over))
            })
            .collect();
        // This is the fault itself: the moment of the power's failure, not a wait for something.
        std::thread::sleep(life);
        if stands_still {
            server.stop();
            over.store(true, Ordering::SeqCst);
        }
        let mut done: Vec<(Load, Done)> = Vec::new();
        if stands_still {
            done.extend(running.into_iter().map(|load| load.join().unwrap()));
            disk.cut();
            server.kill();
        } else {
            disk.cut();
            done.extend(running.into_iter().map(|load| load.join().unwrap()));
            let (said, status) = server.ended();
            assert!(!status.success() && said.contains("failed: "), "it went on without a disk: {said}");
            by_itself += 1;
        }
        disk.mount_again();
        let begun = Instant::now();

        // Half of them take snapshots all the time, roll and purge logs, and lose power in the midst of that.
        server = match cut % 4 {
            0 | 1 => ServerChild::start_with_snapshots(200, &data),
            _ => ServerChild::start(&data),
        };
        holder = Raw::reattach(server.addr, &holder)
            .expect("the server is behind what it has shown: it refuses us");
        let owner = holder.exists("/held", false).map(|stat| stat.ephemeral_owner);
        assert_eq!(owner, Some(holder.session.session_id), "cut {cut}");
        let life = format!("cut {cut}, {}", if stands_still { "standing still" } else { "running" });
        for (load, done) in &mut done {
            let life = format!("{life}, {:?} after the start", begun.elapsed());
            verify(&life, &mut holder, &server, load, done);
            for path in done.created.keys().chain(&done.ephemerals) {
                assert!(seen.insert(path.clone()), "{path} was given twice");
            }
            writes += done.acknowledged;
        }
        loads = done.into_iter().map(|(load, done)| load.after(done)).collect();
        if cut % 100 == 99 {
            println!("{} cuts, {writes} acknowledged writes, {:?}", cut + 1, started.elapsed());
        }
    }
    let names = std::fs::read_dir(data.join("version-2")).unwrap().map(|entry| entry.unwrap().file_name());
    let snapshots = names.filter(|name| name.to_string_lossy().starts_with("snapshot.")).count();
    assert!(snapshots > 1, "no snapshot was taken");
    println!(
        "{cuts} cuts, {by_itself} of them under a running server, {writes} acknowledged writes, {:?}",
        started.elapsed()
    );
}

/// What a session's load was told is there, and what was never asked for is not.
fn verify(life: &str, holder: &mut Raw, server: &ServerChild, load: &mut Load, done: &Done) {
    assert_eq!(holder.call(Request::Sync { path: "/".into() }).map(|_| ()), Ok(()));
    assert!(
        holder.zxid >= done.zxid,
        "{life}: the server is at {:#x}, a client was shown {:#x}",
        holder.zxid,
        done.zxid
    );
    let paths: Vec<&String> = done.created.keys().collect();
    for (path, found) in paths.iter().zip(read(holder, &paths)) {
        match found {
            Ok(found) => assert_eq!(found, done.created[*path], "{path}"),
            Err(error) => panic!("{life}: {path} was acknowledged and is {error:?}"),
        }
    }
    // Those of earlier lives.
    let older: Vec<&String> = load.doomed.iter().collect();
    for (path, found) in older.iter().zip(read(holder, &older)) {
        assert!(found.is_ok(), "{path} was there before the last cut and is {found:?}");
    }
    let deleted: Vec<&String> = done.deleted.iter().chain(&load.gone).collect();
    for (path, found) in deleted.iter().zip(read(holder, &deleted)) {
        assert_eq!(found, Err(ErrorCode::NO_NODE), "{life}: {path} was deleted and is back");
    }
    let set = read(holder, &[&load.set_path()]).remove(0).unwrap();
    let set: u64 = String::from_utf8(set).unwrap().parse().unwrap();
    assert!((done.set_acknowledged..=done.set_sent).contains(&set), "{set} is set, not {done:?}");
    // The session is alive, and its ephemerals are its own; then it is closed, and they stay gone.
    let mut own = Raw::reattach(server.addr, &done.client).unwrap();
    assert_eq!(own.session.session_id, done.client.session.session_id, "{life}: the session is gone");
    for path in &done.ephemerals {
        let owner = own.exists(path, false).map(|stat| stat.ephemeral_owner);
        assert_eq!(owner, Some(own.session.session_id), "{path}");
    }
    own.call(Request::CloseSession).unwrap();
    load.gone = done.ephemerals.iter().cloned().collect();
}

/// The data of many nodes, asked for all at once.
fn read(client: &mut Raw, paths: &[&String]) -> Vec<Result<Vec<u8>, ErrorCode>> {
    let mut found = Vec::new();
    for paths in paths.chunks(500) {
        let request = |path: &&String| Request::GetData { path: path.to_string(), watch: false };
        let requests: Vec<Request> = paths.iter().map(request).collect();
        client.send(&requests).unwrap();
        for request in &requests {
            let (header, body) = client.reply().unwrap();
            found.push(match support::answer(request.op(), header, &body) {
                Ok(Response::Data(data, _)) => Ok(data.unwrap_or_default().to_vec()),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            });
        }
    }
    found
}

fn next(random: u64) -> u64 {
    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}
