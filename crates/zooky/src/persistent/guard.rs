//! A held persistent lock, over all sessions: whether it is still ours, who asks for it, and who does not respect it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;
use zooky_client::{Error as SessionError, State};

use super::{look, no_server};
use crate::acquire::Recipe;
use crate::cleanup::Pause;
use crate::core::dialect::classify;
use crate::core::message;
use crate::core::tenancy::Record;
use crate::doubt::Refusals;
use crate::foreign::{self, ForeignContender};
use crate::guard::GuardState;
use crate::tenure::Flag;
use crate::{Error, FencingToken, Owner};

/// A held [`PersistentLock`](crate::PersistentLock). **Dropping it does not release the lock**: that takes [`PersistentGuard::release`].
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
    revoked_by: OnceLock<Owner>,
    /// Who came and does not respect the lock.
    foreign: foreign::Seen,
    /// The guard was released or dropped: nobody minds the node any more.
    over: Flag,
}

impl PersistentGuard {
    pub(super) fn new(recipe: &Recipe, node: String, record: Record, version: i32) -> PersistentGuard {
        let shared = Arc::new(Tenancy {
            line: record.line(&recipe.owner.since_now().to_line()),
            recipe: recipe.clone(),
            node,
            record,
            version: AtomicI32::new(version),
            watched: AtomicBool::new(true),
            lost: Flag::default(),
            revoked: Flag::default(),
            revoked_by: OnceLock::new(),
            foreign: foreign::Seen::default(),
            over: Flag::default(),
        });
        let (own, others) = (mind(shared.clone()), look_out(shared.clone()));
        let minding = async move {
            tokio::select! {
                () = own => {}
                () = others => {}
            }
        };
        let minder = recipe.client.runtime().spawn(minding).abort_handle();
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

    /// A future for another task: true once the lock is known to be lost, false if the guard was released or dropped
    /// before that was noticed.
    pub fn on_lost(&self) -> impl Future<Output = bool> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            shared.ended().await;
            shared.lost.is_up()
        }
    }

    /// Asks the server whether the lock is still held by this guard: its node is there, and nobody has taken it back. What
    /// [`state`](PersistentGuard::state) says is known here and costs nothing. Cancel-safe.
    ///
    /// # Errors
    /// No server can be reached, the connection broke, or the server refuses to tell.
    pub async fn has_lock(&self) -> Result<bool, Error> {
        let shared = &self.shared;
        if shared.lost.is_up() {
            return Ok(false);
        }
        let session = shared.recipe.client.session().await?;
        match look(&session, &shared.node).await {
            Ok((data, _)) => Ok(shared.is_ours(&data) && !shared.lost.is_up()),
            Err(SessionError::NoNode { .. }) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Whether somebody has asked for the lock; see [`Guard::is_revoked`](crate::Guard::is_revoked).
    pub fn is_revoked(&self) -> bool {
        self.shared.revoked.is_up()
    }

    /// Who asked for the lock first, where the dialect has room for it: ours in kazoo's.
    pub fn revoked_by(&self) -> Option<&Owner> {
        self.shared.revoked_by.get()
    }

    /// Resolves when somebody asks for the lock. Cancel-safe.
    pub async fn revoked(&self) {
        self.shared.revoked.wait().await;
    }

    /// A future for another task: true once somebody asks for the lock, false if the guard was released or dropped, or the
    /// lock lost, before.
    pub fn on_revoked(&self) -> impl Future<Output = bool> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            tokio::select! {
                biased;
                () = shared.revoked.wait() => true,
                () = shared.ended() => false,
            }
        }
    }

    /// A contender that came while the lock was held and does not respect it, if one has been seen: the first one,
    /// until the first [certain](ForeignContender::certain) one. It is looked for over all sessions, from 0.2 s after the
    /// guard's beginning on; see [`Guard::foreign_contender`](crate::Guard::foreign_contender).
    pub fn foreign_contender(&self) -> Option<ForeignContender> {
        self.shared.foreign.get()
    }

    /// Resolves when a contender is seen that surely does not respect the lock; at once if one has been. Cancel-safe. The
    /// end of the lock does not resolve it: wait for [`lost`](PersistentGuard::lost), too.
    pub async fn foreign(&self) -> ForeignContender {
        foreign::certain(&self.shared.foreign).await
    }

    /// A future for another task: the contender as [`foreign`](PersistentGuard::foreign) has it, `None` if the guard was
    /// released or dropped, or the lock lost, before.
    pub fn on_foreign(&self) -> impl Future<Output = Option<ForeignContender>> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            tokio::select! {
                biased;
                found = foreign::certain(&shared.foreign) => Some(found),
                () = shared.ended() => None,
            }
        }
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
        self.shared.over.raise();
    }
}

async fn release(shared: Arc<Tenancy>) -> Result<(), Error> {
    let lost = || {
        shared.lost.raise();
        Err(Error::Lost { path: shared.recipe.path.to_string() })
    };
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

    /// The name of the node.
    fn name(&self) -> &str {
        self.node.rsplit('/').next().unwrap_or_default()
    }

    /// Waits until the lock is lost, or nobody minds it any more.
    async fn ended(&self) {
        tokio::select! {
            () = self.lost.wait() => {}
            () = self.over.wait() => {}
        }
    }
}

/// Watches the node, over all sessions: somebody else's record in it, or no node, means that the lock is lost.
async fn mind(shared: Arc<Tenancy>) {
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
                if let Some(asker) = message::asker(&data).and_then(|asker| Owner::from_line(&asker)) {
                    let _ = shared.revoked_by.set(asker);
                }
                if message::asks(shared.name(), &data) {
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

/// Watches for others that do not respect the lock, over all sessions, unless the caller takes that upon himself. It does not
/// end: the lock is held whoever comes.
async fn look_out(shared: Arc<Tenancy>) {
    if let Some(own) = classify(shared.name()).filter(|_| !shared.recipe.allow_foreign) {
        let (client, directory) = (&shared.recipe.client, &shared.recipe.path);
        let certain = || shared.foreign.get().is_some_and(|found| found.certain);
        while !certain() {
            let session = match client.session().await {
                Ok(session) => session,
                Err(fault) if no_server(&fault) => continue,
                Err(_) => break,
            };
            let mirror = client.mirrors().look_on(directory);
            // To the end of the session. Each begins with a pause.
            foreign::LookOut { session, mirror, directory, kind: own.kind, seen: &shared.foreign }
                .run()
                .await;
        }
    }
    std::future::pending::<()>().await;
}
