//! A reader becomes the writer and a writer a reader, without a gap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::proxy::{Cut, Proxy, op};
use common::{LONG, Observer, Resource, client, in_time, path, polled, telling_rw};
use tokio::task::JoinSet;
use zooky::{Dialect, Error, GuardState, Handover, Lock, Mode, RwLock};
use zooky_testkit::Mode as Entering;

const DIALECTS: [Dialect; 3] = [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools];

fn number(path: &str) -> &str {
    &path[path.len() - 10..]
}

ensemble!();

backends!(a_downgrade_lets_no_queued_writer_in:
    ours_a_downgrade_lets_no_queued_writer_in,
    apache_a_downgrade_lets_no_queued_writer_in);

async fn a_downgrade_lets_no_queued_writer_in(hosts: String) {
    let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await];
    let observer = Observer::new(&hosts).await;
    // Right behind the writer, the queued one is the next to come in; with a reader in between it is not.
    for (dialect, between) in DIALECTS.into_iter().flat_map(|dialect| [(dialect, false), (dialect, true)]) {
        let path = path("downgrade");
        let lock = |n: usize| RwLock::new(&clients[n], &path).unwrap().dialect(dialect).unwrap();
        let writing = lock(0).write().await.unwrap();
        let mut early = None;
        if between {
            let (reader, mut waits) = telling_rw(lock(1));
            early = Some(tokio::spawn(async move { reader.read().await.unwrap() }));
            waits.recv().await.unwrap();
        }
        let (writer, mut waits) = telling_rw(lock(2));
        let queued = tokio::spawn(async move { writer.write().await.unwrap() });
        waits.recv().await.unwrap();

        let (old, token) = (writing.path().to_owned(), writing.fencing_token());
        let lost = tokio::spawn(writing.on_lost());
        let reading = writing.downgrade().await.unwrap();
        assert_eq!((reading.mode(), reading.state()), (Mode::Shared, GuardState::Held));
        assert_eq!(number(reading.path()), number(&old), "the same place in the queue");
        assert!(reading.fencing_token() > token);
        assert!(observer.exists(&old).await.unwrap().is_none());
        // Who read behind the writer now reads beside; who would write still waits.
        assert!(lock(1).try_read().await.unwrap().is_none() && !queued.is_finished());
        if let Some(early) = early {
            early.await.unwrap().release().await.unwrap();
        }
        assert!(!queued.is_finished());
        reading.release().await.unwrap();
        queued.await.unwrap().release().await.unwrap();
        assert!(!lost.await.unwrap(), "it was never lost");
        observer.count(&path, 0).await;
    }
}

backends!(an_upgrade_waits_for_readers_and_passes_queued_writers:
    ours_an_upgrade_waits_for_readers_and_passes_queued_writers,
    apache_an_upgrade_waits_for_readers_and_passes_queued_writers);

async fn an_upgrade_waits_for_readers_and_passes_queued_writers(hosts: String) {
    let clients = [client(&hosts).await, client(&hosts).await, client(&hosts).await, client(&hosts).await];
    let observer = Observer::new(&hosts).await;
    for dialect in DIALECTS {
        let (path, resource) = (path("upgrade"), Resource::new());
        let lock = |n: usize| RwLock::new(&clients[n], &path).unwrap().dialect(dialect).unwrap();
        let enter = |guard: &zooky::Guard, mode| {
            drop(resource.register.enter(guard.fencing_token().as_u128(), mode, "").expect("it is let in"));
        };
        let (upgrader, mut upgrader_waits) = telling_rw(lock(0));
        let first = upgrader.read().await.unwrap();
        let second = lock(1).read().await.unwrap();
        enter(&first, Entering::Read);
        enter(&second, Entering::Read);
        let (writer, mut waits) = telling_rw(lock(2));
        let queued = tokio::spawn(async move { writer.write().await.unwrap() });
        waits.recv().await.unwrap();

        let (old, token) = (first.path().to_owned(), first.fencing_token());
        let upgrading = tokio::spawn(first.upgrade());
        assert_eq!(upgrader_waits.recv().await.unwrap().path, second.path());
        // It keeps new readers out.
        assert!(lock(3).try_read().await.unwrap().is_none() && !upgrading.is_finished());
        second.release().await.unwrap();
        let written = upgrading.await.unwrap().unwrap();
        assert_eq!((written.mode(), written.state()), (Mode::Exclusive, GuardState::Held));
        assert_eq!(number(written.path()), number(&old), "the same place in the queue");
        assert!(written.fencing_token() > token);
        // Larger than the token of the reader that came after it, which the resource has seen.
        enter(&written, Entering::Write);
        assert!(!queued.is_finished());
        assert_eq!(observer.count(&path, 2).await.len(), 2, "its mark is gone");
        let token = written.fencing_token();
        written.release().await.unwrap();
        let next = queued.await.unwrap();
        assert!(next.fencing_token() > token);
        enter(&next, Entering::Write);
        next.release().await.unwrap();
        observer.count(&path, 0).await;
    }
}

backends!(of_two_upgrades_one_is_refused_at_once:
    ours_of_two_upgrades_one_is_refused_at_once,
    apache_of_two_upgrades_one_is_refused_at_once);

async fn of_two_upgrades_one_is_refused_at_once(hosts: String) {
    let clients = [client(&hosts).await, client(&hosts).await];
    let observer = Observer::new(&hosts).await;
    for together in [false, true] {
        let path = path("two-upgrades");
        let lock = |n: usize| RwLock::new(&clients[n], &path).unwrap();
        let (upgrader, mut waits) = telling_rw(lock(0));
        let (one, two) = (upgrader.read().await.unwrap(), lock(1).read().await.unwrap());
        let (one, two) = if together {
            let (mut one, mut two) = (tokio::spawn(one.upgrade()), tokio::spawn(two.upgrade()));
            // Whoever is refused lets go, and so the other gets on.
            tokio::select! {
                one = &mut one => (one.unwrap().unwrap_err(), two),
                two = &mut two => (two.unwrap().unwrap_err(), one),
            }
        } else {
            let one = tokio::spawn(one.upgrade());
            assert_eq!(waits.recv().await.unwrap().path, two.path());
            let refused = in_time(LONG / 4, "the refusal", two.upgrade()).await;
            (refused.unwrap_err(), one)
        };
        assert!(matches!(one.fault, Error::UpgradeConflict { .. }), "{}", one.fault);
        assert_eq!((one.guard.mode(), one.guard.state()), (Mode::Shared, GuardState::Held));
        assert!(!two.is_finished());
        one.guard.release().await.unwrap();
        let written = two.await.unwrap().unwrap();
        assert_eq!(written.mode(), Mode::Exclusive);
        written.release().await.unwrap();
        observer.count(&path, 0).await;
    }
}

backends!(an_upgrade_in_vain_keeps_the_reader: ours_an_upgrade_in_vain_keeps_the_reader, apache_an_upgrade_in_vain_keeps_the_reader);

async fn an_upgrade_in_vain_keeps_the_reader(hosts: String) {
    let path = path("in-vain");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = RwLock::new(&client, &path).unwrap();
    let other = lock.read().await.unwrap();
    let mut guard = lock.read().await.unwrap();
    let token = guard.fencing_token();
    for limit in [Duration::ZERO, Duration::from_millis(300)] {
        let Err(unchanged) = guard.upgrade_timeout(limit).await else { panic!("beside a reader") };
        let Error::Timeout { holder: Some(holder), .. } = &unchanged.fault else {
            panic!("{}", unchanged.fault)
        };
        assert_eq!(holder.path, other.path());
        guard = unchanged.guard;
        assert_eq!((guard.state(), guard.fencing_token()), (GuardState::Held, token));
        observer.count(&path, 2).await;
        // The mark is gone: readers come in again.
        lock.try_read().await.unwrap().expect("nobody writes").release().await.unwrap();
    }
    // Its node is still minded.
    observer.session.delete(guard.path(), -1).await.unwrap();
    guard.lost().await;
    let unchanged = guard.upgrade().await.unwrap_err();
    assert!(matches!(unchanged.fault, Error::Lost { .. }));
    drop(unchanged);
    other.release().await.unwrap();

    let plain = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    let unchanged = plain.downgrade().await.unwrap_err();
    assert!(matches!(unchanged.fault, Error::Unchangeable { .. }));
    let unchanged = unchanged.guard.upgrade().await.unwrap_err();
    assert!(matches!(unchanged.fault, Error::Unchangeable { .. }));
    unchanged.guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_dropped_change_leaves_nothing: ours_a_dropped_change_leaves_nothing, apache_a_dropped_change_leaves_nothing);

async fn a_dropped_change_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = one.session().await.unwrap();
    let path = path("dropped");
    for what in ["upgrade", "upgrade behind a reader", "downgrade", "upgrade of one who shares"] {
        for polls in 0.. {
            assert!(polls < 100, "it is never ready");
            let mut lock = RwLock::new(&one, &path).unwrap();
            if what == "upgrade of one who shares" {
                lock = lock.local_handover(Handover::DEFAULT);
            }
            let (lock, mut waits) = telling_rw(lock);
            let other = match what {
                "upgrade behind a reader" => Some(RwLock::new(&two, &path).unwrap().read().await.unwrap()),
                "upgrade of one who shares" => Some(lock.read().await.unwrap()),
                _ => None,
            };
            // Once it waits, the other leaves: so the polls go on through the whole way.
            let leaving = tokio::spawn(async move {
                if what == "upgrade behind a reader" {
                    waits.recv().await;
                } else {
                    tokio::task::yield_now().await;
                }
                drop(other);
            });
            let ready = if what == "downgrade" {
                let guard = lock.write().await.unwrap();
                polled(guard.downgrade(), polls).await.map(|guard| drop(guard.unwrap())).is_some()
            } else {
                let guard = lock.read().await.unwrap();
                polled(guard.upgrade(), polls).await.map(|guard| drop(guard.unwrap())).is_some()
            };
            drop(lock);
            leaving.await.unwrap();
            session.sync("/").await.unwrap();
            observer.count(&path, 0).await;
            if ready {
                assert!(polls > 1, "{what}");
                break;
            }
        }
    }
}

backends!(a_change_whose_answer_is_lost_is_looked_up: ours_a_change_whose_answer_is_lost, apache_a_change_whose_answer_is_lost);

async fn a_change_whose_answer_is_lost_is_looked_up(hosts: String) {
    let path = path("lost-answer");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let lock = RwLock::new(&client, &path).unwrap();
    let mut cuts = 0;
    for cut in
        [Cut::Reply(op::MULTI), Cut::Request(op::MULTI), Cut::Reply(op::CREATE2), Cut::Request(op::CREATE2)]
    {
        let reading = lock.read().await.unwrap();
        let token = reading.fencing_token();
        proxy.cut(cut);
        let written = reading.upgrade().await.unwrap();
        cuts += 1;
        assert_eq!(
            (proxy.cuts(), written.mode(), written.is_held()),
            (cuts, Mode::Exclusive, true),
            "{cut:?}"
        );
        assert!(written.fencing_token() > token);
        let [only] = &observer.count(&path, 1).await[..] else { panic!() };
        assert_eq!(written.path(), format!("{path}/{only}"));

        if matches!(cut, Cut::Reply(op::MULTI) | Cut::Request(op::MULTI)) {
            proxy.cut(cut);
            cuts += 1;
        }
        let reading = written.downgrade().await.unwrap();
        assert_eq!((proxy.cuts(), reading.mode(), reading.is_held()), (cuts, Mode::Shared, true), "{cut:?}");
        let [only] = &observer.count(&path, 1).await[..] else { panic!() };
        assert_eq!(reading.path(), format!("{path}/{only}"));
        let lost = reading.on_lost();
        reading.release().await.unwrap();
        assert!(!lost.await);
        observer.count(&path, 0).await;
    }
}

backends!(a_changed_guard_is_lost_like_any_other: ours_a_changed_guard_is_lost, apache_a_changed_guard_is_lost);

async fn a_changed_guard_is_lost_like_any_other(hosts: String) {
    let path = path("changed-lost");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = RwLock::new(&client, &path).unwrap();
    let reading = lock.read().await.unwrap();
    let told = tokio::spawn(reading.on_lost());
    let written = reading.upgrade().await.unwrap();
    observer.session.delete(written.path(), -1).await.unwrap();
    written.lost().await;
    assert!(told.await.unwrap(), "who looks after the reader's guard hears of the writer's loss");
    assert!(matches!(written.release().await, Err(Error::Lost { .. })));
}

backends!(tasks_that_share_a_reader_upgrade_one_by_one: ours_tasks_that_share_a_reader_upgrade, apache_tasks_that_share_a_reader_upgrade);

async fn tasks_that_share_a_reader_upgrade_one_by_one(hosts: String) {
    let path = path("shared-upgrade");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = RwLock::new(&client, &path).unwrap().local_handover(Handover::DEFAULT.time(LONG));
    let (one, two, three) =
        (lock.read().await.unwrap(), lock.read().await.unwrap(), lock.read().await.unwrap());
    assert_eq!((one.path(), one.path()), (two.path(), three.path()));
    let largest = three.fencing_token();
    let upgrading = tokio::spawn(one.upgrade());
    // The second is refused as soon as the first has begun.
    let mut guard = two;
    let refused = loop {
        match guard.upgrade_timeout(Duration::ZERO).await {
            Err(refused) if matches!(refused.fault, Error::UpgradeConflict { .. }) => break refused.guard,
            Err(early) => guard = early.guard,
            Ok(_) => panic!("beside two readers"),
        }
        tokio::task::yield_now().await;
    };
    refused.release().await.unwrap();
    assert!(!upgrading.is_finished());
    three.release().await.unwrap();
    let written = upgrading.await.unwrap().unwrap();
    assert!(written.fencing_token() > largest);
    assert!(lock.try_read().await.unwrap().is_none());
    let reading = written.downgrade().await.unwrap();
    let beside = lock.read().await.unwrap();
    assert_ne!(beside.path(), reading.path(), "a node of its own after the change");
    beside.release().await.unwrap();
    reading.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(changing_readers_and_writers_exclude_each_other:
    ours_changing_readers_and_writers_exclude,
    apache_changing_readers_and_writers_exclude);

/// Readers, writers, upgraders and downgraders at once, and a resource that checks.
async fn changing_readers_and_writers_exclude_each_other(hosts: String) {
    const CLIENTS: usize = 8;
    let (path, resource) = (path("changing"), Arc::new(Resource::new()));
    let upgraded = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..CLIENTS {
        let (hosts, path) = (hosts.clone(), path.clone());
        let (resource, upgraded) = (resource.clone(), upgraded.clone());
        tasks.spawn(async move {
            let client = client(&hosts).await;
            let lock = RwLock::new(&client, &path).unwrap();
            let visit = |guard: &zooky::Guard, mode| {
                let token = guard.fencing_token().as_u128();
                drop(resource.register.enter(token, mode, &n.to_string()).expect("the token is good"));
            };
            for round in 0..8 {
                match (n + round) % 4 {
                    0 => {
                        let guard = lock.write().await.unwrap();
                        visit(&guard, Entering::Write);
                        let guard = guard.downgrade().await.unwrap();
                        visit(&guard, Entering::Read);
                        guard.release().await.unwrap();
                    }
                    1 | 2 => {
                        let guard = lock.read().await.unwrap();
                        visit(&guard, Entering::Read);
                        match guard.upgrade().await {
                            Ok(guard) => {
                                upgraded.fetch_add(1, Ordering::SeqCst);
                                visit(&guard, Entering::Write);
                                guard.release().await.unwrap();
                            }
                            Err(unchanged) => {
                                assert!(matches!(unchanged.fault, Error::UpgradeConflict { .. }));
                                unchanged.guard.release().await.unwrap();
                            }
                        }
                    }
                    _ => {
                        let guard = lock.read().await.unwrap();
                        visit(&guard, Entering::Read);
                        guard.release().await.unwrap();
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(resource.register.overlaps(), []);
    assert!(upgraded.load(Ordering::SeqCst) > 0);
    Observer::new(&hosts).await.count(&path, 0).await;
}
