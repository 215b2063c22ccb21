//! The loops for clients that run on tokio: the same for each of them.

use super::{Flavor, HandoffLog, Peer, cpu_us, us_since};
use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Rate, Release, Standing, WRITES_ONE_OF, Waited};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinSet, LocalSet};

/// A client's locks on one session. Everything runs on one task set, so nothing here needs to be `Send`.
pub(super) trait Locks: Sized + 'static {
    /// What is made once for each lock.
    type Lock: 'static;
    /// What is held.
    type Guard: 'static;

    /// The name of this client's directory.
    const NAME: &'static str;

    /// Opens a session.
    async fn connect(hosts: &str) -> Result<Self, Failure>;
    /// Makes whatever a lock at `path` needs before it can be taken.
    async fn lock(&self, path: &str) -> Result<Self::Lock, Failure>;
    /// Waits for the lock.
    async fn acquire(&self, lock: &Self::Lock) -> Result<Self::Guard, Failure>;
    /// Releases it and waits until it is free.
    async fn release(&self, guard: Self::Guard) -> Result<(), Failure>;
    /// Waits until releases in the background are through.
    async fn settle(&self) -> Result<(), Failure>;
    /// Ends the session.
    async fn close(self) -> Result<(), Failure>;
    /// How many contend for the lock at `path`.
    async fn contenders(&self, path: &str) -> Result<usize, Failure>;
    /// Waits for the read/write lock at the same path, as a writer or a reader.
    async fn share(&self, _lock: &Self::Lock, _writes: bool) -> Result<Self::Guard, Failure> {
        Err(Failure::Refused(format!("{} has no read/write lock", Self::NAME)))
    }
}

/// Contenders who stand in line for one lock, between two orders.
struct Line<L> {
    local: LocalSet,
    tasks: JoinSet<Result<(), Failure>>,
    sessions: Vec<Rc<L>>,
    log: Rc<RefCell<HandoffLog>>,
    go: Rc<Notify>,
}

/// A peer on tokio.
pub(super) struct OnTokio<L: Locks> {
    runtime: Runtime,
    hosts: String,
    session: Option<Rc<L>>,
    line: Option<Line<L>>,
}

impl<L: Locks> OnTokio<L> {
    pub(super) fn connect(hosts: &str, flavor: Flavor) -> Result<Self, Failure> {
        let mut builder = match flavor {
            Flavor::Current => Builder::new_current_thread(),
            Flavor::Multi => Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().map_err(Failure::io("starting tokio"))?;
        let session = LocalSet::new().block_on(&runtime, L::connect(hosts))?;
        Ok(OnTokio { runtime, hosts: hosts.to_string(), session: Some(Rc::new(session)), line: None })
    }

    fn session(&self) -> Result<Rc<L>, Failure> {
        self.session.clone().ok_or_else(|| Failure::Refused("the session was closed".to_string()))
    }
}

impl<L: Locks> Drop for OnTokio<L> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().and_then(Rc::into_inner) {
            // It is the end of this connection either way.
            let _ = LocalSet::new().block_on(&self.runtime, session.close());
        }
    }
}

impl<L: Locks> Peer for OnTokio<L> {
    fn idle(&mut self, orders: &mut UnboundedReceiver<String>) -> Option<String> {
        self.runtime.block_on(orders.recv())
    }

    fn uncontended(&mut self, count: usize, limit: Duration, release: Release) -> Result<Cycles, Failure> {
        let session = self.session()?;
        LocalSet::new().block_on(&self.runtime, async move {
            let lock = session.lock(&format!("/bench/{}/free", L::NAME)).await?;
            let (mut cycles, cpu, start) = (Cycles::default(), cpu_us(), Instant::now());
            while cycles.acquire_us.len() < count && start.elapsed() < limit {
                let begin = Instant::now();
                let guard = session.acquire(&lock).await?;
                cycles.acquire_us.push(us_since(begin));
                let begin = Instant::now();
                match release {
                    Release::Awaited => session.release(guard).await?,
                    Release::Background => drop(guard),
                }
                cycles.release_us.push(us_since(begin));
            }
            cycles.cpu_us = cpu_us() - cpu;
            session.settle().await?;
            Ok(cycles)
        })
    }

    fn many(&mut self, locks: usize, limit: Duration) -> Result<Rate, Failure> {
        let session = self.session()?;
        LocalSet::new().block_on(&self.runtime, async move {
            let mut made = Vec::new();
            for i in 0..locks {
                made.push(session.lock(&format!("/bench/{}/many/{i}", L::NAME)).await?);
            }
            let (cpu, start) = (cpu_us(), Instant::now());
            let mut tasks = JoinSet::new();
            for lock in made {
                tasks.spawn_local(cycle(session.clone(), lock, start + limit));
            }
            let mut cycles = 0;
            while let Some(task) = tasks.join_next().await {
                cycles += task??;
            }
            session.settle().await?;
            Ok(Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu })
        })
    }

    fn handoff(&mut self, sessions: usize, limit: Duration) -> Result<Handoffs, Failure> {
        let hosts = self.hosts.clone();
        LocalSet::new().block_on(&self.runtime, async move {
            let mut contenders = Vec::new();
            for _ in 0..sessions {
                let session = L::connect(&hosts).await?;
                let lock = session.lock(&format!("/bench/{}/handoff", L::NAME)).await?;
                contenders.push((session, lock));
            }
            let log = Rc::new(RefCell::new(HandoffLog::default()));
            let (cpu, start) = (cpu_us(), Instant::now());
            let mut tasks = JoinSet::new();
            for (session, lock) in contenders {
                tasks.spawn_local(contend(session, lock, log.clone(), start + limit));
            }
            let mut done = Vec::new();
            while let Some(task) = tasks.join_next().await {
                done.push(task??);
            }
            let (seconds, cpu_us) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
            for session in done {
                session.settle().await?;
                session.close().await?;
            }
            Ok(Handoffs { handoff_us: log.take().us, seconds, cpu_us })
        })
    }

    fn tasks(&mut self, tasks: usize, limit: Duration) -> Result<Rate, Failure> {
        let session = self.session()?;
        LocalSet::new().block_on(&self.runtime, async move {
            let mut made = Vec::new();
            for _ in 0..tasks {
                made.push(session.lock(&format!("/bench/{}/tasks", L::NAME)).await?);
            }
            let (cpu, start) = (cpu_us(), Instant::now());
            let mut tasks = JoinSet::new();
            for lock in made {
                tasks.spawn_local(cycle(session.clone(), lock, start + limit));
            }
            let mut cycles = 0;
            while let Some(task) = tasks.join_next().await {
                cycles += task??;
            }
            let rate = Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu };
            session.settle().await?;
            Ok(rate)
        })
    }

    fn readers(&mut self, sessions: usize, limit: Duration) -> Result<Rate, Failure> {
        let hosts = self.hosts.clone();
        LocalSet::new().block_on(&self.runtime, async move {
            let mut made = Vec::new();
            for _ in 0..sessions {
                let session = L::connect(&hosts).await?;
                let lock = session.lock(&format!("/bench/{}/readers", L::NAME)).await?;
                made.push((session, lock));
            }
            let (cpu, start) = (cpu_us(), Instant::now());
            let mut tasks = JoinSet::new();
            for (number, (session, lock)) in (0..).zip(made) {
                tasks.spawn_local(read(session, lock, number, start + limit));
            }
            let (mut cycles, mut done) = (0, Vec::new());
            while let Some(task) = tasks.join_next().await {
                let (session, count) = task??;
                cycles += count;
                done.push(session);
            }
            let rate = Rate { cycles, seconds: start.elapsed().as_secs_f64(), cpu_us: cpu_us() - cpu };
            for session in done {
                session.settle().await?;
                session.close().await?;
            }
            Ok(rate)
        })
    }

    fn wait(&mut self, limit: Duration) -> Result<Waited, Failure> {
        let session = self.session()?;
        LocalSet::new().block_on(&self.runtime, async move {
            let lock = session.lock(&format!("/bench/{}/queue", L::NAME)).await?;
            let begin = Instant::now();
            let waited = match tokio::time::timeout(limit, session.acquire(&lock)).await {
                Ok(guard) => {
                    let acquired_us = Some(us_since(begin));
                    let guard = guard?;
                    tokio::time::sleep(limit).await;
                    session.release(guard).await?;
                    Waited { acquired_us }
                }
                Err(_) => Waited { acquired_us: None },
            };
            session.settle().await?;
            Ok(waited)
        })
    }

    fn line(&mut self, waiters: usize, sessions: usize) -> Result<Standing, Failure> {
        let (local, path) = (LocalSet::new(), format!("/bench/{}/queue", L::NAME));
        let (log, go) = (Rc::new(RefCell::new(HandoffLog::default())), Rc::new(Notify::new()));
        let hosts = self.hosts.clone();
        let (tasks, sessions) = local.block_on(&self.runtime, async {
            let mut made = Vec::new();
            for _ in 0..sessions {
                made.push(Rc::new(L::connect(&hosts).await?));
            }
            let mut tasks = JoinSet::new();
            for (number, session) in (0..waiters).zip(made.iter().cycle()) {
                let lock = session.lock(&path).await?;
                tasks.spawn_local(stand(session.clone(), lock, log.clone(), go.clone(), number == 0));
                // The first one must be the first in the queue: it is the one that is told to go.
                while number == 0 && !log.borrow().held {
                    tokio::task::yield_now().await;
                }
            }
            let judge = self.session.as_ref().ok_or_else(|| Failure::Refused("no session".to_string()))?;
            while judge.contenders(&path).await? < waiters {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok::<_, Failure>((tasks, made))
        })?;
        self.line = Some(Line { local, tasks, sessions, log, go });
        Ok(Standing { waiting: waiters })
    }

    fn pass(&mut self) -> Result<Handoffs, Failure> {
        let line = self.line.take().ok_or_else(|| Failure::Refused("nobody stands in line".to_string()))?;
        let Line { local, mut tasks, sessions, log, go } = line;
        local.block_on(&self.runtime, async move {
            let (cpu, start) = (cpu_us(), Instant::now());
            go.notify_one();
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            let (seconds, cpu_us) = (start.elapsed().as_secs_f64(), cpu_us() - cpu);
            for session in sessions.into_iter().filter_map(Rc::into_inner) {
                session.settle().await?;
                session.close().await?;
            }
            Ok(Handoffs { handoff_us: log.take().us, seconds, cpu_us })
        })
    }
}

/// Nine times of ten a reader; which times it writes differs from session to session.
async fn read<L: Locks>(session: L, lock: L::Lock, number: u64, end: Instant) -> Result<(L, u64), Failure> {
    let mut cycles = 0;
    while Instant::now() < end {
        let writes = (cycles + number).is_multiple_of(WRITES_ONE_OF);
        drop(session.share(&lock, writes).await?);
        cycles += 1;
    }
    Ok((session, cycles))
}

/// Takes its place in line, and passes the lock on at once when it comes; the first one waits to be told.
async fn stand<L: Locks>(
    session: Rc<L>,
    lock: L::Lock,
    log: Rc<RefCell<HandoffLog>>,
    go: Rc<Notify>,
    first: bool,
) -> Result<(), Failure> {
    let guard = session.acquire(&lock).await?;
    log.borrow_mut().granted()?;
    if first {
        go.notified().await;
    }
    log.borrow_mut().releasing();
    drop(guard);
    Ok(())
}

async fn cycle<L: Locks>(session: Rc<L>, lock: L::Lock, end: Instant) -> Result<u64, Failure> {
    let mut cycles = 0;
    while Instant::now() < end {
        drop(session.acquire(&lock).await?);
        cycles += 1;
    }
    Ok(cycles)
}

async fn contend<L: Locks>(
    session: L,
    lock: L::Lock,
    log: Rc<RefCell<HandoffLog>>,
    end: Instant,
) -> Result<L, Failure> {
    while Instant::now() < end {
        let guard = session.acquire(&lock).await?;
        log.borrow_mut().granted()?;
        log.borrow_mut().releasing();
        drop(guard);
    }
    Ok(session)
}
