//! Holders in processes of their own, killed and frozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::kazoo::Kazoo;
use common::servers::{Ours, TICK, apache};
use common::{LONG, Observer, Resource, again, client, client_with_timeout, path, telling};
use zooky::{GuardState, Lock};
use zooky_testkit::{FencedRegister, MachineClock, Mode, Talk};

const TIMEOUT: Duration = Duration::from_secs(3);
/// For the scheduling of a busy machine.
const SLACK: Duration = Duration::from_millis(500);

/// Not a test: the process that the tests below run as the holder.
#[test]
fn child_holder() {
    let Some(args) = again::args() else { return };
    let [hosts, path, register] = &args[..] else { panic!("{args:?}") };
    common::run(4 * LONG, async {
        let client = client_with_timeout(hosts, TIMEOUT).await;
        let guard = Lock::new(&client, path).unwrap().acquire().await.unwrap();
        let token = guard.fencing_token().as_u128();
        let register = FencedRegister::open(register);
        register.write(token, "the holder").unwrap();
        again::say(format_args!("holds {}", guard.path()));
        for line in again::heard() {
            match line.unwrap().as_str() {
                "state" => again::say(format_args!("state {:?}", guard.state())),
                "write" => {
                    let written = register.write(token, "the holder").is_ok();
                    again::say(format_args!("written {written}"));
                }
                other => panic!("{other}"),
            }
        }
    });
}

fn holder(hosts: &str, path: &str, resource: &Resource) -> Talk {
    let mut child = again::spawn("child_holder", &[hosts, path, &resource.path().display().to_string()]);
    child.expect_line("holds", LONG);
    child
}

#[test]
fn ours_a_killed_holder_is_followed_within_its_timeout() {
    let server = Ours::start(TICK);
    common::run(
        LONG,
        a_killed_holder_is_followed_within_its_timeout(common::servers::Single::hosts(&server)),
    );
}

#[test]
fn apache_a_killed_holder_is_followed_within_its_timeout() {
    let server = apache(TICK);
    common::run(LONG, a_killed_holder_is_followed_within_its_timeout(server.hosts()));
}

async fn a_killed_holder_is_followed_within_its_timeout(hosts: String) {
    let (path, resource) = (path("killed"), Resource::new());
    let mut child = holder(&hosts, &path, &resource);
    let client = client(&hosts).await;
    let (lock, mut waits) = telling(Lock::new(&client, &path).unwrap());
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    assert_eq!(waits.recv().await.unwrap().owner.unwrap().pid, child.pid());

    child.kill();
    let mut killed = MachineClock::start();
    let guard = waiting.await.unwrap();
    let waited = killed.elapsed();
    assert!(waited < TIMEOUT + 2 * TICK + SLACK, "granted only {waited:?} after the holder's death");
    resource.register.write(guard.fencing_token().as_u128(), "the next").unwrap();
    guard.release().await.unwrap();
    Observer::new(&hosts).await.count(&path, 0).await;
}

#[test]
fn ours_a_frozen_holder_wakes_up_without_its_lock() {
    let server = Ours::start(TICK);
    common::run(LONG, a_frozen_holder_wakes_up_without_its_lock(common::servers::Single::hosts(&server)));
}

#[test]
fn apache_a_frozen_holder_wakes_up_without_its_lock() {
    let server = apache(TICK);
    common::run(LONG, a_frozen_holder_wakes_up_without_its_lock(server.hosts()));
}

async fn a_frozen_holder_wakes_up_without_its_lock(hosts: String) {
    let (path, resource) = (path("frozen"), Resource::new());
    let mut child = holder(&hosts, &path, &resource);
    child.send_line("state");
    assert_eq!(child.expect_line("state", LONG), "Held");

    child.pause();
    let client = client(&hosts).await;
    let lock = Lock::new(&client, &path).unwrap();
    let guard = lock.acquire_timeout(TIMEOUT + 2 * TICK + SLACK).await.unwrap();
    resource.register.write(guard.fencing_token().as_u128(), "the next").unwrap();

    // The question waits for it when it wakes up, so that this is the first thing it does.
    child.send_line("state");
    child.resume();
    assert_eq!(child.expect_line("state", LONG), "Lost");
    child.send_line("write");
    assert_eq!(child.expect_line("written", LONG), "false");

    assert_eq!(guard.state(), GuardState::Held);
    resource.register.write(guard.fencing_token().as_u128(), "the next").unwrap();
    guard.release().await.unwrap();
    child.wait(LONG);
}

/// The same story told by kazoo, for comparison: the holder does not know that it has lost the lock.
#[test]
fn ours_kazoo_frozen_goes_on_believing() {
    let server = Ours::start(TICK);
    common::run(LONG, kazoo_frozen_goes_on_believing(common::servers::Single::hosts(&server)));
}

#[test]
fn apache_kazoo_frozen_goes_on_believing() {
    let server = apache(TICK);
    common::run(LONG, kazoo_frozen_goes_on_believing(server.hosts()));
}

async fn kazoo_frozen_goes_on_believing(hosts: String) {
    let (path, resource) = (path("frozen-kazoo"), Resource::new());
    let mut kazoo = Kazoo::start(&hosts, TIMEOUT);
    kazoo.new_lock("lock", "Lock", &path);
    assert!(kazoo.acquire("lock", LONG / 4));

    kazoo.talk.pause();
    let client = client(&hosts).await;
    let lock = Lock::new(&client, &path).unwrap();
    let guard = lock.acquire_timeout(TIMEOUT + 2 * TICK + SLACK).await.unwrap();
    let token = guard.fencing_token().as_u128();
    let inside = resource.register.enter(token, Mode::Write, "zooky").unwrap();

    kazoo.talk.send_line("held lock");
    kazoo.talk.resume();
    assert_eq!(kazoo.talk.expect_line("held", LONG), "True", "kazoo has learnt it: tell the documentation");
    // Both hold now, and only a fencing token could tell; kazoo has none.
    assert_eq!(guard.state(), GuardState::Held);
    inside.write().unwrap();
    drop(inside);
    guard.release().await.unwrap();
}
