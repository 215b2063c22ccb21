//! Carries out what `core/contender.rs` decides, on one session, and cleans up after those who leave.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::Instrument;
use zooky_client::{Acl, BootInstant, ConnectError, CreateMode, Error as SessionError, Hold, Session, State};

use crate::cleanup;
use crate::core::contender::{Action, Contender as Core, Found, NotCreated, OwnNode};
use crate::core::dialect::{Kind, Role, Written};
use crate::core::queue::Refusal;
use crate::deadlock;
use crate::delay::{LockDelay, Settled};
use crate::doubt;
use crate::guard::Guard;
use crate::handover::Local;
use crate::inspect::Contender;
use crate::layout;
use crate::mirror::{self, Wait};
use crate::observe;
use crate::progress::Progress;
use crate::revoke::{Revoke, Revoker, after};
use crate::{Client, Error, Owner};

/// Whether `path` can be a lock's, without asking a server.
///
/// # Errors
/// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
pub fn check_lock_path(path: &str) -> Result<(), Error> {
    let fault = |why: &str| Err(Error::Path { path: path.to_owned(), why: why.to_owned() });
    if let Err(fault_found) = zooky_client::validate_path(path) {
        return fault(fault_found.why);
    }
    if path == "/" {
        return fault("the root holds other things than contenders");
    }
    if path == "/zookeeper" || path.starts_with("/zookeeper/") {
        return fault("/zookeeper belongs to the server");
    }
    Ok(())
}

/// Told whom a waiter waits for, each time that is somebody else.
pub(crate) type OnWait = Arc<dyn Fn(&Contender) + Send + Sync>;

/// What all handles of locks have in common.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) client: Client,
    pub(crate) path: Arc<str>,
    pub(crate) dialect: Written,
    pub(crate) owner: Arc<Owner>,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) allow_foreign: bool,
    pub(crate) on_wait: Option<OnWait>,
    /// Those in the way are asked to let go, or removed.
    pub(crate) revoke: Option<Revoke>,
    /// A waiter is told at once when it is asked for the lock, and when it is removed by force.
    pub(crate) revocable: bool,
    pub(crate) on_revoked: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The tasks of this process share one contender.
    pub(crate) local: Option<Local>,
    pub(crate) progress: Option<Arc<Progress>>,
    /// Where deadlocks are looked for, if they are to be refused.
    pub(crate) deadlocks_below: Option<Arc<str>>,
    pub(crate) delay: Option<LockDelay>,
}

/// Whom the waiter waits for at the moment; read when its time is over.
#[derive(Default)]
pub(crate) struct WaitingFor {
    contender: Mutex<Option<Contender>>,
    nobody_asks: bool,
}

impl WaitingFor {
    /// For one who waits for ever, so that nobody will ask.
    pub(crate) fn nobody_asks() -> WaitingFor {
        WaitingFor { nobody_asks: true, ..WaitingFor::default() }
    }

    fn is_wanted(&self) -> bool {
        !self.nobody_asks
    }

    pub(crate) fn set(&self, contender: Contender) {
        *self.contender.lock().unwrap_or_else(PoisonError::into_inner) = Some(contender);
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        let waiting = self.contender.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_ref().is_some_and(|contender| contender.name == name)
    }

    pub(crate) fn peek(&self) -> Option<Contender> {
        self.contender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn take(&self) -> Option<Contender> {
        self.contender.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe").field("path", &self.path).field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Recipe {
    pub(crate) fn new(client: &Client, path: &str) -> Result<Recipe, Error> {
        check_lock_path(path)?;
        Ok(Recipe {
            client: client.clone(),
            path: path.into(),
            dialect: Written::Kazoo,
            owner: Owner::this_process().into(),
            acl: Acl::open().into(),
            allow_foreign: false,
            on_wait: None,
            revoke: None,
            revocable: false,
            on_revoked: None,
            local: None,
            progress: None,
            deadlocks_below: None,
            delay: None,
        })
    }

    /// Waits for ever, over as many sessions as it takes, with a contender of its own.
    pub(crate) async fn acquire_alone(&self, role: Role, waiting: &WaitingFor) -> Result<Guard, Error> {
        loop {
            let session = match self.client.session().await {
                Ok(session) => session,
                Err(Error::Connect(fault @ (ConnectError::Timeout { .. } | ConnectError::Lost))) => {
                    tracing::warn!(path = %self.path, %fault, "still waiting for the lock, without a server");
                    self.note(&fault.into());
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let entry = self.enter(session, role);
            let node =
                self.deadlocks_below.as_ref().map(|_| format!("{}/{}", self.path, entry.core.prefix()));
            let wait = pin!(entry.wait(waiting));
            let granted = deadlock::unless_stuck(self, node, wait).await;
            match self.settle(granted, true).await {
                // Closed: by somebody else who has the session. If the client was closed, it says so above.
                Err(fault @ Error::Session(SessionError::SessionLost | SessionError::Closed)) => {
                    self.note(&fault);
                    tracing::warn!(path = %self.path, "the session was lost while waiting; joining again");
                }
                Ok(Settled::Held(guard)) => return Ok(guard),
                Ok(_) => {
                    tracing::warn!(path = %self.path, "the lock was lost before it was held; joining again");
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What is granted is held once the lock-delay, if there is one, is settled.
    async fn settle(&self, granted: Result<Guard, Error>, wait: bool) -> Result<Settled, Error> {
        match &self.delay {
            Some(delay) => delay.settle(self, granted?, wait).await,
            None => granted.map(Settled::Held),
        }
    }

    /// Looks, and joins only if nobody is in the way; `None` if somebody is. Whoever asks for a `report` waits, if
    /// for no time: is told who, at the price of one more read; and if it is one who revokes, joins and does.
    pub(crate) async fn try_alone(
        &self,
        role: Role,
        report: Option<&WaitingFor>,
    ) -> Result<Option<Guard>, Error> {
        let session = self.client.session().await?;
        let Some(guard) = self.enter(session, role).try_once(report).await? else { return Ok(None) };
        Ok(match self.settle(Ok(guard), false).await? {
            Settled::Held(guard) => Some(guard),
            Settled::NotYet | Settled::Lost => None,
        })
    }

    /// Whether a try would come to nothing; it creates nothing. Whoever asks for a `report` is told who is in the way.
    pub(crate) async fn is_blocked(&self, role: Role, report: Option<&WaitingFor>) -> Result<bool, Error> {
        let session = self.client.session().await?;
        self.enter(session, role).is_blocked(report).await
    }

    fn enter(&self, session: Session, role: Role) -> Entry<'_> {
        let kind = Kind::written(self.dialect, role);
        let core = Core::new(self.client.unique(), kind, session.id(), self.allow_foreign);
        Entry {
            recipe: self,
            role,
            mirror: self.client.mirrors().enter(&self.path),
            hold: Some(session.hold()),
            session,
            core,
            may_exist: false,
            revoker: Revoker::default(),
        }
    }

    /// Notes a trouble that is got over, for those who look on.
    fn note(&self, fault: &Error) {
        if let Some(progress) = &self.progress {
            progress.trouble(fault);
        }
    }

    pub(crate) fn refused(&self, own: Kind, refusal: Refusal) -> Error {
        let path = self.path.to_string();
        match refusal {
            Refusal::Foreign { child, kind, others } => {
                let (dialect, theirs, ours) = (kind.dialect(), kind.name(), own.name());
                let others = Box::new(others);
                Error::ForeignContender { path, child, others, dialect, theirs, ours }
            }
            Refusal::Unknown { child, others } => {
                Error::UnknownChild { path, child, others: Box::new(others) }
            }
            Refusal::Exhausted { child } => Error::SequenceExhausted { path, child },
        }
    }
}

/// One contender on one session, from before its create until it is granted or has left. Dropped
/// before it is granted (a timeout, a cancelled future, an error), it leaves no node behind.
struct Entry<'a> {
    recipe: &'a Recipe,
    role: Role,
    mirror: mirror::Use,
    session: Session,
    hold: Option<Hold>,
    core: Core,
    /// A create was sent, and the node may exist.
    may_exist: bool,
    revoker: Revoker,
}

impl Entry<'_> {
    async fn wait(mut self, waiting: &WaitingFor) -> Result<Guard, Error> {
        let mut woken = None;
        let mut action = self.core.start();
        loop {
            if let Some(progress) = &self.recipe.progress {
                progress.set_created(self.core.node().is_some());
            }
            action = match action {
                Action::Watch(child) => {
                    if woken.is_none() {
                        observe::waits(self.role.mode());
                    }
                    let span = observe::waiting(&self.recipe.path, &child);
                    let next = self.watch_or_revoke(&child, waiting).instrument(span).await?;
                    woken = Some(BootInstant::now());
                    next
                }
                Action::Grant => {
                    let guard = self.grant();
                    if let (Ok(_), Some(woken)) = (&guard, woken) {
                        observe::handed_over(self.role.mode(), woken);
                    }
                    return guard;
                }
                Action::Refuse(refusal) => return Err(self.recipe.refused(self.core.kind(), refusal)),
                Action::Join if self.revoker.own.was_revoked().await => return Err(self.recipe.revoked()),
                other => self.step(other).await?,
            }
        }
    }

    /// Watches whom it waits for; asks or removes them, if it is one who revokes; and is told what happens to its
    /// own node, if it is one who wants to be.
    async fn watch_or_revoke(&mut self, child: &str, waiting: &WaitingFor) -> Result<Action, Error> {
        let recipe = self.recipe;
        let own = self.core.node().map(|node| node.name.clone()).unwrap_or_default();
        let mut again = None;
        if let Some(how) = recipe.revoke {
            match self.revoke_blockers(how).await? {
                Some(spared) => again = spared,
                None => return Ok(Action::List),
            }
        }
        let mut revoker = std::mem::take(&mut self.revoker);
        let mut changed = false;
        let blocker = format!("{}/{child}", recipe.path);
        // Boxed: all would carry what few come to.
        let mut doubt = Box::pin(doubt::shown_in_vain(&self.session, &blocker));
        let action = loop {
            if recipe.revocable && !Box::pin(revoker.own.set(recipe, &self.session, &own, changed)).await {
                break Err(recipe.revoked());
            }
            tokio::select! {
                biased;
                event = revoker.own.changed() => match event {
                    true => changed = true,
                    false => break Ok(Action::List),
                },
                action = self.watch(child, waiting) => break action,
                () = &mut doubt => break Ok(self.core.blocker_changed()),
                () = after(again) => break Ok(Action::List),
            }
        };
        self.revoker = revoker;
        action
    }

    /// Asks or removes all who block our node; after what time to come again, if some are spared. `None`: something
    /// changed meanwhile.
    async fn revoke_blockers(&mut self, how: Revoke) -> Result<Option<Option<Duration>>, Error> {
        let own = self.core.node().map(|node| node.name.clone()).unwrap_or_default();
        // Boxed: few need it, and all would carry it.
        match Box::pin(self.revoker.blockers(self.recipe, &self.session, &own, how)).await {
            Err(Error::Session(SessionError::ConnectionLoss { .. } | SessionError::NoNode { .. })) => {
                Ok(None)
            }
            spared => spared.map(Some),
        }
    }

    async fn try_once(mut self, report: Option<&WaitingFor>) -> Result<Option<Guard>, Error> {
        let mut revoke = self.recipe.revoke.filter(|_| report.is_some());
        if revoke.is_none() && self.is_blocked(report).await? {
            return Ok(None);
        }
        let mut action = self.core.start();
        loop {
            action = match action {
                Action::Watch(blocker) => match revoke.take() {
                    Some(how) => {
                        self.revoke_blockers(how).await?;
                        Action::List
                    }
                    None => {
                        self.report(&blocker, report).await;
                        return Ok(None);
                    }
                },
                Action::Grant => return self.grant().map(Some),
                Action::Refuse(refusal) => return Err(self.recipe.refused(self.core.kind(), refusal)),
                other => self.step(other).await?,
            }
        }
    }

    /// Whether somebody is in the way, or a vanished holder's delay, by a listing made before anything is created.
    async fn is_blocked(&self, report: Option<&WaitingFor>) -> Result<bool, Error> {
        let children = match self.list().await {
            Ok(children) => children,
            Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => return Ok(false),
            Err(fault) => return Err(fault.into()),
        };
        let refused = |refusal| self.recipe.refused(self.core.kind(), refusal);
        if let Some(blocker) = self.core.would_wait(&children).map_err(refused)? {
            self.report(&blocker, report).await;
            return Ok(true);
        }
        match &self.recipe.delay {
            Some(delay) => delay.lasts(self.recipe, &self.session, &children, self.role.mode()).await,
            None => Ok(false),
        }
    }

    /// Tells who is in the way, if that is asked for and can be seen.
    async fn report(&self, child: &str, report: Option<&WaitingFor>) {
        let Some(report) = report else { return };
        if let Ok((data, stat)) = self.session.get(&format!("{}/{child}", self.recipe.path)).await {
            let contender = Contender::read(&self.recipe.path, child, data, stat, None);
            contender.into_iter().for_each(|contender| report.set(contender));
        }
    }

    /// The actions that are requests to the server.
    async fn step(&mut self, action: Action) -> Result<Action, Error> {
        match action {
            Action::Join => self.join().await,
            Action::MakeDirectory => {
                let Recipe { path, dialect, acl, .. } = self.recipe;
                layout::make_directory(&self.session, path, *dialect, self.role, acl).await?;
                Ok(self.core.directory_made())
            }
            Action::LookUp => self.look_up().await,
            _ => self.list_or_look().await,
        }
    }

    async fn list_or_look(&mut self) -> Result<Action, Error> {
        if let Some(action) = self.look() {
            return Ok(action);
        }
        match self.list().await {
            Ok(children) => Ok(self.core.listed(&children)),
            Err(SessionError::ConnectionLoss { .. }) => Ok(Action::List),
            // The directory is gone, and our node with it.
            Err(SessionError::NoNode { .. }) => Ok(self.core.listed(&[])),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Create and list in one flight: with the lock free, one round trip. With a mirror there is nothing to list.
    async fn join(&mut self) -> Result<Action, Error> {
        let recipe = self.recipe;
        let path = [&recipe.path, "/", self.core.prefix()].concat();
        let data = recipe.data().await;
        self.may_exist = true;
        let flight = self.session.flight();
        // Whoever has just let go of this lock asks for both in one.
        let mode = CreateMode::EPHEMERAL_SEQUENTIAL;
        let created = self.session.create_after_removal(&path, data, mode, &recipe.acl);
        let listing = (!self.mirror.is_on(&self.session)).then(|| self.mirror.list(&self.session));
        drop(flight);
        let joining = self.mirror.joining();
        // What comes last is awaited first: a thread that waits for the lock is woken once and not twice.
        let listed = match listing {
            Some(listing) => Some(listing.names(&self.session).await),
            None => None,
        };
        let result = match created.await {
            Ok(created) => {
                if created.stat.ctime_ms != 0 {
                    recipe.client.set_server_clock(created.stat.ctime_ms);
                }
                let name = created.path.rsplit('/').next().unwrap_or_default().to_owned();
                Ok(OwnNode { name, czxid: created.stat.czxid })
            }
            Err(SessionError::NoNode { .. }) => Err(NotCreated::NoDirectory),
            Err(SessionError::ConnectionLoss { .. }) => Err(NotCreated::Unknown),
            Err(fault) => {
                self.may_exist = matches!(fault, SessionError::SessionLost);
                return Err(fault.into());
            }
        };
        drop(joining);
        match (self.core.created(result), listed) {
            (Action::List, Some(Ok(children))) => Ok(self.core.listed(&children)),
            (Action::List, Some(Err(_))) => Ok(Action::List),
            (Action::List, None) => Ok(self.look().unwrap_or(Action::List)),
            (other, _) => Ok(other),
        }
    }

    async fn list(&self) -> Result<Vec<String>, SessionError> {
        let flight = self.session.flight();
        let listing = self.mirror.list(&self.session);
        drop(flight);
        listing.names(&self.session).await
    }

    /// What the mirror says, if there is one and it has come as far as our node.
    fn look(&self) -> Option<Action> {
        self.mirror.look(&self.session, |mirror| self.core.mirrored(mirror)).flatten()
    }

    async fn look_up(&mut self) -> Result<Action, Error> {
        match cleanup::find(&self.session, &self.recipe.path, self.core.prefix()).await {
            Ok(found) => {
                let found = found.map(|(name, stat)| Found {
                    node: OwnNode { name, czxid: stat.czxid },
                    owner: stat.ephemeral_owner,
                });
                Ok(self.core.looked_up(found))
            }
            Err(SessionError::ConnectionLoss { .. }) => Ok(Action::LookUp),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Watches the one contender before us until it is gone or the session has reconnected.
    async fn watch(&self, child: &str, waiting: &WaitingFor) -> Result<Action, Error> {
        match self.mirror.wait_for(&self.session, child) {
            Wait::Ask => {}
            Wait::Gone => return Ok(self.core.blocker_changed()),
            Wait::Told(told) => {
                if self.recipe.on_wait.is_some() || waiting.is_wanted() {
                    self.tell(child, waiting).await;
                }
                // Its end says it; a mirror that ends, by the session's end too, ends this as well.
                let _ = told.await;
                return Ok(self.core.blocker_changed());
            }
        }
        let path = format!("{}/{child}", self.recipe.path);
        // From before the request: a reconnect after it must not go unseen.
        let mut states = self.session.watch_state();
        match self.session.get_watch(&path).await {
            Ok((data, stat, event)) => {
                self.tell_of(Contender::read(&self.recipe.path, child, data, stat, None), waiting);
                tokio::pin!(event);
                loop {
                    tokio::select! {
                        event = &mut event => match event {
                            Err(fault) if fault.is_final() => return Err(fault.into()),
                            _ => break,
                        },
                        state = states.changed() => match state {
                            State::Suspended => {}
                            State::Connected => break,
                            State::Lost => return Err(SessionError::SessionLost.into()),
                        },
                    }
                }
            }
            Err(SessionError::NoNode { .. }) => self.mirror.is_gone(child),
            Err(SessionError::ConnectionLoss { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(self.core.blocker_changed())
    }

    /// Reads whom we wait for, for those who want to know.
    async fn tell(&self, child: &str, waiting: &WaitingFor) {
        if let Ok((data, stat)) = self.session.get(&format!("{}/{child}", self.recipe.path)).await {
            self.tell_of(Contender::read(&self.recipe.path, child, data, stat, None), waiting);
        }
    }

    fn tell_of(&self, contender: Option<Contender>, waiting: &WaitingFor) {
        let Some(contender) = contender else { return };
        if let Some(on_wait) = self.recipe.on_wait.as_ref().filter(|_| !waiting.is(&contender.name)) {
            on_wait(&contender);
        }
        waiting.set(contender);
    }

    fn grant(&mut self) -> Result<Guard, Error> {
        // The clock is read once more: what the server granted to a session that is past its
        // deadline is no lock.
        if self.session.state() == State::Lost {
            return Err(SessionError::SessionLost.into());
        }
        match (self.core.node(), self.hold.take()) {
            (Some(node), Some(hold)) => {
                self.may_exist = false;
                Ok(Guard::new(self.recipe, self.role, self.session.clone(), hold, node))
            }
            // Granted without a node: the core never says so. To leave is the safe thing.
            _ => Err(SessionError::SessionLost.into()),
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.may_exist {
            let node = self.core.node().map(|node| node.name.clone());
            let prefix = self.core.prefix().to_owned();
            let task = cleanup::abandon(self.session.clone(), self.recipe.path.clone(), prefix, node);
            let leaving = self.recipe.progress.as_ref().map(Progress::leaving);
            self.recipe.client.runtime().spawn(async move {
                task.await;
                drop(leaving);
            });
        }
    }
}
