//! A guard: the lock is held, for as long as it says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use zooky_client::{BootInstant, Error as SessionError, EventType, Hold, Session, State};

use crate::acquire::Recipe;
use crate::cleanup::{self, Removed};
use crate::core::contender::OwnNode;
use crate::{Error, FencingToken};

/// How long a guard is held before its own node is watched: a short one is spared the request.
const WATCH_AFTER: Duration = Duration::from_millis(10);

/// What can be said of a guard at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardState {
    /// The lock is held.
    Held,
    /// The lock is still held, but the server has not been heard of for some time; unless it
    /// answers before [`Guard::deadline`], the lock will be lost. Begin nothing new.
    Suspect,
    /// The lock may be somebody else's. Final.
    Lost,
}

/// A held lock.
///
/// The lock is held until the guard is released or dropped, or until it is lost: by its session's
/// deadline passing without a sign of life from the ensemble, by the session's end, or by somebody
/// deleting its node. `Lost` comes before the ensemble can give the lock away, on a clock that goes
/// on while the machine sleeps; but no clock can stop a process between looking at it and writing,
/// so pass the [`FencingToken`] along with every write and let the resource refuse smaller ones.
///
/// Dropping a guard releases it in the background: the request leaves at once, and is tried again
/// until the node or the session is gone. [`Guard::release`] waits for the answer. Work in the
/// background needs the client's runtime to go on; a program that ends should release, or close the
/// client, first.
#[must_use = "dropping a guard releases the lock"]
#[derive(Debug)]
pub struct Guard {
    /// `None` once the node is somebody else's to remove.
    held: Option<Arc<Held>>,
    minder: AbortHandle,
    shared: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    lock: Arc<str>,
    node: String,
    token: FencingToken,
    session: Session,
    _hold: Hold,
    removed: AtomicBool,
    removal: Notify,
    released: AtomicBool,
    runtime: Handle,
}

impl Guard {
    pub(crate) fn new(recipe: &Recipe, session: Session, hold: Hold, node: &OwnNode) -> Guard {
        let held = Arc::new(Held {
            lock: recipe.path.clone(),
            node: format!("{}/{}", recipe.path, node.name),
            token: FencingToken::new(node.czxid, 0),
            session,
            _hold: hold,
            removed: AtomicBool::new(false),
            removal: Notify::new(),
            released: AtomicBool::new(false),
            runtime: recipe.client.runtime().clone(),
        });
        let minder = held.runtime.spawn(mind_own_node(held.clone())).abort_handle();
        Guard { held: Some(held.clone()), minder, shared: held }
    }

    /// The lock's path.
    pub fn lock_path(&self) -> &str {
        &self.shared.lock
    }

    /// The path of the contender's node.
    pub fn path(&self) -> &str {
        &self.shared.node
    }

    /// The token to fence writes with; see [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.shared.token
    }

    /// Whether the lock is held, as of now: the clock is read at each call.
    pub fn state(&self) -> GuardState {
        self.shared.state()
    }

    /// Whether the lock is not lost, as of now.
    pub fn is_held(&self) -> bool {
        self.state() != GuardState::Lost
    }

    /// Until when the lock is held even if no server is ever heard of again. It moves on while the
    /// ensemble acknowledges; in quiet times at least half the session's timeout is left.
    pub fn deadline(&self) -> BootInstant {
        self.shared.session.deadline()
    }

    /// The session's timeout, as the server granted it.
    pub fn session_timeout(&self) -> Duration {
        self.shared.session.timeout()
    }

    /// Resolves when the lock is lost, by whatever cause; at once if it is lost already. Cancel-safe.
    pub async fn lost(&self) {
        self.shared.lost().await;
    }

    /// A future for another task, which does not keep the lock: true once the lock is lost, false
    /// if it was released before that was noticed.
    pub fn on_lost(&self) -> impl Future<Output = bool> + Send + use<> {
        let shared = self.shared.clone();
        async move {
            shared.lost().await;
            !shared.released.load(Ordering::Acquire)
        }
    }

    /// Releases the lock and waits until its node is deleted, through reconnects. If the future is
    /// dropped, the release goes on in the background.
    ///
    /// # Errors
    /// [`Error::Lost`]: the lock had been lost before; what was done under it may have overlapped
    /// with the next holder.
    pub async fn release(mut self) -> Result<(), Error> {
        let Some(held) = self.held.take() else { return Ok(()) };
        held.end(&self.minder);
        let lost = || Error::Lost { path: held.lock.to_string() };
        if held.state() == GuardState::Lost {
            return Err(lost());
        }
        let rest = Unfinished(Some(&held));
        let removed = match held.session.delete(&held.node, -1).await {
            Ok(()) => Removed::ByUs,
            Err(SessionError::NoNode { .. }) => Removed::AlreadyGone,
            Err(SessionError::ConnectionLoss { .. }) => {
                cleanup::remove(&held.session, &held.node, true).await
            }
            Err(_) => cleanup::remove(&held.session, &held.node, false).await,
        };
        rest.finished();
        if removed == Removed::ByUs { Ok(()) } else { Err(lost()) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        held.end(&self.minder);
        // The request leaves now; only its repetition needs a task.
        let sent = held.session.delete(&held.node, -1);
        let runtime = held.runtime.clone();
        runtime.spawn(async move {
            match sent.await {
                Ok(()) | Err(SessionError::NoNode { .. }) => {}
                Err(_) => {
                    cleanup::remove(&held.session, &held.node, true).await;
                }
            }
        });
    }
}

/// A release that was begun; dropped unfinished, it goes on in the background.
struct Unfinished<'a>(Option<&'a Arc<Held>>);

impl Unfinished<'_> {
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.0.take().cloned() {
            let runtime = held.runtime.clone();
            runtime.spawn(async move {
                cleanup::remove(&held.session, &held.node, true).await;
            });
        }
    }
}

impl Held {
    fn state(&self) -> GuardState {
        if self.removed.load(Ordering::Acquire) || self.session.state() == State::Lost {
            GuardState::Lost
        } else if self.session.is_suspect() {
            GuardState::Suspect
        } else {
            GuardState::Held
        }
    }

    /// The holder lets go: whatever happens to the node from now on is no loss.
    fn end(&self, minder: &AbortHandle) {
        minder.abort();
        self.released.store(true, Ordering::Release);
        self.removal.notify_waiters();
    }

    async fn lost(&self) {
        let removal = self.removal.notified();
        tokio::pin!(removal);
        removal.as_mut().enable();
        if self.state() == GuardState::Lost || self.released.load(Ordering::Acquire) {
            return;
        }
        tokio::select! {
            () = removal => {}
            () = self.session.lost() => {}
        }
    }

    fn mark_removed(&self) {
        tracing::error!(node = self.node, "somebody deleted the node of a held lock: the lock is lost");
        self.removed.store(true, Ordering::Release);
        self.removal.notify_waiters();
    }
}

/// Watches the guard's own node: deleted by anyone, the lock is lost. Ended with the guard.
async fn mind_own_node(held: Arc<Held>) {
    tokio::time::sleep(WATCH_AFTER).await;
    let mut pause = cleanup::Pause::new();
    loop {
        match held.session.get_watch(&held.node).await {
            Ok((_, stat, _)) if stat.ephemeral_owner != held.session.id() => return held.mark_removed(),
            Ok((_, _, watch)) => match watch.await {
                Ok(event) if event.kind == EventType::DELETED => return held.mark_removed(),
                Ok(_) => {}
                Err(_) => return,
            },
            Err(SessionError::NoNode { .. }) => return held.mark_removed(),
            Err(SessionError::ConnectionLoss { .. }) => {}
            Err(fault) if fault.is_final() => return,
            Err(fault) => {
                tracing::warn!(node = held.node, %fault, "the node of a held lock cannot be watched; trying again");
                pause.next().await;
            }
        }
    }
}
