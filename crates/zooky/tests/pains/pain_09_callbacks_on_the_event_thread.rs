//! A callback runs on the thread that serves the session, blocks, and the session dies of it (CURATOR-495). Here callbacks that
//! block for longer than the session's timeout hold nothing up, even where one thread does everything else.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use zooky::{AsyncLock, GuardState, Lock, Node};

use crate::common::servers::{Ours, Single, TICK, apache};
use crate::common::{LONG, client_with_timeout, in_time, path};

const TIMEOUT: Duration = Duration::from_secs(1);

#[test]
fn pain_09_ours_callbacks_on_the_event_thread() {
    let server = Ours::start(TICK);
    on_one_thread(&server.hosts());
}

#[test]
fn pain_09_apache_callbacks_on_the_event_thread() {
    let server = apache(TICK);
    on_one_thread(&server.hosts());
}

fn on_one_thread(hosts: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(in_time(LONG, "the locks behind a callback", scenario(hosts)));
}

async fn scenario(hosts: &str) {
    let client = client_with_timeout(hosts, TIMEOUT).await;
    let guard = Lock::new(&client, &path("held")).unwrap().acquire().await.unwrap();
    let first = guard.deadline();
    let (done, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    // Returns once `done` is dropped, in the end.
    let block = move |what: &'static str| {
        called.send(what).unwrap();
        let _ = wait.lock().unwrap().recv_timeout(LONG);
    };
    let node = Node::open(&client, &path("told")).await.unwrap();
    let (on_change, on_children, on_acquired) = (block.clone(), block.clone(), block);
    let _value = node.on_change(move |_| on_change("value"));
    let _children = node.on_children(move |_| on_children("children"));
    let candidate = AsyncLock::new(&client, &path("asked")).unwrap().enqueue();
    candidate.on_acquired(move |_| on_acquired("acquired"));
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(calls.recv().await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, ["acquired", "children", "value"]);

    // Several timeouts pass, and the session lives.
    crate::common::eventually("the deadline to move on", || async {
        (guard.deadline() > first + 3 * TIMEOUT).then_some(())
    })
    .await;
    assert_eq!(guard.state(), GuardState::Held);
    node.set(1).await.unwrap();
    guard.release().await.unwrap();
    drop(done);
}
