//! Several locks as one: all of them or none.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use zooky_client::{Acl, BootInstant};

use crate::acquire::{Recipe, WaitingFor};
use crate::core::dialect::{Role, Written};
use crate::deadlock;
use crate::guard::{Guard, GuardState};
use crate::inspect::Contender;
use crate::limit::limited;
use crate::observe;
use crate::{Client, Dialect, Error, FencingToken, ForeignContender, Owner};

/// One of several locks: its path, and how it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    path: String,
    role: Role,
}

impl Part {
    /// The lock at `path` alone, as [`crate::RwLock::write`] and (in kazoo's dialect) [`crate::Lock`] have it.
    pub fn write(path: impl Into<String>) -> Part {
        Part { path: path.into(), role: Role::Writer }
    }

    /// The lock at `path` together with other readers, as [`crate::RwLock::read`] has it.
    pub fn read(path: impl Into<String>) -> Part {
        Part { path: path.into(), role: Role::Reader }
    }
}

/// Several locks that are taken as one: all or nothing, within one time limit.
///
/// They are taken one after the other in the order of their paths, whatever the order in which they are named.
/// So two clients that take locks together in this way cannot wait for each other in a circle. (A program that
/// holds one lock of its own and then waits for several can: see [`MultiLock::refuse_deadlock`].) If one is lost while others are still waited for,
/// all are released and it begins again.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// use zooky::{MultiLock, Part};
///
/// let transfer = [Part::write("/locks/account-7"), Part::write("/locks/account-3"), Part::read("/locks/rates")];
/// let guard = MultiLock::new(&client, transfer)?.acquire().await?;
/// for (path, token) in guard.fencing_tokens() {
///     println!("{path} is ours, with token {token}");
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MultiLock {
    /// In the order of their paths.
    locks: Vec<(Recipe, Role)>,
}

impl MultiLock {
    /// A handle for these locks. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if one of them is no path of a lock, or if there are none; [`Error::NamedTwice`].
    pub fn new(client: &Client, parts: impl IntoIterator<Item = Part>) -> Result<MultiLock, Error> {
        let mut locks = Vec::new();
        for part in parts {
            locks.push((Recipe::new(client, &part.path)?, part.role));
        }
        locks.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        if let Some(twice) = locks.windows(2).find(|pair| pair[0].0.path == pair[1].0.path) {
            return Err(Error::NamedTwice { path: twice[0].0.path.to_string() });
        }
        if locks.is_empty() {
            let why = "several locks as one are at least one".to_owned();
            return Err(Error::Path { path: String::new(), why });
        }
        Ok(MultiLock { locks })
    }

    /// All written in another dialect, as read/write locks; see [`crate::RwLock::dialect`].
    ///
    /// # Errors
    /// [`Error::NotWritten`]: zooky reads this dialect, but does not write it.
    pub fn dialect(self, dialect: Dialect) -> Result<MultiLock, Error> {
        let written = Written::of(dialect).ok_or(Error::NotWritten { dialect })?;
        Ok(self.each(|recipe| recipe.dialect = written))
    }

    /// With other metadata; see [`crate::Lock::with_owner`].
    #[must_use]
    pub fn with_owner(self, owner: Owner) -> MultiLock {
        self.each(move |recipe| recipe.set_owner(owner.clone()))
    }

    /// Whether it is refused with [`Error::Deadlock`] instead of waiting for ever in a deadlock, among the locks in the
    /// directory that all of these are in, at any depth; see [`crate::Lock::refuse_deadlock`]. What it has taken of them
    /// until then is given back. It needs the [`Owner`] under whose id the program holds other locks, too.
    #[must_use]
    pub fn refuse_deadlock(self, refuse: bool) -> MultiLock {
        let directory = deadlock::directory_of(self.paths()).to_owned();
        self.each(|recipe| recipe.set_deadlocks_below(refuse.then_some(&directory)))
    }

    /// As [`refuse_deadlock`](Self::refuse_deadlock), among all the locks below `root`, at any depth.
    #[must_use]
    pub fn refuse_deadlock_below(self, root: &str) -> MultiLock {
        self.each(|recipe| recipe.set_deadlocks_below(Some(root)))
    }

    /// With an ACL; see [`crate::Lock::with_acl`].
    #[must_use]
    pub fn with_acl(self, acl: impl Into<Vec<Acl>>) -> MultiLock {
        let acl: Arc<[Acl]> = acl.into().into();
        self.each(|recipe| recipe.acl = acl.clone())
    }

    /// Beside strangers; see [`crate::Lock::allow_foreign`].
    #[must_use]
    pub fn allow_foreign(self, allow: bool) -> MultiLock {
        self.each(|recipe| recipe.allow_foreign = allow)
    }

    /// Told whom it waits for; see [`crate::Lock::on_wait`].
    #[must_use]
    pub fn on_wait(self, told: impl Fn(&Contender) + Send + Sync + 'static) -> MultiLock {
        let told = Arc::new(told);
        self.each(|recipe| recipe.on_wait = Some(told.clone()))
    }

    fn each(mut self, change: impl Fn(&mut Recipe)) -> MultiLock {
        self.locks.iter_mut().for_each(|(recipe, _)| change(recipe));
        self
    }

    /// The paths, in the order in which they are taken.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.locks.iter().map(|(recipe, _)| &*recipe.path)
    }

    /// Waits for all of them, for ever.
    ///
    /// Cancel-safe: dropped at any point, it leaves no node behind.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`]; [`Error::Deadlock`] names the one of them that was waited for.
    pub async fn acquire(&self) -> Result<MultiGuard, Error> {
        self.take_all(&WaitingFor::default()).await
    }

    /// Takes all of them if all are free at this moment.
    ///
    /// Cancel-safe like [`MultiLock::acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`].
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>, Error> {
        self.try_all(None).await
    }

    /// Waits for all of them, up to `timeout` in all; zero tries once.
    ///
    /// Cancel-safe like [`MultiLock::acquire`].
    ///
    /// # Errors
    /// [`Error::Timeout`] with the contender it waited for; else as [`MultiLock::acquire`].
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<MultiGuard, Error> {
        let waiting = WaitingFor::default();
        let all = self.paths().collect::<Vec<_>>().join(", ");
        limited(&all, timeout, &waiting, self.try_all(Some(&waiting)), self.take_all(&waiting)).await
    }

    async fn take_all(&self, waiting: &WaitingFor) -> Result<MultiGuard, Error> {
        loop {
            match self.take_in_order(waiting).await? {
                Some(guard) => return Ok(guard),
                None => tracing::warn!("one of several locks was lost while waiting for another; again"),
            }
        }
    }

    /// One after the other; `None` if one was lost meanwhile.
    async fn take_in_order(&self, waiting: &WaitingFor) -> Result<Option<MultiGuard>, Error> {
        let mut taken = MultiGuard { guards: Vec::with_capacity(self.locks.len()) };
        for (recipe, role) in &self.locks {
            let next = tokio::select! {
                biased;
                () = taken.lost() => return Ok(None),
                next = recipe.acquire(*role, waiting) => next?,
            };
            taken.guards.push(next);
        }
        Ok(Some(taken).filter(MultiGuard::is_held))
    }

    async fn try_all(&self, report: Option<&WaitingFor>) -> Result<Option<MultiGuard>, Error> {
        // All are looked at before anything is created: the first one by its own try.
        for (recipe, role) in self.locks.iter().skip(1) {
            if observe::look(role.mode(), recipe.is_blocked(*role, report)).await? {
                return Ok(None);
            }
        }
        let mut taken = MultiGuard { guards: Vec::with_capacity(self.locks.len()) };
        for (recipe, role) in &self.locks {
            match recipe.try_acquire(*role, report).await? {
                Some(guard) => taken.guards.push(guard),
                None => return Ok(None),
            }
        }
        Ok(Some(taken).filter(MultiGuard::is_held))
    }
}

/// Several held locks. Lost as soon as one of them is.
///
/// Dropping it releases all of them in the background, the last one first.
#[must_use = "dropping a guard releases the locks"]
#[derive(Debug)]
pub struct MultiGuard {
    /// In the order in which they were taken.
    guards: Vec<Guard>,
}

impl MultiGuard {
    /// The guards of the single locks, in the order of their paths.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// The fencing token of each lock. They fence different things, and are not to be mixed.
    pub fn fencing_tokens(&self) -> impl Iterator<Item = (&str, FencingToken)> {
        self.guards.iter().map(|guard| (guard.lock_path(), guard.fencing_token()))
    }

    /// The fencing token of the lock at `path`; `None` if it is none of these.
    pub fn fencing_token(&self, path: &str) -> Option<FencingToken> {
        self.fencing_tokens().find(|(lock, _)| *lock == path).map(|(_, token)| token)
    }

    /// The worst state of all, as of now.
    pub fn state(&self) -> GuardState {
        let mut worst = GuardState::Held;
        for guard in &self.guards {
            match guard.state() {
                GuardState::Lost => return GuardState::Lost,
                GuardState::Suspect => worst = GuardState::Suspect,
                GuardState::Held => {}
            }
        }
        worst
    }

    /// Whether none is lost, as of now.
    pub fn is_held(&self) -> bool {
        self.state() != GuardState::Lost
    }

    /// Until when all are held even if no server is ever heard of again; see [`Guard::deadline`].
    pub fn deadline(&self) -> BootInstant {
        let all = self.guards.iter().map(Guard::deadline);
        all.min().unwrap_or_else(BootInstant::now)
    }

    /// Resolves when one of the locks is lost. Cancel-safe.
    pub async fn lost(&self) {
        first(self.guards.iter().map(Guard::lost)).await;
    }

    /// A future for another task, which does not keep the locks: true once one of them is lost, false if they were
    /// released before that was noticed.
    pub fn on_lost(&self) -> impl Future<Output = bool> + Send + use<> {
        first(self.guards.iter().map(Guard::on_lost).collect::<Vec<_>>())
    }

    /// Asks the server whether all of the locks are still held; see [`Guard::has_lock`]. Cancel-safe.
    ///
    /// # Errors
    /// As [`Guard::has_lock`].
    pub async fn has_lock(&self) -> Result<bool, Error> {
        for guard in &self.guards {
            if !guard.has_lock().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether somebody has asked for one of the locks; see [`Guard::is_revoked`].
    pub fn is_revoked(&self) -> bool {
        self.guards.iter().any(Guard::is_revoked)
    }

    /// Who asked, where the dialect has room for it; for which lock, its [guard](MultiGuard::guards) tells.
    pub fn revoked_by(&self) -> Option<&Owner> {
        self.guards.iter().find_map(Guard::revoked_by)
    }

    /// Resolves when somebody asks for one of the locks; see [`Guard::revoked`]. Cancel-safe.
    pub async fn revoked(&self) {
        first(self.guards.iter().map(Guard::revoked)).await;
    }

    /// A future for another task, which does not keep the locks: true once somebody asks for one of them, false if they were
    /// released or one was lost before.
    pub fn on_revoked(&self) -> impl Future<Output = bool> + Send + use<> {
        first(self.guards.iter().map(Guard::on_revoked).collect::<Vec<_>>())
    }

    /// A contender that came while the locks were held and does not respect one of them, if one has been seen: a
    /// [certain](ForeignContender::certain) one before others; see [`Guard::foreign_contender`].
    pub fn foreign_contender(&self) -> Option<ForeignContender> {
        let seen = self.guards.iter().filter_map(Guard::foreign_contender);
        seen.reduce(|first, next| if next.certain && !first.certain { next } else { first })
    }

    /// Resolves when a contender is seen that surely does not respect one of the locks; see [`Guard::foreign`].
    /// Cancel-safe.
    pub async fn foreign(&self) -> ForeignContender {
        first(self.guards.iter().map(Guard::foreign)).await
    }

    /// A future for another task, which does not keep the locks: the contender as [`foreign`](MultiGuard::foreign) has it,
    /// `None` if the locks were released or one was lost before.
    pub fn on_foreign(&self) -> impl Future<Output = Option<ForeignContender>> + Send + use<> {
        first(self.guards.iter().map(Guard::on_foreign).collect::<Vec<_>>())
    }

    /// Releases all of them, the last one first, and waits until their nodes are deleted. If the future is dropped,
    /// the release goes on in the background.
    ///
    /// # Errors
    /// [`Error::Lost`] with the path of one that had been lost before; all of them are released in any case.
    pub async fn release(mut self) -> Result<(), Error> {
        let mut releases: Vec<_> = std::mem::take(&mut self.guards)
            .into_iter()
            .rev()
            .map(|guard| Box::pin(guard.release()))
            .collect();
        let mut outcome = Ok(());
        poll_fn(|cx| {
            releases.retain_mut(|release| match release.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    if outcome.is_ok() {
                        outcome = result;
                    }
                    false
                }
                Poll::Pending => true,
            });
            if releases.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        outcome
    }
}

impl Drop for MultiGuard {
    fn drop(&mut self) {
        while let Some(last) = self.guards.pop() {
            drop(last);
        }
    }
}

/// Whichever ends first.
fn first<T, F: Future<Output = T>>(futures: impl IntoIterator<Item = F>) -> impl Future<Output = T> {
    let mut all: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(move |cx| {
        let ready = all.iter_mut().find_map(|one| match one.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
}
