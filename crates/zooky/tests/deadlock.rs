//! Deadlocks: seen from outside, and refused to one of those who are in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{LONG, Observer, again, client, eventually, path, run};
use zooky::inspect::{self, WaitGraph};
use zooky::session::{Acl, CreateMode};
use zooky::{Client, Error, Guard, Lock, MultiLock, Owner, Part, RwLock, Semaphore};
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

backends!(upgrading: ours_a_deadlock_through_an_upgrade_is_refused, apache_a_deadlock_through_an_upgrade_is_refused);

/// Both read d; a holds l, which b waits for; a wants to write d, which b reads.
async fn upgrading(hosts: String) {
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let observer = Observer::new(&hosts).await;
    for upgrader_is_refused in [true, false] {
        let root = path("upgrading");
        let (d, l) = (format!("{root}/d"), format!("{root}/l"));
        let data = |client, id| RwLock::new(client, &d).unwrap().with_owner(me(id));
        let reads_a = data(&one, "a").refuse_deadlock(upgrader_is_refused).read().await.unwrap();
        let reads_b = data(&two, "b").refuse_deadlock(true).read().await.unwrap();
        let holds = lock(&one, &l, "a").refuse_deadlock(true).acquire().await.unwrap();
        let wants = waiting(lock(&two, &l, "b").refuse_deadlock(true)).await;

        if upgrader_is_refused {
            // Its mark is the youngest.
            let refused = reads_a.upgrade().await.unwrap_err();
            assert!(
                matches!(&refused.fault, Error::Deadlock { path, .. } if *path == d),
                "{}",
                refused.fault
            );
            assert!(refused.guard.is_held() && refused.guard.mode() == zooky::Mode::Shared);
            observer.count(&d, 2).await;
            assert!(!wants.is_finished(), "both were refused");
            holds.release().await.unwrap();
            wants.await.unwrap().unwrap().release().await.unwrap();
            refused.guard.release().await.unwrap();
            reads_b.release().await.unwrap();
        } else {
            let upgrade = tokio::spawn(reads_a.upgrade());
            let refused = wants.await.unwrap().unwrap_err();
            assert!(matches!(refused, Error::Deadlock { .. }), "{refused}");
            assert!(!upgrade.is_finished(), "both were refused");
            reads_b.release().await.unwrap();
            upgrade.await.unwrap().unwrap().release().await.unwrap();
            holds.release().await.unwrap();
        }
        observer.count(&d, 0).await;
        observer.count(&l, 0).await;
    }
}

/// Starts to wait for a lease, and returns once it is the one whose turn it is.
async fn bidding(semaphore: Semaphore) -> tokio::task::JoinHandle<Result<Guard, Error>> {
    let (sender, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let told = semaphore.on_wait(move |holder| _ = sender.send(holder.lock_path().to_owned()));
    let path = told.path().to_owned();
    let task = tokio::spawn(async move { told.acquire().await });
    while waits.recv().await.expect("it waits") != path {}
    task
}

backends!(leases: ours_a_deadlock_through_leases_is_refused, apache_a_deadlock_through_leases_is_refused);

/// Two leases are out; their holders wait, in the end, for the one who wants a third.
async fn leases(hosts: String) {
    let (one, two, three) = (client(&hosts).await, client(&hosts).await, client(&hosts).await);
    let observer = Observer::new(&hosts).await;
    let root = path("leases");
    let (s, l) = (format!("{root}/s"), format!("{root}/l"));
    let leases = |client, id| Semaphore::new(client, &s, 2).unwrap().with_owner(me(id)).refuse_deadlock(true);
    let (a, b) = (leases(&one, "a").acquire().await.unwrap(), leases(&two, "b").acquire().await.unwrap());
    let holds = lock(&three, &l, "c").refuse_deadlock(true).acquire().await.unwrap();
    let a_wants = waiting(lock(&one, &l, "a").refuse_deadlock(true)).await;
    let c_wants = bidding(leases(&three, "c")).await;

    // Half of the leases may come back: nobody is refused.
    let seen = graph(&one, &root).await;
    let of_c: Vec<_> = seen.waits().iter().filter(|wait| wait.waiter.path.starts_with(&s)).collect();
    assert!(of_c.len() == 2 && of_c.iter().all(|wait| wait.one_of_several), "{of_c:?}");
    assert_eq!(seen.cycles().len(), 0);
    // Long enough for each of them to have looked several times.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!a_wants.is_finished() && !c_wants.is_finished());

    // Now none may. The youngest waiter is b's.
    let b_wants = waiting(lock(&two, &l, "b").refuse_deadlock(true)).await;
    let refused = b_wants.await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Deadlock { .. }), "{refused}");
    assert!(!a_wants.is_finished() && !c_wants.is_finished(), "one refusal will do");
    b.release().await.unwrap();
    let c = c_wants.await.unwrap().unwrap();
    observer.count(&format!("{s}-__lock__"), 0).await;

    // And the one who wants a lease, where that is the youngest: it has come when the others waited.
    let d_holds = lock(&two, &format!("{root}/m"), "d").refuse_deadlock(true).acquire().await.unwrap();
    let c_waits = waiting(lock(&three, &format!("{root}/m"), "c").refuse_deadlock(true)).await;
    let d_wants = leases(&two, "d").acquire().await;
    let refused = d_wants.unwrap_err();
    assert!(matches!(&refused, Error::Deadlock { path, .. } if *path == s), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("waits for {s}, held by")), "{text}");
    observer.count(&format!("{s}-__lock__"), 0).await;
    observer.count(&s, 2).await;
    drop((a, c, holds, d_holds));
    for task in [a_wants, c_waits] {
        task.await.unwrap().unwrap().release().await.unwrap();
    }
}

backends!(several: ours_several_locks_in_a_deadlock_are_refused, apache_several_locks_in_a_deadlock_are_refused);

/// One holds a lock of its own and waits for several, one of which is held by who waits for that lock.
async fn several(hosts: String) {
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let observer = Observer::new(&hosts).await;
    let root = path("several");
    let [own, first, last] = ["x/own", "x/first", "y/last"].map(|name| format!("{root}/{name}"));
    let nameless = MultiLock::new(&one, [Part::write(&first)]).unwrap().refuse_deadlock(true);
    assert!(matches!(nameless.acquire().await, Err(Error::NoOwnerId { .. })));
    let holds_own = lock(&one, &own, "1").acquire().await.unwrap();
    let holds_last = lock(&two, &last, "2").acquire().await.unwrap();
    let wants_own = waiting(lock(&two, &own, "2")).await;
    // In either order, the setting and the owner go together.
    for owner_first in [true, false] {
        let both = MultiLock::new(&one, [Part::read(&first), Part::write(&last)]).unwrap();
        let both = match owner_first {
            true => both.with_owner(me("1")).refuse_deadlock(true),
            false => both.refuse_deadlock(true).with_owner(me("1")),
        };
        let refused = both.acquire().await.unwrap_err();
        assert!(matches!(&refused, Error::Deadlock { path, .. } if *path == last), "{refused}");
        observer.count(&first, 0).await;
        observer.count(&last, 1).await;
    }
    assert!(!wants_own.is_finished());
    holds_own.release().await.unwrap();
    wants_own.await.unwrap().unwrap().release().await.unwrap();
    holds_last.release().await.unwrap();
}
