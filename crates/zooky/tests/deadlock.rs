//! Deadlocks: seen from outside, and refused to one of those who are in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{LONG, Observer, again, client, eventually, path, run};
use zooky::inspect::{self, WaitGraph};
use zooky::session::{Acl, CreateMode};
use zooky::{Client, Error, Guard, Lock, Owner, RwLock};
use zooky_testkit::{Ensemble, Talk};

fn me(id: &str) -> Owner {
    Owner::this_process().with_id(id)
}

fn lock(client: &Client, path: &str, id: &str) -> Lock {
    Lock::new(client, path).unwrap().with_owner(me(id))
}

/// Starts to wait, and returns once it does.
async fn waiting(lock: Lock) -> tokio::task::JoinHandle<Result<Guard, Error>> {
    let (lock, mut waits) = common::telling(lock);
    let task = tokio::spawn(async move { lock.acquire().await });
    waits.recv().await.expect("it waits");
    task
}

async fn graph(client: &Client, root: &str) -> WaitGraph {
    inspect::wait_graph(client, root).await.unwrap()
}

/// Run by `two_processes_that_lock_crosswise`, as another process.
#[test]
fn child_that_locks_crosswise() {
    let Some(args) = again::args() else { return };
    let [hosts, first, second] = &args[..] else { panic!("{args:?}") };
    run(LONG, async {
        let client = client(hosts).await;
        let lock = |path| Lock::new(&client, path).unwrap().with_owner(me("worker")).refuse_deadlock(true);
        let held = lock(first).acquire().await.unwrap();
        again::say("holding");
        again::heard().next();
        match lock(second).acquire().await {
            Ok(guard) => {
                again::say("granted");
                guard.release().await.unwrap();
                held.release().await.unwrap();
            }
            Err(fault @ Error::Deadlock { .. }) => {
                again::say("refused");
                again::say(format!("because {fault}"));
                again::heard().next();
                held.release().await.unwrap();
            }
            Err(fault) => panic!("{fault}"),
        }
        again::say("done");
    });
}

ensemble!();

backends!(crosswise: ours_two_processes_that_lock_crosswise, apache_two_processes_that_lock_crosswise);

async fn crosswise(hosts: String) {
    let observer = Observer::new(&hosts).await;
    for _ in 0..3 {
        let root = path("crosswise");
        let (a, b) = (format!("{root}/a"), format!("{root}/b"));
        let child = |first, second| again::spawn("child_that_locks_crosswise", &[&hosts, first, second]);
        let mut children = [child(&a, &b), child(&b, &a)];
        children.iter_mut().for_each(|child| _ = child.expect_line("holding", LONG));
        children.iter_mut().for_each(|child| child.send_line("go"));

        // Exactly one is refused; the other waits on, until the first lets go of what it holds.
        let refused = await_refusal(&mut children);
        let (left, right) = children.split_at_mut(1);
        let (refused, other) =
            if refused == 0 { (&mut left[0], &mut right[0]) } else { (&mut right[0], &mut left[0]) };
        let why = refused.expect_line("because", LONG);
        for part in ["would never end", a.as_str(), b.as_str(), "id worker", "held by"] {
            assert!(why.contains(part), "{part} in {why}");
        }
        assert!(!other.hears_line("refused", Duration::from_millis(500)), "both were refused");
        refused.send_line("let go");
        refused.expect_line("done", LONG);
        other.expect_line("granted", LONG);
        other.expect_line("done", LONG);
        for lock in [&a, &b] {
            observer.count(lock, 0).await;
        }
    }
}

/// Which of them is refused.
fn await_refusal(children: &mut [Talk; 2]) -> usize {
    zooky_testkit::eventually(LONG, "a refusal", || {
        (0..2).find(|n| children[*n].hears_line("refused", Duration::from_millis(20)))
    })
}

backends!(owners: ours_owners_of_one_session_are_not_one, apache_owners_of_one_session_are_not_one);

/// One session holds a and waits for b, another holds b and waits for a: with owners of their own there is no deadlock.
async fn owners(hosts: String) {
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let root = path("owners");
    let (a, b) = (format!("{root}/a"), format!("{root}/b"));
    let refusing = |client, path: &str, id| lock(client, path, id).refuse_deadlock(true);
    let holds_a = refusing(&one, &a, "task 1").acquire().await.unwrap();
    let holds_b = refusing(&two, &b, "task 2").acquire().await.unwrap();
    let wants_b = waiting(refusing(&one, &b, "task 3")).await;
    let wants_a = waiting(refusing(&two, &a, "task 4")).await;
    let seen = graph(&one, &root).await;
    assert_eq!((seen.waits().len(), seen.cycles().len()), (2, 0));
    // Without any id, nobody is anybody's: a waiter of the same process, no owner.
    let nameless = waiting(Lock::new(&two, &a).unwrap()).await;
    assert_eq!(graph(&one, &root).await.cycles().len(), 0);

    // Long enough for each of them to have looked several times.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!wants_a.is_finished() && !wants_b.is_finished());
    holds_a.release().await.unwrap();
    wants_a.await.unwrap().unwrap().release().await.unwrap();
    holds_b.release().await.unwrap();
    wants_b.await.unwrap().unwrap().release().await.unwrap();
    nameless.await.unwrap().unwrap().release().await.unwrap();
}

backends!(shown: ours_the_graph_is_shown, apache_the_graph_is_shown);

async fn shown(hosts: String) {
    let client = client(&hosts).await;
    let root = path("shown");
    assert_eq!(graph(&client, &root).await.contenders().count(), 0);
    // At different depths; a reader, a reader, a writer and a reader in one queue.
    let (deep, flat) = (format!("{root}/group/sub/data"), format!("{root}/flat"));
    let data = |id| RwLock::new(&client, &deep).unwrap().with_owner(me(id));
    let (r1, r2) = (data("r1").read().await.unwrap(), data("r2").read().await.unwrap());
    let (writer, mut waits) = common::telling_rw(data("w"));
    let writing = tokio::spawn(async move { writer.write().await });
    waits.recv().await.unwrap();
    let (reader, mut waits) = common::telling_rw(data("r3"));
    let reading = tokio::spawn(async move { reader.read().await });
    waits.recv().await.unwrap();
    let held = lock(&client, &flat, "r1").acquire().await.unwrap();

    let seen = graph(&client, &root).await;
    let id = |contender: &inspect::Contender| contender.owner.clone().unwrap().id.unwrap();
    let holders: Vec<_> = seen.holders().map(|one| (one.lock_path().to_owned(), id(one))).collect();
    let expected = [(&flat, "r1"), (&deep, "r1"), (&deep, "r2")];
    assert_eq!(holders, expected.map(|(path, id)| (path.clone(), id.to_owned())));
    let mut waits: Vec<_> = seen.waits().iter().map(|wait| (id(&wait.waiter), id(&wait.blocker))).collect();
    waits.sort();
    assert_eq!(waits, [("r3", "w"), ("w", "r1"), ("w", "r2")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(seen.cycles().is_empty());

    // A holder who wants more waits for those behind whom it queues, who wait for it.
    let other = waiting(lock(&client, &flat, "x")).await;
    assert!(graph(&client, &root).await.cycles().is_empty(), "x waits for r1, who waits for nobody");
    let again = data("r1");
    let late = again.write_timeout(LONG);
    tokio::pin!(late);
    tokio::select! {
        _ = &mut late => panic!("granted"),
        cycle = eventually("a cycle", || async { graph(&client, &root).await.into_cycles().pop() }) => {
            let text = cycle.to_string();
            assert!(cycle.victim().is_none(), "nobody asked to be refused");
            assert!(text.contains("id r1") && text.contains(&deep), "{text}");
        }
    }
    other.abort();
    // What may not be read is said.
    let owner = Client::connect_with(common::config(&hosts).auth("digest", "ann:secret")).await.unwrap();
    let private = format!("{root}/private");
    owner.current().create(&private, "", CreateMode::PERSISTENT, &Acl::creator_all()).await.unwrap();
    assert_eq!(graph(&client, &root).await.unread(), [private]);
    writing.abort();
    reading.abort();
    drop((r1, r2, held));
}

backends!(itself: ours_who_waits_for_itself_is_refused, apache_who_waits_for_itself_is_refused);

async fn itself(hosts: String) {
    let client = client(&hosts).await;
    let path = path("itself");
    let nameless = Lock::new(&client, &path).unwrap().refuse_deadlock(true);
    assert!(matches!(nameless.acquire().await, Err(Error::NoOwnerId { .. })));
    let curators = lock(&client, &path, "me").refuse_deadlock(true).dialect(zooky::Dialect::Curator);
    let fault = curators.unwrap().acquire().await.unwrap_err();
    assert!(matches!(&fault, Error::NoRoomForOwner { dialect: zooky::Dialect::Curator, .. }), "{fault}");
    let lock = lock(&client, &path, "me").refuse_deadlock(true);
    let held = lock.acquire().await.unwrap();
    let refused = lock.acquire().await.unwrap_err();
    assert!(matches!(refused, Error::Deadlock { .. }), "{refused}");
    // The refused contender has left.
    Observer::new(&hosts).await.count(&path, 1).await;
    held.release().await.unwrap();
}

/// The older waiter is the only one that lets itself be refused: it finds out although it did not close the circle.
#[test]
fn ensemble_a_waiter_is_refused_in_a_circle_that_another_closes() {
    let ensemble = Ensemble::start();
    run(2 * LONG, async {
        let hosts = ensemble.hosts();
        let (one, two) = (client(&hosts).await, client(&hosts).await);
        let root = path("closed-later");
        let (a, b) = (format!("{root}/x/a"), format!("{root}/y/b"));
        let holds_a = lock(&one, &a, "1").acquire().await.unwrap();
        let holds_b = lock(&two, &b, "2").acquire().await.unwrap();
        let first = waiting(lock(&one, &b, "1").refuse_deadlock_below(&root)).await;
        let second = waiting(lock(&two, &a, "2")).await;
        assert!(matches!(first.await.unwrap(), Err(Error::Deadlock { .. })));
        holds_a.release().await.unwrap();
        second.await.unwrap().unwrap().release().await.unwrap();
        holds_b.release().await.unwrap();
    });
}
