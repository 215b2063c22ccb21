//! A contender's node for as long as the lock is held by it: whether it is still there, whether somebody asked
//! for it, and how it is removed. One [`Guard`](crate::Guard) has it, or several, one after the other or as
//! readers together, when a process hands the lock on locally.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zooky_client::{Error as SessionError, EventType, Hold, Session, State};

use crate::Owner;
use crate::acquire::Recipe;
use crate::cleanup::{self, Removed};
use crate::core::contender::OwnNode;
use crate::core::dialect::{Role, classify};
use crate::core::message;
use crate::delay;
use crate::foreign;
use crate::guard::GuardState;

/// How long a lock is held before its own node is watched: a short one is spared the request.
const WATCH_AFTER: Duration = Duration::from_millis(10);

/// A held contender's node.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) recipe: Recipe,
    pub(crate) role: Role,
    /// The node's path.
    pub(crate) node: String,
    /// Of the contender's first node: what its tokens begin with.
    pub(crate) czxid: i64,
    pub(crate) session: Session,
    _hold: Hold,
    removed: Flag,
    revoked: Flag,
    revoked_by: OnceLock<Owner>,
    /// Who came and does not respect the lock.
    pub(crate) foreign: foreign::Seen,
    /// The holder let go, or another node took this one's place: what happens to it now is no loss.
    ended: AtomicBool,
    minder: Mutex<Option<AbortHandle>>,
    /// The node of the lock-delay that is removed together with this one.
    pub(crate) marker: OnceLock<String>,
}

/// Something that happens once, and those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    up: AtomicBool,
    raised: Notify,
}

impl Flag {
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Raises it; whether it was down.
    pub(crate) fn raise(&self) -> bool {
        let first = !self.up.swap(true, Ordering::AcqRel);
        if first {
            self.raised.notify_waiters();
        }
        first
    }

    /// Waits until it is up. Cancel-safe.
    pub(crate) async fn wait(&self) {
        let raised = self.raised.notified();
        tokio::pin!(raised);
        raised.as_mut().enable();
        if !self.is_up() {
            raised.await;
        }
    }
}

impl Tenure {
    /// Begins: from now on the node is minded, until [`end`](Tenure::end).
    pub(crate) fn begin(
        recipe: &Recipe,
        role: Role,
        session: Session,
        hold: Hold,
        node: &OwnNode,
    ) -> Arc<Tenure> {
        let tenure = Arc::new(Tenure {
            recipe: recipe.clone(),
            role,
            node: [&recipe.path, "/", &node.name].concat(),
            czxid: node.czxid,
            session,
            _hold: hold,
            removed: Flag::default(),
            revoked: Flag::default(),
            revoked_by: OnceLock::new(),
            foreign: foreign::Seen::default(),
            ended: AtomicBool::new(false),
            minder: Mutex::new(None),
            marker: OnceLock::new(),
        });
        recipe.client.nursery().take_in(&tenure);
        tenure
    }

    /// The name of the node.
    pub(crate) fn name(&self) -> &str {
        self.node.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the node is ours, as of now: the clock is read at each call.
    pub(crate) fn state(&self) -> GuardState {
        if self.removed.is_up() || self.session.state() == State::Lost {
            GuardState::Lost
        } else if self.session.is_suspect() {
            GuardState::Suspect
        } else {
            GuardState::Held
        }
    }

    /// Waits until the node is no longer ours. Cancel-safe.
    pub(crate) async fn lost(&self) {
        if self.state() == GuardState::Lost {
            return;
        }
        tokio::select! {
            () = self.removed.wait() => {}
            () = self.session.lost() => {}
        }
    }

    /// Who asked first, where the dialect has room for it.
    pub(crate) fn revoked_by(&self) -> Option<&Owner> {
        self.revoked_by.get()
    }

    /// Whether and when somebody asked for the lock.
    pub(crate) fn revoked(&self) -> &Flag {
        &self.revoked
    }

    /// The node is no longer minded: whatever happens to it from now on is our own doing.
    ///
    /// A deletion that is to be sent goes first, after [`let_go`](Tenure::let_go): it takes the watch along.
    pub(crate) fn end(&self) {
        self.let_go();
        if let Some(minder) = self.minder().take() {
            minder.abort();
        }
    }

    /// The holder lets go of it: what happens to the node from now on is no loss.
    fn let_go(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// What was to end it came to nothing: it is minded again.
    pub(crate) fn mind_again(self: &Arc<Tenure>) {
        if self.ended.swap(false, Ordering::AcqRel) {
            self.mind();
        }
    }

    fn mind(self: &Arc<Tenure>) {
        let (own, others) = (mind_own_node(self.clone()), look_out(self.clone()));
        let minding = async { tokio::join!(own, others) };
        *self.minder() = Some(self.recipe.client.runtime().spawn(minding).abort_handle());
        if self.ended.load(Ordering::Acquire) {
            self.end();
        }
    }

    fn minder(&self) -> MutexGuard<'_, Option<AbortHandle>> {
        self.minder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the node and waits for that, through reconnects; whether it was there until then. Dropped
    /// unfinished, it goes on in the background.
    pub(crate) async fn remove(self: &Arc<Tenure>) -> bool {
        self.let_go();
        if self.state() == GuardState::Lost {
            self.end();
            // Whoever lets go of what was lost by a deletion has stopped: nobody needs to wait for them.
            if let Some(marker) = self.marker.get().cloned() {
                let session = self.session.clone();
                let clean = async move { cleanup::remove(&session, &marker, true).await };
                self.recipe.client.runtime().spawn(clean);
            }
            return false;
        }
        let rest = Unfinished(Some(self));
        let deleted = delay::send_removal(&self.session, &self.node, self.marker.get());
        self.end();
        let removed = match deleted.await {
            Ok(()) => Removed::ByUs,
            Err(SessionError::NoNode { .. }) => Removed::AlreadyGone,
            Err(SessionError::ConnectionLoss { .. }) => {
                cleanup::remove(&self.session, &self.node, true).await
            }
            Err(_) => cleanup::remove(&self.session, &self.node, false).await,
        };
        rest.finished();
        removed == Removed::ByUs
    }

    /// Removes the node without waiting: the request leaves now; only its repetition needs a task.
    pub(crate) fn remove_in_background(self: Arc<Tenure>) {
        self.let_go();
        let tenure = self.clone();
        let again = move |fault| {
            if !matches!(fault, SessionError::NoNode { .. }) {
                let runtime = tenure.recipe.client.runtime().clone();
                runtime.spawn(async move {
                    cleanup::remove(&tenure.session, &tenure.node, true).await;
                });
            }
        };
        match self.marker.get() {
            None => self.session.delete_unattended(&self.node, -1, again),
            marker => {
                let sent = delay::send_removal(&self.session, &self.node, marker);
                self.recipe.client.runtime().spawn(async move {
                    if let Err(fault) = sent.await {
                        again(fault);
                    }
                });
            }
        }
        self.end();
    }

    /// It was seen that somebody has removed it.
    pub(crate) fn gone(&self) {
        self.mark_removed(false);
    }

    fn mark_removed(&self, revoked: bool) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        if revoked {
            self.revoked.raise();
        }
        tracing::error!(
            node = self.node,
            revoked,
            "somebody deleted the node of a held lock: the lock is lost"
        );
        self.removed.raise();
    }
}

/// A removal that was begun; dropped unfinished, it goes on in the background.
struct Unfinished<'a>(Option<&'a Arc<Tenure>>);

impl Unfinished<'_> {
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(tenure) = self.0.take().cloned() {
            let runtime = tenure.recipe.client.runtime().clone();
            runtime.spawn(async move {
                delay::remove_both(&tenure.session, &tenure.node, tenure.marker.get()).await;
            });
        }
    }
}

/// Watches for others that do not respect the lock, unless the caller takes that upon himself.
async fn look_out(tenure: Arc<Tenure>) {
    if let Some(own) = classify(tenure.name()).filter(|_| !tenure.recipe.allow_foreign) {
        let directory = &tenure.recipe.path;
        let mirror = tenure.recipe.client.mirrors().look_on(directory);
        let (session, seen) = (tenure.session.clone(), &tenure.foreign);
        foreign::LookOut { session, mirror, directory, kind: own.kind, seen }.run().await;
    }
}

/// Locks that have been held for so short a time that nobody minds their nodes yet. One task looks after all of a
/// client's: most are released before it comes to them, and have cost next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Nursery(Mutex<Young>);

#[derive(Debug, Default)]
struct Young {
    /// With the moment from which on each is minded; the next one first.
    tenures: VecDeque<(Instant, Weak<Tenure>)>,
    looked_after: bool,
}

impl Nursery {
    fn take_in(self: &Arc<Self>, tenure: &Arc<Tenure>) {
        let mut young = self.young();
        young.tenures.push_back((Instant::now() + WATCH_AFTER, Arc::downgrade(tenure)));
        if !std::mem::replace(&mut young.looked_after, true) {
            tenure.recipe.client.runtime().spawn(look_after(self.clone()));
        }
    }

    fn young(&self) -> MutexGuard<'_, Young> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Minds those who are old enough, and says when the next will be; `None` if there are no more.
    fn let_out(&self) -> Option<Instant> {
        let mut young = self.young();
        let now = Instant::now();
        while let Some((at, tenure)) = young.tenures.front() {
            if *at > now {
                return Some(*at);
            }
            if let Some(tenure) = tenure.upgrade().filter(|tenure| !tenure.ended.load(Ordering::Acquire)) {
                tenure.mind();
            }
            young.tenures.pop_front();
        }
        young.looked_after = false;
        None
    }
}

async fn look_after(nursery: Arc<Nursery>) {
    while let Some(next) = nursery.let_out() {
        tokio::time::sleep_until(next).await;
    }
}

/// Watches the contender's own node: deleted by anyone, the lock is lost; and in its data they ask for the lock.
async fn mind_own_node(tenure: Arc<Tenure>) {
    let mut pause = cleanup::Pause::new();
    // Nobody but who revokes changes a contender's data: a change and then no node is an immediate revocation.
    let mut changed = false;
    loop {
        match tenure.session.get_watch(&tenure.node).await {
            Ok((_, stat, _)) if stat.ephemeral_owner != tenure.session.id() => {
                return tenure.mark_removed(changed);
            }
            Ok((data, _, watch)) => {
                if let Some(asker) = message::asker(&data).and_then(|asker| Owner::from_line(&asker)) {
                    let _ = tenure.revoked_by.set(asker);
                }
                if message::asks(tenure.name(), &data) && tenure.revoked.raise() {
                    tracing::info!(node = tenure.node, "somebody asks for the lock");
                }
                match watch.await {
                    Ok(event) if event.kind == EventType::DELETED => return tenure.mark_removed(false),
                    Ok(event) => changed = event.kind == EventType::DATA_CHANGED,
                    Err(_) => return,
                }
            }
            Err(SessionError::NoNode { .. }) => return tenure.mark_removed(changed),
            Err(SessionError::ConnectionLoss { .. }) => {}
            Err(fault) if fault.is_final() => return,
            Err(fault) => {
                tracing::warn!(node = tenure.node, %fault, "the node of a held lock cannot be watched; trying again");
                pause.next().await;
            }
        }
    }
}
