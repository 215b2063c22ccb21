//! A lock that outlives its session, and is taken back by a key.

mod guard;

use std::sync::Arc;
use std::time::Duration;

use zooky_client::{
    Acl, ConnectError, Create, CreateKind, CreateMode, Error as SessionError, ErrorCode, MultiOp, Session,
    Stat,
};

use crate::acquire::{Recipe, WaitingFor};
use crate::cleanup::Pause;
use crate::core::dialect::Role;
use crate::core::queue::Queue;
use crate::core::swap;
use crate::core::tenancy::Record;
use crate::doubt::Refusals;
use crate::guard::Guard;
use crate::head::Head;
use crate::inspect::Contender;
use crate::limit::limited;
use crate::lock::settings;
use crate::multi::{self, first_error};
use crate::{Client, Error, Owner};

pub use guard::PersistentGuard;

/// An exclusive lock that stays held when its holder's session or process ends, until somebody with the same key takes it
/// back or releases it.
///
/// It waits in the queue of the other locks on its path, as [`crate::Lock`] does. Once granted, its ephemeral node is
/// replaced, in one transaction, by a persistent one of the same name; so all clients of the dialect respect it. The key
/// and a count stand in the node's data. Whoever comes with the key takes the lock back, at once and past the queue: the count
/// in the [`FencingToken`](crate::FencingToken) rises, and the guard before it turns [lost](PersistentGuard::lost). Of two who take it back
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
