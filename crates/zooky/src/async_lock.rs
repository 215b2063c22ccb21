//! A lock that is asked for now and decided on later: zktools' `ZkAsyncLock`.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use zooky_client::{Acl, BootInstant};

use crate::acquire::{Recipe, WaitingFor};
use crate::core::dialect::Role;
use crate::delay::lock_delay;
use crate::guard::{Guard, GuardState};
use crate::inspect::Contender;
use crate::lock::settings;
use crate::progress::{Progress, Trouble};
use crate::{Client, Error, FencingToken, ForeignContender, Owner};

/// An exclusive lock that joins the queue in the background, while the program goes on.
///
/// It is the same queue as [`crate::Lock`]'s. [`AsyncLock::enqueue`] returns at once with a [`Candidate`]: wait for it
/// later, or not at all; let it go at any time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// use std::time::Duration;
///
/// let lock = zooky::AsyncLock::new(&client, "/Mylocks/resourceB")?;
/// let candidate = lock.enqueue();
/// // ... do what does not need the lock, then:
/// if candidate.wait_timeout(Duration::from_secs(10)).await? {
///     println!("ours, with token {:?}", candidate.fencing_token());
/// } else {
///     println!("not yet: {:?}; nobody waits for us any more after this:", candidate.errors());
/// }
/// candidate.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AsyncLock {
    recipe: Recipe,
}

impl AsyncLock {
    /// A handle for the lock at `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
    pub fn new(client: &Client, path: &str) -> Result<AsyncLock, Error> {
        Ok(AsyncLock { recipe: Recipe::new(client, path)? })
    }

    settings!();
    lock_delay!();

    /// Joins the queue in the background, each time with a contender of its own, and returns at once. It runs on the
    /// client's runtime, and may be called outside of it.
    ///
    /// If the session is lost while waiting, it joins again with a new one, and notes that in
    /// [`Candidate::errors`].
    pub fn enqueue(&self) -> Candidate {
        let progress = Progress::new();
        let recipe = Recipe { progress: Some(progress.clone()), ..self.recipe.clone() };
        let runtime = recipe.client.runtime().clone();
        let shared = Arc::new(Shared {
            path: recipe.path.clone(),
            phase: watch::Sender::new(Phase::Enqueued),
            progress,
            guard: Mutex::new(None),
            token: OnceLock::new(),
            failure: OnceLock::new(),
            lost: AtomicBool::new(false),
            leave: Notify::new(),
            runtime: runtime.clone(),
        });
        runtime.spawn(contend(recipe, shared.clone()));
        Candidate { handle: Arc::new(CandidateHandle { shared }) }
    }
}

/// How far a candidate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Enqueued,
    Acquired,
    /// The guard was taken out.
    Taken,
    /// It could not be acquired; nothing is left behind.
    Failed,
    /// Let go of, and confirmed to be removed.
    Released,
}

/// A contender of an [`AsyncLock`], in the queue or holding the lock. Clones are the same contender. When the last one
/// is dropped it leaves the queue or releases the lock, in the background.
#[derive(Debug, Clone)]
pub struct Candidate {
    handle: Arc<CandidateHandle>,
}

#[derive(Debug)]
struct CandidateHandle {
    shared: Arc<Shared>,
}

impl Drop for CandidateHandle {
    fn drop(&mut self) {
        self.shared.leave.notify_one();
    }
}

#[derive(Debug)]
struct Shared {
    path: Arc<str>,
    phase: watch::Sender<Phase>,
    progress: Arc<Progress>,
    guard: Mutex<Option<Guard>>,
    token: OnceLock<FencingToken>,
    failure: OnceLock<Arc<Error>>,
    /// The lock had been lost before it was released.
    lost: AtomicBool,
    leave: Notify,
    runtime: Handle,
}

/// The candidate's own task.
async fn contend(recipe: Recipe, shared: Arc<Shared>) {
    let waiting = WaitingFor::default();
    let result = tokio::select! {
        biased;
        () = shared.leave.notified() => None,
        result = recipe.acquire(Role::Async, &waiting) => Some(result),
    };
    match result {
        None => {}
        Some(Err(fault)) => {
            shared.progress.trouble(&fault);
            let _ = shared.failure.set(Arc::new(fault));
            shared.progress.left().await;
            return shared.end(Phase::Failed);
        }
        Some(Ok(guard)) => {
            let _ = shared.token.set(guard.fencing_token());
            *shared.guard() = Some(guard);
            shared.phase.send_replace(Phase::Acquired);
            shared.leave.notified().await;
            let guard = shared.guard().take();
            if let Some(guard) = guard
                && let Err(fault) = guard.release().await
            {
                shared.progress.trouble(&fault);
                shared.lost.store(true, Ordering::Release);
            }
        }
    }
    shared.progress.left().await;
    shared.end(Phase::Released);
}

impl Shared {
    fn guard(&self) -> std::sync::MutexGuard<'_, Option<Guard>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, phase: Phase) {
        self.progress.set_created(false);
        self.phase.send_if_modified(|now| {
            let taken = *now == Phase::Taken;
            if !taken {
                *now = phase;
            }
            !taken
        });
    }

    /// The first phase that is one of these.
    async fn reaches(&self, wanted: impl Fn(Phase) -> bool) -> Phase {
        let mut phases = self.phase.subscribe();
        // The sender is here; it cannot be closed.
        phases.wait_for(|phase| wanted(*phase)).await.map_or(Phase::Released, |phase| *phase)
    }

    /// What is asked of the guard, once it has one; `None` if it ends without, or has it no more.
    async fn of_guard<T>(&self, ask: impl FnOnce(&Guard) -> T) -> Option<T> {
        self.reaches(|phase| phase != Phase::Enqueued).await;
        self.guard().as_ref().map(ask)
    }

    fn outcome(&self, phase: Phase) -> Result<(), Error> {
        let path = self.path.to_string();
        match (phase, self.failure.get()) {
            (Phase::Acquired | Phase::Taken, _) => Ok(()),
            (_, Some(why)) => Err(Error::NotAcquired { path, why: why.clone() }),
            _ => Err(Error::Released { path }),
        }
    }
}

impl Candidate {
    /// The lock's path.
    pub fn lock_path(&self) -> &str {
        &self.shared().path
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Whether its node is known to exist: it is in the queue, or holds the lock.
    pub fn candidate_created(&self) -> bool {
        *self.shared().progress.created().borrow()
    }

    /// Resolves when its node exists; false if it ended before that. Cancel-safe.
    pub async fn created(&self) -> bool {
        let mut created = self.shared().progress.created();
        let over = self.shared().reaches(|phase| phase != Phase::Enqueued);
        tokio::select! {
            biased;
            _ = created.wait_for(|created| *created) => true,
            phase = over => matches!(phase, Phase::Acquired | Phase::Taken),
        }
    }

    /// Whether it holds the lock, as of now.
    pub fn is_acquired(&self) -> bool {
        self.state().is_some_and(|state| state != GuardState::Lost)
    }

    /// Waits until it has the lock. Cancel-safe: it stays in the queue.
    ///
    /// # Errors
    /// [`Error::NotAcquired`] with what went wrong; [`Error::Released`] if it was let go.
    pub async fn wait(&self) -> Result<(), Error> {
        let phase = self.shared().reaches(|phase| phase != Phase::Enqueued).await;
        self.shared().outcome(phase)
    }

    /// Waits until it has the lock, up to `timeout`; whether it has it. If not, it stays in the queue: wait again, or
    /// [release](Candidate::release) it.
    ///
    /// # Errors
    /// As [`Candidate::wait`].
    pub async fn wait_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        match tokio::time::timeout(timeout, self.wait()).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Calls `told` with this candidate once it has the lock; never, if it ends before. It runs on a thread where it
    /// may block (`tokio::runtime::Handle::current().block_on(candidate.release())`, say). Until then the candidate is kept:
    /// dropping all other handles does not let it go.
    pub fn on_acquired(&self, told: impl FnOnce(Candidate) + Send + 'static) {
        let candidate = self.clone();
        self.shared().runtime.spawn(async move {
            if candidate.wait().await.is_ok() {
                tokio::task::spawn_blocking(move || told(candidate));
            }
        });
    }

    /// The token to fence writes with, once it has the lock.
    pub fn fencing_token(&self) -> Option<FencingToken> {
        self.shared().token.get().copied()
    }

    /// Whether the lock is held, as of now; `None` while it does not have it, or has it no more.
    pub fn state(&self) -> Option<GuardState> {
        self.shared().guard().as_ref().map(Guard::state)
    }

    /// Until when the lock is held even if no server is ever heard of again; see [`Guard::deadline`].
    pub fn deadline(&self) -> Option<BootInstant> {
        self.shared().guard().as_ref().map(Guard::deadline)
    }

    /// A future that waits until it has the lock and then until that is lost: true; false if it ends otherwise. It
    /// does not keep the candidate.
    pub fn on_lost(&self) -> impl Future<Output = bool> + Send + use<> {
        let shared = self.shared().clone();
        async move {
            match shared.of_guard(Guard::on_lost).await {
                Some(lost) => lost.await,
                None => shared.lost.load(Ordering::Acquire),
            }
        }
    }

    /// Asks the server whether it has the lock; see [`Guard::has_lock`]. False without asking while it does not have it, or
    /// has it no more. Cancel-safe.
    ///
    /// # Errors
    /// As [`Guard::has_lock`].
    pub async fn has_lock(&self) -> Result<bool, Error> {
        let held = self.shared().guard().as_ref().map(|guard| guard.held().clone());
        match held {
            Some(held) => held.has_lock().await,
            None => Ok(false),
        }
    }

    /// Whether somebody has asked for the lock; see [`Guard::is_revoked`]. Who asks while it waits is heard of as soon as it
    /// has the lock; false until then, and when it has it no more.
    pub fn is_revoked(&self) -> bool {
        self.shared().guard().as_ref().is_some_and(Guard::is_revoked)
    }

    /// Who asked for the lock first, where the dialect has room for it.
    pub fn revoked_by(&self) -> Option<Owner> {
        self.shared().guard().as_ref().and_then(Guard::revoked_by).cloned()
    }

    /// Resolves when it has the lock and somebody asks for that; never, if it ends before. Cancel-safe.
    pub async fn revoked(&self) {
        if !self.on_revoked().await {
            pending::<()>().await;
        }
    }

    /// A future that waits until it has the lock and then until somebody asks for that: true; false if it ends before. It
    /// does not keep the candidate.
    pub fn on_revoked(&self) -> impl Future<Output = bool> + Send + use<> {
        let shared = self.shared().clone();
        async move {
            match shared.of_guard(Guard::on_revoked).await {
                Some(revoked) => revoked.await,
                None => false,
            }
        }
    }

    /// A contender that came while it had the lock and does not respect that, if one has been seen; see
    /// [`Guard::foreign_contender`].
    pub fn foreign_contender(&self) -> Option<ForeignContender> {
        self.shared().guard().as_ref().and_then(Guard::foreign_contender)
    }

    /// Resolves when it has the lock and a contender is seen that surely does not respect that; never, if it ends before.
    /// Cancel-safe.
    pub async fn foreign(&self) -> ForeignContender {
        match self.on_foreign().await {
            Some(found) => found,
            None => pending().await,
        }
    }

    /// A future that waits until it has the lock and then for a contender as [`foreign`](Candidate::foreign) has it; `None`
    /// if it ends before. It does not keep the candidate.
    pub fn on_foreign(&self) -> impl Future<Output = Option<ForeignContender>> + Send + use<> {
        let shared = self.shared().clone();
        async move { shared.of_guard(Guard::on_foreign).await?.await }
    }

    /// The guard, to be kept instead of the candidate; `None` if it does not have the lock.
    pub fn take_guard(&self) -> Option<Guard> {
        let guard = self.shared().guard().take()?;
        self.shared().phase.send_replace(Phase::Taken);
        Some(guard)
    }

    /// Begins to leave the queue, or to release the lock, and returns at once. It may be called at any time, also
    /// before the candidate's node was created, and again.
    pub fn let_go(&self) {
        self.shared().leave.notify_one();
    }

    /// Leaves the queue, or releases the lock, and waits until its node is gone for certain. It may be called at any
    /// time and again. Cancel-safe: it goes on in the background.
    ///
    /// # Errors
    /// [`Error::Lost`]: it had the lock, and lost it before this.
    pub async fn release(&self) -> Result<(), Error> {
        self.let_go();
        self.released().await
    }

    /// As [`Candidate::release`], but waits up to `timeout` only; whether it is confirmed. It goes on in any case.
    ///
    /// # Errors
    /// As [`Candidate::release`].
    pub async fn release_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        match tokio::time::timeout(timeout, self.release()).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    async fn released(&self) -> Result<(), Error> {
        let shared = self.shared();
        shared.reaches(|phase| !matches!(phase, Phase::Enqueued | Phase::Acquired)).await;
        if shared.lost.load(Ordering::Acquire) {
            return Err(Error::Lost { path: shared.path.to_string() });
        }
        Ok(())
    }

    /// Calls `told` once the candidate has left, by whatever way, and its node is gone. It runs on a thread where it
    /// may block. It does not keep the candidate.
    pub fn on_released(&self, told: impl FnOnce() + Send + 'static) {
        let shared = self.shared().clone();
        self.shared().runtime.spawn(async move {
            shared.reaches(|phase| !matches!(phase, Phase::Enqueued | Phase::Acquired)).await;
            tokio::task::spawn_blocking(told);
        });
    }

    /// What went wrong on its way, oldest first: also what was got over, such as a lost session. At most the last 64.
    pub fn errors(&self) -> Vec<Trouble> {
        self.shared().progress.troubles()
    }
}
