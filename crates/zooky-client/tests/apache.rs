//! A session against one real Apache ZooKeeper.

use std::time::Duration;

use zooky_client::{
    Acl, BootInstant, CreateMode, Error, EventType, MultiOp, MultiResult, Session, SessionConfig, State,
    perms,
};
use zooky_testkit::Apache;

fn config(apache: &Apache, chroot: &str) -> SessionConfig {
    SessionConfig::new(format!("{}{chroot}", apache.hosts()).parse().unwrap())
}

#[tokio::test]
async fn apache_serves_every_request() {
    let apache = Apache::start();
    let session = Session::connect(config(&apache, "")).await.unwrap();
    assert_eq!((session.state(), session.is_suspect()), (State::Connected, false));
    assert_eq!(session.timeout(), Duration::from_secs(10));

    let made = session.create("/a", "one", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    assert_eq!((made.path.as_str(), made.stat.czxid), ("/a", made.zxid));
    let error = session.create("/a", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap_err();
    assert_eq!(error, Error::NodeExists { path: "/a".into() });
    let first = session.create("/a/n-", "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open()).await.unwrap();
    assert_eq!((first.path.as_str(), first.stat.ephemeral_owner), ("/a/n-0000000000", session.id()));
    session.create("/a/", "", CreateMode::PERSISTENT_SEQUENTIAL, &Acl::open()).await.unwrap();
    session.create("/box", "", CreateMode::CONTAINER, &Acl::open()).await.unwrap();

    assert_eq!(session.get("/a").await.unwrap().0, "one");
    assert_eq!(session.set("/a", "two", 0).await.unwrap().version, 1);
    let error = session.set("/a", "two", 0).await.unwrap_err();
    assert_eq!(error, Error::BadVersion { path: "/a".into() });
    assert_eq!(session.exists("/a").await.unwrap().unwrap().num_children, 2);
    assert_eq!(session.exists("/b").await.unwrap(), None);
    let (children, stat) = session.children_stat("/a").await.unwrap();
    assert_eq!((children.names.len(), stat.cversion), (2, 2));
    assert!(children.zxid >= made.zxid);
    let error = session.delete("/a", -1).await.unwrap_err();
    assert_eq!(error, Error::NotEmpty { path: "/a".into() });
    let error = session.create(&format!("{}/x", first.path), "", CreateMode::PERSISTENT, &Acl::open()).await;
    assert!(matches!(error, Err(Error::NoChildrenForEphemerals { .. })));
    assert!(matches!(session.get("a").await, Err(Error::BadPath(_))));
    session.sync("/a").await.unwrap();
    session.close().await.unwrap();

    let session = Session::connect(config(&apache, "")).await.unwrap();
    assert_eq!(session.exists(&first.path).await.unwrap(), None, "the closed session's node is gone");
}

#[tokio::test]
async fn apache_takes_acls_identities_and_multis() {
    let apache = Apache::start();
    let owner = Session::connect(config(&apache, "").auth("digest", "me:secret")).await.unwrap();
    owner.create("/mine", "x", CreateMode::PERSISTENT, &Acl::creator_all()).await.unwrap();
    let stranger = Session::connect(config(&apache, "")).await.unwrap();
    assert_eq!(stranger.get("/mine").await.unwrap_err(), Error::NoAuth { path: "/mine".into() });
    stranger.auth("digest", b"me:secret").await.unwrap();
    assert_eq!(stranger.get("/mine").await.unwrap().0, "x");
    let (acl, stat) = owner.acl("/mine").await.unwrap();
    assert_eq!((acl[0].perms, acl[0].id.scheme.as_str()), (perms::ALL, "digest"));
    owner.set_acl("/mine", &Acl::open(), stat.aversion).await.unwrap();
    let error = owner.create("/bad", "", CreateMode::PERSISTENT, &[]).await.unwrap_err();
    assert_eq!(error, Error::InvalidAcl { path: "/bad".into() });

    let check = |version| MultiOp::Check { path: "/mine".into(), version };
    let set = MultiOp::SetData { path: "/mine".into(), data: Some("y".into()), version: -1 };
    let results = owner.multi(vec![check(0), set.clone()]).await.unwrap();
    assert!(matches!(results[..], [MultiResult::Check, MultiResult::SetData(_)]), "{results:?}");
    let results = owner.multi(vec![check(0), set]).await.unwrap();
    assert!(matches!(results[..], [MultiResult::Error(_), MultiResult::Error(_)]), "{results:?}");

    let error = Session::connect(config(&apache, "").auth("nonsense", "x")).await.unwrap_err();
    assert_eq!(error, zooky_client::ConnectError::AuthFailed);
    assert_eq!(stranger.auth("nonsense", b"x").await.unwrap_err(), Error::AuthFailed);
    stranger.lost().await;
    assert_eq!(stranger.get("/mine").await.unwrap_err(), Error::AuthFailed);
}

#[tokio::test]
async fn apache_shows_only_what_is_below_the_chroot() {
    let apache = Apache::start();
    let whole = Session::connect(config(&apache, "")).await.unwrap();
    whole.create("/app", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let app = Session::connect(config(&apache, "/app")).await.unwrap();
    let (missing, watch) = app.exists_watch("/x").await.unwrap();
    assert_eq!(missing, None);
    let made = app.create("/x", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    assert_eq!(made.path, "/x");
    let event = watch.await.unwrap();
    assert_eq!((event.kind, event.path.as_str()), (EventType::CREATED, "/x"));
    assert_eq!(app.children("/").await.unwrap().names, ["x"]);
    assert!(whole.exists("/app/x").await.unwrap().is_some());
    assert_eq!(app.delete("/y", -1).await.unwrap_err(), Error::NoNode { path: "/y".into() });
}

#[tokio::test]
async fn apache_tells_each_kind_of_watch_before_the_newer_state() {
    let apache = Apache::start();
    let session = Session::connect(config(&apache, "")).await.unwrap();
    session.create("/w", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let (_, _, data) = session.get_watch("/w").await.unwrap();
    let (_, children) = session.children_watch("/w").await.unwrap();
    let (_, exists) = session.exists_watch("/w").await.unwrap();
    session.create("/w/c", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    assert_eq!(now_or_never(children).unwrap().unwrap().kind, EventType::CHILDREN_CHANGED);
    session.set("/w", "new", -1).await.unwrap();
    assert_eq!(now_or_never(data).unwrap().unwrap().kind, EventType::DATA_CHANGED);
    assert_eq!(now_or_never(exists).unwrap().unwrap().kind, EventType::DATA_CHANGED);
    assert!(matches!(session.get_watch("/none").await, Err(Error::NoNode { .. })));
}

fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
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
