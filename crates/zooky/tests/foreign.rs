//! Directories that hold what our contenders would not exclude, or must not touch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::proxy::{Proxy, op};
use common::{Observer, client, client_with_timeout, come, config, eventually, path};
use zooky::session::{CreateMode, Error as SessionError};
use zooky::{Acl, Client, Dialect, Error, Lock, PersistentLock, RwLock};

const HEX: &str = "0123456789abcdef0123456789abcdef";
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// The names that other clients give their contenders.
fn foreign_names() -> Vec<(String, Dialect)> {
    use Dialect::*;
    vec![
        (HEX.to_owned(), KazooSemaphore),
        (format!("_c_{UUID}-lock-0000000003"), Curator),
        (format!("_c_{UUID}-__READ__0000000003"), Curator),
        (format!("_c_{UUID}-__WRIT__0000000003"), Curator),
        (format!("{HEX}-lock--0000000003"), Zktools),
        (format!("{HEX}-read--0000000003"), Zktools),
        (format!("{HEX}-write--0000000003"), Zktools),
        (format!("{HEX}-lock-0000000003"), Zktools),
        ("x-72057594037927936-0000000003".to_owned(), ZooKeeper),
        ("x-0100000000000abc-0000000003".to_owned(), ZooKeeper),
        (format!("_c_{HEX}-lock-0000000003"), Go),
        (format!("_c_{UUID}-mine-0000000003"), RustClient),
        (format!("lock-{HEX}-0000000003"), Aiozk),
    ]
}

ensemble!();

backends!(foreign_contenders_are_refused_by_name: ours_foreign_contenders_are_refused_by_name, apache_foreign_contenders_are_refused_by_name);

async fn foreign_contenders_are_refused_by_name(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for (name, dialect) in foreign_names() {
        let path = path("foreign");
        observer.make(&format!("{path}/{name}")).await;
        let is_foreign = |fault: Error| match fault {
            Error::ForeignContender { path: at, child, dialect: of, .. } => {
                assert_eq!((at, &child, of), (path.clone(), &name, dialect), "{name}");
            }
            fault => panic!("{name}: {fault}"),
        };
        let lock = Lock::new(&client, &path).unwrap();
        let rw = RwLock::new(&client, &path).unwrap();
        is_foreign(lock.acquire().await.unwrap_err());
        is_foreign(rw.read().await.unwrap_err());
        client.session().await.unwrap().sync("/").await.unwrap();
        assert_eq!(observer.count(&path, 1).await, std::slice::from_ref(&name));

        // A try sees it before it creates anything.
        let changes = observer.changes(&path).await;
        is_foreign(lock.try_acquire().await.unwrap_err());
        is_foreign(rw.try_read().await.unwrap_err());
        assert_eq!(observer.changes(&path).await, changes);

        let guard = lock.clone().allow_foreign(true).acquire().await.unwrap();
        observer.count(&path, 2).await;
        guard.release().await.unwrap();
    }
}

backends!(unknown_children_are_refused: ours_unknown_children_are_refused, apache_unknown_children_are_refused);

async fn unknown_children_are_refused(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for name in ["config", "lock-1", "_c_x-lock-0000000001"] {
        let path = path("unknown");
        observer.make(&format!("{path}/{name}")).await;
        let lock = Lock::new(&client, &path).unwrap();
        for fault in [lock.acquire().await.unwrap_err(), lock.try_acquire().await.unwrap_err()] {
            assert!(
                matches!(&fault, Error::UnknownChild { path: at, child, .. } if *at == path && child == name),
                "{fault}"
            );
        }
        client.session().await.unwrap().sync("/").await.unwrap();
        assert_eq!(observer.count(&path, 1).await, [name]);
        lock.allow_foreign(true).acquire().await.unwrap().release().await.unwrap();
    }
}

backends!(all_who_are_in_the_way_are_named: ours_all_who_are_in_the_way_are_named, apache_all_who_are_in_the_way_are_named);

async fn all_who_are_in_the_way_are_named(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let path = path("in-the-way");
    let (first, second) = (format!("_c_{UUID}-lock-0000000003"), format!("{HEX}-lock--0000000004"));
    let unknown: Vec<_> = (0..10).map(|n| format!("child-{n}")).collect();
    for name in unknown.iter().chain([&second, &first]) {
        observer.make(&format!("{path}/{name}")).await;
    }
    let lock = Lock::new(&client, &path).unwrap();
    for fault in [lock.acquire().await.unwrap_err(), lock.try_acquire().await.unwrap_err()] {
        let text = fault.to_string();
        let Error::ForeignContender { child, others, dialect, .. } = fault else { panic!("{text}") };
        assert_eq!((&child, dialect), (&first, Dialect::Curator));
        // Contenders before other things; and no more names than one reads.
        assert_eq!(others.names[0], second);
        assert_eq!((&others.names[1..], others.more), (&unknown[..7], 3));
        assert!(text.contains(&format!("{path}/{first} ")) && text.contains(&second), "{text}");
        assert!(text.ends_with("child-6, and 3 more)"), "{text}");
    }
    for name in [first, second] {
        observer.session.delete(&format!("{path}/{name}"), -1).await.unwrap();
    }
    client.session().await.unwrap().sync("/").await.unwrap();
    let fault = lock.acquire().await.unwrap_err();
    let Error::UnknownChild { child, others, .. } = &fault else { panic!("{fault}") };
    assert_eq!((child, &others.names[..], others.more), (&unknown[0], &unknown[1..9], 1), "{fault}");
}

backends!(an_acl_keeps_others_out: ours_an_acl_keeps_others_out, apache_an_acl_keeps_others_out);

async fn an_acl_keeps_others_out(hosts: String) {
    let path = path("acl").replacen("/tests", "/tests-acl", 1);
    let alice = Client::connect_with(config(&hosts).auth("digest", "alice:secret")).await.unwrap();
    let lock = Lock::new(&alice, &path).unwrap().with_acl(Acl::creator_all());
    let guard = lock.acquire().await.unwrap();
    let session = alice.session().await.unwrap();
    let (acl, _) = session.acl(guard.path()).await.unwrap();
    assert_eq!((acl.len(), acl[0].id.scheme.as_str()), (1, "digest"));

    let denied = |fault: Error| match fault {
        Error::Session(SessionError::NoAuth { path: at }) => assert!(at.starts_with(&path), "{at}"),
        fault => panic!("{fault}"),
    };
    for mallory in [config(&hosts), config(&hosts).auth("digest", "mallory:guess")] {
        let mallory = Client::connect_with(mallory).await.unwrap();
        let lock = Lock::new(&mallory, &path).unwrap();
        denied(lock.acquire().await.unwrap_err());
        denied(lock.try_acquire().await.unwrap_err());
        let delete = mallory.session().await.unwrap().delete(guard.path(), -1).await;
        assert!(matches!(delete, Err(SessionError::NoAuth { .. })), "{delete:?}");
    }
    assert_eq!(session.children(&path).await.unwrap().names.len(), 1);
    assert!(guard.is_held());
    guard.release().await.unwrap();
    assert_eq!(session.children(&path).await.unwrap().names, [""; 0]);
    // The same identity on another session is let in.
    let again = Client::connect_with(config(&hosts).auth("digest", "alice:secret")).await.unwrap();
    let lock = Lock::new(&again, &path).unwrap().with_acl(Acl::creator_all());
    lock.acquire().await.unwrap().release().await.unwrap();
}

backends!(only_contenders_may_be_listed_but_not_made: ours_a_directory_without_the_right_to_create, apache_a_directory_without_the_right_to_create);

/// May list, may not create: a try on a free lock fails after its look, and leaves nothing.
async fn only_contenders_may_be_listed_but_not_made(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let path = path("read-only");
    observer.make(&path).await;
    let read_only = [Acl::new(zooky::session::perms::READ | zooky::session::perms::ADMIN, "world", "anyone")];
    observer.session.set_acl(&path, &read_only, -1).await.unwrap();
    let lock = Lock::new(&client, &path).unwrap();
    for fault in [lock.acquire().await.unwrap_err(), lock.try_acquire().await.unwrap_err()] {
        assert!(matches!(&fault, Error::Session(SessionError::NoAuth { .. })), "{fault}");
    }
    observer.session.set_acl(&path, &Acl::open(), -1).await.unwrap();
    assert!(observer.children(&path).await.is_empty());
    lock.acquire().await.unwrap().release().await.unwrap();
}

backends!(a_lock_below_an_ephemeral_is_refused: ours_a_lock_below_an_ephemeral_is_refused, apache_a_lock_below_an_ephemeral_is_refused);

async fn a_lock_below_an_ephemeral_is_refused(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let parent = path("ephemeral");
    observer.make("/tests").await;
    observer.session.create(&parent, "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let lock = Lock::new(&client(&hosts).await, &parent).unwrap();
    let fault = lock.acquire().await.unwrap_err();
    assert!(matches!(fault, Error::Session(SessionError::NoChildrenForEphemerals { .. })), "{fault}");
}

backends!(a_foreign_second_comer_is_reported: ours_a_foreign_second_comer_is_reported, apache_a_foreign_second_comer_is_reported);

async fn a_foreign_second_comer_is_reported(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for dialect in [Dialect::Kazoo, Dialect::Curator, Dialect::Zktools] {
        let path = path("second");
        let rw = RwLock::new(&client, &path).unwrap().dialect(dialect).unwrap();
        let guard = rw.write().await.unwrap();
        let (told, released) = (guard.on_foreign(), guard.on_foreign());
        assert!(guard.foreign_contender().is_none());
        // The first is no contender of anybody known; the second surely does not wait for any of ours.
        observer.make(&format!("{path}/config")).await;
        let doubt = || async { guard.foreign_contender() };
        let doubtful = eventually("a doubtful one", doubt).await;
        assert_eq!((doubtful.path, doubtful.certain), (format!("{path}/config"), false), "{dialect}");
        assert!(doubtful.contender.is_none());
        let name = come(&observer, &path, &format!("_c_{UUID}-lease-")).await;
        for seen in [guard.foreign().await, told.await.unwrap(), guard.foreign_contender().unwrap()] {
            let contender = seen.contender.as_ref().map(|one| (one.dialect, one.data.as_ref()));
            assert_eq!((seen.path.as_str(), seen.certain), (name.as_str(), true), "{dialect}");
            assert_eq!(contender, Some((Dialect::Curator, &b"stock"[..])));
        }
        // It is told, no more: the lock is held as before.
        assert!(guard.is_held());
        guard.release().await.unwrap();
        assert!(released.await.is_some());
    }
}

backends!(who_waits_for_ours_is_not_reported: ours_who_waits_for_ours_is_not_reported, apache_who_waits_for_ours_is_not_reported);

async fn who_waits_for_ours_is_not_reported(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let stems: [(Dialect, &[String]); 3] = [
        (Dialect::Kazoo, &[format!("{HEX}__lock__"), format!("{HEX}__rlock__")]),
        (Dialect::Curator, &[format!("_c_{UUID}-__WRIT__"), format!("_c_{UUID}-__READ__")]),
        (Dialect::Zktools, &[format!("{HEX}-write--"), format!("{HEX}-read--"), format!("{HEX}-lock--")]),
    ];
    for (dialect, stems) in stems {
        let path = path("waiting");
        let rw = RwLock::new(&client, &path).unwrap().dialect(dialect).unwrap();
        let guard = rw.write().await.unwrap();
        for stem in stems {
            come(&observer, &path, stem).await;
        }
        // What comes last is seen last: by then the others have been judged.
        let name = come(&observer, &path, &format!("x-{}-", 7)).await;
        if dialect == Dialect::Zktools {
            let marker = come(&observer, &path, &format!("_c_{UUID}-__READ__")).await;
            assert_eq!(guard.foreign().await.path, marker);
        } else {
            assert_eq!(guard.foreign().await.path, name);
        }
        let on_release = guard.on_foreign();
        guard.release().await.unwrap();
        assert!(on_release.await.is_some());
    }
    let guard = Lock::new(&client, &path("alone")).unwrap().acquire().await.unwrap();
    let nobody = guard.on_foreign();
    guard.release().await.unwrap();
    assert!(nobody.await.is_none());
}

backends!(a_persistent_guard_reports_over_sessions:
    ours_a_persistent_guard_reports_over_sessions,
    apache_a_persistent_guard_reports_over_sessions);

async fn a_persistent_guard_reports_over_sessions(hosts: String) {
    let path = path("second-persistent");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await;
    let lock = PersistentLock::new(&client, &path, "key").unwrap();
    let guard = lock.acquire().await.unwrap();
    let told = guard.on_foreign();
    // One that waits for ours, and one that nobody knows.
    come(&observer, &path, &format!("{HEX}__lock__")).await;
    observer.make(&format!("{path}/config")).await;
    let doubtful = eventually("a doubtful one", || async { guard.foreign_contender() }).await;
    assert_eq!((doubtful.path, doubtful.certain), (format!("{path}/config"), false));
    // It comes while the holder has no session.
    let session = client.current();
    proxy.refuse();
    session.lost().await;
    let name = come(&observer, &path, &format!("_c_{UUID}-lock-")).await;
    proxy.admit();
    for seen in [guard.foreign().await, told.await.unwrap(), guard.foreign_contender().unwrap()] {
        assert_eq!((seen.path.as_str(), seen.certain), (name.as_str(), true));
    }
    // It is told, no more; and whoever takes the lock back is told, too.
    assert!(guard.is_held() && guard.has_lock().await.unwrap());
    let next = lock.take_back().await.unwrap().unwrap();
    assert_eq!(next.foreign().await.path, name);
    next.release().await.unwrap();
}

backends!(a_long_queue_does_not_make_its_holder_list_at_each_join: ours_a_holder_lists_seldom, apache_a_holder_lists_seldom);

async fn a_long_queue_does_not_make_its_holder_list_at_each_join(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let path = path("long-queue");
    let guard = Lock::new(&client(&proxy.hosts()).await, &path).unwrap().acquire().await.unwrap();
    let lists = || proxy.requests().iter().filter(|&&op| op == op::GET_CHILDREN).count();
    eventually("the look-out", || async { (lists() >= 2).then_some(()) }).await;
    let (before, begun) = (lists(), Instant::now());
    for _ in 0..300 {
        come(&observer, &path, &format!("{HEX}__lock__")).await;
    }
    let stranger = come(&observer, &path, &format!("_c_{UUID}-lock-")).await;
    assert_eq!(guard.foreign().await.path, stranger);
    let most = 2 + begun.elapsed().as_millis() / 250;
    let listed = lists() - before;
    assert!((listed as u128) <= most, "{listed} listings for 301 joins in {:?}", begun.elapsed());
    guard.release().await.unwrap();
}
