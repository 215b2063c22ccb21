//! A reader's guard becomes the writer's, and a writer's a reader's, without letting go in between.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use zooky_client::{Create, CreateKind, CreateMode, Error as SessionError, ErrorCode, State};

use crate::core::contender::OwnNode;
use crate::core::dialect::{Kind, Role, classify};
use crate::core::swap;
use crate::core::upgrade::{Step, Upgrade, counterpart, token_of_swapped, unique};
use crate::deadlock;
use crate::doubt;
use crate::guard::{Guard, GuardState};
use crate::handover::{Claim, NotClaimed};
use crate::inspect::Contender;
use crate::multi::{self, first_error};
use crate::tenure::Tenure;
use crate::{Error, cleanup};

/// An upgrade or a downgrade that was not done: the guard, as it was, and why.
#[derive(Debug)]
#[must_use = "it holds the guard"]
pub struct Unchanged {
    /// The guard. If it is [lost](GuardState::Lost), that is why.
    pub guard: Guard,
    /// What stood in the way.
    pub fault: Error,
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Unchanged {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

impl From<Unchanged> for Error {
    /// Keeps the reason; the guard is released.
    fn from(unchanged: Unchanged) -> Error {
        unchanged.fault
    }
}

impl Guard {
    /// Makes a reader's guard the writer's: waits until no other reader is left, and keeps new ones out meanwhile.
    /// Writers that queue already do not get the lock before, so what was read stays true. The new guard's token
    /// is larger.
    ///
    /// Other clients on the same path, stock ones too, see one more writer in the queue, and then a writer in the
    /// reader's place: they wait.
    ///
    /// Cancel-safe in this sense: dropped at any point, it releases the lock, and leaves no node behind.
    ///
    /// # Errors
    /// With the reader's guard, which still holds:
    /// - [`Error::UpgradeConflict`] at once if another reader of the lock is already waiting for its upgrade: it
    ///   waits for this one, so let this one go.
    /// - [`Error::Deadlock`]: another reader waits for a lock of the same owner, so that both would wait for ever, and
    ///   this is the one to be refused (if its handle [wants that](crate::RwLock::refuse_deadlock)).
    /// - [`Error::Unchangeable`]: it is no reader's guard of an [`RwLock`](crate::RwLock).
    /// - What the server refuses. [`Error::Lost`]: the guard was or got lost.
    pub async fn upgrade(self) -> Result<Guard, Unchanged> {
        Changing::begin(self, Role::Reader, Limit::none()).await?.upgrade().await
    }

    /// [`upgrade`](Guard::upgrade), up to `timeout`; zero upgrades only if there is no other reader.
    ///
    /// # Errors
    /// With the reader's guard: [`Error::Timeout`], which names a reader that was waited for; else as
    /// [`upgrade`](Guard::upgrade).
    pub async fn upgrade_timeout(self, timeout: Duration) -> Result<Guard, Unchanged> {
        let limit = Limit { begun: Instant::now(), timeout: Some(timeout) };
        Changing::begin(self, Role::Reader, limit).await?.upgrade().await
    }

    /// Makes a writer's guard a reader's, at once: no writer that queues gets in between, readers that wait behind it
    /// up to the next writer get in beside it. The new guard's token is larger.
    ///
    /// One transaction; other clients on the same path, stock ones too, find a reader where the writer was.
    ///
    /// Cancel-safe in this sense: dropped at any point, it releases the lock, and leaves no node behind.
    ///
    /// # Errors
    /// With the writer's guard, which still holds: [`Error::Unchangeable`] if it is no writer's guard of an
    /// [`RwLock`](crate::RwLock); what the server refuses. [`Error::Lost`]: the guard was or got lost.
    pub async fn downgrade(self) -> Result<Guard, Unchanged> {
        Changing::begin(self, Role::Writer, Limit::none()).await?.downgrade().await
    }
}

/// How long it may take.
#[derive(Debug, Clone, Copy)]
struct Limit {
    begun: Instant,
    timeout: Option<Duration>,
}

impl Limit {
    fn none() -> Limit {
        Limit { begun: Instant::now(), timeout: None }
    }

    fn is_zero(self) -> bool {
        self.timeout == Some(Duration::ZERO)
    }

    /// `None`: the time is over.
    async fn within<T>(self, future: impl Future<Output = T>) -> Option<T> {
        match self.timeout {
            None => Some(future.await),
            // Trying once takes as long as the requests take.
            Some(Duration::ZERO) => Some(future.await),
            Some(timeout) => {
                let left = timeout.saturating_sub(self.begun.elapsed());
                tokio::time::timeout(left, future).await.ok()
            }
        }
    }
}

/// A guard that is being changed. Dropped before the end, it releases everything.
struct Changing {
    guard: Guard,
    /// In the group of tasks that share the node: nobody else comes to it.
    claim: Option<Claim>,
    tenure: Arc<Tenure>,
    limit: Limit,
    /// The name that the node will have.
    target: String,
    residue: Residue,
    /// Of the writer that keeps later readers out, by the swap that was sent last.
    keeper_czxid: Option<i64>,
    /// Whom it waits for.
    waits_for: Option<Contender>,
}

/// What requests may leave behind besides the node that the guard knows; removed when this is dropped.
struct Residue {
    tenure: Arc<Tenure>,
    /// What all names of this contender begin with.
    unique: String,
    possible: bool,
}

impl Drop for Residue {
    fn drop(&mut self) {
        if self.possible {
            let recipe = &self.tenure.recipe;
            let unique = std::mem::take(&mut self.unique);
            let sweeping = cleanup::sweep(self.tenure.session.clone(), recipe.path.clone(), unique);
            recipe.client.runtime().spawn(sweeping);
        }
    }
}

/// What came of a swap.
enum Swap {
    Done,
    /// The connection broke: it is to be looked up.
    Unknown,
    /// Something had changed: to be decided anew.
    NotDone,
}

impl Changing {
    /// Takes a guard that has this role. Waits until no other task of this process has the node.
    async fn begin(guard: Guard, role: Role, limit: Limit) -> Result<Changing, Unchanged> {
        let tenure = guard.held().tenure().clone();
        let path = tenure.recipe.path.to_string();
        let names = (counterpart(tenure.name()), unique(tenure.name()).map(str::to_owned));
        let (Some(target), Some(unique)) = names else {
            let why = "this dialect has no readers and writers";
            return Err(Unchanged { guard, fault: Error::Unchangeable { path, why } });
        };
        if tenure.role != role {
            let why = match role {
                Role::Reader => "only a reader's guard of an RwLock can be upgraded",
                _ => "only a writer's guard of an RwLock can be downgraded",
            };
            return Err(Unchanged { guard, fault: Error::Unchangeable { path, why } });
        }
        if tenure.state() == GuardState::Lost {
            return Err(Unchanged { guard, fault: Error::Lost { path } });
        }
        let mut claim = None;
        let timeout = |path| Error::Timeout { path, waited: limit.begun.elapsed(), holder: None };
        match guard.held().seat().map(|seat| seat.claim(limit.is_zero())) {
            None => {}
            Some(Ok(claimed)) => {
                if limit.within(claimed.alone()).await.is_none() {
                    return Err(Unchanged { guard, fault: timeout(path) });
                }
                claim = Some(claimed);
            }
            Some(Err(NotClaimed::Shared)) => return Err(Unchanged { guard, fault: timeout(path) }),
            Some(Err(NotClaimed::Claimed)) => {
                let mark = tenure.name().to_owned();
                return Err(Unchanged { guard, fault: Error::UpgradeConflict { path, mark } });
            }
        }
        let (keeper_czxid, waits_for) = (None, None);
        let residue = Residue { tenure: tenure.clone(), unique, possible: false };
        Ok(Changing { guard, claim, tenure, limit, target, residue, keeper_czxid, waits_for })
    }

    async fn downgrade(mut self) -> Result<Guard, Unchanged> {
        loop {
            match self.swap(None, None).await {
                Ok(Swap::Done) => return Ok(self.finished(Role::Reader)),
                Ok(Swap::NotDone) => {}
                Ok(Swap::Unknown) => match self.list_through().await {
                    Ok(children) if children.contains(&self.target) => return Ok(self.finished(Role::Reader)),
                    Ok(_) => {}
                    Err(fault) => return Err(self.kept(fault)),
                },
                Err(fault) => return Err(self.kept(fault)),
            }
        }
    }

    async fn upgrade(mut self) -> Result<Guard, Unchanged> {
        let Some(mut core) = Upgrade::new(self.tenure.name(), self.tenure.recipe.allow_foreign) else {
            let path = self.tenure.recipe.path.to_string();
            return Err(self.kept(Error::Unchangeable { path, why: "it is no reader's" }));
        };
        let (limit, tenure) = (self.limit, self.tenure.clone());
        // By its mark it is seen to wait.
        let mark = self.refusable().then(|| format!("{}/{}", tenure.recipe.path, core.mark_prefix()));
        let running = deadlock::unless_stuck(&tenure.recipe, mark, self.run(&mut core));
        let result = match limit.within(running).await {
            Some(result) => result,
            None => Err(self.timed_out()),
        };
        match result {
            Ok(()) => Ok(self.finished(Role::Writer)),
            Err(fault) => self.withdraw(&core, fault).await,
        }
    }

    /// Whether it is refused in a deadlock. Who does not wait is in none.
    fn refusable(&self) -> bool {
        self.tenure.recipe.deadlocks_below.is_some() && !self.limit.is_zero()
    }

    /// It is not to be: the mark goes, and the reader's guard remains; unless a swap that was under way has been
    /// done after all.
    async fn withdraw(self, core: &Upgrade, fault: Error) -> Result<Guard, Unchanged> {
        if !self.residue.possible {
            return Err(self.kept(fault));
        }
        let Ok(children) = self.list_through().await else { return Err(self.kept(fault)) };
        if children.contains(&self.target) {
            return Ok(self.finished(Role::Writer));
        }
        let prefix = core.mark_prefix();
        for mark in children.iter().filter(|child| child.starts_with(&prefix)) {
            let path = format!("{}/{mark}", self.tenure.recipe.path);
            cleanup::remove(&self.tenure.session, &path, false).await;
        }
        Err(self.kept(fault))
    }

    /// The guard as it was.
    fn kept(mut self, fault: Error) -> Unchanged {
        self.residue.possible = false;
        self.tenure.mind_again();
        if matches!(fault, Error::Lost { .. }) {
            self.tenure.gone();
        }
        let fault = if self.tenure.state() == GuardState::Lost { self.lost() } else { fault };
        Unchanged { guard: self.guard, fault }
    }

    fn timed_out(&mut self) -> Error {
        let path = self.tenure.recipe.path.to_string();
        let holder = self.waits_for.take().map(Box::new);
        Error::Timeout { path, waited: self.limit.begun.elapsed(), holder }
    }

    fn lost(&self) -> Error {
        Error::Lost { path: self.tenure.recipe.path.to_string() }
    }

    /// Until the nodes are swapped.
    async fn run(&mut self, core: &mut Upgrade) -> Result<(), Error> {
        loop {
            let children = self.list_through().await?;
            // Made by a request whose answer was lost.
            let prefix = core.mark_prefix();
            let made = children.iter().find(|child| child.starts_with(&prefix) && **child != self.target);
            if let (None, Some(made), true) = (core.mark(), made, self.residue.possible) {
                core.marked(made.clone());
            }
            match core.listed(&children) {
                Step::Gone if children.contains(&self.target) => return Ok(()),
                Step::Gone => return Err(self.lost()),
                Step::Refuse(refusal) => {
                    let kind = classify(self.tenure.name()).map_or(Kind::KazooReader, |what| what.kind);
                    return Err(self.tenure.recipe.refused(kind, refusal));
                }
                Step::Conflict(mark) => {
                    let path = self.tenure.recipe.path.to_string();
                    return Err(Error::UpgradeConflict { path, mark });
                }
                Step::Mark if self.limit.is_zero() => match core.in_the_way(&children) {
                    Some(reader) => {
                        self.see(&reader).await;
                        return Err(self.timed_out());
                    }
                    None => self.mark(core).await?,
                },
                Step::Mark => self.mark(core).await?,
                Step::Wait(reader) if self.limit.is_zero() => {
                    self.see(&reader).await;
                    return Err(self.timed_out());
                }
                Step::Wait(reader) => self.watch(&reader).await?,
                Step::Swap { keeper } => {
                    let mark = core.mark().map(str::to_owned);
                    if matches!(self.swap(keeper.as_deref(), mark.as_deref()).await?, Swap::Done) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The children, after everything that this session has sent.
    async fn list(&self) -> Result<Vec<String>, SessionError> {
        let (session, path) = (&self.tenure.session, &self.tenure.recipe.path);
        let flight = session.flight();
        let (synced, listed) = (session.sync(path), session.children(path));
        drop(flight);
        synced.await?;
        match listed.await {
            Ok(children) => Ok(children.names),
            Err(SessionError::NoNode { .. }) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    /// The same, through reconnects.
    async fn list_through(&self) -> Result<Vec<String>, Error> {
        loop {
            match self.list().await {
                Err(SessionError::ConnectionLoss { .. }) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Adds the mark. An answer that is lost is made up for by the next listing.
    async fn mark(&mut self, core: &mut Upgrade) -> Result<(), Error> {
        let recipe = &self.tenure.recipe;
        let path = format!("{}/{}", recipe.path, core.mark_prefix());
        let data = match self.refusable() {
            true => recipe.data().await,
            // Nobody is to wait for it to be refused.
            false => recipe.unrefusable().data().await,
        };
        self.residue.possible = true;
        let mode = CreateMode::EPHEMERAL_SEQUENTIAL;
        match self.tenure.session.create(&path, data, mode, &recipe.acl).await {
            Ok(created) => core.marked(created.path.rsplit('/').next().unwrap_or_default().to_owned()),
            Err(SessionError::ConnectionLoss { .. } | SessionError::NoNode { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }

    /// Reads who is waited for.
    async fn see(&mut self, child: &str) {
        let directory = &self.tenure.recipe.path;
        if let Ok((data, stat)) = self.tenure.session.get(&format!("{directory}/{child}")).await {
            self.waits_for = Contender::read(directory, child, data, stat, Some(true));
        }
    }

    /// Waits until a reader has left, or the session has reconnected.
    async fn watch(&mut self, child: &str) -> Result<(), Error> {
        let tenure = self.tenure.clone();
        let directory = &tenure.recipe.path;
        // From before the request: a reconnect after it must not go unseen.
        let mut states = tenure.session.watch_state();
        let event = match tenure.session.get_watch(&format!("{directory}/{child}")).await {
            Ok((data, stat, event)) => {
                self.waits_for = Contender::read(directory, child, data, stat, Some(true));
                event
            }
            Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => return Ok(()),
            Err(fault) => return Err(fault.into()),
        };
        if let (Some(contender), Some(on_wait)) = (&self.waits_for, &tenure.recipe.on_wait) {
            on_wait(contender);
        }
        tokio::pin!(event);
        let reader = format!("{directory}/{child}");
        let mut doubt = Box::pin(doubt::shown_in_vain(&tenure.session, &reader));
        loop {
            tokio::select! {
                () = &mut doubt => return Ok(()),
                event = &mut event => return match event {
                    Err(fault) if fault.is_final() => Err(self.lost()),
                    _ => Ok(()),
                },
                () = tenure.lost() => return Err(self.lost()),
                state = states.changed() => match state {
                    State::Suspended => {}
                    State::Connected => return Ok(()),
                    State::Lost => return Err(self.lost()),
                },
            }
        }
    }

    /// One transaction: the node goes, its counterpart comes with the same number and data, and the mark goes; if
    /// the keeper (by default the mark) is there. The data's version is checked, so that nobody's request to let
    /// go is overwritten.
    async fn swap(&mut self, keeper: Option<&str>, mark: Option<&str>) -> Result<Swap, Error> {
        let tenure = self.tenure.clone();
        let (session, directory) = (&tenure.session, &tenure.recipe.path);
        let path_of = |name: &str| format!("{directory}/{name}");
        let keeps = keeper.or(mark).map(path_of);
        let flight = session.flight();
        let own = session.get(&tenure.node);
        let kept = keeps.as_ref().map(|path| session.exists(path));
        drop(flight);
        let (data, stat) = match own.await {
            Ok(found) => found,
            Err(SessionError::ConnectionLoss { .. }) => return Ok(Swap::NotDone),
            Err(_) => return Err(self.lost()),
        };
        if stat.ephemeral_owner != session.id() {
            return Err(self.lost());
        }
        if let Some(kept) = kept {
            match kept.await {
                Ok(Some(stat)) => self.keeper_czxid = Some(stat.czxid),
                Ok(None) | Err(SessionError::ConnectionLoss { .. }) => return Ok(Swap::NotDone),
                Err(fault) => return Err(fault.into()),
            }
        }
        self.residue.possible = true;
        // Its end is our own doing from now on.
        tenure.end();
        let parts = swap::of_sides(tenure.name(), &self.target, keeper, mark);
        let create = |path| create(path, data.clone(), &tenure);
        let ops = multi::swap(directory, parts, stat.version, create);
        match session.multi(ops).await {
            Ok(results) => match first_error(&results) {
                None => Ok(Swap::Done),
                Some((_, ErrorCode::NO_NODE | ErrorCode::BAD_VERSION | ErrorCode::NODE_EXISTS)) => {
                    Ok(Swap::NotDone)
                }
                Some((_, code)) => Err(SessionError::Server { code, path: tenure.node.clone() }.into()),
            },
            Err(SessionError::ConnectionLoss { .. }) => Ok(Swap::Unknown),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The lock is held by the other node.
    fn finished(mut self, role: Role) -> Guard {
        self.residue.possible = false;
        let tenure = &self.tenure;
        let handed_over = self.claim.take().map_or(0, Claim::take);
        let count = handed_over.max(self.guard.fencing_token().count() + 1);
        let (czxid, count) = token_of_swapped(tenure.czxid, count, self.keeper_czxid);
        tenure.end();
        let node = OwnNode { name: self.target, czxid };
        let session = tenure.session.clone();
        let hold = session.hold();
        let next = Tenure::begin(&tenure.recipe, role, session, hold, &node);
        if tenure.revoked().is_up() {
            next.revoked().raise();
        }
        if let Some(marker) = tenure.marker.get() {
            // Nobody else has set it: the node is new.
            let _ = next.marker.set(marker.clone());
        }
        let next = Guard::of(next, count, None);
        self.guard.succeeded_by(&next);
        next
    }
}

fn create(path: String, data: Bytes, tenure: &Tenure) -> Create {
    let acl = tenure.recipe.acl.to_vec();
    Create { kind: CreateKind::Create, path, data: Some(data), acl, mode: CreateMode::EPHEMERAL }
}
