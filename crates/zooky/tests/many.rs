//! Several locks as one: all or nothing, in one order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::proxy::{Proxy, op};
use common::{LONG, Observer, catch_up, client, come, eventually, in_time, path, polled};
use zooky::{Client, Error, GuardState, Lock, MultiLock, Owner, Part, Revoke, RwLock};

const SHORT: Duration = Duration::from_millis(300);

/// Three paths in their order.
fn three() -> [String; 3] {
    let root = path("many");
    ["a", "b", "c"].map(|name| format!("{root}/{name}"))
}

fn all_write(client: &Client, paths: &[String]) -> MultiLock {
    MultiLock::new(client, paths.iter().rev().map(Part::write)).unwrap()
}

ensemble!();

backends!(several_are_held_as_one: ours_several_are_held_as_one, apache_several_are_held_as_one);

async fn several_are_held_as_one(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let [a, b, c] = three();
    let parts = [Part::write(&c), Part::read(&b), Part::write(&a)];
    let locks = MultiLock::new(&client, parts).unwrap();
    assert_eq!(locks.paths().collect::<Vec<_>>(), [&a, &b, &c]);
    let guard = locks.acquire().await.unwrap();
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Held, true));
    assert!(guard.deadline() > zooky::BootInstant::now());
    let tokens: Vec<_> = guard.fencing_tokens().map(|(path, token)| (path.to_owned(), token)).collect();
    assert_eq!(tokens.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&a, &b, &c]);
    assert!(tokens.is_sorted_by(|(_, one), (_, next)| one < next), "taken in their order");
    assert_eq!(guard.fencing_token(&b), Some(tokens[1].1));
    assert_eq!(guard.fencing_token("/other"), None);

    // Mixed modes: readers share b, nobody gets the others.
    assert!(RwLock::new(&client, &b).unwrap().try_read().await.unwrap().is_some());
    assert!(Lock::new(&client, &a).unwrap().try_acquire().await.unwrap().is_none());
    assert!(RwLock::new(&client, &c).unwrap().try_read().await.unwrap().is_none());

    let told = guard.on_lost();
    guard.release().await.unwrap();
    assert!(!told.await, "a release is no loss");
    let mut last_change = None;
    for path in [&a, &b, &c] {
        assert_eq!(observer.children(path).await, [] as [String; 0]);
        let pzxid = observer.exists(path).await.unwrap().unwrap().pzxid;
        assert!(last_change.is_none_or(|last| pzxid < last), "released in reverse");
        last_change = Some(pzxid);
    }
}

backends!(what_is_not_free_leaves_nothing: ours_what_is_not_free_leaves_nothing, apache_what_is_not_free_leaves_nothing);

async fn what_is_not_free_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let paths = three();
    let locks = all_write(&two, &paths);
    let holder = Lock::new(&one, &paths[2]).unwrap().acquire().await.unwrap();

    for timeout in [SHORT, Duration::ZERO] {
        let fault = locks.acquire_timeout(timeout).await.unwrap_err();
        let Error::Timeout { path, holder: Some(seen), waited } = fault else { panic!("{fault}") };
        assert!(path.contains(&paths[2]), "{path}");
        assert_eq!(seen.path, holder.path());
        assert!(waited >= timeout);
        for (path, left) in paths.iter().zip([0, 0, 1]) {
            observer.count(path, left).await;
        }
    }
    holder.release().await.unwrap();
    locks.acquire_timeout(LONG).await.unwrap().release().await.unwrap();
}

backends!(try_looks_at_all_before_it_creates:
    ours_try_looks_at_all_before_it_creates,
    apache_try_looks_at_all_before_it_creates);

async fn try_looks_at_all_before_it_creates(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let paths = three();
    let locks = all_write(&two, &paths);
    for held in [2, 1, 0] {
        for path in &paths {
            observer.make(path).await;
        }
        let holder = Lock::new(&one, &paths[held]).unwrap().acquire().await.unwrap();
        catch_up(&two).await;
        let changes = async || {
            let mut counts = Vec::new();
            for path in &paths {
                counts.push(observer.changes(path).await);
            }
            counts
        };
        let before = changes().await;
        for _ in 0..5 {
            assert!(locks.try_acquire().await.unwrap().is_none());
            let fault = locks.acquire_timeout(Duration::ZERO).await.unwrap_err();
            let Error::Timeout { holder: Some(seen), .. } = fault else { panic!("{fault}") };
            assert_eq!(seen.path, holder.path());
        }
        assert_eq!(changes().await, before, "a try created something beside a holder of {}", paths[held]);
        holder.release().await.unwrap();
        catch_up(&two).await;
        locks.try_acquire().await.unwrap().expect("all are free").release().await.unwrap();
    }
}

backends!(one_taken_during_a_try_leaves_nothing:
    ours_one_taken_during_a_try_leaves_nothing,
    apache_one_taken_during_a_try_leaves_nothing);

/// It was free when the try looked, and is not any more when its turn comes.
async fn one_taken_during_a_try_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&proxy.hosts()).await);
    let paths = three();
    let locks = all_write(&two, &paths);
    // The first is the last to be looked at.
    proxy.hold(op::GET_CHILDREN, &paths[0]);
    let trying = tokio::spawn(async move { locks.try_acquire().await.unwrap() });
    in_time(LONG / 4, "the look at the first", proxy.held()).await;
    let holder = Lock::new(&one, &paths[2]).unwrap().acquire().await.unwrap();
    proxy.let_go();
    assert!(trying.await.unwrap().is_none());
    for (path, left) in paths.iter().zip([0, 0, 1]) {
        observer.count(path, left).await;
    }
    assert!(observer.changes(&paths[0]).await >= 2, "it had taken the first");
    holder.release().await.unwrap();
}

/// No server is asked.
#[test]
fn ours_a_bad_list_is_refused() {
    common::servers::on_ours(a_bad_list_is_refused);
}

async fn a_bad_list_is_refused(hosts: String) {
    let client = client(&hosts).await;
    let twice = [Part::write("/b"), Part::write("/a"), Part::read("/b")];
    assert!(matches!(MultiLock::new(&client, twice), Err(Error::NamedTwice { path }) if path == "/b"));
    assert!(matches!(MultiLock::new(&client, []), Err(Error::Path { .. })));
    assert!(matches!(MultiLock::new(&client, [Part::write("/a/")]), Err(Error::Path { .. })));
}

backends!(taken_in_the_order_of_the_paths: ours_taken_in_the_order_of_the_paths, apache_taken_in_the_order_of_the_paths);

/// Whoever waits for the first has none of the others: so nobody waits for it in a circle.
async fn taken_in_the_order_of_the_paths(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let paths = three();
    let holder = Lock::new(&one, &paths[0]).unwrap().acquire().await.unwrap();
    let locks = all_write(&two, &paths);
    let waiting = tokio::spawn(async move { locks.acquire().await.unwrap() });
    observer.count(&paths[0], 2).await;
    assert_eq!(observer.children(&paths[1]).await.len() + observer.children(&paths[2]).await.len(), 0);
    holder.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
}

backends!(opposite_orders_do_not_deadlock:
    ours_opposite_orders_do_not_deadlock,
    apache_opposite_orders_do_not_deadlock);

async fn opposite_orders_do_not_deadlock(hosts: String) {
    let paths = three();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4 {
        let client = client(&hosts).await;
        let mut parts: Vec<_> = paths.iter().map(Part::write).collect();
        if n % 2 == 0 {
            parts.reverse();
        }
        let (locks, inside) = (MultiLock::new(&client, parts).unwrap(), inside.clone());
        tasks.spawn(async move {
            for _ in 0..20 {
                let guard = locks.acquire_timeout(LONG / 2).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

backends!(one_lost_is_all_lost: ours_one_lost_is_all_lost, apache_one_lost_is_all_lost);

async fn one_lost_is_all_lost(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let paths = three();
    let guard = all_write(&client, &paths).acquire().await.unwrap();
    let told = tokio::spawn(guard.on_lost());
    observer.session.delete(guard.guards()[1].path(), -1).await.unwrap();
    guard.lost().await;
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Lost, false));
    assert!(told.await.unwrap());
    assert!(matches!(guard.release().await, Err(Error::Lost { path }) if path == paths[1]));
    for path in &paths {
        observer.count(path, 0).await;
    }
}

backends!(what_one_is_told_all_are: ours_what_one_is_told_all_are, apache_what_one_is_told_all_are);

/// Who asks for one of them, and who does not respect one of them.
async fn what_one_is_told_all_are(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let paths = three();
    let locks = all_write(&one, &paths);
    let guard = locks.acquire().await.unwrap();
    let (asked, stranger) = (tokio::spawn(guard.on_revoked()), tokio::spawn(guard.on_foreign()));
    assert!(guard.has_lock().await.unwrap() && !guard.is_revoked() && guard.revoked_by().is_none());
    let asker = Lock::new(&two, &paths[1]).unwrap().with_owner(Owner::this_process().with_id("asker"));
    assert_eq!(asker.revoke_all(Revoke::ask()).await.unwrap().asked.len(), 1);
    in_time(LONG / 2, "being asked", guard.revoked()).await;
    assert!(guard.is_revoked() && asked.await.unwrap());
    assert_eq!(guard.revoked_by().unwrap().id.as_deref(), Some("asker"));

    // A doubtful one in the first does not hide a certain one in the last.
    observer.make(&format!("{}/config", paths[0])).await;
    let doubtful = eventually("a doubtful one", || async { guard.foreign_contender() }).await;
    assert!(!doubtful.certain);
    let name = come(&observer, &paths[2], "_c_01234567-89ab-4def-8123-456789abcdef-lock-").await;
    assert_eq!(in_time(LONG / 2, "the stranger", guard.foreign()).await.path, name);
    assert_eq!(stranger.await.unwrap().unwrap().path, name);
    assert_eq!(guard.foreign_contender().unwrap().path, name);
    assert!(guard.is_held() && guard.has_lock().await.unwrap());
    guard.release().await.unwrap();

    let guard = all_write(&one, &three()).acquire().await.unwrap();
    let (asked, stranger) = (guard.on_revoked(), guard.on_foreign());
    observer.session.delete(guard.guards()[1].path(), -1).await.unwrap();
    assert!(!guard.has_lock().await.unwrap());
    drop(guard);
    assert!(!asked.await && stranger.await.is_none());
}

backends!(one_lost_while_waiting_begins_again: ours_one_lost_while_waiting_begins_again, apache_one_lost_while_waiting_begins_again);

async fn one_lost_while_waiting_begins_again(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let paths = three();
    let holder = Lock::new(&one, &paths[2]).unwrap().acquire().await.unwrap();
    let locks = all_write(&two, &paths);
    let waiting = tokio::spawn(async move { locks.acquire().await.unwrap() });
    observer.count(&paths[2], 2).await;
    let first = format!("{}/{}", paths[0], observer.children(&paths[0]).await[0]);
    observer.session.delete(&first, -1).await.unwrap();
    eventually("another node", || async {
        let now = observer.children(&paths[0]).await;
        (now.len() == 1 && !first.ends_with(&now[0])).then_some(())
    })
    .await;
    observer.count(&paths[2], 2).await;
    holder.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

backends!(dropped_at_any_await_it_leaves_nothing: ours_dropped_at_any_await_it_leaves_nothing, apache_dropped_at_any_await_it_leaves_nothing);

async fn dropped_at_any_await_it_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for polls in 0.. {
        assert!(polls < 200, "it is never ready");
        let paths = three();
        let locks = all_write(&client, &paths);
        let done = polled(locks.acquire(), polls).await;
        let ready = done.is_some();
        drop(done.map(Result::unwrap));
        session.sync("/").await.unwrap();
        for path in &paths {
            observer.count(path, 0).await;
        }
        if ready {
            assert!(polls >= 6);
            break;
        }
    }
}
