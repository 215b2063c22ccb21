//! Out of the embedded server into three Apache ZooKeepers, as `docs/growing.md` tells: nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{LONG, config, eventually, path, run, telling};
use tempfile::TempDir;
use zooky::session::{CreateMode, Session, State};
use zooky::{Acl, Client, GuardState, Lock};
use zooky_server::{Config, Server};
use zooky_testkit::{Ensemble, free_port};

/// More than twice what stopping, copying and starting three servers takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("version-2")).unwrap();
    for entry in fs::read_dir(from.join("version-2")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("version-2").join(entry.file_name())).unwrap();
    }
}

/// The members' client addresses, which clients have to know before there are members.
fn addresses() -> [u16; 3] {
    [free_port(), free_port(), free_port()]
}

#[test]
fn ensemble_grown_from_the_embedded_server_keeps_data_sessions_and_a_held_lock() {
    let (ours, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let old = ([127, 0, 0, 1], free_port()).into();
    let mut settings = Config::new(old, ours.path());
    settings.max_session_timeout = Some(TIMEOUT);
    // Before the sessions begin: Apache ZooKeeper knows no other rule.
    settings.original_passwords = true;
    // Snapshots too, not the log alone.
    settings.snapshot_transactions = 20;
    let server = Server::start(settings).unwrap();
    let ports = addresses();
    let members: Vec<String> =
        ports.iter().enumerate().map(|(at, port)| format!("127.0.0.{}:{port}", 11 + at)).collect();
    let hosts = format!("{old},{}", members.join(","));

    run(4 * LONG, async {
        let connect = || Client::connect_with(config(&hosts).timeout(TIMEOUT));
        let (holder, waiter) = (connect().await.unwrap(), connect().await.unwrap());
        let session = holder.session().await.unwrap();
        assert_eq!(session.timeout(), TIMEOUT);
        for n in 0..50 {
            let data = format!("data {n}");
            session.create(&format!("/n{n}"), data, CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
        }
        session.create("/mine", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
        let lock_path = path("growing");
        let guard = Lock::new(&holder, &lock_path).unwrap().acquire().await.unwrap();
        let (next, mut waits) = telling(Lock::new(&waiter, &lock_path).unwrap());
        let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
        assert_eq!(waits.recv().await.unwrap().path, guard.path());
        let before = session.get("/n49").await.unwrap();

        let ensemble = tokio::task::spawn_blocking(move || {
            server.stop().unwrap();
            let snapshots = fs::read_dir(ours.path().join("version-2")).unwrap();
            let snapshots = snapshots.map(|entry| entry.unwrap().file_name());
            assert!(snapshots.filter(|name| name.to_string_lossy().starts_with("snapshot.")).count() > 1);
            // Every member gets the copy before any of them starts.
            let copies = [1, 2, 3].map(|member| new.path().join(member.to_string()));
            copies.iter().for_each(|to| copy(ours.path(), to));
            let timeout = format!("maxSessionTimeout={}", TIMEOUT.as_millis());
            let ensemble = Ensemble::builder().extra(&timeout).client_ports(ports).data_dirs(copies).start();
            assert_eq!(ensemble.hosts(), members.join(","));
            (ensemble, new)
        });
        let (ensemble, _new) = ensemble.await.unwrap();

        // The same sessions go on there.
        eventually("the holder to be there", || async { (guard.state() == GuardState::Held).then_some(()) })
            .await;
        assert_eq!(session.state(), State::Connected);
        assert_eq!(session.get("/n49").await.unwrap(), before);
        let (_, stat) = session.get("/mine").await.unwrap();
        assert_eq!(stat.ephemeral_owner, session.id());
        assert_eq!(holder.session().await.unwrap().id(), session.id());
        assert!(!waiting.is_finished(), "the lock was given away");

        // The lock excludes as before, also those who come now, and is handed on in turn.
        let third = Client::connect_with(config(&ensemble.hosts())).await.unwrap();
        assert!(Lock::new(&third, &lock_path).unwrap().try_acquire().await.unwrap().is_none());
        let token = guard.fencing_token();
        guard.release().await.unwrap();
        let next = waiting.await.unwrap();
        assert!(next.fencing_token() > token);
        next.release().await.unwrap();
        and_back(ensemble, &session).await;
    });
}

/// The embedded server on what the ensemble's leader has: the session lives on once more.
async fn and_back(ensemble: Ensemble, session: &Session) {
    session.create("/after", "there", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let back = TempDir::new().unwrap();
    let mut ensemble = ensemble;
    let leader = ensemble.leader();
    let addr = ensemble.member(leader).addr();
    copy_when_down(&mut ensemble, leader, back.path());
    let mut settings = Config::new(addr, back.path());
    settings.max_session_timeout = Some(TIMEOUT);
    settings.original_passwords = true;
    let _server = Server::start(settings).unwrap();
    let (data, stat) = session.get("/after").await.unwrap();
    assert_eq!((&data[..], stat.ephemeral_owner), (&b"there"[..], session.id()));
    assert_eq!(&session.get("/n49").await.unwrap().0[..], b"data 49");
}

fn copy_when_down(ensemble: &mut Ensemble, leader: usize, to: &Path) {
    (0..ensemble.len()).for_each(|member| ensemble.member(member).kill());
    copy(ensemble.member(leader).data_dir(), to);
}
