//! Asking for a lock, and taking it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::proxy::{Proxy, op};
use common::{LONG, Observer, client, in_time, path, polled, telling};
use tokio::sync::mpsc;
use zooky::session::{Acl, CreateMode};
use zooky::{Client, Dialect, Error, GuardState, Lock, Mode, Owner, Revoke, RwLock};
use zooky_client::{EventType, TreeSink, WatchEvent};

const DIALECTS: [Dialect; 3] = [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools];

fn lock(client: &Client, path: &str, dialect: Dialect) -> Lock {
    Lock::new(client, path).unwrap().dialect(dialect).unwrap().revocable(true)
}

ensemble!();

backends!(a_holder_is_asked_in_the_words_of_its_dialect:
    ours_a_holder_is_asked_in_the_words_of_its_dialect,
    apache_a_holder_is_asked_in_the_words_of_its_dialect);

async fn a_holder_is_asked_in_the_words_of_its_dialect(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    for dialect in DIALECTS {
        let path = path("asked");
        let holder = lock(&one, &path, dialect).acquire().await.unwrap();
        let told = tokio::spawn(holder.on_revoked());
        assert!(!holder.is_revoked() && holder.has_lock().await.unwrap());
        let asker = lock(&two, &path, dialect).with_owner(Owner::this_process().with_id("asker"));
        let waiting = tokio::spawn(async move { asker.revoking(Revoke::ask()).acquire().await.unwrap() });
        holder.revoked().await;
        assert!(holder.is_revoked() && holder.state() == GuardState::Held, "it is asked, no more");
        assert!(told.await.unwrap() && !waiting.is_finished());
        let (data, _) = observer.get(holder.path()).await.unwrap();
        match dialect {
            Dialect::Curator => assert_eq!(&data[..], b"__REVOKE__"),
            Dialect::Zktools => assert_eq!(&data[..], b"unlock"),
            _ => {
                assert_eq!(Owner::from_line(&data).unwrap().pid, std::process::id());
                assert_eq!(holder.revoked_by().unwrap().id.as_deref(), Some("asker"));
            }
        }
        holder.release().await.unwrap();
        let next = waiting.await.unwrap();
        let told = next.on_revoked();
        assert!(!next.is_revoked(), "the next one is another");
        next.release().await.unwrap();
        assert!(!told.await);
        observer.count(&path, 0).await;
    }
}

backends!(who_cannot_be_asked_is_named: ours_who_cannot_be_asked_is_named, apache_who_cannot_be_asked_is_named);

async fn who_cannot_be_asked_is_named(hosts: String) {
    who_says_so_cannot_be_asked(&hosts).await;
    let path = path("deaf");
    let observer = Observer::new(&hosts).await;
    observer.make(&path).await;
    let client = client(&hosts).await;
    let lock = Lock::new(&client, &path).unwrap();
    assert!(lock.revoke_all(Revoke::ask()).await.unwrap().is_empty());
    // As stock kazoo writes it.
    let stock = format!("{path}/{}__lock__", "0123456789ab4def8123456789abcdef");
    let mode = CreateMode::EPHEMERAL_SEQUENTIAL;
    let stock = observer.session.create(&stock, "a kazoo client", mode, &Acl::open()).await.unwrap();
    let (waiter, mut waits) = telling(lock.clone().revoking(Revoke::ask()));
    let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
    waits.recv().await.unwrap();
    let answer = lock.revoke_all(Revoke::ask()).await.unwrap();
    assert_eq!((answer.deaf.len(), answer.asked.len(), answer.removed.len()), (1, 1, 0));
    assert_eq!(answer.deaf[0].path, stock.path);
    let (data, stat) = observer.get(&stock.path).await.unwrap();
    assert_eq!((&data[..], stat.version), (&b"a kazoo client"[..], 0), "it was left alone");
    observer.session.delete(&stock.path, -1).await.unwrap();
    // The waiter was asked while it waited, and says so when it holds.
    let guard = waiting.await.unwrap();
    guard.revoked().await;
    guard.release().await.unwrap();
}

async fn who_says_so_cannot_be_asked(hosts: &str) {
    let path = path("says-so");
    let client = client(hosts).await;
    let lock = Lock::new(&client, &path).unwrap();
    let holder = lock.clone().with_owner(Owner::this_process().deaf(true)).acquire().await.unwrap();
    let answer = lock.revoke_all(Revoke::ask()).await.unwrap();
    assert_eq!((answer.deaf.len(), answer.asked.len(), answer.removed.len()), (1, 0, 0));
    assert!(!holder.is_revoked());
    let answer = lock.revoke_all(Revoke::immediately()).await.unwrap();
    assert_eq!((answer.deaf.len(), answer.asked.len(), answer.removed.len()), (0, 0, 1));
    holder.lost().await;
}

backends!(an_immediate_revocation_hits_those_before_and_nobody_behind:
    ours_an_immediate_revocation_hits_those_before,
    apache_an_immediate_revocation_hits_those_before);

async fn an_immediate_revocation_hits_those_before_and_nobody_behind(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await];
    for dialect in DIALECTS {
        let path = path("immediate");
        let holder = lock(&clients[0], &path, dialect).acquire().await.unwrap();
        let (before, mut waits) = telling(lock(&clients[1], &path, dialect));
        let before = tokio::spawn(async move { before.acquire().await });
        waits.recv().await.unwrap();
        // It waits, and another comes behind it; then it takes the lock.
        let (taker, mut waits) = telling(lock(&clients[2], &path, dialect));
        let spared = Revoke::immediately().held_longer_than(Duration::from_millis(1_500));
        let taker = taker.revoking(spared);
        let begun = Instant::now();
        let taking = tokio::spawn(async move { taker.acquire().await.unwrap() });
        waits.recv().await.unwrap();
        let (behind, mut waits) = telling(lock(&clients[0], &path, dialect));
        let behind = tokio::spawn(async move { behind.acquire().await });
        waits.recv().await.unwrap();
        let last = observer.count(&path, 4).await[3].clone();

        // By the idle rule the holder goes first, and then the one that comes to the lock after it.
        holder.lost().await;
        assert!(begun.elapsed() >= Duration::from_millis(1_400), "it had held for too short a time");
        assert!(holder.is_revoked() && !holder.has_lock().await.unwrap());
        let granted = before.await.unwrap().unwrap();
        granted.lost().await;
        assert!(granted.is_revoked());
        assert!(begun.elapsed() >= Duration::from_millis(2_900), "{:?}", begun.elapsed());
        let taken = taking.await.unwrap();
        assert_eq!(observer.count(&path, 2).await[1], last, "who is behind keeps its place");
        assert!(!behind.is_finished());

        // Without the rule all those before go at once, and hear of it.
        let (taker, mut waits) = telling(lock(&clients[1], &path, dialect));
        let taker = taker.revoking(Revoke::immediately());
        let taking = tokio::spawn(async move { taker.acquire().await.unwrap() });
        let fault = behind.await.unwrap().map(|_| ()).unwrap_err();
        assert!(matches!(fault, Error::Revoked { .. }), "{fault}");
        taken.lost().await;
        let guard = taking.await.unwrap();
        guard.release().await.unwrap();
        waits.try_recv().ok();
        observer.count(&path, 0).await;
    }
}

backends!(an_acquirer_without_time_revokes_all_the_same:
    ours_an_acquirer_without_time_revokes_all_the_same,
    apache_an_acquirer_without_time_revokes_all_the_same);

/// As zktools' `acquire(timeout=0, revoke=...)` does.
async fn an_acquirer_without_time_revokes_all_the_same(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let clients = [client(&hosts).await, client(&hosts).await];
    for dialect in DIALECTS {
        let path = path("no-time");
        let holder = lock(&clients[0], &path, dialect).revocable(true).acquire().await.unwrap();
        let asking = lock(&clients[1], &path, dialect).revoking(Revoke::ask());
        assert!(asking.try_acquire().await.unwrap().is_none());
        let (_, stat) = observer.get(holder.path()).await.unwrap();
        assert_eq!(stat.version, 0, "{dialect}: a try asks nobody");
        let fault = asking.acquire_timeout(Duration::ZERO).await.unwrap_err();
        assert!(matches!(&fault, Error::Timeout { holder: Some(_), .. }), "{fault}");
        holder.revoked().await;
        observer.count(&path, 1).await;

        let spared = Revoke::immediately().held_longer_than(Duration::from_secs(3600));
        let fault = lock(&clients[1], &path, dialect)
            .revoking(spared)
            .acquire_timeout(Duration::ZERO)
            .await
            .unwrap_err();
        assert!(matches!(fault, Error::Timeout { .. }), "{fault}");
        assert!(holder.is_held());
        let taking = lock(&clients[1], &path, dialect).revoking(Revoke::immediately());
        let guard = taking.acquire_timeout(Duration::ZERO).await.unwrap();
        holder.lost().await;
        guard.release().await.unwrap();
        observer.count(&path, 0).await;
    }
}

backends!(a_waiter_that_is_removed_by_force_is_told: ours_a_waiter_that_is_removed_is_told, apache_a_waiter_that_is_removed_is_told);

async fn a_waiter_that_is_removed_by_force_is_told(hosts: String) {
    let path = path("removed");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let (sender, mut asked) = mpsc::unbounded_channel();
    let (waiter, mut waits) = telling(Lock::new(&two, &path).unwrap());
    let waiter = waiter.on_revoked(move || sender.send(()).unwrap());
    let waiting = tokio::spawn(async move { waiter.acquire().await });
    waits.recv().await.unwrap();
    let lock = Lock::new(&one, &path).unwrap();
    assert_eq!(lock.revoke_all(Revoke::ask()).await.unwrap().asked.len(), 2);
    asked.recv().await.expect("it hears of it while it waits");
    assert!(!waiting.is_finished());
    // Removed by somebody, it joins again; revoked immediately, it does not.
    let node = format!("{path}/{}", observer.count(&path, 2).await[1]);
    observer.session.delete(&node, -1).await.unwrap();
    common::eventually("the waiter to join again", || async {
        let children = observer.children(&path).await;
        (children.len() == 2 && !node.ends_with(&children[1])).then_some(())
    })
    .await;
    assert_eq!(lock.clear().await.unwrap(), 2);
    holder.lost().await;
    let fault = in_time(LONG / 2, "the waiter to be told", waiting).await.unwrap().unwrap_err();
    assert!(matches!(fault, Error::Revoked { .. }), "{fault}");
    assert_eq!((lock.clear().await.unwrap(), observer.children(&path).await.len()), (0, 0));
}

backends!(a_waiter_that_is_removed_before_it_looks_is_told: ours_a_waiter_that_is_removed_before_it_looks_is_told, apache_a_waiter_that_is_removed_before_it_looks_is_told);

async fn a_waiter_that_is_removed_before_it_looks_is_told(hosts: String) {
    let path = path("removed-at-once");
    let observer = Observer::new(&hosts).await;
    let one = client(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let two = client(&proxy.hosts()).await;
    let lock = Lock::new(&one, &path).unwrap();
    let holder = lock.acquire().await.unwrap();
    let waiter = Lock::new(&two, &path).unwrap().revocable(true);
    proxy.withhold_at(op::GET_CHILDREN);
    let waiting = tokio::spawn(async move { waiter.acquire().await });
    proxy.withheld().await;
    observer.count(&path, 2).await;
    assert_eq!(lock.clear().await.unwrap(), 2);
    proxy.deliver();
    holder.lost().await;
    let fault = in_time(LONG / 2, "the waiter to be told", waiting).await.unwrap().unwrap_err();
    assert!(matches!(fault, Error::Revoked { .. }), "{fault}");
}

/// The names of the nodes that are deleted, in their order.
#[derive(Default)]
struct Deletions(Mutex<Vec<String>>);

impl TreeSink for Deletions {
    fn event(&self, event: Result<WatchEvent, zooky::session::Error>) {
        let event = event.unwrap();
        if event.kind == EventType::DELETED {
            let name = event.path.rsplit('/').next().unwrap();
            self.0.lock().unwrap().push(name.to_owned());
        }
    }
}

backends!(an_immediate_revocation_begins_at_the_end:
    ours_an_immediate_revocation_begins_at_the_end,
    apache_an_immediate_revocation_begins_at_the_end);

/// At no moment is one who is about to be removed the first in the queue: it would be granted the lock.
async fn an_immediate_revocation_begins_at_the_end(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for by_an_acquirer in [false, true] {
        let path = path("backwards");
        let holder = lock(&client, &path, Dialect::Kazoo).acquire().await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let (waiter, mut waits) = telling(lock(&client, &path, Dialect::Kazoo));
            waiting.push(tokio::spawn(async move { waiter.acquire().await }));
            waits.recv().await.unwrap();
        }
        let mut removed = observer.count(&path, 3).await;
        removed.reverse();
        let deletions = Arc::<Deletions>::default();
        let (_watch, set) = observer.session.watch_tree(&path, deletions.clone());
        set.await.unwrap();
        let taker = lock(&client, &path, Dialect::Kazoo);
        let taken = if by_an_acquirer {
            Some(taker.revoking(Revoke::immediately()).acquire().await.unwrap())
        } else {
            assert_eq!(taker.clear().await.unwrap(), 3);
            None
        };
        observer.session.sync(&path).await.unwrap();
        assert_eq!(*deletions.0.lock().unwrap(), removed, "by an acquirer: {by_an_acquirer}");
        holder.lost().await;
        for waiting in waiting {
            let fault = waiting.await.unwrap().map(|_| ()).unwrap_err();
            assert!(matches!(fault, Error::Revoked { .. }), "{fault}");
        }
        drop(taken);
    }
}

backends!(contenders_come_in_order_with_their_ages: ours_contenders_come_in_order, apache_contenders_come_in_order);

async fn contenders_come_in_order_with_their_ages(hosts: String) {
    let path = path("contenders");
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let lock = RwLock::new(&one, &path).unwrap().with_owner(Owner::this_process().with_id("reader"));
    assert!(lock.contenders().await.unwrap().is_empty());
    let begun = Instant::now();
    let reading = lock.read().await.unwrap();
    let (writer, mut waits) = common::telling_rw(RwLock::new(&two, &path).unwrap());
    let waiting = tokio::spawn(async move { writer.write().await.unwrap() });
    waits.recv().await.unwrap();
    common::eventually("a second to pass", || async { (begun.elapsed().as_secs() >= 1).then_some(()) }).await;
    let standings = lock.contenders().await.unwrap();
    let seen: Vec<_> = standings.iter().map(|one| (one.contender.mode, one.contender.holding)).collect();
    assert_eq!(seen, [(Mode::Shared, Some(true)), (Mode::Exclusive, Some(false))]);
    let first = &standings[0];
    assert_eq!(first.contender.owner.as_ref().unwrap().id.as_deref(), Some("reader"));
    assert!(first.by_server_clock && first.age >= standings[1].age);
    let (least, most) = (Duration::from_millis(500), begun.elapsed() + Duration::from_millis(100));
    assert!((least..=most).contains(&first.age), "{:?} of {most:?}", first.age);
    // Those who have held for long are asked, others are not.
    let long = lock.revoke_all(Revoke::ask().held_longer_than(Duration::from_secs(3_600))).await.unwrap();
    assert!(long.is_empty());
    let short = lock.revoke_all(Revoke::ask().held_longer_than(Duration::from_millis(200))).await.unwrap();
    assert_eq!(short.asked.iter().map(|one| &one.path).collect::<Vec<_>>(), [reading.path()]);
    reading.revoked().await;
    reading.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
}

backends!(a_dropped_revocation_leaves_nothing: ours_a_dropped_revocation_leaves_nothing, apache_a_dropped_revocation_leaves_nothing);

async fn a_dropped_revocation_leaves_nothing(hosts: String) {
    let path = path("dropped");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = two.session().await.unwrap();
    for how in [Revoke::ask(), Revoke::immediately()] {
        for polls in 0.. {
            assert!(polls < 100, "it is never ready");
            let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
            let leaving = tokio::spawn(async move {
                // It lets go when it is asked, and is over when it is lost.
                tokio::select! {
                    () = holder.revoked() => {}
                    () = holder.lost() => {}
                    () = tokio::time::sleep(Duration::from_millis(300)) => {}
                }
            });
            let lock = Lock::new(&two, &path).unwrap().revocable(true).revoking(how);
            let done = polled(lock.acquire(), polls).await;
            let ready = done.is_some();
            drop(done.map(Result::unwrap));
            leaving.await.unwrap();
            session.sync("/").await.unwrap();
            observer.count(&path, 0).await;
            if ready {
                break;
            }
        }
    }
}
