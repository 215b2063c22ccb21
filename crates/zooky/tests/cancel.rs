//! A future that is dropped at any await point leaves no node behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::pin::Pin;
use std::time::Duration;

use common::{LONG, Observer, client, eventually, on_one_thread, path, polled, telling};
use tokio::sync::mpsc;
use zooky::inspect::Contender;
use zooky::session::Session;
use zooky::{
    AsyncLock, Client, Dialect, Election, Guard, Lock, MultiLock, Owner, Part, PersistentLock, ReentrantLock,
    RwLock,
};

/// More polls than any acquisition here takes.
const MANY: usize = 100;

/// The cleaning up began after everything that the session had sent by now, and is over.
async fn nothing_is_left(session: &Session, observer: &Observer, path: &str, expected: usize) {
    session.sync("/").await.unwrap();
    observer.count(path, expected).await;
}

ensemble!();

backends!(a_dropped_acquire_leaves_nothing: ours_a_dropped_acquire_leaves_nothing, apache_a_dropped_acquire_leaves_nothing);

async fn a_dropped_acquire_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for directory_exists in [true, false] {
        let mut paths = Vec::new();
        for polls in 0.. {
            assert!(polls < MANY, "it is never ready");
            let path = path("dropped");
            if directory_exists {
                observer.make(&path).await;
            }
            let lock = Lock::new(&client, &path).unwrap();
            let done = polled(lock.acquire(), polls).await;
            let ready = done.is_some();
            if let Some(guard) = done {
                observer.count(&path, 1).await;
                drop(guard.unwrap());
            }
            nothing_is_left(&session, &observer, &path, 0).await;
            paths.push(path);
            if ready {
                // A round trip takes at least two polls; without a directory there are more.
                assert!(polls >= if directory_exists { 2 } else { 3 });
                break;
            }
        }
        // Nothing came late.
        for path in paths {
            nothing_is_left(&session, &observer, &path, 0).await;
        }
    }
}

backends!(a_dropped_wait_leaves_nothing:
    ours_a_dropped_wait_leaves_nothing,
    apache_a_dropped_wait_leaves_nothing);

async fn a_dropped_wait_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = two.session().await.unwrap();
    let path = path("waiting");
    let holder_lock = Lock::new(&one, &path).unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let holder = holder_lock.acquire().await.unwrap();
        let (lock, mut waits) = telling(Lock::new(&two, &path).unwrap());
        // Once it waits, the holder leaves: so the polls go on through the whole way to the grant.
        let leaving = tokio::spawn(async move {
            if waits.recv().await.is_some() {
                holder.release().await.unwrap();
                return None;
            }
            Some(holder)
        });
        let done: Option<Guard> = polled(lock.acquire(), polls).await.map(Result::unwrap);
        drop(lock);
        let holder = leaving.await.unwrap();
        let ready = done.is_some();
        nothing_is_left(&session, &observer, &path, usize::from(ready || holder.is_some())).await;
        drop((done, holder));
        observer.count(&path, 0).await;
        if ready {
            assert!(polls > 3);
            break;
        }
    }
}

/// Told once it waits.
type Told = mpsc::UnboundedSender<()>;
type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;
/// One turn of a recipe: it acquires, and releases.
type Recipe = fn(&Client, &str, Told) -> Turn;

fn telling_to(told: Told) -> impl Fn(&Contender) + Send + Sync {
    move |_| _ = told.send(())
}

fn reads(lock: RwLock) -> Turn {
    Box::pin(async move { lock.read().await.unwrap().release().await.unwrap() })
}

fn writes(lock: RwLock) -> Turn {
    Box::pin(async move { lock.write().await.unwrap().release().await.unwrap() })
}

fn rwlock(client: &Client, path: &str, told: Told) -> RwLock {
    RwLock::new(client, path).unwrap().on_wait(telling_to(told))
}

fn lock(client: &Client, path: &str, told: Told) -> Lock {
    Lock::new(client, path).unwrap().on_wait(telling_to(told))
}

/// Those that have no such test of their own. In kazoo's dialect if none is said.
const RECIPES: [(&str, Dialect, Recipe); 13] = [
    ("read", Dialect::Kazoo, |client, path, told| reads(rwlock(client, path, told))),
    ("write", Dialect::Kazoo, |client, path, told| writes(rwlock(client, path, told))),
    ("read", Dialect::Curator, |client, path, told| {
        reads(rwlock(client, path, told).dialect(Dialect::Curator).unwrap())
    }),
    ("write", Dialect::Curator, |client, path, told| {
        writes(rwlock(client, path, told).dialect(Dialect::Curator).unwrap())
    }),
    ("read", Dialect::Zktools, |client, path, told| {
        reads(rwlock(client, path, told).dialect(Dialect::Zktools).unwrap())
    }),
    ("write", Dialect::Zktools, |client, path, told| {
        writes(rwlock(client, path, told).dialect(Dialect::Zktools).unwrap())
    }),
    ("with a time limit", Dialect::Kazoo, |client, path, told| {
        let lock = lock(client, path, told);
        Box::pin(async move { lock.acquire_timeout(LONG).await.unwrap().release().await.unwrap() })
    }),
    ("refused in a deadlock", Dialect::Kazoo, |client, path, told| {
        let owner = Owner::this_process().with_id("me");
        let lock = lock(client, path, told).with_owner(owner).refuse_deadlock(true);
        Box::pin(async move { lock.acquire().await.unwrap().release().await.unwrap() })
    }),
    ("re-entrant", Dialect::Kazoo, |client, path, told| {
        let lock = ReentrantLock::new(lock(client, path, told));
        Box::pin(async move { assert!(lock.acquire("me").await.unwrap().release().await.unwrap()) })
    }),
    ("candidate", Dialect::Kazoo, |client, path, told| {
        let lock = AsyncLock::new(client, path).unwrap().on_wait(telling_to(told));
        Box::pin(async move {
            let candidate = lock.enqueue();
            candidate.wait().await.unwrap();
            candidate.release().await.unwrap();
        })
    }),
    ("campaign", Dialect::Kazoo, |client, path, told| {
        let election = Election::new(client, path).unwrap().on_wait(telling_to(told));
        Box::pin(async move { election.campaign().await.unwrap().resign().await.unwrap() })
    }),
    ("several", Dialect::Kazoo, |client, path, told| {
        let parts = [Part::write(path), Part::write(format!("{path}-other"))];
        let locks = MultiLock::new(client, parts).unwrap().on_wait(telling_to(told));
        Box::pin(async move { locks.acquire().await.unwrap().release().await.unwrap() })
    }),
    ("persistent", Dialect::Kazoo, |client, path, told| {
        let lock = PersistentLock::new(client, path, "key").unwrap().on_wait(telling_to(told));
        Box::pin(async move { lock.acquire().await.unwrap().release().await.unwrap() })
    }),
];

backends!(a_dropped_turn_of_any_recipe_leaves_nothing:
    ours_a_dropped_turn_of_any_recipe_leaves_nothing,
    apache_a_dropped_turn_of_any_recipe_leaves_nothing);

/// Dropped after each poll on its way through the queue, the grant and the release.
async fn a_dropped_turn_of_any_recipe_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let session = two.session().await.unwrap();
    for (name, dialect, recipe) in RECIPES {
        let path = path("turn");
        let holders = RwLock::new(&one, &path).unwrap().dialect(dialect).unwrap();
        for polls in 0.. {
            assert!(polls < MANY, "{name}: it is never ready");
            let holder = holders.write().await.unwrap();
            let (told, mut waits) = mpsc::unbounded_channel();
            // Once it waits, the holder leaves; if it was dropped before, at once.
            let leaving = tokio::spawn(async move {
                let waited = waits.recv().await.is_some();
                holder.release().await.unwrap();
                waited
            });
            let ready = polled(recipe(&two, &path, told), polls).await.is_some();
            let waited = leaving.await.unwrap();
            nothing_is_left(&session, &observer, &path, 0).await;
            nothing_is_left(&session, &observer, &format!("{path}-other"), 0).await;
            if ready {
                assert!(waited && polls > 2, "{name}, {polls} polls");
                break;
            }
        }
    }
}

backends!(a_timed_out_waiter_is_gone_for_its_own_client:
    ours_a_timed_out_waiter_is_gone_for_its_own_client,
    apache_a_timed_out_waiter_is_gone_for_its_own_client);

/// Its deletion was sent before the error was returned: no other task has run in between.
async fn a_timed_out_waiter_is_gone_for_its_own_client(hosts: String) {
    on_one_thread(async move || {
        let (one, two) = (client(&hosts).await, client(&hosts).await);
        let session = two.session().await.unwrap();
        let path = path("timed-out");
        let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
        let (lock, mut waits) = telling(Lock::new(&two, &path).unwrap());
        let expected = [holder.path().rsplit('/').next().unwrap()];
        let mut patience = Duration::from_millis(200);
        loop {
            let waited = lock.acquire_timeout(patience).await;
            let listed = session.children(&path);
            assert!(waited.unwrap_err().is_timeout());
            if waits.try_recv().is_ok() {
                assert_eq!(listed.await.unwrap().names, expected);
                break;
            }
            // On a busy machine it was not in the queue yet, and nobody promises when its create is undone.
            eventually("the holder alone", || async {
                (session.children(&path).await.unwrap().names == expected).then_some(())
            })
            .await;
            patience *= 2;
        }
        holder.release().await.unwrap();
    })
    .await;
}

backends!(a_dropped_try_leaves_nothing: ours_a_dropped_try_leaves_nothing, apache_a_dropped_try_leaves_nothing);

async fn a_dropped_try_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let path = path("try-dropped");
        let lock = Lock::new(&client, &path).unwrap();
        let done = polled(lock.try_acquire(), polls).await;
        let ready = done.is_some();
        drop(done.map(Result::unwrap));
        nothing_is_left(&session, &observer, &path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(a_dropped_release_goes_on: ours_a_dropped_release_goes_on, apache_a_dropped_release_goes_on);

async fn a_dropped_release_goes_on(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    let path = path("release-dropped");
    let lock = Lock::new(&client, &path).unwrap();
    for polls in 0.. {
        assert!(polls < MANY, "it is never ready");
        let guard = lock.acquire().await.unwrap();
        let ready = polled(guard.release(), polls).await.is_some();
        nothing_is_left(&session, &observer, &path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(an_overloaded_session_leaves_nothing: ours_an_overloaded_session_leaves_nothing, apache_an_overloaded_session_leaves_nothing);

async fn an_overloaded_session_leaves_nothing(hosts: String) {
    // On one thread, where no answer makes room before somebody awaits.
    let scenario = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(drop_without_room(&hosts));
    };
    tokio::task::spawn_blocking(scenario).await.unwrap();
}

async fn drop_without_room(hosts: &str) {
    let observer = Observer::new(hosts).await;
    let room = 3;
    let mut config = common::config(hosts);
    config.max_outstanding = room;
    let client = Client::connect_with(config).await.unwrap();
    let session = client.session().await.unwrap();
    let path = path("overloaded");
    let guard = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    observer.count(&path, 1).await;
    // One more than there is room for: the guard may have one under way itself, for its look-out.
    let mut asked: Vec<_> = (0..=room).map(|_| session.children("/")).collect();
    drop(guard);
    asked.push(session.children("/"));
    let overloaded = |answer: &Result<_, zooky::session::Error>| {
        matches!(answer, Err(zooky::session::Error::Overloaded { .. }))
    };
    let mut refused = Vec::new();
    for one in asked {
        let answer = one.await;
        assert!(answer.is_ok() || overloaded(&answer), "{answer:?}");
        refused.push(overloaded(&answer));
    }
    assert_eq!(refused[room..], [true, true], "no room before the drop, and none after it");
    observer.count(&path, 0).await;
}
