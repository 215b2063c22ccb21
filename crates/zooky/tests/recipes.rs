//! The examples of `docs/recipes.md`, run; and the test that they are the same.
// The examples are written for a client of one's own, and lent one here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_borrow)]

mod common;

use zooky::{Client, Error};

async fn an_exclusive_lock(client: &Client) -> Result<(), Error> {
    use zooky::{Dialect, Lock};

    let my_lock = Lock::new(&client, "/ZktoolsLocks/my_lock_name")?.dialect(Dialect::Zktools)?;
    let guard = my_lock.acquire().await?; // waits
    println!("ours, with token {}", guard.fencing_token());
    guard.release().await?;

    {
        let _guard = my_lock.acquire().await?;
        // do something with the lock
    } // released in the background
    Ok(())
}

async fn a_lock_with_a_time_limit(client: &Client) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::Lock;

    let lock = Lock::new(&client, "/locks/limited")?;
    let held = lock.acquire().await?;
    assert!(lock.try_acquire().await?.is_none());
    let fault = lock.acquire_timeout(Duration::from_millis(50)).await.unwrap_err();
    assert!(fault.is_timeout());
    println!("{fault}"); // … was not granted within 50 ms; waiting for pid 4711 (…) on …
    held.release().await?;
    Ok(())
}

async fn readers_and_writers(client: &Client) -> Result<(), Error> {
    use zooky::{Dialect, RwLock};

    let dataset = RwLock::new(&client, "/ZktoolsLocks/dataset")?.dialect(Dialect::Zktools)?;
    let reading = dataset.read().await?;
    assert!(dataset.try_read().await?.is_some()); // shared
    assert!(dataset.try_write().await?.is_none());
    reading.release().await?;
    let writing = dataset.write().await?;
    writing.release().await?;
    Ok(())
}

async fn taking_a_lock_back(client: &Client) -> Result<(), Error> {
    use zooky::{Dialect, Lock, Revoke};

    let lock = Lock::new(&client, "/ZktoolsLocks/wanted")?.dialect(Dialect::Zktools)?;
    assert!(lock.revoke_all(Revoke::ask()).await?.is_empty()); // nobody there
    let guard = lock.acquire().await?;
    assert!(guard.has_lock().await?);
    assert_eq!(lock.revoke_all(Revoke::ask()).await?.asked.len(), 1);
    guard.revoked().await; // somebody asks; the holder lets go when it can
    guard.release().await?;

    let held = lock.acquire().await?;
    let taken = lock.clone().revoking(Revoke::immediately()).acquire().await?;
    held.lost().await;
    assert_eq!(lock.clear().await?, 1);
    assert!(!taken.has_lock().await?);
    Ok(())
}

async fn taking_a_lock_back_from_readers(client: &Client) -> Result<(), Error> {
    use zooky::{Dialect, Revoke, RwLock};

    let dataset = RwLock::new(&client, "/ZktoolsLocks/wanted-dataset")?.dialect(Dialect::Zktools)?;
    let (one, two) = (dataset.read().await?, dataset.read().await?);
    assert_eq!(dataset.revoke_all(Revoke::ask()).await?.asked.len(), 2);
    one.revoked().await;
    one.release().await?;
    assert!(two.has_lock().await?); // it was asked, and has not let go
    assert_eq!(dataset.clear().await?, 1);
    two.lost().await;
    assert!(dataset.try_write().await?.is_some());
    Ok(())
}

async fn asking_once_and_the_idle_rule(client: &Client) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::{Lock, Revoke};

    let lock = Lock::new(&client, "/locks/idle")?;
    let held = lock.acquire().await?;
    let asking = lock.clone().revoking(Revoke::ask());
    assert!(asking.acquire_timeout(Duration::ZERO).await.unwrap_err().is_timeout()); // it asked, and looked once
    held.revoked().await;

    // Whoever has held it for more than 20 ms has it taken away.
    let idle = Revoke::immediately().held_longer_than(Duration::from_millis(20));
    let taken = lock.clone().revoking(idle).acquire().await?;
    held.lost().await;
    taken.release().await?;
    Ok(())
}

fn judging_by_names() {
    use zooky::inspect::{has_read_lock, has_write_lock};

    let unique = "0123456789abcdef0123456789abcdef";
    let children =
        ["-read--0000000001", "-write--0000000002", "-read--0000000003"].map(|end| format!("{unique}{end}"));
    let [first, writer, late] = &children;
    assert_eq!(has_read_lock(first, &children), Ok(()));
    assert_eq!(has_write_lock(writer, &children), Err(vec![first.clone()]));
    assert_eq!(has_read_lock(late, &children), Err(vec![writer.clone()]));
}

fn whether_there_is_a_connection(client: &Client) {
    use zooky::session::State;

    assert_eq!(client.current().state(), State::Connected);
}

async fn looking_at_locks(client: &Client) -> Result<(), Error> {
    use zooky::{Lock, inspect};

    let guard = Lock::new(&client, "/lists/fred")?.acquire().await?;
    for lock in inspect::list(&client, "/lists").await? {
        println!("{} {}", lock.name, if lock.is_locked() { "Locked" } else { "Free" });
    }
    let contenders = inspect::show(&client, "/lists/fred").await?;
    assert_eq!(contenders[0].holding, Some(true));
    assert_eq!(contenders[0].path, guard.path());
    guard.release().await?;
    Ok(())
}

async fn asking_now_deciding_later(client: &Client) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::AsyncLock;

    let lock = AsyncLock::new(&client, "/Mylocks/resourceB")?;
    let candidate = lock.enqueue();
    candidate.on_acquired(|candidate| println!("ours, with token {:?}", candidate.fencing_token()));
    candidate.on_released(|| println!("the node is gone"));

    // Do what does not need the lock; then wait for it, but not for ever.
    assert!(candidate.wait_timeout(Duration::from_secs(30)).await?);
    assert!(candidate.candidate_created() && candidate.is_acquired());
    for trouble in candidate.errors() {
        eprintln!("on the way: {trouble}");
    }
    assert!(candidate.release_timeout(Duration::from_secs(30)).await?);
    Ok(())
}

async fn a_tracked_value(client: &Client) -> Result<(), Error> {
    use zooky::{Node, NodeState, Value};

    let node = Node::open(&client, "/some/config/node").await?;
    assert_eq!(node.value(), Some(Value::Null)); // created, without data
    node.set(483.24).await?;
    assert_eq!(node.value().unwrap().to_string(), "483.24"); // a decimal: no digit is lost
    println!("set at {:?} ms", node.last_modified());
    assert!(node.connected());

    let mut changes = node.changes();
    assert!(matches!(changes.next().await, Some(NodeState::Present(_)))); // the present value, at once
    node.update(|held| if held.value.is_null() { 1.into() } else { 2.into() }).await?;
    assert_eq!(changes.next().await.unwrap().value(), Some(&Value::Int(2)));
    node.delete().await?;
    assert_eq!(changes.next().await, Some(NodeState::Deleted));
    Ok(())
}

async fn json(client: &Client) -> Result<(), Error> {
    use zooky::{Node, Value};

    let limits = serde_json::json!({"readers": 10, "writers": [1, 2]});
    let node =
        Node::builder(&client, "/some/config/limits")?.json(true).default(limits.clone()).open().await?;
    assert_eq!(node.value().unwrap().as_json(), Some(&limits));
    node.set("{broken").await?; // stays text
    assert_eq!(node.value(), Some(Value::Text("{broken".into())));
    Ok(())
}

async fn an_ephemeral_node(client: &Client) -> Result<(), Error> {
    use zooky::{Acl, Node};

    let node = Node::builder(&client, "/services/web-1")?;
    let node = node.with_acl(Acl::open()).ephemeral().default("10.0.0.7:80").open().await?;
    assert_eq!(node.snapshot().unwrap().stat.ephemeral_owner, client.current().id());
    Ok(())
}

async fn children(client: &Client) -> Result<(), Error> {
    use zooky::Node;

    let node = Node::open(&client, "/some/parent").await?;
    let _subscription = node.on_children(|names| println!("now {names:?}")); // called at once, and with each change
    let mut changes = node.children_changes();
    assert!(changes.next().await.unwrap().is_empty());
    let _child = Node::open(&client, "/some/parent/child").await?;
    assert_eq!(*changes.next().await.unwrap(), ["child"]);
    assert_eq!(node.children().await?, ["child"]);
    Ok(())
}

async fn a_waiter_that_may_be_asked(client: &Client) -> Result<(), Error> {
    use zooky::{Lock, Revoke};

    let lock = Lock::new(&client, "/locks/asked")?.on_revoked(|| println!("somebody wants the lock"));
    let guard = lock.acquire().await?;
    let waiter = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await }
    });
    while lock.contenders().await?.len() < 2 {
        tokio::task::yield_now().await;
    }
    lock.revoke_all(Revoke::immediately()).await?;
    guard.lost().await;
    // A waiter of a handle without `on_revoked` or `revocable(true)` would join the queue again.
    assert!(matches!(waiter.await.unwrap(), Err(zooky::Error::Revoked { .. })));
    Ok(())
}

async fn upgrade_and_downgrade(client: &Client) -> Result<(), Error> {
    use zooky::RwLock;

    let dataset = RwLock::new(&client, "/locks/upgraded")?;
    let reading = dataset.read().await?;
    let token = reading.fencing_token();
    let writing = reading.upgrade().await?; // alone now; an error if another reader upgrades already
    let reading = writing.downgrade().await?; // nobody wrote in between
    assert!(reading.fencing_token() > token);
    assert!(dataset.try_read().await?.is_some());
    reading.release().await?;
    Ok(())
}

async fn a_re_entrant_lock(client: &Client) -> Result<(), Error> {
    use zooky::{Lock, ReentrantLock};

    let lock = ReentrantLock::new(Lock::new(&client, "/locks/reentrant")?);
    let outer = lock.acquire("job 7").await?;
    let inner = lock.acquire("job 7").await?; // the owner's own lock: at once
    assert_eq!(inner.depth(), 2);
    assert!(lock.try_acquire("job 8").await?.is_none());
    assert!(!inner.release().await?);
    assert!(outer.release().await?); // the last one
    Ok(())
}

async fn one_contender_for_all_tasks_of_a_process(client: &Client) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::{Handover, Lock};

    // At most 1,000 hand-overs or 100 ms in a row: then the others in the queue have their turn.
    let bound = Handover::DEFAULT.grants(1_000).time(Duration::from_millis(100));
    let lock = Lock::new(&client, "/locks/shared")?.local_handover(bound);
    let tasks = (0..8).map(|_| {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire().await.map(|guard| guard.fencing_token()) })
    });
    let mut tokens = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        tokens.push(task.await.unwrap()?);
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 8); // each holder has a larger one
    Ok(())
}

async fn a_lock_that_outlives_its_session(client: &Client) -> Result<(), Error> {
    use zooky::PersistentLock;

    let lock = PersistentLock::new(&client, "/locks/migration", "migration 42")?;
    let guard = lock.acquire().await?;
    let token = guard.fencing_token();
    drop(guard); // the program ends; the lock is held all the same

    // Whoever has the key goes on, on any machine.
    let guard = lock.take_back().await?.expect("it is still ours");
    assert!(guard.fencing_token() > token);
    guard.release().await?;
    Ok(())
}

async fn a_time_between_a_crash_and_the_next_holder(client: &Client) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::Lock;

    let lock = Lock::new(&client, "/locks/delayed")?.lock_delay(Duration::from_secs(30));
    let guard = lock.acquire().await?;
    // If this session ended here, the next holder would have to wait for 30 seconds.
    guard.release().await?;
    assert!(lock.try_acquire().await?.is_some()); // after a release it does not
    Ok(())
}

async fn leases(client: &Client) -> Result<(), Error> {
    use zooky::Semaphore;

    let workers = Semaphore::new(&client, "/locks/leases", 2)?; // all must say 2
    let (first, second) = (workers.acquire().await?, workers.acquire().await?);
    assert!(workers.try_acquire().await?.is_none());
    assert_eq!(workers.lease_holders().await?.len(), 2);
    first.release().await?;
    second.release().await?;
    Ok(())
}

async fn a_leader(client: &Client) -> Result<(), Error> {
    use zooky::Election;

    let election = Election::new(&client, "/locks/leader")?.identifier("replica 1");
    let mut observer = election.observe();
    let leading = election.campaign().await?;
    assert!(observer.changed().await?.is_some());
    assert!(election.leader().await?.is_some());
    leading.resign().await?;
    Ok(())
}

async fn several_locks_as_one(client: &Client) -> Result<(), Error> {
    use zooky::{MultiLock, Part};

    let both = MultiLock::new(&client, [Part::write("/locks/from"), Part::read("/locks/to")])?;
    let guard = both.acquire().await?; // all or nothing, in an order that cannot deadlock
    for (path, token) in guard.fencing_tokens() {
        println!("{path}: {token}");
    }
    guard.release().await?;
    Ok(())
}

async fn a_deadlock_refused(client: &Client) -> Result<(), Error> {
    use zooky::{Error, Lock, Owner};

    let me = |task: &str| Owner::this_process().with_id(task); // one id for each flow of control
    let first = Lock::new(&client, "/crosswise/a")?.with_owner(me("task 1")).acquire().await?;
    let second = Lock::new(&client, "/crosswise/b")?.with_owner(me("task 2")).acquire().await?;
    let waiting = Lock::new(&client, "/crosswise/b")?.with_owner(me("task 1"));
    let waiting = tokio::spawn(async move { waiting.acquire().await });

    // Task 2 would wait for task 1, which waits for it.
    let crosswise = Lock::new(&client, "/crosswise/a")?.with_owner(me("task 2")).refuse_deadlock(true);
    match crosswise.acquire().await {
        Err(Error::Deadlock { cycle, .. }) => println!("{cycle}"), // … waits for /crosswise/a, held by …
        other => panic!("{other:?}"),
    }
    second.release().await?; // let go of what is held, and begin anew
    waiting.await.unwrap()?.release().await?;
    first.release().await?;
    Ok(())
}

async fn who_waits_for_whom(client: &Client) -> Result<(), Error> {
    use zooky::{Lock, inspect};

    let lock = Lock::new(&client, "/graph/reports/nightly")?;
    let guard = lock.acquire().await?;
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await }
    });
    while lock.contenders().await?.len() < 2 {
        tokio::task::yield_now().await;
    }
    let graph = inspect::wait_graph(&client, "/graph").await?; // at any depth
    for wait in graph.waits() {
        println!("{} waits for {}", wait.waiter, wait.blocker);
    }
    assert_eq!((graph.holders().count(), graph.waits().len()), (1, 1));
    assert!(graph.cycles().is_empty()); // nobody waits for ever
    guard.release().await?;
    waiting.await.unwrap()?.release().await?;
    Ok(())
}

fn without_an_asynchronous_runtime(hosts: &str) -> Result<(), Error> {
    use std::time::Duration;
    use zooky::blocking::{Client, Lock};

    let client = Client::connect(hosts)?; // its session lives on a thread of its own
    let lock = Lock::new(&client, "/locks/blocking")?;
    let guard = lock.acquire()?;
    assert!(lock.acquire_timeout(Duration::from_millis(50)).unwrap_err().is_timeout());
    if !guard.wait_lost(Duration::ZERO)? {
        println!("still ours, with token {}", guard.fencing_token());
    }
    guard.release()?;
    Ok(())
}

ensemble!();

backends!(examples: ours_the_examples_run, apache_the_examples_run);

async fn examples(hosts: String) {
    let client = &common::client(&hosts).await;
    an_exclusive_lock(client).await.unwrap();
    a_lock_with_a_time_limit(client).await.unwrap();
    readers_and_writers(client).await.unwrap();
    taking_a_lock_back(client).await.unwrap();
    taking_a_lock_back_from_readers(client).await.unwrap();
    asking_once_and_the_idle_rule(client).await.unwrap();
    judging_by_names();
    whether_there_is_a_connection(client);
    looking_at_locks(client).await.unwrap();
    asking_now_deciding_later(client).await.unwrap();
    a_tracked_value(client).await.unwrap();
    json(client).await.unwrap();
    an_ephemeral_node(client).await.unwrap();
    children(client).await.unwrap();
    a_waiter_that_may_be_asked(client).await.unwrap();
    upgrade_and_downgrade(client).await.unwrap();
    a_re_entrant_lock(client).await.unwrap();
    one_contender_for_all_tasks_of_a_process(client).await.unwrap();
    a_lock_that_outlives_its_session(client).await.unwrap();
    a_time_between_a_crash_and_the_next_holder(client).await.unwrap();
    leases(client).await.unwrap();
    a_leader(client).await.unwrap();
    several_locks_as_one(client).await.unwrap();
    a_deadlock_refused(client).await.unwrap();
    who_waits_for_whom(client).await.unwrap();
    // Not on a thread of this runtime.
    let (done, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(without_an_asynchronous_runtime(&hosts)));
    told.await.unwrap().unwrap();
}

/// The blocks of code in the documentation, each under its heading.
fn blocks(text: &str) -> Vec<String> {
    text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Without indentation and line breaks, which formatting may change.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_examples_are_those_of_the_documentation() {
    let here = flat(include_str!("recipes.rs"));
    let blocks = blocks(include_str!("../../../docs/recipes.md"));
    assert!(blocks.len() >= 9);
    for block in blocks {
        assert!(here.contains(&flat(&block)), "not run here:\n{block}");
    }
}

/// Each row points at an example that is there, and so runs.
#[test]
fn every_row_has_an_example() {
    let document = include_str!("../../../docs/recipes.md");
    let (rows, _) = document.split_once("## What is mended").unwrap();
    let examples: Vec<String> = document
        .split("### ")
        .skip(1)
        .filter(|section| section.contains("```rust"))
        .map(|section| {
            let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-';
            section.lines().next().unwrap().to_lowercase().chars().filter(|c| kept(*c)).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect();
    let mut seen = 0;
    for row in rows.lines().filter(|line| line.starts_with("| `") || line.starts_with("| revoking")) {
        let example = row.split("[example](#").nth(1).and_then(|rest| rest.split(')').next());
        let example = example.unwrap_or_else(|| panic!("without an example: {row}"));
        assert!(examples.iter().any(|one| one == example), "there is no example {example}: {row}");
        seen += 1;
    }
    assert!(seen >= 40, "{seen} rows");
}

/// Every class and function of the fourth seed document has its row.
#[test]
fn nothing_of_zktools_is_missing() {
    let rows: String =
        include_str!("../../../docs/recipes.md").lines().filter(|line| line.starts_with('|')).collect();
    for name in [
        "ZkLock(",
        "ZkReadLock",
        "ZkWriteLock",
        "ZkAsyncLock(",
        "_LockBase",
        "_acquire_lock",
        "ZkLock.acquire(",
        "ZkLock.release()",
        "has_read_lock",
        "has_write_lock",
        "candidate_created",
        "wait_for_acquire",
        "wait_for_release",
        "errors",
        "acquired",
        "ZkNode(",
        "default=",
        "use_json",
        "permission",
        "create_mode",
        "node.value",
        "last_modified",
        "children",
        "connected",
        "zooky list",
        "zooky show",
        "zooky remove",
        "IMMEDIATE",
        "ZkLock.revoked",
        "ZkReadLock.revoke_all()",
        "idle",
        "revoke_all()",
        "has_lock()",
        "clear()",
    ] {
        assert!(rows.contains(name), "{name} has no row in docs/recipes.md");
    }
}
