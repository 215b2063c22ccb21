//! What a session must do with any server, Apache's or ours.

use std::time::Duration;

use zooky_client::{
    Acl, CreateMode, Error, EventType, MultiOp, MultiResult, Session, SessionConfig, State, perms,
};

pub(crate) fn config(hosts: &str, chroot: &str) -> SessionConfig {
    SessionConfig::new(format!("{hosts}{chroot}").parse().unwrap())
}

pub(crate) async fn every_request(hosts: &str) {
    let session = Session::connect(config(hosts, "")).await.unwrap();
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

    let session = Session::connect(config(hosts, "")).await.unwrap();
    assert_eq!(session.exists(&first.path).await.unwrap(), None, "the closed session's node is gone");
}

/// A node that goes and one that comes, nobody waiting for the first.
pub(crate) async fn an_exchange(hosts: &str) {
    let session = Session::connect(config(hosts, "")).await.unwrap();
    session.create("/d", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let mode = CreateMode::EPHEMERAL_SEQUENTIAL;
    let (told, mut failures) = tokio::sync::mpsc::unbounded_channel();
    let exchange = |old: &str, acl: &[Acl]| {
        let flight = session.flight();
        let told = told.clone();
        session.delete_unattended(old, -1, move |error| told.send(error).unwrap());
        let created = session.create_after_removal("/d/n-", "new", mode, acl);
        drop(flight);
        created
    };
    let counted = async || session.exists("/d").await.unwrap().unwrap();

    let old = session.create("/d/n-", "old", mode, &Acl::open()).await.unwrap();
    let new = exchange(&old.path, &Acl::open()).await.unwrap();
    assert_eq!((new.path.as_str(), new.zxid), ("/d/n-0000000001", old.zxid + 1), "one transaction");
    assert_eq!(session.exists(&old.path).await.unwrap(), None);
    let (data, stat) = session.get(&new.path).await.unwrap();
    assert_eq!((&data[..], stat.czxid), (&b"new"[..], new.zxid));
    let shown = &new.stat;
    assert_eq!((shown.czxid, shown.mzxid, shown.pzxid), (stat.czxid, stat.mzxid, stat.pzxid));
    assert!(*shown == stat || shown.ctime_ms == 0, "{shown:?}");

    // The first is missing: so nothing is created, and whoever asked for that has to look.
    let error = exchange(&old.path, &Acl::open()).await.unwrap_err();
    assert_eq!(error, Error::ConnectionLoss { path: "/d/n-".into() });
    assert_eq!(failures.recv().await.unwrap(), Error::NoNode { path: old.path });
    assert_eq!(counted().await.num_children, 1);

    // The second cannot be: so nothing is deleted.
    let error = exchange(&new.path, &[]).await.unwrap_err();
    assert_eq!(error, Error::InvalidAcl { path: "/d/n-".into() });
    assert_eq!(failures.recv().await.unwrap(), Error::ConnectionLoss { path: new.path.clone() });
    assert_eq!(counted().await.num_children, 1);

    // Elsewhere, or with something in between: each by itself.
    session.delete_unattended(&new.path, -1, |error| panic!("{error}"));
    let above = session.create_after_removal("/e", "", CreateMode::PERSISTENT, &Acl::open());
    assert_eq!(above.await.unwrap().stat.num_children, 0);
    assert_eq!(counted().await.num_children, 0);
    session.close().await.unwrap();
}

pub(crate) async fn acls_identities_and_multis(hosts: &str) {
    let owner = Session::connect(config(hosts, "").auth("digest", "me:secret")).await.unwrap();
    owner.create("/mine", "x", CreateMode::PERSISTENT, &Acl::creator_all()).await.unwrap();
    let stranger = Session::connect(config(hosts, "")).await.unwrap();
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

    let error = Session::connect(config(hosts, "").auth("nonsense", "x")).await.unwrap_err();
    assert_eq!(error, zooky_client::ConnectError::AuthFailed);
    assert_eq!(stranger.auth("nonsense", b"x").await.unwrap_err(), Error::AuthFailed);
    stranger.lost().await;
    assert_eq!(stranger.get("/mine").await.unwrap_err(), Error::AuthFailed);
}

pub(crate) async fn only_what_is_below_the_chroot(hosts: &str) {
    let whole = Session::connect(config(hosts, "")).await.unwrap();
    whole.create("/app", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let app = Session::connect(config(hosts, "/app")).await.unwrap();
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

pub(crate) async fn each_kind_of_watch_before_the_newer_state(hosts: &str) {
    let session = Session::connect(config(hosts, "")).await.unwrap();
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

pub(crate) async fn a_session_ends_with_its_last_handle(hosts: &str) {
    let judge = Session::connect(config(hosts, "")).await.unwrap();
    let session = Session::connect(config(hosts, "")).await.unwrap();
    let flight = session.flight();
    let made = flight.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open());
    let names = flight.children("/");
    drop(flight);
    assert!(names.await.unwrap().names.contains(&"eph".to_owned()));
    made.await.unwrap();
    let (stat, gone) = judge.exists_watch("/eph").await.unwrap();
    assert_eq!(stat.unwrap().ephemeral_owner, session.id());
    let (_, watch) = session.exists_watch("/never").await.unwrap();
    drop(session);
    assert_eq!(gone.await.unwrap().kind, EventType::DELETED);
    assert_eq!(watch.await.unwrap_err(), Error::Closed);
}

/// Everything that a tree's watcher is told.
#[derive(Default)]
struct Log(std::sync::Mutex<Vec<Result<(EventType, String), Error>>>);

impl zooky_client::TreeSink for Log {
    fn event(&self, event: Result<zooky_client::WatchEvent, Error>) {
        self.0.lock().unwrap().push(event.map(|event| (event.kind, event.path)));
    }
}

pub(crate) async fn a_tree_is_told_before_the_answer(hosts: &str) {
    let session = Session::connect(config(hosts, "")).await.unwrap();
    session.create("/tree", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let log = std::sync::Arc::<Log>::default();
    let flight = session.flight();
    let (watch, set) = session.watch_tree("/tree", log.clone());
    let listed = session.children_stat("/tree");
    drop(flight);
    set.await.unwrap();
    let (names, stat) = listed.await.unwrap();
    assert_eq!((names.names.len(), stat.cversion), (0, 0));
    let mut expected = Vec::new();
    for n in 0..3 {
        let made =
            session.create("/tree/n-", "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open()).await.unwrap();
        expected.push(Ok((EventType::CREATED, format!("/tree/n-{n:010}"))));
        assert_eq!(*log.0.lock().unwrap(), expected, "its own creation is told before its answer");
        session.delete(&made.path, -1).await.unwrap();
        expected.push(Ok((EventType::DELETED, made.path)));
        assert_eq!(*log.0.lock().unwrap(), expected);
    }
    let other = Session::connect(config(hosts, "")).await.unwrap();
    let made = other.create("/tree/n-", "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open()).await.unwrap();
    session.sync("/tree").await.unwrap();
    expected.push(Ok((EventType::CREATED, made.path)));
    assert_eq!(*log.0.lock().unwrap(), expected);
    drop(watch);
    session.sync("/").await.unwrap();
    other.create("/tree/x", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    session.sync("/tree").await.unwrap();
    assert_eq!(*log.0.lock().unwrap(), expected, "after it was dropped nothing is told");
}

/// How many watches the server keeps for its clients, by its own count.
fn watch_count(hosts: &str) -> u64 {
    let answer = zooky_testkit::four_letter(hosts.parse().unwrap(), "mntr").unwrap();
    let count = answer.lines().find_map(|line| line.strip_prefix("zk_watch_count"));
    count.expect("mntr tells zk_watch_count").trim().parse().unwrap()
}

pub(crate) async fn watches_that_are_dropped_are_removed(hosts: &str) {
    let session = Session::connect(config(hosts, "")).await.unwrap();
    session.create("/kept", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let before = watch_count(hosts);
    let (_, _, kept) = session.get_watch("/kept").await.unwrap();
    for _ in 0..10 {
        let (_, _, dropped) = session.get_watch("/kept").await.unwrap();
        drop(dropped);
        let (_, dropped) = session.exists_watch("/missing").await.unwrap();
        drop(dropped);
        let (_, dropped) = session.children_watch("/kept").await.unwrap();
        drop(dropped);
        // Dropped before its answer.
        drop(session.exists_watch("/early"));
    }
    let (tree, set) = session.watch_tree("/trees", std::sync::Arc::<Log>::default());
    set.await.unwrap();
    drop(tree);
    session.sync("/").await.unwrap();
    session.sync("/").await.unwrap();
    assert_eq!(watch_count(hosts), before + 1, "one is still waited for");
    session.set("/kept", "new", -1).await.unwrap();
    assert_eq!(
        now_or_never(kept).unwrap().unwrap().kind,
        EventType::DATA_CHANGED,
        "it was not removed with the others"
    );
}
