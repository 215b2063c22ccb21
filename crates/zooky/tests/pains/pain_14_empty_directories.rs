//! Empty lock directories pile up (kazoo#329, CURATOR-173); but whoever removes them pulls them away from under stock
//! clients, which then fail for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use zooky::session::{CreateMode, Error as SessionError};
use zooky::{Acl, AsyncLock, Dialect, Hurts, Kept, clean};
use zooky_testkit::{Apache, Mode, Script};

use crate::common::proxy::{Proxy, op};
use crate::common::{self, LONG, Observer, Resource, catch_up, client, eventually, path, run, telling};
use crate::{DIALECTS, lock};

backends!(each_dialect_has_its_directories: pain_14_ours_each_dialect_has_its_directories, pain_14_apache_each_dialect_has_its_directories);

/// Containers where the stock clients bear them, persistent ones where not; with the data that stock clients write.
async fn each_dialect_has_its_directories(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    for (dialect, container, parent, directory) in [
        (Dialect::Kazoo, false, "", ""),
        (Dialect::Curator, true, "", ""),
        (Dialect::Zktools, false, "zktools ZLock dir", "lock"),
    ] {
        let root = path("directories").replacen("/tests", "/tests-own", 1);
        let path = format!("{root}/lock");
        proxy.forget();
        let guard = lock(&client, &path, dialect).acquire().await.unwrap();
        assert_eq!(proxy.requests().contains(&op::CREATE_CONTAINER), container, "{dialect}");
        for (path, expected) in [(&root, parent), (&path, directory)] {
            let (data, _) = observer.get(path).await.unwrap();
            assert_eq!(data.as_ref(), expected.as_bytes(), "{dialect}, {path}");
            let (acl, _) = observer.session.acl(path).await.unwrap();
            assert_eq!(acl, Acl::open(), "{dialect}, {path}");
        }
        guard.release().await.unwrap();
    }
    let root = path("directories").replacen("/tests", "/tests-own", 1);
    let candidate = AsyncLock::new(&client, &format!("{root}/async"))
        .unwrap()
        .dialect(Dialect::Zktools)
        .unwrap()
        .enqueue();
    candidate.wait().await.unwrap();
    let (data, _) = observer.get(&format!("{root}/async")).await.unwrap();
    assert_eq!(data.as_ref(), b"zktools ZLock dir");
    candidate.release().await.unwrap();
}

backends!(an_old_server_without_containers_is_no_trouble: pain_14_ours_without_containers, pain_14_apache_without_containers);

async fn an_old_server_without_containers_is_no_trouble(hosts: String) {
    let proxy = Proxy::start(&hosts).await;
    proxy.hide_operation(op::CREATE_CONTAINER);
    let client = client(&proxy.hosts()).await;
    let path = path("old").replacen("/tests", "/tests-old", 1);
    let guard = lock(&client, &path, Dialect::Curator).acquire().await.unwrap();
    assert!(proxy.requests().contains(&op::CREATE_CONTAINER));
    guard.release().await.unwrap();
}

#[test]
fn pain_14_apache_removes_empty_containers() {
    let every_50_ms = "-Dznode.container.checkIntervalMs=50";
    let apache = Apache::builder().env("JAVA_TOOL_OPTIONS", every_50_ms).start();
    run(LONG, containers_are_removed_between_contenders(apache.hosts()));
}

/// The server takes the directory away whenever it is empty for a moment: contenders make it again.
async fn containers_are_removed_between_contenders(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let path = path("container");
    let mut tasks = JoinSet::new();
    for n in 0..2 {
        let lock = lock(&client(&hosts).await, &path, Dialect::Curator);
        tasks.spawn(async move {
            for _ in 0..20 {
                lock.acquire().await.unwrap().release().await.unwrap();
                tokio::time::sleep(Duration::from_millis(40 + 30 * n)).await;
            }
        });
    }
    tasks.join_all().await;
    let gone = || async { observer.exists("/tests").await.unwrap().is_none().then_some(()) };
    eventually("the removal of the directory and its parent", gone).await;
    lock(&client(&hosts).await, &path, Dialect::Curator).acquire().await.unwrap().release().await.unwrap();
}

backends!(a_waiter_whose_directory_vanished_starts_again: pain_14_ours_a_waiter_whose_directory_vanished, pain_14_apache_a_waiter_whose_directory_vanished);

async fn a_waiter_whose_directory_vanished_starts_again(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for dialect in DIALECTS {
        let path = path("vanished");
        let holder = lock(&client(&hosts).await, &path, dialect).acquire().await.unwrap();
        let (waiter, mut waits) = telling(lock(&client(&hosts).await, &path, dialect));
        let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
        waits.recv().await.unwrap();
        // The holder's node last: the waiter must not be granted the lock in between and keep it.
        let mut children = observer.count(&path, 2).await;
        children.reverse();
        for child in children {
            observer.session.delete(&format!("{path}/{child}"), -1).await.unwrap();
        }
        // The waiter may have come back already.
        match observer.session.delete(&path, -1).await {
            Ok(()) | Err(SessionError::NotEmpty { .. }) => {}
            fault => panic!("{fault:?}"),
        }
        let guard = waiting.await.unwrap();
        holder.lost().await;
        assert!(holder.fencing_token() < guard.fencing_token(), "{dialect}");
        let stat = observer.exists(guard.path()).await.unwrap().expect("its node is there");
        assert_eq!(u64::try_from(stat.czxid).unwrap(), guard.fencing_token().czxid());
        guard.release().await.unwrap();
    }
}

backends!(a_parent_vanishes_while_a_directory_is_made: pain_14_ours_a_parent_vanishes, pain_14_apache_a_parent_vanishes);

/// An empty container is removed by the server between its creation and that of the directory in it.
async fn a_parent_vanishes_while_a_directory_is_made(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    for dialect in DIALECTS {
        let create = if dialect == Dialect::Curator { op::CREATE_CONTAINER } else { op::CREATE2 };
        let parent = path("parent");
        let path = format!("{parent}/lock");
        proxy.hold(create, &path);
        let lock = lock(&client, &path, dialect);
        let acquiring = tokio::spawn(async move { lock.acquire().await });
        proxy.held().await;
        let created = || async { observer.exists(&parent).await.unwrap() };
        eventually("the parent", created).await;
        observer.session.delete(&parent, -1).await.unwrap();
        proxy.let_go();
        acquiring.await.unwrap().expect("the directories are made again").release().await.unwrap();
    }
}

backends!(directories_vanish_under_contenders: pain_14_ours_directories_vanish_under_contenders, pain_14_apache_directories_vanish_under_contenders);

/// What the server does to empty containers and their parents, as often as it can be done, while contenders come and
/// go: until it has been done twenty times.
async fn directories_vanish_under_contenders(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for dialect in DIALECTS {
        let parent = path("vanishing");
        let path = format!("{parent}/lock");
        let resource = Arc::new(Resource::new());
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for n in 0..3 {
            let lock = lock(&client(&hosts).await, &path, dialect);
            let (resource, over) = (resource.clone(), over.clone());
            tasks.spawn(async move {
                let mut entries = 0;
                while !over.load(Ordering::SeqCst) {
                    let guard = lock.acquire().await.unwrap();
                    let token = guard.fencing_token().as_u128();
                    drop(resource.register.enter(token, Mode::Write, &n.to_string()).unwrap());
                    entries += 1;
                    guard.release().await.unwrap();
                    // So that the directory is empty now and then.
                    tokio::time::sleep(Duration::from_millis(20 + 10 * n)).await;
                }
                entries
            });
        }
        let mut vanished = 0;
        while vanished < 20 {
            let flight = observer.session.flight();
            let (own, above) = (observer.session.delete(&path, -1), observer.session.delete(&parent, -1));
            drop(flight);
            vanished += usize::from(own.await.is_ok());
            let _ = above.await;
        }
        over.store(true, Ordering::SeqCst);
        let entries = tasks.join_all().await.into_iter().sum();
        resource.assert_exclusive(entries);
    }
}

backends!(clean_removes_what_is_empty_and_warns: pain_14_ours_clean_kazoo, pain_14_apache_clean_kazoo);

const KAZOO: &str = r#"
import sys
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

client = KazooClient(hosts=sys.argv[1])
client.start(30)
lock = client.Lock(sys.argv[2])
with lock:
    pass
print("used")
sys.stdin.readline()
try:
    with lock:
        print("second: fine")
except NoNodeError:
    print("second: NoNodeError")
"#;

async fn clean_removes_what_is_empty_and_warns(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let root = path("cleaned");
    let at = |name: &str| format!("{root}/{name}");
    let mut kazoo = Script::new(KAZOO).arg(&hosts).arg(at("kazoo")).spawn();
    kazoo.expect_line("used", LONG);
    lock(&client, &at("zktools"), Dialect::Zktools).acquire().await.unwrap().release().await.unwrap();
    let held = lock(&client, &at("held"), Dialect::Kazoo).acquire().await.unwrap();
    observer.make(&at("no-lock")).await;
    observer.session.create(&at("data"), "7", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();

    catch_up(&client).await;
    // The server's clock and ours are one here.
    let young = clean(&client, &root, Duration::from_secs(3600)).await.unwrap();
    assert!(young.removed.is_empty(), "{young:?}");
    assert!(young.kept.contains(&(at("kazoo"), Kept::Young)), "{young:?}");

    let cleaned = clean(&client, &root, Duration::ZERO).await.unwrap();
    let removed: Vec<_> = cleaned.removed.iter().map(|one| (one.path.clone(), one.hurts)).collect();
    assert_eq!(removed, [(at("kazoo"), Hurts::Kazoo), (at("zktools"), Hurts::Zktools)]);
    let kept = [(at("data"), Kept::NoLock), (at("held"), Kept::InUse), (at("no-lock"), Kept::NoLock)];
    assert_eq!(cleaned.kept, kept);
    assert!(held.is_held());
    held.release().await.unwrap();

    // What the warning says of stock kazoo is true, and ours is not hurt.
    assert!(cleaned.removed[0].hurts.to_string().contains("NoNodeError"));
    kazoo.send_line("again");
    assert_eq!(kazoo.expect_line("second:", LONG), "NoNodeError");
    lock(&client, &at("zktools"), Dialect::Zktools).acquire().await.unwrap().release().await.unwrap();

    assert!(clean(&client, "/nothing/here", Duration::ZERO).await.unwrap().removed.is_empty());
}
