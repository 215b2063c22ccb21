//! Carries out what `core/contender.rs` decides, on one session, and cleans up after those who leave.

use std::sync::{Arc, Mutex, PoisonError};

use zooky_client::{Acl, ConnectError, CreateMode, Error as SessionError, Hold, Session, State};

use crate::cleanup;
use crate::core::contender::{Action, Contender as Core, Found, NotCreated, OwnNode};
use crate::core::dialect::{Kind, Role, Written};
use crate::core::queue::Refusal;
use crate::deadlock;
use crate::guard::Guard;
use crate::handover::Local;
use crate::inspect::Contender;
use crate::layout;
use crate::progress::Progress;
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
    /// The tasks of this process share one contender.
    pub(crate) local: Option<Local>,
    pub(crate) progress: Option<Arc<Progress>>,
    /// Where deadlocks are looked for, if they are to be refused.
    pub(crate) deadlocks_below: Option<Arc<str>>,
}

/// Whom the waiter waits for at the moment; read when its time is over.
#[derive(Default)]
pub(crate) struct WaitingFor(Mutex<Option<Contender>>);

impl WaitingFor {
    pub(crate) fn set(&self, contender: Contender) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(contender);
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_ref().is_some_and(|contender| contender.name == name)
    }

    pub(crate) fn peek(&self) -> Option<Contender> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn take(&self) -> Option<Contender> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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
            local: None,
            progress: None,
            deadlocks_below: None,
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
            match deadlock::unless_stuck(self, entry.core.prefix().to_owned(), entry.wait(waiting)).await {
                // Closed: by somebody else who has the session. If the client was closed, it says so above.
                Err(fault @ Error::Session(SessionError::SessionLost | SessionError::Closed)) => {
                    self.note(&fault);
                    tracing::warn!(path = %self.path, "the session was lost while waiting; joining again");
                }
                other => return other,
            }
        }
    }

    /// Looks, and joins only if nobody is in the way; `None` if somebody is. Whoever asks for a `report` is
    /// told who, at the price of one more read.
    pub(crate) async fn try_alone(
        &self,
        role: Role,
        report: Option<&WaitingFor>,
    ) -> Result<Option<Guard>, Error> {
        let session = self.client.session().await?;
        self.enter(session, role).try_once(report).await
    }

    fn enter(&self, session: Session, role: Role) -> Entry<'_> {
        let kind = Kind::written(self.dialect, role);
        let core = Core::new(unique(), kind, session.id(), self.allow_foreign);
        Entry { recipe: self, role, hold: Some(session.hold()), session, core, may_exist: false }
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
            Refusal::Foreign { child, kind } => {
                let (dialect, theirs, ours) = (kind.dialect(), kind.name(), own.name());
                Error::ForeignContender { path, child, dialect, theirs, ours }
            }
            Refusal::Unknown { child } => Error::UnknownChild { path, child },
            Refusal::Exhausted { child } => Error::SequenceExhausted { path, child },
        }
    }
}

/// 128 random bits. The operating system's source fails only where nothing works any more; then a
/// number nobody else has on this machine must do.
pub(crate) fn unique() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_be_bytes(bytes),
        Err(_) => u128::from(std::process::id()) << 64 | zooky_client::BootInstant::now().as_nanos() as u128,
    }
}

/// One contender on one session, from before its create until it is granted or has left. Dropped
/// before it is granted (a timeout, a cancelled future, an error), it leaves no node behind.
struct Entry<'a> {
    recipe: &'a Recipe,
    role: Role,
    session: Session,
    hold: Option<Hold>,
    core: Core,
    /// A create was sent, and the node may exist.
    may_exist: bool,
}

impl Entry<'_> {
    async fn wait(mut self, waiting: &WaitingFor) -> Result<Guard, Error> {
        let mut action = self.core.start();
        loop {
            if let Some(progress) = &self.recipe.progress {
                progress.set_created(self.core.node().is_some());
            }
            action = match action {
                Action::Watch(child) => self.watch(&child, waiting).await?,
                Action::Grant => return self.grant(),
                Action::Refuse(refusal) => return Err(self.recipe.refused(self.core.kind(), refusal)),
                other => self.step(other).await?,
            }
        }
    }

    async fn try_once(mut self, report: Option<&WaitingFor>) -> Result<Option<Guard>, Error> {
        match self.list().await {
            Ok(children) => match self.core.would_wait(&children) {
                Ok(None) => {}
                Ok(Some(blocker)) => {
                    self.report(&blocker, report).await;
                    return Ok(None);
                }
                Err(refusal) => return Err(self.recipe.refused(self.core.kind(), refusal)),
            },
            Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        let mut action = self.core.start();
        loop {
            action = match action {
                Action::Watch(blocker) => {
                    self.report(&blocker, report).await;
                    return Ok(None);
                }
                Action::Grant => return self.grant().map(Some),
                Action::Refuse(refusal) => return Err(self.recipe.refused(self.core.kind(), refusal)),
                other => self.step(other).await?,
            }
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
            _ => match self.list().await {
                Ok(children) => Ok(self.core.listed(&children)),
                Err(SessionError::ConnectionLoss { .. }) => Ok(Action::List),
                // The directory is gone, and our node with it.
                Err(SessionError::NoNode { .. }) => Ok(self.core.listed(&[])),
                Err(fault) => Err(fault.into()),
            },
        }
    }

    /// Create and list in one flight: with the lock free, one round trip.
    async fn join(&mut self) -> Result<Action, Error> {
        let recipe = self.recipe;
        let path = format!("{}/{}", recipe.path, self.core.prefix());
        let data = layout::data(recipe.dialect, &recipe.owner).await;
        self.may_exist = true;
        let flight = self.session.flight();
        let created = self.session.create(&path, data, CreateMode::EPHEMERAL_SEQUENTIAL, &recipe.acl);
        let listed = self.session.children(&recipe.path);
        drop(flight);
        let result = match created.await {
            Ok(created) => {
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
        match self.core.created(result) {
            Action::List => match listed.await {
                Ok(children) => Ok(self.core.listed(&children.names)),
                Err(_) => Ok(Action::List),
            },
            other => Ok(other),
        }
    }

    async fn list(&self) -> Result<Vec<String>, SessionError> {
        Ok(self.session.children(&self.recipe.path).await?.names)
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
        let path = format!("{}/{child}", self.recipe.path);
        // From before the request: a reconnect after it must not go unseen.
        let mut states = self.session.watch_state();
        match self.session.get_watch(&path).await {
            Ok((data, stat, event)) => {
                let contender = Contender::read(&self.recipe.path, child, data, stat, None);
                if let Some(contender) = contender {
                    if let Some(on_wait) = self.recipe.on_wait.as_ref().filter(|_| !waiting.is(child)) {
                        on_wait(&contender);
                    }
                    waiting.set(contender);
                }
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
            Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(self.core.blocker_changed())
    }

    fn grant(mut self) -> Result<Guard, Error> {
        // The clock is read once more: what the server granted to a session that is past its
        // deadline is no lock.
        if self.session.state() == State::Lost {
            return Err(SessionError::SessionLost.into());
        }
        match (self.core.node(), self.hold.take()) {
            (Some(node), Some(hold)) => {
                self.may_exist = false;
                Ok(Guard::new(self.recipe, self.session.clone(), hold, node))
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
