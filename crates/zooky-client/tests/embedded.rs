//! A session against zooky's own server, in this process.
// Helpers of tests fail a test by panicking, as the tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use zooky_client::{
    Acl, Arrivals, ConnectError, ConnectFailures, CreateMode, EventType, Session, SessionConfig, State,
    send_at_once,
};
use zooky_server::{Config, Server};

fn serve(data_dir: &Path, listen: &str) -> Server {
    Server::start(Config::new(listen.parse().unwrap(), data_dir)).unwrap()
}

/// A port that refuses, and one that takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn each_server_s_failure_is_told_at_once_and_at_the_end() {
    let refusing = zooky_testkit::free_port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = format!("127.0.0.1:{refusing},{}", silent.local_addr().unwrap());
    let failures = ConnectFailures::default();
    let mut config = SessionConfig::new(servers.parse().unwrap()).failures(failures.clone());
    config.timeout = Duration::from_secs(2);
    config.connect_timeout = Duration::from_secs(6);
    let opening = tokio::spawn(Session::connect(config));

    let refused = (format!("127.0.0.1:{refusing}"), "Connection refused (os error 111)".to_owned());
    let early = zooky_testkit::eventually(Duration::from_secs(4), "a failure is told", || {
        let causes = failures.causes();
        causes.contains(&refused).then_some(causes)
    });
    assert!(!opening.is_finished(), "it goes on trying: {early:?}");

    let Err(error) = opening.await.unwrap() else { panic!("nobody is there") };
    let ConnectError::Timeout { last, .. } = &error else { panic!("{error}") };
    assert_eq!(*last, failures.to_string());
    let wait = format!("{}: it did not answer in time", silent.local_addr().unwrap());
    assert!(last.contains("Connection refused") && last.contains(&wait), "{error}");
}

#[tokio::test]
async fn embedded_session_ends_with_its_last_handle() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::a_session_ends_with_its_last_handle(&server.addr().to_string()).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn embedded_exchanges_a_node() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    common::an_exchange(&server.addr().to_string()).await;
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

/// A runtime that nobody drives sends nothing by itself; another session sees that the request has left all the same.
#[test]
fn a_thread_outside_sends_its_own_requests_and_is_told_of_arrivals() {
    let data = tempfile::tempdir().unwrap();
    let server = serve(data.path(), "127.0.0.1:0");
    let config = || common::config(&server.addr().to_string(), "");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (here, elsewhere) = (runtime(), runtime());
    let arrivals = Arrivals::new().unwrap();
    let session = here.block_on(Session::connect(config().arrivals(arrivals.clone()))).unwrap();
    let other = elsewhere.block_on(Session::connect(config())).unwrap();
    arrivals.clear();

    let made = send_at_once(|| session.create("/made", "", CreateMode::EPHEMERAL, &Acl::open()));
    let long = Duration::from_secs(60);
    zooky_testkit::eventually(long, "the node is there", || {
        elsewhere.block_on(other.exists("/made")).unwrap()
    });
    let readable = |within: Duration| {
        let mut poll = [PollFd::new(&arrivals, PollFlags::IN)];
        let within = within.try_into().unwrap();
        rustix::event::poll(&mut poll, Some(&within)).unwrap() == 1
    };
    assert!(readable(long), "the answer has come");
    arrivals.clear();
    assert!(!readable(Duration::ZERO), "told once");
    assert_eq!(here.block_on(made).unwrap().path, "/made");

    // Many leave by themselves: whoever asks for them keeps the session's task from its turn.
    let many = (0..64).map(|i| session.create(&format!("/many{i}"), "", CreateMode::EPHEMERAL, &Acl::open()));
    let many: Vec<_> = many.collect();
    zooky_testkit::eventually(long, "the first ones have left", || {
        elsewhere.block_on(other.exists("/many0")).unwrap()
    });
    for (i, made) in many.into_iter().enumerate() {
        assert_eq!(here.block_on(made).unwrap().path, format!("/many{i}"));
    }

    // Inside a callback of the session's own, its driver is in use: the request leaves with the next turn.
    let (told, answer) = std::sync::mpsc::channel();
    let again = session.clone();
    session.delete_unattended("/missing", -1, move |error| {
        let _ = told.send((error, send_at_once(|| again.exists("/made"))));
    });
    let (error, found) = loop {
        here.block_on(session.sync("/")).unwrap();
        if let Ok(answer) = answer.try_recv() {
            break answer;
        }
    };
    assert!(matches!(error, zooky_client::Error::NoNode { .. }), "{error}");
    assert!(here.block_on(found).unwrap().is_some());
    here.block_on(session.close()).unwrap();
    server.stop().unwrap();
}
