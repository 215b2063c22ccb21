//! The blocking face, for programs without an asynchronous runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::{LONG, Resource, again, outside_a_runtime, path};
use zooky::blocking::{Client, Guard, Lock, RwLock};
use zooky::{Error, GuardState};
use zooky_testkit::{Mode, eventually};

ensemble!();

/// What has been done until now, by whomever, is seen by this client from now on.
fn catch_up(client: &Client) {
    client.run(common::catch_up(client.asynchronous())).unwrap();
}

backends!(threads_exclude_each_other: ours_threads_exclude_each_other, apache_threads_exclude_each_other);

async fn threads_exclude_each_other(hosts: String) {
    outside_a_runtime(move || contend(&hosts)).await;
}

fn contend(hosts: &str) {
    let (path, resource) = (path("threads"), Resource::new());
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (path, register) = (&path, &resource.register);
            scope.spawn(move || {
                let client = Client::connect(hosts).unwrap();
                let lock = Lock::new(&client, path).unwrap();
                for round in 0..8 {
                    let guard = lock.acquire_timeout(LONG).unwrap();
                    let token = guard.fencing_token().as_u128();
                    register.enter(token, Mode::Write, &n.to_string()).unwrap().write().unwrap();
                    if round % 2 == 0 {
                        guard.release().unwrap();
                    }
                }
            });
        }
    });
    resource.assert_exclusive(32);
}

backends!(the_blocking_face_does_what_the_other_does:
    ours_the_blocking_face_does_what_the_other_does,
    apache_the_blocking_face_does_what_the_other_does);

async fn the_blocking_face_does_what_the_other_does(hosts: String) {
    outside_a_runtime(move || take_in_every_way(&hosts)).await;
}

fn take_in_every_way(hosts: &str) {
    let (one, two) = (Client::connect(hosts).unwrap(), Client::connect(hosts).unwrap());
    let path = path("basics");
    let (first, second) = (Lock::new(&one, &path).unwrap(), Lock::new(&two, &path).unwrap());
    let guard = first.acquire().unwrap();
    assert_eq!((guard.state(), guard.is_held()), (GuardState::Held, true));
    assert!(!guard.wait_lost(Duration::from_millis(20)).unwrap());
    assert!(second.try_acquire().unwrap().is_none());
    assert!(second.acquire_timeout(Duration::from_millis(50)).unwrap_err().is_timeout());
    guard.release().unwrap();
    // On a busy machine the one that timed out had no answer yet to its create, and is removed behind our back.
    let free = eventually(LONG / 2, "the lock, which is free", || second.try_acquire().unwrap());
    free.release().unwrap();

    let (first, second) = (RwLock::new(&one, &path).unwrap(), RwLock::new(&two, &path).unwrap());
    let readers: [Guard; 2] = [first.read().unwrap(), second.read_timeout(LONG).unwrap()];
    assert!(first.try_write().unwrap().is_none());
    assert!(second.write_timeout(Duration::from_millis(50)).unwrap_err().is_timeout());
    drop(readers);
    let writer = first.write_timeout(LONG).unwrap();
    assert!(second.try_read().unwrap().is_none());
    writer.release().unwrap();
    drop(first.write().unwrap());
    second.read_timeout(LONG).unwrap().release().unwrap();
}

backends!(a_thread_is_told_of_the_loss: ours_a_thread_is_told_of_the_loss, apache_a_thread_is_told_of_the_loss);

async fn a_thread_is_told_of_the_loss(hosts: String) {
    outside_a_runtime(move || lose_it(&hosts)).await;
}

fn lose_it(hosts: &str) {
    let (one, two) = (Client::connect(hosts).unwrap(), Client::connect(hosts).unwrap());
    let lock = Lock::new(&one, &path("told")).unwrap();
    let guard = lock.acquire().unwrap();
    let (told, hears) = mpsc::channel();
    guard.on_lost(move || told.send(()).unwrap());
    let session = two.asynchronous().current();
    two.run(session.delete(guard.path(), -1)).unwrap().unwrap();
    assert!(guard.wait_lost(LONG / 2).unwrap());
    hears.recv_timeout(LONG / 2).unwrap();
    assert_eq!(guard.state(), GuardState::Lost);
    assert!(matches!(guard.release(), Err(Error::Lost { .. })));

    // A release is no loss: the callback is dropped unused.
    let guard = lock.acquire().unwrap();
    let (told, hears) = mpsc::channel::<()>();
    guard.on_lost(move || told.send(()).unwrap());
    guard.release().unwrap();
    assert_eq!(hears.recv_timeout(LONG / 2), Err(mpsc::RecvTimeoutError::Disconnected));
}

backends!(inside_a_runtime_it_refuses_to_block:
    ours_inside_a_runtime_it_refuses_to_block,
    apache_inside_a_runtime_it_refuses_to_block);

async fn inside_a_runtime_it_refuses_to_block(hosts: String) {
    outside_a_runtime(move || enter_a_runtime(&hosts)).await;
}

fn enter_a_runtime(hosts: &str) {
    let client = Client::connect(hosts).unwrap();
    let path = path("inside");
    let lock = Lock::new(&client, &path).unwrap();
    let guard = lock.acquire().unwrap();
    common::run(LONG, async move {
        assert!(matches!(Client::connect(hosts), Err(Error::InsideRuntime)));
        assert!(matches!(lock.acquire(), Err(Error::InsideRuntime)));
        assert!(matches!(lock.try_acquire(), Err(Error::InsideRuntime)));
        assert_eq!(guard.state(), GuardState::Held);
        assert!(matches!(guard.release(), Err(Error::InsideRuntime)));
        drop((lock, client));
    });
    // That guard was dropped all the same, and its client with it.
    let client = Client::connect(hosts).unwrap();
    Lock::new(&client, &common::path("inside-after")).unwrap().acquire().unwrap().release().unwrap();
}

/// Not a test: a program that ends with a guard in its hands.
#[test]
fn child_program() {
    let Some(args) = again::args() else { return };
    let [hosts, path] = &args[..] else { panic!("{args:?}") };
    let client = Client::connect(hosts).unwrap();
    let _guard = Lock::new(&client, path).unwrap().acquire().unwrap();
    again::say("holds");
    assert_eq!(again::heard().next().unwrap().unwrap(), "end");
}

backends!(a_program_that_ends_frees_its_lock_at_once:
    ours_a_program_that_ends_frees_its_lock_at_once,
    apache_a_program_that_ends_frees_its_lock_at_once);

async fn a_program_that_ends_frees_its_lock_at_once(hosts: String) {
    outside_a_runtime(move || end_a_program(&hosts)).await;
}

fn end_a_program(hosts: &str) {
    let path = path("ends");
    let mut child = again::spawn("child_program", &[hosts, &path]);
    child.expect_line("holds", LONG);
    let client = Client::connect(hosts).unwrap();
    let lock = Lock::new(&client, &path).unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    child.send_line("end");
    assert!(child.wait(LONG).success(), "{}", child.stderr());
    catch_up(&client);
    lock.try_acquire().unwrap().expect("it is free at once").release().unwrap();
}

backends!(a_node_is_followed_without_a_runtime:
    ours_a_node_is_followed_without_a_runtime,
    apache_a_node_is_followed_without_a_runtime);

async fn a_node_is_followed_without_a_runtime(hosts: String) {
    outside_a_runtime(move || follow_a_node(&hosts)).await;
}

fn follow_a_node(hosts: &str) {
    let client = Client::connect_with(common::config(hosts)).unwrap();
    let path = path("blocking-node");
    let node = zooky::blocking::Node::open_with(&client, &path, |settings| settings.default(1)).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let subscription = node.on_change(move |state| told.send(state.clone()).unwrap());
    assert_eq!(heard.recv_timeout(LONG).unwrap(), node.state());
    let known = node.state();
    node.update(|held| (held.value.as_i64().unwrap() + 1).into()).unwrap();
    let changed = node.wait_change(&known, LONG).unwrap().unwrap();
    assert_eq!((changed.value(), node.value()), (Some(&2.into()), Some(2.into())));
    assert!(node.set_if(5, node.snapshot().unwrap().stat.version - 1).is_err());
    node.delete().unwrap();
    while heard.recv_timeout(LONG).unwrap() != zooky::NodeState::Deleted {}
    node.create(3).unwrap();
    assert_eq!(node.read().unwrap().value, 3.into());
    assert!(node.children().unwrap().is_empty());
    drop(subscription);
    // Nothing more comes: the wait ends by its limit.
    let now = zooky::NodeState::Present(node.read().unwrap());
    while node.state() != now {
        node.wait_change(&zooky::NodeState::Deleted, LONG).unwrap();
    }
    assert_eq!(node.wait_change(&now, std::time::Duration::from_millis(20)).unwrap(), None);
}
