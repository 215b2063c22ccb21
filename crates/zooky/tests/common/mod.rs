//! What the tests of the locks share: servers to run each scenario on, clients, and looking from outside.
//!
//! A scenario is an `async fn(hosts: String)`. [`backends!`] makes tests of it: on our own server in this process and on
//! one Apache ZooKeeper. [`ensemble!`] makes one more test, which runs all scenarios of the binary on three of those.
//! Each scenario has its time limit, so that a bug fails it instead of hanging it.

// Each test binary uses a part of this; and helpers of tests fail by panicking.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod again;
pub mod contest;
pub mod kazoo;
pub mod proxy;
pub mod scenarios;
pub mod servers;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use zooky::session::{Error as SessionError, Session, Stat};
use zooky::{Client, Lock, RwLock, SessionConfig};
use zooky_testkit::{FencedRegister, MachineClock, RecordKind};

/// Longer than anything takes that works; shorter than a test runner's patience.
pub const LONG: Duration = Duration::from_secs(60);

/// Makes tests of a scenario, `backends!(scenario: ours_name, apache_name)`, and has it run on three servers, too, by the
/// test that [`ensemble!`] makes.
#[macro_export]
macro_rules! backends {
    ($scenario:ident: $ours:ident, $apache:ident) => {
        #[test]
        fn $ours() {
            common::servers::on_ours($scenario);
        }

        #[test]
        fn $apache() {
            common::servers::on_apache($scenario);
        }

        inventory::submit! {
            $crate::common::scenarios::Scenario {
                name: concat!(module_path!(), "::", stringify!($scenario)),
                run: |hosts| Box::pin($scenario(hosts)),
                on_three_servers: $crate::ensemble_runs_every_scenario,
            }
        }
    };
}

/// Makes the test that runs every scenario of this binary on three servers; it stands at the top of the crate. Without it
/// [`backends!`] does not compile.
#[macro_export]
macro_rules! ensemble {
    () => {
        #[test]
        fn ensemble_runs_every_scenario() {
            common::scenarios::run_all();
        }
    };
}

/// Runs a scenario to its end on a runtime of its own.
///
/// # Panics
/// When it takes longer than `limit` by the [`MachineClock`].
pub fn run<T>(limit: Duration, scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(in_time(limit, "the scenario to end", scenario))
}

/// What blocks its thread, on one outside of any runtime. A panic there is the scenario's.
pub async fn outside_a_runtime(blocking: impl FnOnce() + Send + 'static) {
    let (over, is_over) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _over = over;
        blocking();
    });
    // Nothing is sent: it is dropped, also by a panic.
    let _ = is_over.await;
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A scenario on a runtime with one thread, where nothing runs while the scenario does not await.
pub async fn on_one_thread<F: Future<Output = ()>>(scenario: impl FnOnce() -> F + Send + 'static) {
    outside_a_runtime(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scenario());
    })
    .await;
}

/// What the future comes to. The test fails if that takes longer than `limit` by the [`MachineClock`].
pub async fn in_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    tokio::select! {
        done = future => done,
        clock = over(limit) => panic!("waited in vain for {what}: {clock}"),
    }
}

/// Waits until this much has passed by the machine's clock.
async fn over(limit: Duration) -> MachineClock {
    let mut clock = MachineClock::start();
    while !clock.left_of(limit).is_zero() {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    clock
}

/// Sessions with a timeout of 10 s: long enough that a busy machine loses none.
pub fn config(hosts: &str) -> SessionConfig {
    SessionConfig::new(hosts.parse().unwrap()).connect_timeout(Duration::from_secs(30))
}

pub async fn client(hosts: &str) -> Client {
    Client::connect_with(config(hosts)).await.unwrap()
}

pub async fn client_with_timeout(hosts: &str, timeout: Duration) -> Client {
    Client::connect_with(config(hosts).timeout(timeout)).await.unwrap()
}

/// What has been done until now, by whomever, is seen by this client from now on: its server may be behind the others.
pub async fn catch_up(client: &Client) {
    client.session().await.unwrap().sync("/").await.unwrap();
}

/// A path that no other call in this process returns.
pub fn path(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/tests/{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for something that has to be asked for.
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Into<String>,
    mut probe: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let (what, caller) = (what.into(), std::panic::Location::caller());
    async move {
        let mut clock = MachineClock::start();
        loop {
            let last = clock.left_of(LONG / 2).is_zero();
            if let Some(value) = probe().await {
                return value;
            }
            assert!(!last, "waited in vain for {what} ({caller}): {clock}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Looks at a lock's directory from a session of its own.
#[derive(Clone)]
pub struct Observer {
    pub session: Session,
}

impl Observer {
    pub async fn new(hosts: &str) -> Observer {
        Observer { session: Session::connect(config(hosts)).await.unwrap() }
    }

    /// The children, sorted by their number; none if there is no directory.
    pub async fn children(&self, path: &str) -> Vec<String> {
        let _ = self.session.sync(path).await;
        let mut names = match self.session.children(path).await {
            Ok(children) => children.names,
            Err(SessionError::NoNode { .. }) => Vec::new(),
            Err(fault) => panic!("{path}: {fault}"),
        };
        names.sort_by_key(|name| name[name.len().saturating_sub(10)..].to_owned());
        names
    }

    /// Waits until the directory has this many children, and returns them.
    #[track_caller]
    pub fn count(&self, path: &str, count: usize) -> impl Future<Output = Vec<String>> {
        let (observer, path) = (self.clone(), path.to_owned());
        eventually(format!("{count} children of {path}"), move || {
            let (observer, path) = (observer.clone(), path.clone());
            async move { Some(observer.children(&path).await).filter(|names| names.len() == count) }
        })
    }

    /// A node's data and stat as of now, whichever server shows them.
    pub fn get(&self, path: &str) -> impl Future<Output = Result<(Bytes, Stat), SessionError>> + use<> {
        let (session, path) = (self.session.clone(), path.to_owned());
        async move {
            session.sync(&path).await?;
            session.get(&path).await
        }
    }

    /// Its stat as of now, if it is there.
    pub fn exists(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, SessionError>> + use<> {
        let (session, path) = (self.session.clone(), path.to_owned());
        async move {
            session.sync(&path).await?;
            session.exists(&path).await
        }
    }

    /// How often the directory's children have changed.
    pub async fn changes(&self, path: &str) -> i32 {
        self.exists(path).await.unwrap().expect("the directory exists").cversion
    }

    /// Makes a node and its parents, persistent.
    pub async fn make(&self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            let made = self.session.create(
                &path[..end],
                "",
                zooky::session::CreateMode::PERSISTENT,
                &zooky::Acl::open(),
            );
            match made.await {
                Ok(_) | Err(SessionError::NodeExists { .. }) => {}
                Err(fault) => panic!("{path}: {fault}"),
            }
        }
    }
}

/// A contender of a stock client comes, as a plain node.
pub async fn come(observer: &Observer, path: &str, stem: &str) -> String {
    let path = format!("{path}/{stem}");
    let mode = zooky::session::CreateMode::EPHEMERAL_SEQUENTIAL;
    observer.session.create(&path, "stock", mode, &zooky::Acl::open()).await.unwrap().path
}

/// A fenced register in a directory of its own.
pub struct Resource {
    pub register: FencedRegister,
    _directory: TempDir,
}

impl Resource {
    pub fn new() -> Resource {
        let directory = tempfile::tempdir().unwrap();
        Resource { register: FencedRegister::open(directory.path().join("register")), _directory: directory }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self._directory.path().join("register")
    }

    /// The tokens of those who came in, in this order.
    pub fn entered(&self) -> Vec<u128> {
        let history = self.register.history();
        history.iter().filter(|one| one.kind == RecordKind::Enter).map(|one| one.token).collect()
    }

    /// Nobody was inside beside a writer, and each token was larger than the one before it.
    pub fn assert_exclusive(&self, entries: usize) {
        assert_eq!(self.register.overlaps(), []);
        let tokens = self.entered();
        assert_eq!(tokens.len(), entries);
        assert!(tokens.is_sorted_by(|a, b| a < b), "tokens do not grow: {tokens:x?}");
    }
}

/// Polls `future` at most `polls` times, then drops it.
pub async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    if polls == 0 {
        return None;
    }
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Whom the waiters of a handle wait for, as its callback tells.
pub type Waits = mpsc::UnboundedReceiver<zooky::inspect::Contender>;

/// The same handle, telling whom it waits for.
pub fn telling(lock: Lock) -> (Lock, Waits) {
    let (sender, waits) = mpsc::unbounded_channel();
    let told = move |contender: &zooky::inspect::Contender| {
        let _ = sender.send(contender.clone());
    };
    (lock.on_wait(told), waits)
}

/// The same for a read/write lock.
pub fn telling_rw(lock: RwLock) -> (RwLock, Waits) {
    let (sender, waits) = mpsc::unbounded_channel();
    let told = move |contender: &zooky::inspect::Contender| {
        let _ = sender.send(contender.clone());
    };
    (lock.on_wait(told), waits)
}
