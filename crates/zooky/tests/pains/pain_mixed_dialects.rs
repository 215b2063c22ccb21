//! Two libraries on one path, and two hold the lock: silently so with stock kazoo beside Curator, go-zookeeper,
//! zktools, Java or aiozk; a Curator mutex beside Curator's read/write lock; a ZkReadLock beside a ZkLock; a kazoo Lock
//! beside a kazoo ReadLock. All pairs with the clients themselves are in `interop.rs`; here are these, as nodes.

use zooky::session::CreateMode;
use zooky::{Acl, Dialect, Error};

use crate::common::{self, Observer, client, eventually, path};
use crate::rwlock;

const HEX: &str = "0123456789ab4def8123456789abcdef";
const UUID: &str = "01234567-89ab-4def-8123-456789abcdef";

backends!(who_comes_second_is_refused_or_reported: pain_mixed_ours_who_comes_second_is_refused_or_reported, pain_mixed_apache_who_comes_second_is_refused_or_reported);

async fn who_comes_second_is_refused_or_reported(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let strangers = [
        (Dialect::Kazoo, format!("_c_{UUID}-lock-"), true),
        // go-zookeeper and aiozk do see kazoo's, it is kazoo that does not see theirs.
        (Dialect::Kazoo, format!("_c_{HEX}-lock-"), false),
        (Dialect::Kazoo, format!("lock-{HEX}-"), false),
        (Dialect::Kazoo, format!("{HEX}-lock--"), true),
        (Dialect::Kazoo, "x-72057594037927936-".to_owned(), true),
        (Dialect::Curator, format!("_c_{UUID}-lock-"), true),
        (Dialect::Zktools, format!("_c_{UUID}-__READ__"), true),
    ];
    for (dialect, stem, blind) in strangers {
        let path = path("mixed");
        observer.make(&path).await;
        let rw = rwlock(&client, &path, dialect);
        let come = || async {
            let node = format!("{path}/{stem}");
            observer
                .session
                .create(&node, "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open())
                .await
                .unwrap()
                .path
        };
        let first = come().await;
        for fault in [rw.write().await.unwrap_err(), rw.read().await.unwrap_err()] {
            let Error::ForeignContender { child, .. } = &fault else { panic!("{stem}: {fault}") };
            assert_eq!(format!("{path}/{child}"), first, "{fault}");
        }
        observer.session.delete(&first, -1).await.unwrap();
        if blind {
            let guard = rw.write().await.unwrap();
            let second = come().await;
            assert_eq!(guard.foreign().await.path, second, "{dialect}, {stem}");
            guard.release().await.unwrap();
        }
    }
}

backends!(a_reader_waits_for_locks_that_stock_readers_overlook: pain_mixed_ours_a_reader_waits_for_locks, pain_mixed_apache_a_reader_waits_for_locks);

/// A ZkReadLock of zktools sees writers only; ours waits for a ZkLock and a ZkAsyncLock, too. A kazoo ReadLock that meets
/// a plain Lock is told by nothing from one that meets a WriteLock: our reader's guard says "perhaps".
async fn a_reader_waits_for_locks_that_stock_readers_overlook(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for stem in ["-lock--", "-lock-"] {
        let path = path("zk-reader");
        observer.make(&path).await;
        let node = format!("{path}/{HEX}{stem}");
        let created = observer.session.create(&node, "0", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open());
        let lock = created.await.unwrap().path;
        let rw = rwlock(&client, &path, Dialect::Zktools);
        assert!(rw.try_read().await.unwrap().is_none(), "{stem}");
        let reading = tokio::spawn(async move { rw.read().await.unwrap() });
        observer.count(&path, 2).await;
        assert!(!reading.is_finished(), "{stem}");
        observer.session.delete(&lock, -1).await.unwrap();
        reading.await.unwrap().release().await.unwrap();
    }
    let path = path("kazoo-reader");
    let reading = rwlock(&client, &path, Dialect::Kazoo).read().await.unwrap();
    let node = format!("{path}/{HEX}__lock__");
    observer.session.create(&node, "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open()).await.unwrap();
    let seen = eventually("a report", || async { reading.foreign_contender() }).await;
    assert!(!seen.certain);
    reading.release().await.unwrap();
}
