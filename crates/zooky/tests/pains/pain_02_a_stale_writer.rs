//! A lock is no mutex: a holder that has lost it goes on writing, and only the resource can refuse it (etcd#11457,
//! Kleppmann). Tokens grow with every grant, through hand-overs, upgrades and downgrades, too.

use std::time::Duration;

use zooky::{Guard, Handover, Lock, RwLock};
use zooky_testkit::Mode;

use crate::common::{self, Observer, Resource, client, path};

backends!(a_stale_token_is_refused: pain_02_ours_a_stale_token_is_refused, pain_02_apache_a_stale_token_is_refused);

async fn a_stale_token_is_refused(hosts: String) {
    let (path, resource) = (path("stale"), Resource::new());
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let enter =
        |guard: &Guard, mode| resource.register.enter(guard.fencing_token().as_u128(), mode, "").map(drop);
    let bound = Handover::DEFAULT.time(Duration::from_secs(60));
    let lock = Lock::new(&client, &path).unwrap().local_handover(bound);
    // Somebody deletes the node: the old holder is stale as soon as another was in.
    let stale = lock.acquire().await.unwrap();
    enter(&stale, Mode::Write).unwrap();
    observer.session.delete(stale.path(), -1).await.unwrap();
    stale.lost().await;
    let next = lock.acquire().await.unwrap();
    enter(&next, Mode::Write).unwrap();
    assert!(enter(&stale, Mode::Write).is_err(), "the resource refuses it");
    drop(stale);
    next.release().await.unwrap();

    // A reader that becomes the writer, and a reader again: each change makes what was before it stale.
    let reading = RwLock::new(&client, &path).unwrap().read().await.unwrap();
    let first = reading.fencing_token();
    enter(&reading, Mode::Read).unwrap();
    let written = reading.upgrade().await.unwrap();
    let second = written.fencing_token();
    enter(&written, Mode::Write).unwrap();
    let reading = written.downgrade().await.unwrap();
    enter(&reading, Mode::Read).unwrap();
    assert!(first < second && second < reading.fencing_token());
    assert!(resource.register.enter(first.as_u128(), Mode::Write, "").is_err());
    reading.release().await.unwrap();
}
