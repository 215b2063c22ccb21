//! Lock-delay: a lock whose holder vanished stays closed for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::kazoo::Kazoo;
use common::proxy::{Cut, Proxy, op};
use common::{LONG, Observer, catch_up, client, client_with_timeout, eventually, path, polled};
use zooky::{Client, Dialect, Lock, RwLock};

const SHORT: Duration = Duration::from_millis(300);
const DELAY: Duration = Duration::from_millis(1500);
/// How late the test may see what the waiter has seen.
const SLACK: Duration = Duration::from_millis(300);
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(600);

fn is_marker(name: impl AsRef<str>) -> bool {
    let name = name.as_ref();
    name.starts_with("zooky.") && name.ends_with(".delay")
}

/// A holder that vanishes: its session is lost, its marker stays. The lock may be taken through `hosts` meanwhile.
struct Vanishing {
    proxy: Proxy,
    client: Client,
}

impl Vanishing {
    async fn new(hosts: &str) -> Vanishing {
        let proxy = Proxy::start(hosts).await;
        let client = client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await;
        Vanishing { proxy, client }
    }

    /// It is cut off; the servers end its session by themselves.
    async fn vanish(self, observer: &Observer, node: &str) {
        self.proxy.refuse();
        eventually("the end of its session", || async {
            observer.exists(node).await.unwrap().is_none().then_some(())
        })
        .await;
    }
}

/// A holder has had the lock and has vanished.
async fn leave_a_marker(hosts: &str, path: &str, delay: Duration) -> Observer {
    let observer = Observer::new(hosts).await;
    let vanishing = Vanishing::new(hosts).await;
    let holder = Lock::new(&vanishing.client, path).unwrap().lock_delay(delay).acquire().await.unwrap();
    vanishing.vanish(&observer, holder.path()).await;
    observer
}

ensemble!();

backends!(a_release_leaves_no_marker: ours_a_release_leaves_no_marker, apache_a_release_leaves_no_marker);

async fn a_release_leaves_no_marker(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    for dialect in [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools] {
        let path = path("released");
        let lock = Lock::new(&client, &path).unwrap().dialect(dialect).unwrap().lock_delay(FOR_EVER);
        for dropping in [false, true] {
            let guard = lock.acquire().await.unwrap();
            let children = observer.count(&path, 2).await;
            let marker = children.iter().find(|name| is_marker(name)).unwrap();
            let (data, stat) = observer.get(&format!("{path}/{marker}")).await.unwrap();
            assert_eq!(stat.ephemeral_owner, 0);
            assert!(data.starts_with(b"{\"delay_ms\":600000,\"owner\":{"), "{data:?}");
            proxy.forget();
            if dropping {
                drop(guard);
                observer.count(&path, 0).await;
            } else {
                guard.release().await.unwrap();
                assert_eq!(observer.children(&path).await, [] as [String; 0]);
            }
            let sent = proxy.requests();
            assert!(sent.contains(&op::MULTI) && !sent.contains(&op::DELETE), "both go as one: {sent:?}");
        }
    }
    // Through lost answers, too: one marker, and then none.
    let path = path("lost-answers");
    let lock = Lock::new(&client, &path).unwrap().lock_delay(FOR_EVER);
    for cut in [Cut::Request(op::MULTI), Cut::Reply(op::MULTI)] {
        proxy.cut(cut);
        let guard = lock.acquire().await.unwrap();
        observer.count(&path, 2).await;
        proxy.cut(cut);
        guard.release().await.unwrap();
        observer.count(&path, 0).await;
    }
    assert_eq!(proxy.cuts(), 4);
}

backends!(a_delay_that_could_not_be_read_is_not_over:
    ours_a_delay_that_could_not_be_read_is_not_over,
    apache_a_delay_that_could_not_be_read_is_not_over);

async fn a_delay_that_could_not_be_read_is_not_over(hosts: String) {
    let path = path("unread");
    leave_a_marker(&hosts, &path, FOR_EVER).await;
    let proxy = Proxy::start(&hosts).await;
    let lock = Lock::new(&client(&proxy.hosts()).await, &path).unwrap().lock_delay(FOR_EVER);
    proxy.cut(Cut::Reply(op::GET_DATA));
    assert!(lock.try_acquire().await.unwrap().is_none());
    proxy.cut(Cut::Reply(op::GET_DATA));
    proxy.forget();
    let waiting = tokio::spawn(async move { lock.acquire().await });
    eventually("the marker to be asked for again", || async {
        let sent = proxy.requests();
        assert!(!sent.contains(&op::MULTI), "it takes the lock: {sent:?}");
        (sent.iter().filter(|&&sent| sent == op::GET_DATA).count() >= 2).then_some(())
    })
    .await;
    assert_eq!(proxy.cuts(), 2);
    waiting.abort();
}

backends!(a_vanished_holder_is_waited_out:
    ours_a_vanished_holder_is_waited_out,
    apache_a_vanished_holder_is_waited_out);

async fn a_vanished_holder_is_waited_out(hosts: String) {
    let path = path("vanished");
    let observer = Observer::new(&hosts).await;
    let vanishing = Vanishing::new(&hosts).await;
    let holder = Lock::new(&vanishing.client, &path).unwrap().lock_delay(DELAY).acquire().await.unwrap();
    // The delay is the holder's, not the waiter's.
    let lock = Lock::new(&client(&hosts).await, &path).unwrap().lock_delay(Duration::ZERO);
    let waiting = tokio::spawn(async move {
        let guard = lock.acquire().await.unwrap();
        (guard, Instant::now())
    });
    observer.count(&path, 3).await;
    vanishing.vanish(&observer, holder.path()).await;
    let gone = Instant::now();
    let (guard, granted) = waiting.await.unwrap();
    let waited = granted.saturating_duration_since(gone);
    assert!(waited + SLACK >= DELAY, "granted {waited:?} after the holder vanished");
    // The old marker went when ours was made.
    let children = observer.count(&path, 2).await;
    assert!(guard.is_held() && children.iter().filter(|name| is_marker(name)).count() == 1);
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(a_try_and_a_time_limit_stop_at_a_marker:
    ours_a_try_and_a_time_limit_stop_at_a_marker,
    apache_a_try_and_a_time_limit_stop_at_a_marker);

async fn a_try_and_a_time_limit_stop_at_a_marker(hosts: String) {
    let path = path("try");
    let observer = leave_a_marker(&hosts, &path, DELAY).await;

    let lock = Lock::new(&client(&hosts).await, &path).unwrap().lock_delay(DELAY);
    let first = Instant::now();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.clone().acquire_timeout(SHORT).await.unwrap_err().is_timeout());
    assert!(observer.count(&path, 1).await.iter().all(is_marker), "the marker stays, no node does");
    // The delay runs from the first sight, so that trying again and again gets there.
    let guard = eventually("a try that succeeds", || async { lock.try_acquire().await.unwrap() }).await;
    assert!(first.elapsed() >= DELAY);
    guard.release().await.unwrap();
    observer.count(&path, 0).await;
}

backends!(others_ignore_the_markers: ours_others_ignore_the_markers, apache_others_ignore_the_markers);

async fn others_ignore_the_markers(hosts: String) {
    let path = path("ignored");
    let observer = Observer::new(&hosts).await;
    let vanishing = Vanishing::new(&hosts).await;
    let holder = Lock::new(&vanishing.client, &path).unwrap().lock_delay(FOR_EVER).acquire().await.unwrap();
    let mut kazoo = Kazoo::start(&hosts, Duration::from_secs(10));
    kazoo.new_lock("k", "WriteLock", &path);
    assert!(!kazoo.acquire("k", SHORT));
    vanishing.vanish(&observer, holder.path()).await;
    assert!(kazoo.acquire("k", LONG / 4));
    assert_eq!(kazoo.contenders("k"), ["kazoo says k"]);
    kazoo.release("k");
    // Ours without the setting, too.
    let client = client(&hosts).await;
    catch_up(&client).await;
    let plain = Lock::new(&client, &path).unwrap();
    plain.try_acquire().await.unwrap().unwrap().release().await.unwrap();
    assert!(observer.count(&path, 1).await.iter().all(is_marker));
}

backends!(readers_wait_for_writers_only: ours_readers_wait_for_writers_only, apache_readers_wait_for_writers_only);

async fn readers_wait_for_writers_only(hosts: String) {
    let path = path("readers");
    let observer = Observer::new(&hosts).await;
    let vanishing = Vanishing::new(&hosts).await;
    let rw = RwLock::new(&client(&hosts).await, &path).unwrap().lock_delay(FOR_EVER);
    let gone = RwLock::new(&vanishing.client, &path).unwrap().lock_delay(FOR_EVER).read().await.unwrap();
    let beside = rw.try_read().await.unwrap().expect("a living reader's marker keeps no reader out");
    vanishing.vanish(&observer, gone.path()).await;
    let after = rw.try_read().await.unwrap().expect("nor does a dead one's");
    beside.release().await.unwrap();
    after.release().await.unwrap();
    let changes = observer.changes(&path).await;
    assert!(rw.try_write().await.unwrap().is_none(), "but a writer it does");
    let fault = rw.write_timeout(Duration::ZERO).await.unwrap_err();
    assert!(fault.is_timeout(), "{fault}");
    assert_eq!(
        observer.changes(&path).await,
        changes,
        "a try looks at the markers before it creates anything"
    );

    let vanishing = Vanishing::new(&hosts).await;
    let path = common::path("writer");
    let gone = RwLock::new(&vanishing.client, &path).unwrap().lock_delay(FOR_EVER).write().await.unwrap();
    vanishing.vanish(&observer, gone.path()).await;
    let client = client(&hosts).await;
    catch_up(&client).await;
    let rw = RwLock::new(&client, &path).unwrap().lock_delay(FOR_EVER);
    let changes = observer.changes(&path).await;
    assert!(rw.try_read().await.unwrap().is_none());
    assert_eq!(observer.changes(&path).await, changes, "nor here");
}

backends!(dropped_at_any_await_it_leaves_nothing: ours_dropped_at_any_await_it_leaves_nothing, apache_dropped_at_any_await_it_leaves_nothing);

async fn dropped_at_any_await_it_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for polls in 0.. {
        assert!(polls < 100, "it is never ready");
        let path = path("dropped");
        let lock = Lock::new(&client, &path).unwrap().lock_delay(FOR_EVER);
        let done = polled(lock.acquire(), polls).await.map(Result::unwrap);
        let ready = done.is_some();
        match done {
            // A release that is dropped goes on, too.
            Some(guard) => drop(polled(guard.release(), polls % 3).await),
            None => drop(lock),
        }
        session.sync("/").await.unwrap();
        observer.count(&path, 0).await;
        if ready {
            assert!(polls >= 4);
            break;
        }
    }
}

backends!(a_deleted_holder_leaves_no_marker: ours_a_deleted_holder_leaves_no_marker, apache_a_deleted_holder_leaves_no_marker);

/// It knows, and lets go: nobody has to wait for it.
async fn a_deleted_holder_leaves_no_marker(hosts: String) {
    let path = path("deleted");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let lock = Lock::new(&client, &path).unwrap().lock_delay(FOR_EVER);
    for dropping in [true, false] {
        let guard = lock.acquire().await.unwrap();
        observer.session.delete(guard.path(), -1).await.unwrap();
        guard.lost().await;
        assert!(observer.count(&path, 1).await.iter().all(is_marker));
        if dropping {
            drop(guard);
        } else {
            guard.release().await.unwrap_err();
        }
        observer.count(&path, 0).await;
    }
}
