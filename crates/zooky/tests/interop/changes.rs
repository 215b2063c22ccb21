//! Stock clients beside ours that change sides, ask and are asked, or keep a delay.

use std::time::Duration;

use zooky::{Client, Dialect, Error, Lock, Revoke, RwLock};

use crate::backends;
use crate::common::{self, Observer, catch_up, client, path, telling_rw};
use crate::pairs::Stock;
use crate::table::Program;

backends!(kazoo_beside_ours_that_change_sides:
    ours_kazoo_readers_and_writers_beside_ours_that_change_sides,
    apache_kazoo_readers_and_writers_beside_ours_that_change_sides);

async fn kazoo_beside_ours_that_change_sides(hosts: String) {
    changing_sides(hosts, Program::Python, Dialect::Kazoo, ["ReadLock", "WriteLock"]).await;
}

backends!(curator_beside_ours_that_change_sides:
    ours_curator_readers_and_writers_beside_ours_that_change_sides,
    apache_curator_readers_and_writers_beside_ours_that_change_sides);

async fn curator_beside_ours_that_change_sides(hosts: String) {
    changing_sides(hosts, Program::Java, Dialect::Curator, ["reader", "writer"]).await;
}

/// One stock client that waits in front of an upgrade, and one behind it; then both behind a downgrade.
async fn changing_sides(hosts: String, program: Program, dialect: Dialect, [reader, writer]: [&str; 2]) {
    let (client, observer) = (client(&hosts).await, Observer::new(&hosts).await);
    let path = path("changing-sides");
    let (lock, mut waits) = telling_rw(RwLock::new(&client, &path).unwrap().dialect(dialect).unwrap());
    let [mut beside, mut before, mut behind] = [(); 3].map(|()| Stock::start(program, &hosts));

    let ours = lock.read().await.unwrap();
    begin(&mut beside, reader, &path);
    assert_eq!(beside.granted(), "true");
    begin(&mut before, writer, &path);
    observer.count(&path, 3).await;
    let upgrading = tokio::spawn(ours.upgrade());
    assert!(waits.recv().await.unwrap().path.starts_with(&path));
    begin(&mut behind, reader, &path);
    observer.count(&path, 5).await;
    assert!(!before.is_granted_soon() && !behind.is_granted_soon() && !upgrading.is_finished());
    beside.release();
    let writing = upgrading.await.unwrap().unwrap();
    observer.count(&path, 3).await;
    assert!(!before.is_granted_soon() && !behind.is_granted_soon(), "let in beside our writer");
    let reading = writing.downgrade().await.unwrap();
    // The reader waits for the writer before it.
    assert!(!before.is_granted_soon() && !behind.is_granted_soon(), "let in beside our reader");
    reading.release().await.unwrap();
    assert_eq!(before.granted(), "true");
    assert!(!behind.is_granted_soon());
    before.release();
    assert_eq!(behind.granted(), "true");
    behind.release();

    let writing = lock.write().await.unwrap();
    begin(&mut behind, reader, &path);
    observer.count(&path, 2).await;
    assert!(!behind.is_granted_soon(), "let in beside our writer");
    let reading = writing.downgrade().await.unwrap();
    assert_eq!(behind.granted(), "true");
    begin(&mut before, writer, &path);
    observer.count(&path, 3).await;
    assert!(!before.is_granted_soon());
    behind.release();
    assert!(!before.is_granted_soon(), "let in beside our reader");
    assert!(reading.is_held());
    reading.release().await.unwrap();
    assert_eq!(before.granted(), "true");
    before.release();
}

pub fn begin(stock: &mut Stock, kind: &str, path: &str) {
    stock.make(kind, path);
    stock.begin();
}

backends!(asking: ours_curator_asks_ours_and_is_asked_by_ours, apache_curator_asks_ours_and_is_asked_by_ours);

async fn asking(hosts: String) {
    let client = client(&hosts).await;
    let path = path("asking");
    let lock = Lock::new(&client, &path).unwrap().dialect(Dialect::Curator).unwrap().revocable(true);
    let mut stock = Stock::start(Program::Java, &hosts);
    begin(&mut stock, "revocable", &path);
    assert_eq!(stock.granted(), "true");
    let waiting = acquiring(&lock.clone().revoking(Revoke::ask()));
    stock.is_asked();
    assert!(!waiting.is_finished());
    stock.release();
    let guard = waiting.await.unwrap().unwrap();

    assert!(!guard.is_revoked());
    stock.ask(guard.path());
    guard.revoked().await;
    assert!(guard.is_held());

    // A stock waiter that was not made revocable does not listen.
    begin(&mut stock, "mutex", &path);
    let observer = Observer::new(&hosts).await;
    let theirs = observer.count(&path, 2).await.remove(1);
    let deaf = lock.revoke_all(Revoke::ask()).await.unwrap();
    assert_eq!(
        deaf.deaf.iter().map(|one| &one.name).collect::<Vec<_>>(),
        [&theirs],
        "it was not made revocable"
    );
    guard.release().await.unwrap();
    assert_eq!(stock.granted(), "true");
    stock.release();
}

backends!(deaf: ours_kazoo_cannot_be_asked_but_waited_for, apache_kazoo_cannot_be_asked_but_waited_for);

async fn deaf(hosts: String) {
    let client = client(&hosts).await;
    let path = path("deaf");
    let lock = Lock::new(&client, &path).unwrap();
    let mut stock = Stock::start(Program::Python, &hosts);
    begin(&mut stock, "Lock", &path);
    assert_eq!(stock.granted(), "true");
    let asking = lock.clone().revoking(Revoke::ask());
    let fault = asking.acquire_timeout(Duration::ZERO).await.unwrap_err();
    assert!(fault.is_timeout(), "{fault}");
    assert_eq!(lock.revoke_all(Revoke::ask()).await.unwrap().deaf.len(), 1);
    let waiting = acquiring(&asking);
    Observer::new(&hosts).await.count(&path, 2).await;
    assert!(!waiting.is_finished());
    stock.release();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

fn acquiring(lock: &Lock) -> tokio::task::JoinHandle<Result<zooky::Guard, Error>> {
    let lock = lock.clone();
    tokio::spawn(async move { lock.acquire().await })
}

backends!(kazoo_does_not_mind_the_marker:
    ours_kazoo_does_not_mind_the_marker_of_a_delay,
    apache_kazoo_does_not_mind_the_marker_of_a_delay);

async fn kazoo_does_not_mind_the_marker(hosts: String) {
    a_marker_is_left(hosts, Program::Python, Dialect::Kazoo, "Lock").await;
}

backends!(curator_does_not_mind_the_marker:
    ours_curator_does_not_mind_the_marker_of_a_delay,
    apache_curator_does_not_mind_the_marker_of_a_delay);

async fn curator_does_not_mind_the_marker(hosts: String) {
    a_marker_is_left(hosts, Program::Java, Dialect::Curator, "mutex").await;
}

/// A stock client waits for ours that has a marker; ours vanishes, and the stock client is granted at once, while the
/// next of ours waits.
async fn a_marker_is_left(hosts: String, program: Program, dialect: Dialect, kind: &str) {
    let (observer, path) = (Observer::new(&hosts).await, path("marker"));
    let delayed = |client: &Client| {
        let lock = Lock::new(client, &path).unwrap().dialect(dialect).unwrap();
        lock.lock_delay(Duration::from_secs(600))
    };
    let mut stock = Stock::start(program, &hosts);
    let vanishing = client(&hosts).await;
    let guard = delayed(&vanishing).acquire().await.unwrap();
    begin(&mut stock, kind, &path);
    observer.count(&path, 3).await;
    assert!(!stock.is_granted_soon(), "let in beside ours");
    guard.release().await.unwrap();
    assert_eq!(stock.granted(), "true");
    stock.release();

    let guard = delayed(&vanishing).acquire().await.unwrap();
    begin(&mut stock, kind, &path);
    observer.count(&path, 3).await;
    vanishing.close().await.unwrap();
    guard.lost().await;
    assert_eq!(stock.granted(), "true");
    let children = observer.count(&path, 2).await;
    assert!(children.iter().any(|child| child.ends_with(".delay")), "{children:?}");
    stock.release();
    let next = client(&hosts).await;
    catch_up(&next).await;
    assert!(delayed(&next).try_acquire().await.unwrap().is_none(), "the delay goes on");
}
