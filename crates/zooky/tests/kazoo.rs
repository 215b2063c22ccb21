//! kazoo and zooky on one path exclude each other, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::kazoo::Kazoo;
use common::{LONG, Observer, client, path, telling_rw};
use zooky::{Dialect, Guard, Lock, Owner, RwLock};

/// How long a client waits for what does not come.
const SHORT: Duration = Duration::from_millis(300);
const SESSION: Duration = Duration::from_secs(10);

ensemble!();

backends!(kazoo_holds_and_ours_waits: ours_kazoo_holds_and_ours_waits, apache_kazoo_holds_and_ours_waits);

async fn kazoo_holds_and_ours_waits(hosts: String) {
    let client = client(&hosts).await;
    let mut kazoo = Kazoo::start(&hosts, SESSION);
    for (n, kind) in ["WriteLock", "Lock", "ReadLock"].into_iter().enumerate() {
        let (path, name) = (path("kazoo-holds"), format!("k{n}"));
        kazoo.new_lock(&name, kind, &path);
        assert!(kazoo.acquire(&name, LONG / 4));

        let rw = RwLock::new(&client, &path).unwrap();
        assert!(rw.try_write().await.unwrap().is_none(), "{kind}");
        assert_eq!(rw.try_read().await.unwrap().is_some(), kind == "ReadLock");
        assert!(Lock::new(&client, &path).unwrap().try_acquire().await.unwrap().is_none(), "{kind}");
        let fault = rw.write_timeout(SHORT).await.unwrap_err();
        assert!(fault.is_timeout() && fault.to_string().contains("kazoo says"), "{fault}");

        let (rw, mut waits) = telling_rw(rw);
        let waiting = tokio::spawn(async move { rw.write().await.unwrap() });
        let blocker = waits.recv().await.unwrap();
        assert_eq!((blocker.dialect, blocker.owner), (Dialect::Kazoo, None));
        assert_eq!(blocker.data, format!("kazoo says {name}"));
        assert!(!waiting.is_finished());
        kazoo.release(&name);
        waiting.await.unwrap().release().await.unwrap();
    }
}

backends!(ours_holds_and_kazoo_waits: ours_ours_holds_and_kazoo_waits, apache_ours_holds_and_kazoo_waits);

async fn ours_holds_and_kazoo_waits(hosts: String) {
    let client = client(&hosts).await;
    let mut kazoo = Kazoo::start(&hosts, SESSION);
    let owner = Owner::this_process().with_id("nightly");
    let path = path("ours-holds");
    for kind in ["WriteLock", "Lock", "ReadLock"] {
        kazoo.new_lock(kind, kind, &path);
    }

    let guard = Lock::new(&client, &path).unwrap().with_owner(owner.clone()).acquire().await.unwrap();
    for kind in ["WriteLock", "Lock", "ReadLock"] {
        assert!(!kazoo.acquire(kind, SHORT), "{kind}");
        let contenders = kazoo.contenders(kind);
        let [line] = &contenders[..] else { panic!("{contenders:?}") };
        let said = Owner::from_line(line.as_bytes()).expect("kazoo shows our line");
        assert_eq!(
            (said.pid, said.host, said.id.as_deref()),
            (std::process::id(), owner.host.clone(), Some("nightly"))
        );
    }
    guard.release().await.unwrap();
    all_kinds_succeed(&mut kazoo);

    // A reader of ours lets readers of kazoo's in, and keeps its writers out.
    let reader = RwLock::new(&client, &path).unwrap().read().await.unwrap();
    assert!(kazoo.acquire("ReadLock", LONG / 4));
    kazoo.release("ReadLock");
    assert!(!kazoo.acquire("WriteLock", SHORT));
    reader.release().await.unwrap();
    all_kinds_succeed(&mut kazoo);
    Observer::new(&hosts).await.count(&path, 0).await;
}

fn all_kinds_succeed(kazoo: &mut Kazoo) {
    for kind in ["WriteLock", "Lock", "ReadLock"] {
        assert!(kazoo.acquire(kind, LONG / 4), "{kind}");
        kazoo.release(kind);
    }
}

backends!(kazoo_and_ours_take_turns: ours_kazoo_and_ours_take_turns, apache_kazoo_and_ours_take_turns);

/// Each waits while the other holds, again and again.
async fn kazoo_and_ours_take_turns(hosts: String) {
    let client = client(&hosts).await;
    let observer = Observer::new(&hosts).await;
    let path = path("turns");
    let mut kazoo = Kazoo::start(&hosts, SESSION);
    kazoo.new_lock("lock", "WriteLock", &path);
    let lock = Lock::new(&client, &path).unwrap();
    let mut token = None;
    for _ in 0..5 {
        let guard: Guard = lock.acquire().await.unwrap();
        assert!(token < Some(guard.fencing_token()));
        token = Some(guard.fencing_token());
        kazoo.talk.send_line("acquire lock 20");
        observer.count(&path, 2).await;
        let (telling, mut waits) = common::telling(lock.clone());
        let waiting = tokio::spawn(async move { telling.acquire().await.unwrap() });
        waits.recv().await.unwrap();
        guard.release().await.unwrap();
        assert_eq!(kazoo.talk.expect_line("acquired", LONG), "True");
        assert!(!waiting.is_finished());
        kazoo.release("lock");
        waiting.await.unwrap().release().await.unwrap();
    }
}
