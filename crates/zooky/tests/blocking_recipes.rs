//! The blocking faces of the recipes: each once through, without any runtime of the caller's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::mpsc;
use std::time::Duration;

use zooky::blocking::{AsyncLock, Client, Election, Lock, MultiLock, PersistentLock, RwLock, Semaphore};
use zooky::{Error, GuardState, Part};
use zooky_testkit::eventually;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

ensemble!();

backends!(every_recipe_blocks: ours_every_recipe_blocks, apache_every_recipe_blocks);

async fn every_recipe_blocks(hosts: String) {
    common::outside_a_runtime(move || each_once_through(&hosts)).await;
}

fn each_once_through(hosts: &str) {
    let client = Client::connect_with(common::config(hosts)).unwrap();

    let semaphore = Semaphore::new(&client, "/b/semaphore", 1).unwrap();
    let lease = semaphore.acquire().unwrap();
    assert!(semaphore.try_acquire().unwrap().is_none());
    assert!(semaphore.acquire_timeout(SHORT).unwrap_err().is_timeout());
    assert_eq!(semaphore.lease_holders().unwrap().len(), 1);
    lease.release().unwrap();

    let election = Election::new(&client, "/b/election").unwrap().identifier("one");
    let mut observer = election.observe();
    assert!(observer.changed().unwrap().is_none());
    let leading = election.campaign().unwrap();
    assert_eq!(observer.changed_timeout(LONG).unwrap().unwrap().unwrap().identifier(), "one");
    assert!(observer.changed_timeout(SHORT).unwrap().is_none());
    assert!(election.try_campaign().unwrap().is_none() && election.leader().unwrap().is_some());
    assert!(election.campaign_timeout(SHORT).unwrap_err().is_timeout());
    eventually(LONG, "one candidate", || (election.candidates().unwrap().len() == 1).then_some(()));
    leading.release().unwrap();

    let several = MultiLock::new(&client, [Part::write("/b/y"), Part::read("/b/x")]).unwrap();
    let guard = several.acquire().unwrap();
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Held, true));
    assert_eq!(guard.fencing_tokens().map(|(path, _)| path).collect::<Vec<_>>(), ["/b/x", "/b/y"]);
    assert!(several.try_acquire().unwrap().is_none());
    assert!(several.acquire_timeout(SHORT).unwrap_err().is_timeout());
    assert!(!guard.wait_lost(SHORT).unwrap() && guard.has_lock().unwrap());
    assert!(
        !guard.is_revoked() && !guard.wait_revoked(SHORT).unwrap() && guard.foreign_contender().is_none()
    );
    guard.release().unwrap();

    let persistent = PersistentLock::new(&client, "/b/persistent", "key").unwrap();
    assert!(persistent.take_back().unwrap().is_none());
    let first = persistent.acquire().unwrap();
    let lost = mpsc::channel();
    first.on_lost(move || lost.0.send(()).unwrap());
    let second = persistent.acquire_timeout(LONG).unwrap();
    assert!(second.fencing_token() > first.fencing_token() && first.wait_lost(LONG).unwrap());
    lost.1.recv_timeout(LONG).unwrap();
    assert!(!first.has_lock().unwrap() && second.has_lock().unwrap());
    assert!(matches!(first.release(), Err(Error::Lost { .. })));
    assert_eq!(second.state(), GuardState::Held);
    second.release().unwrap();
    assert!(!persistent.release().unwrap());

    let (acquired, released) = (mpsc::channel(), mpsc::channel());
    let later =
        AsyncLock::new(&client, "/b/async").unwrap().set(|lock| lock.dialect(zooky::Dialect::Zktools));
    let candidate = later.unwrap().enqueue();
    candidate.on_acquired(move |candidate| {
        assert!(candidate.has_lock().unwrap() && !candidate.is_revoked());
        acquired.0.send(candidate.fencing_token()).unwrap();
        candidate.release().unwrap();
    });
    candidate.on_released(move || released.0.send(()).unwrap());
    assert!(acquired.1.recv_timeout(LONG).unwrap().is_some());
    released.1.recv_timeout(LONG).unwrap();
    assert!(candidate.release_timeout(LONG).unwrap() && candidate.errors().is_empty());
    assert!(!candidate.is_acquired() && !candidate.candidate_created());

    let rw = RwLock::new(&client, "/b/rw").unwrap();
    let reader = rw.write().unwrap().downgrade().unwrap();
    assert_eq!(reader.fencing_token().count(), 1);
    let other = rw.read().unwrap();
    let unchanged = reader.upgrade_timeout(SHORT).unwrap_err();
    other.release().unwrap();
    let writer = unchanged.guard.upgrade().unwrap();
    assert!(!writer.is_revoked() && !writer.wait_revoked(SHORT).unwrap());
    writer.release().unwrap();
    assert_eq!(Lock::new(&client, "/b/rw").unwrap().acquire().unwrap().state(), GuardState::Held);
}
