//! A lock that outlives its session, and is taken back by a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use zooky_client::{
    Acl, ConnectError, Create, CreateKind, CreateMode, Error as SessionError, ErrorCode, MultiOp, Session,
    Stat, State,
};

use crate::acquire::{Recipe, WaitingFor};
use crate::cleanup::Pause;
use crate::core::dialect::Role;
use crate::core::message;
use crate::core::queue::Queue;
use crate::core::swap;
use crate::core::tenancy::Record;
use crate::doubt::Refusals;
use crate::guard::{Guard, GuardState};
use crate::head::Head;
use crate::inspect::Contender;
use crate::limit::limited;
use crate::lock::settings;
use crate::multi::{self, first_error};
use crate::tenure::Flag;
use crate::{Client, Error, FencingToken, Owner};

/// An exclusive lock that stays held when its holder's session or process ends, until somebody with the same key takes it
/// back or releases it.
///
/// It waits in the queue of the other locks on its path, as [`crate::Lock`] does. Once granted, its ephemeral node is
/// replaced, in one transaction, by a persistent one of the same name; so all clients of the dialect respect it. The key
/// and a count stand in the node's data. Whoever comes with the key takes the lock back, at once and past the queue: the count
/// in the [`FencingToken`] rises, and the guard before it turns [lost](PersistentGuard::lost). Of two who take it back
/// at once, the one with the larger count is the holder.
///
/// **A key stands for one owner** (a job, a shard), who runs once at a time. The old holder and the new are not kept apart by
/// any deadline: a holder that is cut off learns of its loss when it hears of a server again. Fence its writes with the
/// token. The key is no secret: it can be read in the node. Whom an ACL lets delete or set the node can do so.
///
/// A lock whose key nobody uses any more stays held: release it with [`PersistentLock::release`], or delete its node.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// # let after_a_crash = zooky::Client::connect(&hosts).await?;
/// let migration = zooky::PersistentLock::new(&client, "/locks/database", "migration-17")?;
/// let guard = migration.acquire().await?;
/// let token = guard.fencing_token();
/// client.close().await?;                         // or a crash: the lock stays held
///
/// let migration = zooky::PersistentLock::new(&after_a_crash, "/locks/database", "migration-17")?;
/// let guard = migration.acquire().await?;        // at once: the key is the same
/// assert!(guard.fencing_token() > token);
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PersistentLock {
    recipe: Recipe,
    key: Arc<str>,
}

/// A node under our key.
struct Found {
    node: String,
    record: Record,
    stat: Stat,
}

impl PersistentLock {
    /// A handle for the lock at `path`, to be held under `key`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
    pub fn new(client: &Client, path: &str, key: &str) -> Result<PersistentLock, Error> {
        Ok(PersistentLock { recipe: Recipe::new(client, path)?, key: key.into() })
    }

    settings!();

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Takes the lock back if it is held under the key; else waits for it, for ever.
    ///
    /// Cancel-safe: dropped before it has the lock, it leaves no node behind. Dropped while it takes a lock back, it may
    /// have raised the count, and so have ended an older holder's guard; the lock stays held.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`].
    pub async fn acquire(&self) -> Result<PersistentGuard, Error> {
        self.wait(&WaitingFor::default()).await
    }

    /// Takes the lock back if it is held under the key, or takes it if it is free at this moment.
    ///
    /// Cancel-safe like [`PersistentLock::acquire`].
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`].
    pub async fn try_acquire(&self) -> Result<Option<PersistentGuard>, Error> {
        self.once(None).await
    }

    /// [`PersistentLock::acquire`], up to `timeout`; zero tries once.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the contender it waited for; else as [`PersistentLock::acquire`].
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<PersistentGuard, Error> {
        let waiting = WaitingFor::default();
        let (once, wait) = (self.once(Some(&waiting)), self.wait(&waiting));
        Box::pin(limited(&self.recipe.path, timeout, &waiting, once, wait)).await
    }

    /// Takes the lock back if it is held under the key; `None` if it is not.
    ///
    /// # Errors
    /// The server refuses the requests, or the session is lost meanwhile.
    pub async fn take_back(&self) -> Result<Option<PersistentGuard>, Error> {
        let session = self.recipe.client.session().await?;
        let mut refusals = Refusals::default();
        while let Some(found) = self.find(&session).await? {
            let record = found.record.taken_back(self.holder());
            let line = record.line(&self.recipe.owner.since_now().to_line());
            // Another count than the one that was read: somebody else took it back at the same time.
            match session.set(&found.node, line, found.stat.version).await {
                Ok(stat) => {
                    return Ok(Some(PersistentGuard::new(&self.recipe, found.node, record, stat.version)));
                }
                Err(SessionError::BadVersion { .. } | SessionError::NoNode { .. }) => {
                    refusals.again(&session, &found.node, found.stat.version);
                }
                Err(SessionError::ConnectionLoss { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(None)
    }

    /// Releases the lock if it is held under the key, whoever holds it; whether it was.
    ///
    /// # Errors
    /// The server refuses the requests, or the session is lost meanwhile.
    pub async fn release(&self) -> Result<bool, Error> {
        let session = self.recipe.client.session().await?;
        let (mut sent, mut refusals) = (false, Refusals::default());
        while let Some(found) = self.find(&session).await? {
            match session.delete(&found.node, found.stat.version).await {
                Ok(()) => return Ok(true),
                Err(SessionError::ConnectionLoss { .. }) => sent = true,
                Err(SessionError::BadVersion { .. } | SessionError::NoNode { .. }) => {
                    refusals.again(&session, &found.node, found.stat.version);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(sent)
    }

    async fn once(&self, report: Option<&WaitingFor>) -> Result<Option<PersistentGuard>, Error> {
        if let Some(guard) = self.take_back().await? {
            return Ok(Some(guard));
        }
        match self.recipe.try_acquire(Role::Lock, report).await? {
            Some(guard) => self.keep(guard).await,
            None => Ok(None),
        }
    }

    async fn wait(&self, waiting: &WaitingFor) -> Result<PersistentGuard, Error> {
        loop {
            match self.take_back().await {
                Ok(Some(guard)) => return Ok(guard),
                Ok(None) => {}
                Err(fault) if passing(&fault) => {}
                Err(fault) => return Err(fault),
            }
            let mut head = Head::new(&self.recipe.client, self.recipe.path.clone());
            tokio::select! {
                // Another with our key was before us in the queue, and may be gone for ever.
                found = self.comes_to_be_ours(&mut head) => found?,
                granted = self.recipe.acquire(Role::Lock, waiting) => match self.keep(granted?).await {
                    Ok(Some(guard)) => return Ok(guard),
                    Ok(None) => tracing::warn!(path = %self.recipe.path, "the lock was lost before it was held; again"),
                    Err(fault) if passing(&fault) => {}
                    Err(fault) => return Err(fault),
                },
            }
        }
    }

    /// Until the head of the queue is a node under our key.
    async fn comes_to_be_ours(&self, head: &mut Head) -> Result<(), Error> {
        loop {
            let under_our_key = |head: &Contender| self.is_ours(&head.data, &head.stat).is_some();
            if head.changed().await?.as_ref().is_some_and(under_our_key) {
                return Ok(());
            }
        }
    }

    fn is_ours(&self, data: &[u8], stat: &Stat) -> Option<Record> {
        Record::read(data).filter(|record| stat.ephemeral_owner == 0 && *record.key == *self.key)
    }

    /// The node that holds the lock, if it is under our key. A persistent node is the first in the queue: it was
    /// granted before it was made.
    async fn find(&self, session: &Session) -> Result<Option<Found>, Error> {
        loop {
            let flight = session.flight();
            let synced = session.sync(&self.recipe.path);
            let listed = session.children(&self.recipe.path);
            drop(flight);
            let children = match (synced.await, listed.await) {
                (_, Ok(children)) => children.names,
                (_, Err(SessionError::NoNode { .. })) => return Ok(None),
                (_, Err(SessionError::ConnectionLoss { .. })) => continue,
                (_, Err(fault)) => return Err(fault.into()),
            };
            let queue = Queue::of_any(&children);
            let Some(first) = queue.places().first() else { return Ok(None) };
            let node = format!("{}/{}", self.recipe.path, first.name);
            match session.get(&node).await {
                Ok((data, stat)) => {
                    return Ok(self.is_ours(&data, &stat).map(|record| Found { node, record, stat }));
                }
                Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// A name for one who holds.
    fn holder(&self) -> String {
        format!("{:032x}", self.recipe.client.unique())
    }

    /// Replaces the granted ephemeral node by a persistent one of the same name. `None`: it was lost before.
    async fn keep(&self, guard: Guard) -> Result<Option<PersistentGuard>, Error> {
        let (session, node) = (guard.session().clone(), guard.path().to_owned());
        let czxid = i64::try_from(guard.fencing_token().czxid()).unwrap_or(i64::MAX);
        let record = Record { key: self.key.to_string(), czxid, count: 0, holder: self.holder() };
        let mut change = Change { recipe: &self.recipe, node, holder: record.holder.clone(), open: true };
        // From here on the change looks after the node; the session is held until it is over.
        let tenure = guard.into_tenure();
        tenure.end();
        let line = record.line(&self.recipe.owner.since_now().to_line());
        let version = change.carry_out(&session, line).await?;
        change.open = false;
        Ok(version.map(|version| PersistentGuard::new(&self.recipe, change.node.clone(), record, version)))
    }
}

/// Whether it is only that the session was lost. If it was the client that was closed, the next look for a session says
/// so.
fn passing(fault: &Error) -> bool {
    matches!(fault, Error::Session(SessionError::SessionLost | SessionError::Closed)) || no_server(fault)
}

/// Whether it is only that no server was there to open a session.
fn no_server(fault: &Error) -> bool {
    matches!(fault, Error::Connect(ConnectError::Timeout { .. } | ConnectError::Lost))
}

/// An ephemeral node on its way to a persistent one. Dropped unfinished, it removes whichever there is.
struct Change<'a> {
    recipe: &'a Recipe,
    node: String,
    holder: String,
    open: bool,
}

impl Change<'_> {
    /// The transaction.
    fn replace(&self, line: &[u8], version: i32) -> Vec<MultiOp> {
        let name = self.node.rsplit('/').next().unwrap_or_default();
        multi::swap(&self.recipe.path, swap::in_place(name), version, |path| Create {
            kind: CreateKind::Create2,
            path,
            data: Some(line.to_vec().into()),
            acl: self.recipe.acl.to_vec(),
            mode: CreateMode::PERSISTENT,
        })
    }

    /// The version of the persistent node; `None` if the ephemeral one is gone.
    async fn carry_out(&self, session: &Session, line: Vec<u8>) -> Result<Option<i32>, Error> {
        let path = &self.node;
        let mut refusals = Refusals::default();
        loop {
            let (data, stat) = match look(session, path).await {
                Ok(seen) => seen,
                Err(SessionError::NoNode { .. }) => return Ok(None),
                Err(SessionError::ConnectionLoss { .. }) => continue,
                Err(fault) => return Err(fault.into()),
            };
            if stat.ephemeral_owner == 0 {
                // By an attempt whose answer was lost; unless it was taken back since.
                let ours = Record::read(&data).is_some_and(|record| record.holder == self.holder);
                return Ok(ours.then_some(stat.version));
            }
            match session.multi(self.replace(&line, stat.version)).await {
                Ok(results) => match first_error(&results) {
                    None if !results.is_empty() => return Ok(Some(0)),
                    Some((_, ErrorCode::NO_AUTH)) => {
                        return Err(SessionError::NoAuth { path: path.clone() }.into());
                    }
                    // Somebody set or deleted it: look again.
                    _ => refusals.again(session, path, stat.version),
                },
                Err(SessionError::ConnectionLoss { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

/// The node's data and stat, after everything this session has sent before.
async fn look(session: &Session, path: &str) -> Result<(bytes::Bytes, Stat), SessionError> {
    let flight = session.flight();
    let synced = session.sync(path);
    let read = session.get(path);
    drop(flight);
    synced.await?;
    read.await
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if self.open {
            let (client, node, holder) =
                (self.recipe.client.clone(), std::mem::take(&mut self.node), self.holder.clone());
            self.recipe.client.runtime().spawn(undo(client, node, holder));
        }
    }
}

/// Removes what an unfinished change may have left: the ephemeral node, or the persistent one while it is still ours.
/// With new sessions, if it comes to that: a persistent node does not go with the old one.
async fn undo(client: Client, node: String, holder: String) {
    let mut pause = Pause::new();
    loop {
        let session = match client.session().await {
            Ok(session) => session,
            Err(fault) if no_server(&fault) => continue,
            Err(fault) => return tracing::error!(node, %fault, "a persistent node may have stayed behind"),
        };
        let removed = match look(&session, &node).await {
            Ok((data, stat)) => {
                let ours = Record::read(&data).is_some_and(|record| record.holder == holder);
                if stat.ephemeral_owner == 0 && !ours {
                    return;
                }
                session.delete(&node, stat.version).await
            }
            Err(fault) => Err(fault),
        };
        match removed {
            Ok(()) | Err(SessionError::NoNode { .. }) => return,
            Err(SessionError::NoAuth { .. }) => {
                return tracing::error!(node, "a persistent node may not be removed, and stays behind");
            }
            Err(_) => pause.next().await,
        }
    }
}

/// A held [`PersistentLock`]. **Dropping it does not release the lock**: that takes [`PersistentGuard::release`].
#[must_use = "the lock stays held without it; release it when the work is done"]
#[derive(Debug)]
pub struct PersistentGuard {
    shared: Arc<Tenancy>,
    minder: AbortHandle,
}

#[derive(Debug)]
struct Tenancy {
    recipe: Recipe,
    node: String,
    record: Record,
    line: Vec<u8>,
    version: AtomicI32,
    /// The node is watched on the present session.
    watched: AtomicBool,
    lost: Flag,
    revoked: Flag,
}

impl PersistentGuard {
    fn new(recipe: &Recipe, node: String, record: Record, version: i32) -> PersistentGuard {
        let shared = Arc::new(Tenancy {
            line: record.line(&recipe.owner.since_now().to_line()),
            recipe: recipe.clone(),
            node,
            record,
            version: AtomicI32::new(version),
            watched: AtomicBool::new(true),
            lost: Flag::default(),
            revoked: Flag::default(),
        });
        let minder = recipe.client.runtime().spawn(mind(shared.clone())).abort_handle();
        PersistentGuard { shared, minder }
    }

    /// The lock's path.
    pub fn lock_path(&self) -> &str {
        &self.shared.recipe.path
    }

    /// The path of its node.
    pub fn path(&self) -> &str {
        &self.shared.node
    }

    /// The token to fence writes with: larger for each one who takes the lock back.
    pub fn fencing_token(&self) -> FencingToken {
        FencingToken::new(self.shared.record.czxid, self.shared.record.count)
    }

    /// Whether the lock is held, as far as is known now. [`Suspect`](GuardState::Suspect) while no server is heard of: the
    /// lock is still held under the key, but somebody else may have taken it back. It does not end by a deadline.
    pub fn state(&self) -> GuardState {
        let session = self.shared.recipe.client.current();
        if self.shared.lost.is_up() {
            GuardState::Lost
        } else if !self.shared.watched.load(Ordering::Acquire)
            || session.state() != State::Connected
            || session.is_suspect()
        {
            GuardState::Suspect
        } else {
            GuardState::Held
        }
    }

    /// Whether the lock is not known to be lost.
    pub fn is_held(&self) -> bool {
        self.state() != GuardState::Lost
    }

    /// Resolves when it is known that somebody took the lock back, or that its node was deleted. Cancel-safe.
    pub async fn lost(&self) {
        self.shared.lost.wait().await;
    }

    /// Whether somebody has asked for the lock; see [`Guard::is_revoked`].
    pub fn is_revoked(&self) -> bool {
        self.shared.revoked.is_up()
    }

    /// Resolves when somebody asks for the lock. Cancel-safe.
    pub async fn revoked(&self) {
        self.shared.revoked.wait().await;
    }

    /// Releases the lock and waits until its node is deleted, over reconnects and new sessions. If the future is dropped, the
    /// release goes on in the background.
    ///
    /// # Errors
    /// [`Error::Lost`]: somebody had taken it back, or deleted it, before. The server forbids it; the lock is then still
    /// held. The client was closed.
    pub async fn release(self) -> Result<(), Error> {
        self.minder.abort();
        let runtime = self.shared.recipe.client.runtime().clone();
        let releasing = runtime.spawn(release(self.shared.clone()));
        releasing.await.unwrap_or(Err(Error::Session(SessionError::Closed)))
    }
}

impl Drop for PersistentGuard {
    fn drop(&mut self) {
        self.minder.abort();
    }
}

async fn release(shared: Arc<Tenancy>) -> Result<(), Error> {
    let lost = || Err(Error::Lost { path: shared.recipe.path.to_string() });
    let (mut sent, mut refusals) = (false, Refusals::default());
    loop {
        let session = match shared.recipe.client.session().await {
            Ok(session) => session,
            Err(fault) if no_server(&fault) => continue,
            Err(fault) => return Err(fault),
        };
        let version = shared.version.load(Ordering::Acquire);
        match session.delete(&shared.node, version).await {
            Ok(()) => return Ok(()),
            Err(SessionError::NoNode { .. }) => return if sent { Ok(()) } else { lost() },
            // Somebody asked for it, or took it back.
            Err(SessionError::BadVersion { .. }) => match look(&session, &shared.node).await {
                Ok((data, stat)) if shared.is_ours(&data) => {
                    shared.version.store(stat.version, Ordering::Release);
                    refusals.again(&session, &shared.node, version);
                }
                // The leader has it.
                Err(SessionError::NoNode { .. }) => refusals.again(&session, &shared.node, version),
                Ok(_) => return lost(),
                Err(_) => {}
            },
            Err(SessionError::NoAuth { path }) => return Err(SessionError::NoAuth { path }.into()),
            Err(fault) => sent |= fault.is_ambiguous(),
        }
    }
}

impl Tenancy {
    /// Data without any record were written by somebody who asks for the lock in another dialect's words, or by accident:
    /// nobody else can hold the lock by them.
    fn is_ours(&self, data: &[u8]) -> bool {
        Record::read(data).is_none_or(|record| record.holder == self.record.holder)
    }
}

/// Watches the node, over all sessions: somebody else's record in it, or no node, means that the lock is lost.
async fn mind(shared: Arc<Tenancy>) {
    let name = shared.node.rsplit('/').next().unwrap_or_default().to_owned();
    let mut pause = Pause::new();
    loop {
        let session = match shared.recipe.client.session().await {
            Ok(session) => session,
            Err(fault) if no_server(&fault) => continue,
            Err(_) => return shared.watched.store(false, Ordering::Release),
        };
        // A new session may be at a server that is behind.
        let flight = session.flight();
        let synced = session.sync(&shared.node);
        let read = session.get_watch(&shared.node);
        drop(flight);
        let read = match synced.await {
            Ok(()) => read.await,
            Err(fault) => Err(fault),
        };
        match read {
            Ok((data, stat, watch)) => {
                if !shared.is_ours(&data) {
                    tracing::warn!(
                        node = shared.node,
                        "a persistent lock was taken back with its key: it is lost"
                    );
                    shared.lost.raise();
                    return;
                }
                shared.version.store(stat.version, Ordering::Release);
                shared.watched.store(true, Ordering::Release);
                if message::asks(&name, &data) {
                    shared.revoked.raise();
                }
                if Record::read(&data).is_none() {
                    // Written over; without its key nobody could take it back.
                    let _ = session.set(&shared.node, shared.line.clone(), stat.version).await;
                }
                let _ = watch.await;
                if session.state() == State::Lost {
                    shared.watched.store(false, Ordering::Release);
                }
            }
            Err(SessionError::NoNode { .. }) => {
                tracing::error!(
                    node = shared.node,
                    "somebody deleted the node of a persistent lock: it is lost"
                );
                shared.lost.raise();
                return;
            }
            Err(_) => pause.next().await,
        }
    }
}
