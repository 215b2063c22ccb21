//! Locks whose queue is mirrored: what passes over the wire, and that no mirror is believed when it must not be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::proxy::{Proxy, op};
use common::{LONG, Observer, client, client_with_timeout, config, eventually, in_time, path};
use tokio::task::{JoinHandle, JoinSet};
use zooky::session::{CreateMode, Error as SessionError, EventType, Session, State, TreeSink, WatchEvent};
use zooky::{Acl, Client, Dialect, Error, Guard, Lock, PersistentLock, RwLock};

/// A lock seen by a client behind a proxy, by one that has its own connection, and by an observer.
struct Play {
    proxy: Proxy,
    client: Client,
    ours: Lock,
    theirs: Lock,
    observer: Observer,
}

impl Play {
    /// The client behind the proxy keeps a mirror.
    async fn begin(hosts: &str, name: &str) -> Play {
        let (proxy, path) = (Proxy::start(hosts).await, path(name));
        let client = client_with_timeout(&proxy.hosts(), Duration::from_secs(4)).await;
        let ours = Lock::new(&client, &path).unwrap();
        let theirs = Lock::new(&common::client(hosts).await, &path).unwrap();
        let observer = Observer::new(hosts).await;
        observer.make(&path).await;
        let play = Play { proxy, client, ours, theirs, observer };
        play.use_it().await;
        eventually("a mirror", || async {
            let mirrored = play.is_mirrored().await;
            if !mirrored {
                play.use_it().await;
            }
            mirrored.then_some(())
        })
        .await;
        play
    }

    /// Several wait at once, again and again.
    async fn use_it(&self) {
        wait_together(&self.theirs, &self.ours, &self.observer).await;
    }

    /// Whether a free lock is taken without a listing.
    async fn is_mirrored(&self) -> bool {
        self.proxy.forget();
        self.ours.acquire().await.unwrap().release().await.unwrap();
        let seen = self.proxy.requests();
        !seen.contains(&op::GET_CHILDREN) && !seen.contains(&op::GET_CHILDREN2)
    }

    /// Our client waits, or is granted, in a task.
    fn acquiring(&self) -> JoinHandle<Result<Guard, Error>> {
        let ours = self.ours.clone();
        tokio::spawn(async move { ours.acquire().await })
    }

    async fn disconnect(&self) {
        self.proxy.refuse();
        let session = self.client.current();
        eventually("the disconnect", || async { (session.state() != State::Connected).then_some(()) }).await;
    }

    /// Creates a child that is somebody else's.
    async fn intrude(&self, child: &str, mode: CreateMode) -> String {
        let path = format!("{}/{child}", self.ours.path());
        self.observer.session.create(&path, "", mode, &Acl::open()).await.unwrap().path
    }

    async fn remove(&self, path: &str) {
        self.observer.session.delete(path, -1).await.unwrap();
    }
}

/// Six contenders of one client wait for the same lock.
async fn wait_together(theirs: &Lock, ours: &Lock, observer: &Observer) {
    let holder = theirs.acquire().await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..6 {
        let ours = ours.clone();
        waiting.spawn(async move { ours.acquire().await.unwrap().release().await.unwrap() });
    }
    observer.count(ours.path(), 7).await;
    holder.release().await.unwrap();
    while let Some(served) = in_time(LONG / 2, "all to be served", waiting.join_next()).await {
        served.unwrap();
    }
}

async fn granted(task: JoinHandle<Result<Guard, Error>>) -> Guard {
    in_time(LONG / 2, "the grant", task).await.unwrap().unwrap()
}

ensemble!();

backends!(a_mirrored_lock_costs_a_create_and_a_delete:
    ours_a_mirrored_lock_costs_a_create_and_a_delete,
    apache_a_mirrored_lock_costs_a_create_and_a_delete);

async fn a_mirrored_lock_costs_a_create_and_a_delete(hosts: String) {
    let play = Play::begin(&hosts, "mirrored").await;
    let holder = play.theirs.acquire().await.unwrap();
    play.proxy.forget();
    let waiting = play.acquiring();
    play.observer.count(play.ours.path(), 2).await;
    holder.release().await.unwrap();
    let guard = granted(waiting).await;
    guard.release().await.unwrap();
    let mut seen = play.proxy.requests();
    // A guard that is held for some time looks after its own node.
    seen.retain(|&op| op != op::GET_DATA);
    assert_eq!(seen, [op::CREATE2, op::DELETE]);
    // Nobody uses it any more: then it costs nothing any more either.
    eventually("the watch's removal", || async {
        play.proxy.requests().contains(&op::REMOVE_WATCHES).then_some(())
    })
    .await;
    assert!(!play.is_mirrored().await);
}

backends!(a_mirrored_waiter_looks_again_after_a_disconnect:
    ours_a_mirrored_waiter_looks_again_after_a_disconnect,
    apache_a_mirrored_waiter_looks_again_after_a_disconnect);

async fn a_mirrored_waiter_looks_again_after_a_disconnect(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-disconnect").await;
    let holder = play.theirs.acquire().await.unwrap();
    play.proxy.forget();
    let waiting = play.acquiring();
    play.proxy.wait_for(&[op::CREATE2]).await;
    play.observer.count(play.ours.path(), 2).await;
    let session = play.client.current().id();
    play.disconnect().await;
    // Nobody tells the mirror.
    holder.release().await.unwrap();
    play.proxy.admit();
    let guard = granted(waiting).await;
    assert_eq!(play.client.current().id(), session, "the session goes on");
    guard.release().await.unwrap();
}

backends!(whoever_came_during_a_disconnect_is_waited_for:
    ours_whoever_came_during_a_disconnect_is_waited_for,
    apache_whoever_came_during_a_disconnect_is_waited_for);

async fn whoever_came_during_a_disconnect_is_waited_for(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-gap").await;
    play.disconnect().await;
    let holder = play.theirs.acquire().await.unwrap();
    play.proxy.admit();
    let waiting = play.acquiring();
    play.observer.count(play.ours.path(), 2).await;
    let session = play.client.current();
    // Everything that was asked before is answered by then.
    for _ in 0..3 {
        eventually("a connection", || async { session.sync("/").await.ok() }).await;
    }
    assert!(!waiting.is_finished(), "two hold the lock");
    let token = holder.fencing_token();
    holder.release().await.unwrap();
    let guard = granted(waiting).await;
    assert!(guard.fencing_token() > token);
    guard.release().await.unwrap();
}

backends!(a_mirrored_waiter_whose_session_is_lost_joins_again:
    ours_a_mirrored_waiter_whose_session_is_lost_joins_again,
    apache_a_mirrored_waiter_whose_session_is_lost_joins_again);

async fn a_mirrored_waiter_whose_session_is_lost_joins_again(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-loss").await;
    let holder = play.theirs.acquire().await.unwrap();
    let waiting = play.acquiring();
    let [_, old] = &play.observer.count(play.ours.path(), 2).await[..] else { panic!() };
    let lost = play.client.current();
    play.disconnect().await;
    lost.lost().await;
    play.observer.count(play.ours.path(), 1).await;
    play.proxy.admit();
    let [_, new] = &play.observer.count(play.ours.path(), 2).await[..] else { panic!() };
    assert_eq!(old[..16], new[..16], "one client");
    assert_ne!(old[..32], new[..32], "another contender");
    assert!(!waiting.is_finished());
    holder.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

backends!(a_directory_that_was_made_anew_is_listed_anew:
    ours_a_directory_that_was_made_anew_is_listed_anew,
    apache_a_directory_that_was_made_anew_is_listed_anew);

async fn a_directory_that_was_made_anew_is_listed_anew(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-anew").await;
    play.remove(play.ours.path()).await;
    play.observer.make(play.ours.path()).await;
    // Its numbers start again, at those that the mirror has seen.
    let holder = play.theirs.acquire().await.unwrap();
    let waiting = play.acquiring();
    play.observer.count(play.ours.path(), 2).await;
    play.client.current().sync("/").await.unwrap();
    assert!(!waiting.is_finished(), "two hold the lock");
    holder.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

backends!(strangers_are_refused_by_a_mirror_too:
    ours_strangers_are_refused_by_a_mirror_too,
    apache_strangers_are_refused_by_a_mirror_too);

async fn strangers_are_refused_by_a_mirror_too(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-strangers").await;
    let curator = "_c_01234567-89ab-4def-8123-456789abcdef-lock-";
    let stranger = play.intrude(curator, CreateMode::EPHEMERAL_SEQUENTIAL).await;
    let refused = play.acquiring().await.unwrap();
    assert!(matches!(refused, Err(Error::ForeignContender { dialect: Dialect::Curator, .. })), "{refused:?}");
    play.remove(&stranger).await;
    let stranger = play.intrude("config", CreateMode::PERSISTENT).await;
    let refused = play.acquiring().await.unwrap();
    assert!(matches!(&refused, Err(Error::UnknownChild { child, .. }) if child == "config"), "{refused:?}");
    play.remove(&stranger).await;
    play.observer.count(play.ours.path(), 0).await;
    play.client.current().sync("/").await.unwrap();
    assert!(play.is_mirrored().await, "the mirror is still true");
}

/// What Curator calls a contender for its semaphore: no lock of ours waits for it, nor it for ours.
const STRANGER: &str = "_c_01234567-89ab-cdef-0123-456789abcdef-lease-";

backends!(a_holder_hears_of_strangers_by_the_mirror:
    ours_a_holder_hears_of_strangers_by_the_mirror,
    apache_a_holder_hears_of_strangers_by_the_mirror);

/// A watch on the children, for the holder's sake, would take the place of the mirror's on the server.
async fn a_holder_hears_of_strangers_by_the_mirror(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-look-out").await;
    let guard = play.ours.acquire().await.unwrap();
    play.proxy.forget();
    let stranger = play.intrude(STRANGER, CreateMode::EPHEMERAL_SEQUENTIAL).await;
    assert_eq!(guard.foreign().await.path, stranger);
    let seen = play.proxy.requests();
    assert!(!seen.contains(&op::GET_CHILDREN) && !seen.contains(&op::GET_CHILDREN2), "{seen:?}");
    play.remove(&stranger).await;
    play.observer.count(play.ours.path(), 1).await;
    guard.release().await.unwrap();
}

backends!(a_holders_look_out_makes_way_for_a_mirror:
    ours_a_holders_look_out_makes_way_for_a_mirror,
    apache_a_holders_look_out_makes_way_for_a_mirror);

/// Nothing happens in the directory while the mirror is wanted: the look-out's watch would stay in its way for ever.
async fn a_holders_look_out_makes_way_for_a_mirror(hosts: String) {
    let (proxy, path) = (Proxy::start(&hosts).await, path("mirror-begun-late"));
    let lock = Lock::new(&client(&proxy.hosts()).await, &path).unwrap();
    let guard = lock.acquire().await.unwrap();
    proxy.forget();
    let listings = || proxy.requests().iter().filter(|&&op| op == op::GET_CHILDREN).count();
    let look_out = |expected| async move { (listings() == expected).then_some(()) };
    eventually("the look-out", || look_out(1)).await;
    // They wait all the time: that is what makes a mirror worth while. Each lists once, and then the look-out does.
    let mut waiting = JoinSet::new();
    for n in 1..3 {
        let lock = lock.clone();
        waiting.spawn(async move { drop(lock.acquire().await) });
        eventually("the look-out's next look", || look_out(1 + 2 * n)).await;
    }
    assert!(!proxy.requests().contains(&op::ADD_WATCH), "a mirror is not wanted yet");
    eventually("a mirror", || async {
        // A look changes nothing in the directory.
        let waits = lock.try_acquire().await.unwrap().is_none();
        (waits && proxy.requests().contains(&op::ADD_WATCH)).then_some(())
    })
    .await;
    waiting.abort_all();
    while waiting.join_next().await.is_some() {}
    let observer = Observer::new(&hosts).await;
    let stranger = format!("{path}/{STRANGER}");
    let stranger = observer.session.create(&stranger, "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open());
    let stranger = stranger.await.unwrap().path;
    assert_eq!(guard.foreign().await.path, stranger);
    guard.release().await.unwrap();
}

backends!(a_contender_that_may_not_be_seen_is_not_passed_over:
    ours_a_contender_that_may_not_be_seen_is_not_passed_over,
    apache_a_contender_that_may_not_be_seen_is_not_passed_over);

/// Servers tell nobody of a node that they may not read; a listing of the directory shows it all the same.
async fn a_contender_that_may_not_be_seen_is_not_passed_over(hosts: String) {
    let play = Play::begin(&hosts, "mirrored-hidden").await;
    let secret = Session::connect(config(&hosts).auth("digest", "somebody:else")).await.unwrap();
    let hidden = format!("{}/9f1c2d3e4b5a4c7d8e9f0a1b2c3d4e5f__lock__", play.ours.path());
    let hidden =
        secret.create(&hidden, "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::creator_all()).await.unwrap();
    let mut waiting = play.acquiring();
    // Where it may be watched, it is waited for; else there is an error.
    match tokio::time::timeout(Duration::from_secs(1), &mut waiting).await {
        Ok(over) => assert!(over.unwrap().is_err(), "two hold the lock"),
        Err(_) => waiting.abort(),
    }
    secret.delete(&hidden.path, -1).await.unwrap();
    play.observer.count(play.ours.path(), 0).await;
    granted(play.acquiring()).await.release().await.unwrap();
}

/// What a recursive watch was told: how, and of which name.
#[derive(Default)]
struct Told(Mutex<Vec<(EventType, String)>>);

impl TreeSink for Told {
    fn event(&self, event: Result<WatchEvent, SessionError>) {
        let Ok(WatchEvent { kind, path, .. }) = event else { return };
        let name = path.rsplit('/').next().unwrap().to_owned();
        self.0.lock().unwrap().push((kind, name));
    }
}

backends!(the_events_of_a_transaction_come_in_its_order:
    ours_the_events_of_a_transaction_come_in_its_order,
    apache_the_events_of_a_transaction_come_in_its_order);

/// Whoever changes sides or stays behind is in the queue at each event: that is what `core/swap.rs` relies on.
async fn the_events_of_a_transaction_come_in_its_order(hosts: String) {
    let (client, observer) = (client(&hosts).await, Observer::new(&hosts).await);
    let path = path("order");
    observer.make(&path).await;
    let told = Arc::new(Told::default());
    let (_watch, set) = observer.session.watch_tree(&path, told.clone());
    set.await.unwrap();
    let sorted = |name: &str| name[name.len() - 10..].to_owned();
    let (made, gone) = (EventType::CREATED, EventType::DELETED);

    let writing = RwLock::new(&client, &path).unwrap().write().await.unwrap();
    let reading = writing.downgrade().await.unwrap();
    let writing = reading.upgrade().await.unwrap();
    writing.release().await.unwrap();
    let lock = PersistentLock::new(&client, &path, "key").unwrap();
    lock.acquire().await.unwrap().release().await.unwrap();
    // An event comes before the answer that shows what follows it.
    observer.count(&path, 0).await;
    let told = std::mem::take(&mut *told.0.lock().unwrap());
    let events: Vec<_> = told.iter().map(|(kind, name)| (*kind, sorted(name))).collect();
    let number = |n: u32| format!("{n:010}");
    // The second node has the first one's number, and takes one all the same; so does the third.
    let (held, mark, kept) = (number(0), number(2), number(4));
    let expected = [
        (made, &held), // the writer
        (made, &held), // the reader, before the writer goes
        (gone, &held),
        (made, &mark),
        (made, &held), // the writer, before the reader goes
        (gone, &held),
        (gone, &mark),
        (gone, &held),
        (made, &kept), // ephemeral
        (made, &kept), // one that stands in for it
        (gone, &kept),
        (made, &kept), // persistent
        (gone, &kept),
        (gone, &kept),
    ];
    assert_eq!(events, expected.map(|(kind, number)| (kind, number.clone())), "{told:#?}");
    let name = |at: usize| &told[at].1;
    assert_eq!((name(2), name(5), name(6), name(7)), (name(0), name(1), name(3), name(0)));
    assert_eq!((name(10), name(11), name(12), name(13)), (name(8), name(8), name(9), name(8)));
}

backends!(servers_without_recursive_watches_are_listed:
    ours_servers_without_recursive_watches_are_listed,
    apache_servers_without_recursive_watches_are_listed);

async fn servers_without_recursive_watches_are_listed(hosts: String) {
    let proxy = Proxy::start(&hosts).await;
    proxy.hide_operation(op::ADD_WATCH);
    let path = path("old-server");
    let (observer, through) = (Observer::new(&hosts).await, client(&proxy.hosts()).await);
    let lock = Lock::new(&through, &path).unwrap();
    for round in 0..3 {
        wait_together(&lock, &lock, &observer).await;
        let asked = proxy.requests().iter().filter(|&&op| op == op::ADD_WATCH).count();
        // The server hangs up behind its answer, which may be lost with that: then it is asked once more.
        assert!((1..=3).contains(&asked), "asked {asked} times in round {round}");
    }
}
