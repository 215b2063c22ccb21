//! Eight clients that contend for one lock while something fails, and a resource that only takes growing tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use zooky::{Error, GuardState, Lock};
use zooky_testkit::Mode;

use super::{Observer, Resource, client_with_timeout, eventually, path};

pub const CLIENTS: usize = 8;

/// A contest that goes on until [`end`](Contest::end).
pub struct Contest {
    hosts: String,
    shared: Arc<Shared>,
    /// How often each client was inside.
    tasks: JoinSet<usize>,
}

struct Shared {
    path: String,
    resource: Resource,
    over: AtomicBool,
    grants: AtomicUsize,
}

impl Contest {
    pub fn start(hosts: &str, session_timeout: Duration) -> Contest {
        let shared = Arc::new(Shared {
            path: path("contest"),
            resource: Resource::new(),
            over: AtomicBool::new(false),
            grants: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for n in 0..CLIENTS {
            tasks.spawn(contend(n.to_string(), hosts.to_owned(), session_timeout, shared.clone()));
        }
        Contest { hosts: hosts.to_owned(), shared, tasks }
    }

    /// How many grants there have been.
    pub fn grants(&self) -> usize {
        self.shared.grants.load(Ordering::SeqCst)
    }

    /// Waits until there have been this many.
    pub async fn reaches(&mut self, goal: usize) {
        let shared = self.shared.clone();
        let reached = eventually("more grants", move || {
            let grants = shared.grants.load(Ordering::SeqCst);
            async move { (grants >= goal).then_some(()) }
        });
        tokio::select! {
            () = reached => {}
            // Nobody ends before it is over: so this one has failed, and says why.
            Some(done) = self.tasks.join_next() => panic!("a client ended: {:?}", done),
        }
    }

    /// Everybody finishes; nothing stale was taken, nobody overlapped, everybody was served, and no contender is
    /// left.
    pub async fn end(mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let mut served = 0;
        while let Some(done) = self.tasks.join_next().await {
            served += usize::from(done.unwrap() > 0);
        }
        assert_eq!(served, CLIENTS);
        self.shared.resource.assert_exclusive(self.grants());
        Observer::new(&self.hosts).await.count(&self.shared.path, 0).await;
    }
}

/// Acquires again and again until it is over.
async fn contend(name: String, hosts: String, session_timeout: Duration, shared: Arc<Shared>) -> usize {
    let client = client_with_timeout(&hosts, session_timeout).await;
    let lock = Lock::new(&client, &shared.path).unwrap();
    let mut entered = 0;
    while !shared.over.load(Ordering::SeqCst) {
        let guard = lock.acquire().await.unwrap();
        let token = guard.fencing_token().as_u128();
        match shared.resource.register.enter(token, Mode::Write, &name) {
            Ok(entry) => {
                entry.write().unwrap();
                entered += 1;
                shared.grants.fetch_add(1, Ordering::SeqCst);
            }
            // Refused by the resource: then the guard must know why.
            Err(stale) => assert_eq!(guard.state(), GuardState::Lost, "{stale}"),
        }
        if entered % 3 == 0 {
            // Released in the background.
            drop(guard);
            continue;
        }
        match guard.release().await {
            Ok(()) | Err(Error::Lost { .. }) => {}
            Err(fault) => panic!("{fault}"),
        }
    }
    entered
}
