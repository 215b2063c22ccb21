//! The loops for clients that run on tokio: the same for each of them.

use super::{Flavor, HandoffLog, Peer, cpu_us, us_since};
use crate::failure::Failure;
use crate::protocol::{Cycles, Handoffs, Rate, Release};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
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
}

/// A peer on tokio.
pub(super) struct OnTokio<L: Locks> {
    runtime: Runtime,
    hosts: String,
    session: Option<Rc<L>>,
}

impl<L: Locks> OnTokio<L> {
    pub(super) fn connect(hosts: &str, flavor: Flavor) -> Result<Self, Failure> {
        let mut builder = match flavor {
            Flavor::Current => Builder::new_current_thread(),
            Flavor::Multi => Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().map_err(Failure::io("starting tokio"))?;
        let session = LocalSet::new().block_on(&runtime, L::connect(hosts))?;
        Ok(OnTokio { runtime, hosts: hosts.to_string(), session: Some(Rc::new(session)) })
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
