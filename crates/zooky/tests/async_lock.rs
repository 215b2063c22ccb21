//! The asynchronous lock: enqueued now, decided on later.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::proxy::Proxy;
use common::{LONG, Observer, client, client_with_timeout, come, eventually, in_time, on_one_thread, path};
use zooky::session::CreateMode;
use zooky::{Acl, AsyncLock, Error, GuardState, Lock, Owner, Revoke};

const SHORT: Duration = Duration::from_millis(300);

ensemble!();

backends!(enqueued_now_acquired_later: ours_enqueued_now_acquired_later, apache_enqueued_now_acquired_later);

async fn enqueued_now_acquired_later(hosts: String) {
    let path = path("async");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let holder = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    let candidate = AsyncLock::new(&client, &path).unwrap().enqueue();
    assert!(!candidate.candidate_created(), "it returns before anything is sent");
    assert!(candidate.created().await && candidate.candidate_created());
    observer.count(&path, 2).await;
    assert!(!candidate.wait_timeout(SHORT).await.unwrap());
    assert!(!candidate.is_acquired() && candidate.fencing_token().is_none() && candidate.state().is_none());
    // It goes on waiting.
    observer.count(&path, 2).await;
    holder.release().await.unwrap();
    candidate.wait().await.unwrap();
    assert!(candidate.is_acquired() && candidate.candidate_created());
    assert_eq!(candidate.state(), Some(GuardState::Held));
    assert!(candidate.deadline().unwrap() > zooky::BootInstant::now());
    let node = observer.exists(&format!("{path}/{}", observer.children(&path).await[0]));
    let czxid = node.await.unwrap().unwrap().czxid;
    assert_eq!(candidate.fencing_token().unwrap().czxid(), u64::try_from(czxid).unwrap());

    let lost = tokio::spawn(candidate.on_lost());
    candidate.release().await.unwrap();
    assert_eq!(observer.children(&path).await, [] as [String; 0], "confirmed means gone");
    assert!(!candidate.is_acquired() && !candidate.candidate_created());
    assert!(!lost.await.unwrap(), "a release is no loss");
    candidate.release().await.unwrap();
    assert!(matches!(candidate.wait().await, Err(Error::Released { .. })));
    assert_eq!(candidate.errors(), []);
}

backends!(abandoned_at_any_time_with_confirmation:
    ours_abandoned_at_any_time_with_confirmation,
    apache_abandoned_at_any_time_with_confirmation);

async fn abandoned_at_any_time_with_confirmation(hosts: String) {
    let path = path("abandoned");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let lock = AsyncLock::new(&two, &path).unwrap();
    for pauses in 0..40 {
        let candidate = lock.enqueue();
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        if pauses % 4 == 3 {
            candidate.created().await;
        }
        assert!(candidate.release_timeout(LONG).await.unwrap());
        assert_eq!(observer.children(&path).await.len(), 1, "confirmed means gone");
        assert!(!candidate.created().await);
    }
    // Dropped, too.
    for pauses in 0..20 {
        let _candidate = lock.enqueue();
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
    }
    let last = lock.enqueue();
    assert!(last.created().await);
    drop(last);
    observer.count(&path, 1).await;
    holder.release().await.unwrap();
}

backends!(release_is_confirmed_only_when_the_node_is_gone:
    ours_release_is_confirmed_only_when_the_node_is_gone,
    apache_release_is_confirmed_only_when_the_node_is_gone);

async fn release_is_confirmed_only_when_the_node_is_gone(hosts: String) {
    let path = path("confirmed");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&proxy.hosts()).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let candidate = AsyncLock::new(&two, &path).unwrap().enqueue();
    observer.count(&path, 2).await;
    proxy.refuse();
    let released = mpsc::channel();
    candidate.on_released(move || released.0.send(()).unwrap());
    assert!(!candidate.release_timeout(SHORT).await.unwrap(), "nobody can have confirmed it");
    assert!(released.1.try_recv().is_err());
    proxy.admit();
    candidate.release().await.unwrap();
    assert_eq!(observer.children(&path).await.len(), 1);
    tokio::task::spawn_blocking(move || released.1.recv_timeout(LONG).unwrap()).await.unwrap();
    holder.release().await.unwrap();
}

backends!(callbacks_may_block: ours_callbacks_may_block, apache_callbacks_may_block);

/// A callback that blocks the runtime's one thread would bring everything to a standstill.
async fn callbacks_may_block(hosts: String) {
    on_one_thread(move || a_callback_blocks(hosts)).await;
}

async fn a_callback_blocks(hosts: String) {
    let path = path("callback");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let (begun, go_on, released) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
    let candidate = AsyncLock::new(&client, &path).unwrap().enqueue();
    candidate.on_released(move || released.0.send(()).unwrap());
    candidate.on_acquired(move |candidate| {
        assert!(candidate.is_acquired());
        begun.0.send(()).unwrap();
        go_on.1.recv_timeout(LONG).unwrap();
        tokio::runtime::Handle::current().block_on(candidate.release()).unwrap();
    });
    // The callback keeps it.
    drop(candidate);
    eventually("the callback", || async { begun.1.try_recv().ok() }).await;
    // While it blocks, the session goes on.
    assert_eq!(observer.children(&path).await.len(), 1);
    client.session().await.unwrap().sync("/").await.unwrap();
    go_on.0.send(()).unwrap();
    eventually("the release", || async { released.1.try_recv().ok() }).await;
    assert_eq!(observer.children(&path).await, [] as [String; 0]);
}

backends!(its_errors_are_kept: ours_its_errors_are_kept, apache_its_errors_are_kept);

async fn its_errors_are_kept(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    // Nobody may create here: -102.
    let path = path("no-auth");
    observer.make("/tests").await;
    let readers = [Acl { perms: zooky::session::perms::READ, ..Acl::open()[0].clone() }];
    observer.session.create(&path, "", CreateMode::PERSISTENT, &readers).await.unwrap();
    let candidate = AsyncLock::new(&client, &path).unwrap().enqueue();
    let never = mpsc::channel::<()>();
    candidate.on_acquired(move |_| drop(never.0));
    let fault = candidate.wait().await.unwrap_err();
    let Error::NotAcquired { path: named, why } = &fault else { panic!("{fault}") };
    assert!(*named == path && matches!(**why, Error::Session(zooky::session::Error::NoAuth { .. })));
    // Everybody who waits is told, again and again.
    assert!(matches!(candidate.wait_timeout(SHORT).await, Err(Error::NotAcquired { .. })));
    let [trouble] = &candidate.errors()[..] else { panic!("{:?}", candidate.errors()) };
    assert!(trouble.code == Some(-102) && trouble.text.contains(&path), "{trouble}");
    assert!(!candidate.created().await);
    candidate.release().await.unwrap();
}

backends!(it_joins_again_with_a_new_session: ours_it_joins_again_with_a_new_session, apache_it_joins_again_with_a_new_session);

async fn it_joins_again_with_a_new_session(hosts: String) {
    let path = path("again");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) =
        (client(&hosts).await, client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await);
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let candidate = AsyncLock::new(&two, &path).unwrap().enqueue();
    let before = observer.count(&path, 2).await;
    proxy.refuse();
    two.current().lost().await;
    proxy.admit();
    eventually("another candidate", || async {
        let now = observer.children(&path).await;
        (now.len() == 2 && now[1] != before[1]).then_some(())
    })
    .await;
    assert!(candidate.created().await);
    holder.release().await.unwrap();
    candidate.wait().await.unwrap();
    let errors = candidate.errors();
    assert!(errors.iter().any(|trouble| trouble.code == Some(-112)), "{errors:?}");
    candidate.release().await.unwrap();
}

backends!(it_hears_who_asks_and_who_does_not_respect_it:
    ours_it_hears_who_asks_and_who_does_not_respect_it,
    apache_it_hears_who_asks_and_who_does_not_respect_it);

async fn it_hears_who_asks_and_who_does_not_respect_it(hosts: String) {
    let path = path("told");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let plain = Lock::new(&one, &path).unwrap();
    let holder = plain.acquire().await.unwrap();
    let candidate = AsyncLock::new(&two, &path).unwrap().enqueue();
    let (asked, stranger) = (tokio::spawn(candidate.on_revoked()), tokio::spawn(candidate.on_foreign()));
    assert!(candidate.created().await);
    // Asked while it waits, it hears of that when it has the lock.
    let asker = plain.with_owner(Owner::this_process().with_id("asker"));
    assert_eq!(asker.revoke_all(Revoke::ask()).await.unwrap().asked.len(), 2);
    assert!(!candidate.is_revoked() && !candidate.has_lock().await.unwrap());
    holder.release().await.unwrap();
    in_time(LONG / 2, "being asked", candidate.revoked()).await;
    assert!(candidate.is_revoked() && asked.await.unwrap() && candidate.has_lock().await.unwrap());
    assert_eq!(candidate.revoked_by().unwrap().id.as_deref(), Some("asker"));

    assert!(candidate.foreign_contender().is_none());
    let name = come(&observer, &path, "_c_01234567-89ab-4def-8123-456789abcdef-lock-").await;
    assert_eq!(in_time(LONG / 2, "the stranger", candidate.foreign()).await.path, name);
    assert_eq!(stranger.await.unwrap().unwrap().path, name);
    assert!(candidate.foreign_contender().unwrap().certain && candidate.is_acquired());
    candidate.release().await.unwrap();
    assert!(!candidate.has_lock().await.unwrap() && candidate.foreign_contender().is_none());
    // Let go before it has the lock: nobody is told.
    let candidate = AsyncLock::new(&two, &common::path("let-go")).unwrap().enqueue();
    let (asked, stranger) = (candidate.on_revoked(), candidate.on_foreign());
    candidate.release().await.unwrap();
    assert!(!asked.await && stranger.await.is_none());
}

backends!(a_lost_one_says_so: ours_a_lost_one_says_so, apache_a_lost_one_says_so);

async fn a_lost_one_says_so(hosts: String) {
    let path = path("lost");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let candidate = AsyncLock::new(&client, &path).unwrap().enqueue();
    let lost = tokio::spawn(candidate.on_lost());
    candidate.wait().await.unwrap();
    let [node] = &observer.children(&path).await[..] else { panic!() };
    observer.session.delete(&format!("{path}/{node}"), -1).await.unwrap();
    assert!(lost.await.unwrap());
    assert!(!candidate.is_acquired());
    assert!(matches!(candidate.release().await, Err(Error::Lost { .. })));

    // A guard that was taken out is the candidate's no more.
    let candidate = AsyncLock::new(&client, &path).unwrap().enqueue();
    candidate.wait().await.unwrap();
    let guard = candidate.take_guard().unwrap();
    assert!(candidate.take_guard().is_none());
    candidate.release().await.unwrap();
    drop(candidate);
    assert!(guard.is_held());
    guard.release().await.unwrap();
}
