//! The tracked value of a znode: typed, told of changes, over reconnects and lost sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::servers::{Ours, Single, TICK, apache};
use common::{
    LONG, Observer, catch_up, client, client_with_timeout, eventually, in_time, on_one_thread, path, run,
};
use zooky::session::{Acl, CreateMode, Error as SessionError, State, perms};
use zooky::{Client, Error, Node, NodeState, Value};
use zooky_testkit::Ensemble;

/// Waits until the node shows this value.
async fn shows(node: &Node, value: impl Into<Value>) {
    let value = value.into();
    let mut changes = node.changes();
    let seen = async { while changes.next().await.unwrap().value() != Some(&value) {} };
    let what = format!("{value:?} in {}", node.path());
    in_time(LONG / 2, &what, seen).await;
}

async fn deleted(node: &Node) {
    let mut changes = node.changes();
    let seen = async { while changes.next().await.unwrap() != NodeState::Deleted {} };
    in_time(LONG / 2, "the deletion", seen).await;
}

ensemble!();

backends!(values: ours_values_are_typed_and_dated, apache_values_are_typed_and_dated);

async fn values(hosts: String) {
    let client = client(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let path = path("config/values");
    // Created with its parents; a blank one at first, and not the text "None".
    let node = Node::builder(&client, &path).unwrap().json(true).open().await.unwrap();
    assert_eq!(node.value(), Some(Value::Null));
    assert_eq!(observer.get(&path).await.unwrap().0, "");
    for (written, text, read) in [
        (Value::from(42), "42", Value::from(42)),
        (483.24.into(), "483.24", Value::Decimal("483.24".parse().unwrap())),
        (true.into(), "True", true.into()),
        (Value::Null, "None", Value::Null),
        (
            zooky::jiff::civil::date(2012, 1, 13).into(),
            "2012-01-13",
            zooky::jiff::civil::date(2012, 1, 13).into(),
        ),
        (serde_json::json!({"a": [1]}).into(), "{\"a\":[1]}", serde_json::json!({"a": [1]}).into()),
        ("größer".into(), "größer", "größer".into()),
    ] {
        let stat = node.set(written).await.unwrap();
        assert_eq!(node.value(), Some(read), "{text}");
        let (data, there) = observer.get(&path).await.unwrap();
        assert_eq!((&data[..], there.version), (text.as_bytes(), stat.version));
        assert_eq!(node.last_modified(), Some(there.mtime_ms));
        assert_eq!(node.snapshot().unwrap().data, data);
    }
    // A default is for a node that is created, not for one that is there.
    let other = Node::builder(&client, &path).unwrap().default(7).open().await.unwrap();
    assert_eq!(other.value(), Some("größer".into()));
    let with_default =
        Node::builder(&client, &common::path("default")).unwrap().default(7).open().await.unwrap();
    assert_eq!(with_default.value(), Some(7.into()));
    // Raw bytes.
    node.set_data(&b"\xff\xfe"[..], -1).await.unwrap();
    assert_eq!(node.value(), Some(Value::Bytes(vec![0xff, 0xfe])));
    assert!(matches!(Node::builder(&client, "no/path"), Err(Error::NodePath { .. })));
}

backends!(changes: ours_changes_by_others_are_told, apache_changes_by_others_are_told);

async fn changes(hosts: String) {
    let (mine, others) = (client(&hosts).await, client(&hosts).await);
    let path = path("changes");
    let node = Node::builder(&mine, &path).unwrap().default(0).open().await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let subscription = node.on_change(move |state| heard.lock().unwrap().push(state.value().cloned()));
    eventually("the present value", || async { (*told.lock().unwrap() == [Some(0.into())]).then_some(()) })
        .await;

    let other = Node::open(&others, &path).await.unwrap();
    for n in 1..=20 {
        other.set(n).await.unwrap();
        shows(&node, n).await;
    }
    let last = || told.lock().unwrap().last().cloned();
    eventually("the last value", || async { (last() == Some(Some(20.into()))).then_some(()) }).await;
    drop(subscription);
    other.set(21).await.unwrap();
    shows(&node, 21).await;
    assert_eq!(last(), Some(Some(20.into())), "told after the subscription was dropped");
    // A handle that is dropped ends what follows it.
    let mut changes = node.changes();
    changes.next().await.unwrap();
    drop(node);
    assert_eq!(changes.next().await, None);
}

backends!(compare_and_set: ours_nobodys_change_is_overwritten, apache_nobodys_change_is_overwritten);

async fn compare_and_set(hosts: String) {
    let path = path("counter");
    let node = Node::builder(&client(&hosts).await, &path).unwrap().default(0).open().await.unwrap();
    let before = node.snapshot().unwrap().stat.version;
    node.set(1).await.unwrap();
    let refused = node.set_if(5, before).await.unwrap_err();
    assert!(matches!(refused, Error::Session(SessionError::BadVersion { .. })), "{refused}");
    assert!(matches!(node.set_if(5, -1).await, Err(Error::Session(SessionError::BadVersion { .. }))));
    assert_eq!(node.read().await.unwrap().value, 1.into());

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let node = Node::open(&client(&hosts).await, &path).await.unwrap();
        tasks.spawn(async move {
            for _ in 0..10 {
                node.update(|held| Value::Int(held.value.as_i64().unwrap() as i128 + 1)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    shows(&node, 41).await;
}

backends!(deletion: ours_deletion_is_a_state, apache_deletion_is_a_state);

async fn deletion(hosts: String) {
    let client = client(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let path = path("deleted");
    let node = Node::builder(&client, &path).unwrap().default(1).open().await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    node.on_change(move |state| heard.lock().unwrap().push(state.clone())).forever();

    observer.session.delete(&path, -1).await.unwrap();
    deleted(&node).await;
    assert_eq!((node.value(), node.last_modified(), node.snapshot()), (None, None, None));
    assert!(matches!(node.set(2).await, Err(Error::Session(SessionError::NoNode { .. }))));
    assert!(matches!(node.delete().await, Err(Error::Session(SessionError::NoNode { .. }))));
    // Created by another.
    observer.session.create(&path, "3", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    shows(&node, 3).await;
    // And by us.
    node.delete().await.unwrap();
    deleted(&node).await;
    node.create(4).await.unwrap();
    shows(&node, 4).await;
    assert!(matches!(node.create(5).await, Err(Error::Session(SessionError::NodeExists { .. }))));
    let count = |told: &Vec<NodeState>| told.iter().filter(|state| **state == NodeState::Deleted).count();
    eventually("the last change", || async {
        (told.lock().unwrap().last()?.value() == Some(&4.into())).then_some(())
    })
    .await;
    assert!(told.lock().unwrap().len() <= 5 && count(&told.lock().unwrap()) <= 2, "{told:?}");

    client.close().await.unwrap();
    assert!(matches!(node.set(6).await, Err(Error::Session(SessionError::Closed))));
    eventually("the end", || async { (node.state() == NodeState::Closed).then_some(()) }).await;
    assert!(!node.connected());
}

backends!(children: ours_children_are_told, apache_children_are_told);

async fn children(hosts: String) {
    let client = client(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let path = path("parent");
    let node = Node::open(&client, &path).await.unwrap();
    let mut changes = node.children_changes();
    let none: &[String] = &[];
    assert_eq!(&*changes.next().await.unwrap(), none);
    let told = Arc::new(Mutex::new(None));
    let heard = told.clone();
    let _subscription = node.on_children(move |names| *heard.lock().unwrap() = Some(names.to_vec()));
    for name in ["b", "a"] {
        observer.make(&format!("{path}/{name}")).await;
    }
    while *changes.next().await.unwrap() != ["a", "b"] {}
    assert_eq!(node.children().await.unwrap(), ["a", "b"]);
    eventually("the callback", || async {
        (told.lock().unwrap().as_deref() == Some(&["a".to_owned(), "b".to_owned()][..])).then_some(())
    })
    .await;
    for name in ["/a", "/b", ""] {
        observer.session.delete(&format!("{path}{name}"), -1).await.unwrap();
    }
    while *changes.next().await.unwrap() != *none {}
    observer.make(&format!("{path}/again")).await;
    while *changes.next().await.unwrap() != ["again"] {}
}

backends!(refusals: ours_what_is_refused_is_said, apache_what_is_refused_is_said);

async fn refusals(hosts: String) {
    let node = Node::open(&client(&hosts).await, &path("refused")).await.unwrap();
    let large = node.set("x".repeat(2 << 20)).await.unwrap_err();
    assert!(matches!(large, Error::Session(SessionError::TooLarge { .. })), "{large}");
    assert!(large.to_string().contains("store less in one node"), "{large}");
    node.set("small").await.unwrap();

    // Not ours to read; and readable later.
    let owner = Client::connect_with(common::config(&hosts).auth("digest", "ann:secret")).await.unwrap();
    let path = path("private");
    let private =
        Node::builder(&owner, &path).unwrap().with_acl(Acl::creator_all()).default(1).open().await.unwrap();
    let stranger = client(&hosts).await;
    let refused = Node::open(&stranger, &path).await.unwrap_err();
    assert!(matches!(refused, Error::Session(SessionError::NoAuth { .. })), "{refused}");
    let mut open = Acl::creator_all();
    open.push(Acl::new(perms::READ, "world", "anyone"));
    owner.current().set_acl(&path, &open, -1).await.unwrap();
    catch_up(&stranger).await;
    let seen = Node::open(&stranger, &path).await.unwrap();
    assert!(matches!(seen.set(2).await, Err(Error::Session(SessionError::NoAuth { .. }))));
    owner.current().set_acl(&path, &Acl::creator_all(), -1).await.unwrap();
    private.set(2).await.unwrap();
    // Servers send no events to those who may not read: it is noticed at the next look.
    assert_eq!(seen.value(), Some(1.into()));
    catch_up(&stranger).await;
    stranger.current().close().await.unwrap();
    eventually("that it cannot be read", || async {
        matches!(seen.state(), NodeState::Unreadable(SessionError::NoAuth { .. })).then_some(())
    })
    .await;
    owner.current().set_acl(&path, &open, -1).await.unwrap();
    shows(&seen, 2).await;
}

backends!(a_callback_that_blocks_does_not_hold_up_the_session:
    ours_a_callback_that_blocks_does_not_hold_up_the_session,
    apache_a_callback_that_blocks_does_not_hold_up_the_session);

/// One thread for everything: were the callback called on it, nothing else would go on.
async fn a_callback_that_blocks_does_not_hold_up_the_session(hosts: String) {
    on_one_thread(async move || {
        let (done, is_done) = mpsc::channel::<()>();
        let (outcome, outcomes) = mpsc::channel();
        let client = client(&hosts).await;
        let node = Node::builder(&client, &path("blocked")).unwrap().default(0).open().await.unwrap();
        let is_done = Mutex::new(is_done);
        let _subscription = node.on_change(move |_| {
            let _ = outcome.send(is_done.lock().unwrap().recv_timeout(LONG / 2).is_ok());
        });
        tokio::task::yield_now().await;
        node.set(1).await.unwrap();
        done.send(()).unwrap();
        let heard = tokio::task::spawn_blocking(move || outcomes.recv_timeout(LONG).unwrap()).await.unwrap();
        assert!(heard, "the callback held up the session");
        drop(done);
    })
    .await;
}

/// A timeout that a server's standstill outlasts.
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn ours_reconnects_and_lost_sessions_are_survived() {
    run(LONG, interruptions(Ours::start(TICK)));
}

#[test]
fn apache_reconnects_and_lost_sessions_are_survived() {
    run(2 * LONG, interruptions(apache(TICK)));
}

async fn interruptions(mut server: impl Single) {
    let hosts = server.hosts();
    let (path, mine) = (path("interrupted"), common::path("ephemeral"));
    let client = client_with_timeout(&hosts, SHORT).await;
    let node = Node::builder(&client, &path).unwrap().default(0).open().await.unwrap();
    let ephemeral = Node::builder(&client, &mine).unwrap().ephemeral().default("here").open().await.unwrap();
    let mut children = node.children_changes();
    children.next().await.unwrap();
    ephemeral.set("still here").await.unwrap();
    let first = client.current();

    // The session is lost, by its own clock, while no server is there.
    server.down();
    eventually("the loss", || async { (first.state() == State::Lost).then_some(()) }).await;
    assert!(!node.connected());
    assert_eq!(node.value(), Some(0.into()));
    server.up();
    let observer = Observer::new(&hosts).await;
    observer.session.set(&path, "1", -1).await.unwrap();
    shows(&node, 1).await;
    assert!(node.connected());
    observer.make(&format!("{path}/child")).await;
    while *children.next().await.unwrap() != ["child"] {}

    // The ephemeral node is back in the new session, with what it held last.
    eventually("the ephemeral node", || async {
        let stat = observer.exists(&mine).await.unwrap()?;
        (stat.ephemeral_owner == client.current().id() && stat.ephemeral_owner != first.id()).then_some(())
    })
    .await;
    assert_eq!(observer.get(&mine).await.unwrap().0, "still here");
    shows(&ephemeral, "still here").await;

    // A change right after the session has gone is seen by the next one.
    let second = client.current();
    second.clone().close().await.unwrap();
    observer.session.set(&path, "2", -1).await.unwrap();
    shows(&node, 2).await;
    observer.session.set(&path, "3", -1).await.unwrap();
    shows(&node, 3).await;

    // Deleted by somebody it stays deleted, also over a lost session.
    eventually("the ephemeral node again", || async {
        let stat = observer.exists(&mine).await.unwrap()?;
        (stat.ephemeral_owner == client.current().id()).then_some(())
    })
    .await;
    shows(&ephemeral, "still here").await;
    observer.session.delete(&mine, -1).await.unwrap();
    deleted(&ephemeral).await;
    client.current().close().await.unwrap();
    observer.session.set(&path, "4", -1).await.unwrap();
    shows(&node, 4).await;
    assert_eq!(observer.exists(&mine).await.unwrap(), None);
    assert_eq!(ephemeral.state(), NodeState::Deleted);
    // Nor is it created beside another's that has taken its place.
    ephemeral.create("mine").await.unwrap();
    shows(&ephemeral, "mine").await;
}

#[test]
fn ensemble_leader_killed_under_a_node() {
    let mut ensemble = Ensemble::start();
    run(2 * LONG, async {
        let hosts = ensemble.hosts();
        let path = path("leader-killed");
        let client = client(&hosts).await;
        let node = Node::builder(&client, &path).unwrap().default(0).open().await.unwrap();
        let observer = Observer::new(&hosts).await;
        observer.session.set(&path, "1", -1).await.unwrap();
        shows(&node, 1).await;
        let leader = ensemble.leader();
        ensemble.member(leader).kill();
        ensemble.leader();
        eventually("a change after the election", || async {
            observer.session.set(&path, "2", -1).await.ok().map(|_| ())
        })
        .await;
        shows(&node, 2).await;
        // The session went on: it was a reconnect.
        assert_eq!(node.value(), Some(2.into()));
        eventually("the way back", || async { node.connected().then_some(()) }).await;
    });
}
