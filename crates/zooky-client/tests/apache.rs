//! A session against one real Apache ZooKeeper.
// Helpers of tests fail a test by panicking, as the tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use zooky_client::{Acl, BootInstant, CreateMode, Error, EventType, Session, SessionConfig, State};
use zooky_testkit::Apache;

fn config(apache: &Apache, chroot: &str) -> SessionConfig {
    common::config(&apache.hosts(), chroot)
}

#[tokio::test]
async fn apache_session_ends_with_its_last_handle() {
    let apache = Apache::start();
    common::a_session_ends_with_its_last_handle(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_serves_every_request() {
    let apache = Apache::start();
    common::every_request(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_exchanges_a_node() {
    let apache = Apache::start();
    common::an_exchange(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_takes_acls_identities_and_multis() {
    let apache = Apache::start();
    common::acls_identities_and_multis(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_shows_only_what_is_below_the_chroot() {
    let apache = Apache::start();
    common::only_what_is_below_the_chroot(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_tells_each_kind_of_watch_before_the_newer_state() {
    let apache = Apache::start();
    common::each_kind_of_watch_before_the_newer_state(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_tells_a_tree_before_the_answer() {
    let apache = Apache::start();
    common::a_tree_is_told_before_the_answer(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_forgets_watches_that_are_dropped() {
    let apache = Apache::start();
    common::watches_that_are_dropped_are_removed(&apache.hosts()).await;
}

#[tokio::test]
async fn apache_restarted_gets_the_session_and_its_watches_back() {
    let mut apache = Apache::start();
    let session = Session::connect(config(&apache, "").timeout(Duration::from_secs(30))).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let (_, watch) = session.exists_watch("/later").await.unwrap();
    let mut states = session.watch_state();
    apache.kill();
    assert_eq!(states.changed().await, State::Suspended);
    assert!(session.is_suspect());
    // Asked while there is no connection: it waits for the next one.
    let waiting = session.create("/later", "", CreateMode::PERSISTENT, &Acl::open());
    let restarted = std::thread::spawn(move || {
        apache.restart();
        apache
    });
    assert_eq!(states.changed().await, State::Connected);
    waiting.await.unwrap();
    assert_eq!(watch.await.unwrap().kind, EventType::CREATED);
    let stat = session.exists("/eph").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.id());
    drop(restarted.join().unwrap());
}

#[tokio::test]
async fn apache_silenced_costs_the_session_at_its_deadline() {
    let mut apache = Apache::builder().tick_ms(500).start();
    let session = Session::connect(config(&apache, "").timeout(Duration::from_secs(3))).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let (_, watch) = session.exists_watch("/eph").await.unwrap();
    apache.pause();
    let deadline = session.deadline();
    assert!(deadline.remaining() >= Duration::from_millis(1_000));
    let under_way = session.get("/eph");
    session.lost().await;
    assert!(BootInstant::now() >= deadline && session.state() == State::Lost);
    let late = BootInstant::now().saturating_since(session.deadline());
    assert!(late < Duration::from_millis(300), "{late:?} late");
    assert!(matches!(under_way.await, Err(Error::ConnectionLoss { .. } | Error::SessionLost)));
    assert_eq!(watch.await.unwrap_err(), Error::SessionLost);
    assert_eq!(session.get("/eph").await.unwrap_err(), Error::SessionLost);
    apache.resume();
    // The old session is closed as soon as the server is back, well before it would expire.
    let next = Session::connect(config(&apache, "")).await.unwrap();
    let (stat, gone) = next.exists_watch("/eph").await.unwrap();
    if stat.is_some() {
        assert_eq!(gone.await.unwrap().kind, EventType::DELETED);
    }
}

#[tokio::test]
async fn apache_keeps_a_quiet_session_with_half_its_timeout_left() {
    let apache = Apache::builder().tick_ms(500).start();
    let session = Session::connect(config(&apache, "").timeout(Duration::from_secs(3))).await.unwrap();
    let mut least = Duration::MAX;
    let end = BootInstant::now() + Duration::from_secs(7);
    while BootInstant::now() < end {
        (BootInstant::now() + Duration::from_millis(20)).sleep_until().await.unwrap();
        least = least.min(session.deadline().remaining());
        assert_eq!(session.state(), State::Connected);
    }
    // Half of 3 s, less the margin, less what this machine takes.
    assert!(least >= Duration::from_millis(1_500 - 150 - 250), "only {least:?} were left");
}

#[tokio::test]
async fn nobody_there_is_said_clearly() {
    let port = zooky_testkit::free_port();
    let config = SessionConfig::new(format!("127.0.0.1:{port}").parse().unwrap());
    let error = Session::connect(config.connect_timeout(Duration::from_millis(300))).await.unwrap_err();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}: Connection refused")), "{error}");
}

#[tokio::test]
async fn apache_that_is_behind_is_refused_until_the_deadline() {
    let mut apache = Apache::builder().tick_ms(500).start();
    let session = Session::connect(config(&apache, "").timeout(Duration::from_secs(3))).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    apache.kill();
    std::fs::remove_dir_all(apache.data_dir().join("version-2")).unwrap();
    let restarted = std::thread::spawn(move || {
        apache.restart();
        apache
    });
    let mut states = session.watch_state();
    assert_eq!(states.changed().await, State::Suspended);
    assert_eq!(states.changed().await, State::Lost);
    drop(restarted.join().unwrap());
}
