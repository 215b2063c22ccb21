//! A session against zooky's own server, in this process.
// Helpers of tests fail a test by panicking, as the tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::time::Duration;

use zooky_client::{Acl, CreateMode, EventType, Session, State};
use zooky_server::{Config, Server};

fn serve(data_dir: &Path, listen: &str) -> Server {
    Server::start(Config::new(listen.parse().unwrap(), data_dir)).unwrap()
}

#[tokio::test]
async fn embedded_session_ends_with_its_last_handle() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::a_session_ends_with_its_last_handle(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_serves_every_request() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::every_request(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_takes_acls_identities_and_multis() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::acls_identities_and_multis(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_shows_only_what_is_below_the_chroot() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::only_what_is_below_the_chroot(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_tells_each_kind_of_watch_before_the_newer_state() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::each_kind_of_watch_before_the_newer_state(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_tells_a_tree_before_the_answer() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::a_tree_is_told_before_the_answer(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_forgets_watches_that_are_dropped() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::watches_that_are_dropped_are_removed(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_restarted_gets_the_session_and_its_watches_back() {
    let data = tempfile::tempdir().unwrap();
    let addr = format!("127.0.0.1:{}", zooky_testkit::free_port());
    let server = serve(data.path(), &addr);
    let session = Session::connect(common::config(&addr, "")).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let (_, watch) = session.exists_watch("/later").await.unwrap();
    let mut states = session.watch_state();
    server.stop().unwrap();
    assert_eq!(states.changed().await, State::Suspended);
    let waiting = session.create("/later", "", CreateMode::PERSISTENT, &Acl::open());
    let server = serve(data.path(), &addr);
    assert_eq!(states.changed().await, State::Connected);
    waiting.await.unwrap();
    assert_eq!(watch.await.unwrap().kind, EventType::CREATED);
    assert_eq!(session.exists("/eph").await.unwrap().unwrap().ephemeral_owner, session.id());
    assert_eq!(session.timeout(), Duration::from_secs(10));
    server.stop().unwrap();
}
