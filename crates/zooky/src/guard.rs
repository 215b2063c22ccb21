//! A guard: the lock is held, for as long as it says so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::{Instrument, Span};
use zooky_client::{BootInstant, Hold, Session};

use crate::acquire::Recipe;
use crate::core::contender::OwnNode;
use crate::core::dialect::{Mode, Role};
use crate::foreign::{self, ForeignContender};
use crate::handover::Seat;
use crate::observe::{self, Holding};
use crate::tenure::{Flag, Tenure};
use crate::{Error, FencingToken, Owner};

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
/// Others can ask for the lock: [`Guard::revoked`] tells, and it is up to the holder to let go.
///
/// Dropping a guard releases it in the background: the request leaves at once, in one transaction with that of an acquire
/// which follows with nothing in between, and is tried again
/// until the node or the session is gone. [`Guard::release`] waits for the answer. Work in the
/// background needs the client's runtime to go on; a program that ends should release, or close the
/// client, first.
#[must_use = "dropping a guard releases the lock"]
#[derive(Debug)]
pub struct Guard {
    held: Arc<Held>,
}

#[derive(Debug)]
pub(crate) struct Held {
    tenure: Arc<Tenure>,
    token: FencingToken,
    /// Whose turn it is among the tasks of this process, if they share the node.
    seat: Option<Seat>,
    released: Flag,
    /// It was lost already when it was released.
    lost_before: AtomicBool,
    holding: Holding,
    /// The guard that took this one's place when it was upgraded or downgraded.
    successor: OnceLock<Arc<Held>>,
}

impl Guard {
    /// Granted by the server: a node of its own.
    pub(crate) fn new(recipe: &Recipe, role: Role, session: Session, hold: Hold, node: &OwnNode) -> Guard {
        Guard::of(Tenure::begin(recipe, role, session, hold, node), 0, None)
    }

    pub(crate) fn of(tenure: Arc<Tenure>, count: u64, seat: Option<Seat>) -> Guard {
        let token = FencingToken::new(tenure.czxid, count);
        let released = Flag::default();
        let mode = tenure.role.mode();
        let holding = Holding::begin(&tenure.recipe.path, mode, &tenure.node, token);
        let (lost_before, successor) = (AtomicBool::new(false), OnceLock::new());
        Guard { held: Arc::new(Held { tenure, token, seat, released, lost_before, holding, successor }) }
    }

    /// The lock's path.
    pub fn lock_path(&self) -> &str {
        &self.held.tenure.recipe.path
    }

    /// The path of the contender's node.
    pub fn path(&self) -> &str {
        &self.held.tenure.node
    }

    /// Whether the holder is alone or shares with other readers.
    pub fn mode(&self) -> Mode {
        self.held.tenure.role.mode()
    }

    /// The token to fence writes with; see [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.held.token
    }

    /// Whether the lock is held, as of now: the clock is read at each call.
    pub fn state(&self) -> GuardState {
        self.held.state()
    }

    /// Whether the lock is not lost, as of now.
    pub fn is_held(&self) -> bool {
        self.state() != GuardState::Lost
    }

    /// The session that holds it.
    pub(crate) fn session(&self) -> &Session {
        &self.held.tenure.session
    }

    /// Its node has a marker of the lock-delay beside it, to be removed with it.
    pub(crate) fn has_marker(&self, path: String) {
        // The same each time: it is made of the node's name.
        let _ = self.held.tenure.marker.set(path);
    }

    /// Until when the lock is held even if no server is ever heard of again. It moves on while the
    /// ensemble acknowledges; in quiet times at least half the session's timeout is left.
    pub fn deadline(&self) -> BootInstant {
        self.held.tenure.session.deadline()
    }

    /// The session's timeout, as the server granted it.
    pub fn session_timeout(&self) -> Duration {
        self.held.tenure.session.timeout()
    }

    /// Resolves when the lock is lost, by whatever cause; at once if it is lost already. Cancel-safe.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// A future for another task, which does not keep the lock: true once the lock is lost, false
    /// if it was released before that was noticed. It goes on through upgrades and downgrades.
    pub fn on_lost(&self) -> impl Future<Output = bool> + Send + use<> {
        let mut held = self.held.clone();
        async move {
            loop {
                held.lost().await;
                match held.successor.get().cloned() {
                    Some(next) => held = next,
                    None => return !held.released.is_up() || held.lost_before.load(Ordering::Acquire),
                }
            }
        }
    }

    /// Asks the server whether the lock is still held: its node is there, and this session's. What
    /// [`state`](Guard::state) says is known here and costs nothing.
    ///
    /// # Errors
    /// The connection broke, or the server refuses to tell.
    pub async fn has_lock(&self) -> Result<bool, Error> {
        self.held.has_lock().await
    }

    /// Whether somebody has asked for the lock, or taken it away by an immediate revocation (then it
    /// is lost, too). The holder should let go when it can; nothing forces it. See
    /// [`Lock::revoking`](crate::Lock::revoking) and [`Lock::revoke_all`](crate::Lock::revoke_all).
    ///
    /// It is seen within about 10 ms and a round trip; a local value is read here.
    pub fn is_revoked(&self) -> bool {
        self.held.tenure.revoked().is_up()
    }

    /// Who asked for the lock first, where the dialect has room for it: ours in kazoo's.
    pub fn revoked_by(&self) -> Option<&Owner> {
        self.held.tenure.revoked_by()
    }

    /// Resolves when somebody asks for the lock; at once if that has happened already. Cancel-safe.
    /// The end of the lock does not resolve it: wait for [`lost`](Guard::lost), too.
    pub async fn revoked(&self) {
        self.held.tenure.revoked().wait().await;
    }

    /// A future for another task, which does not keep the lock: true once somebody asks for it, false
    /// if it was released or lost before. It goes on through upgrades and downgrades.
    pub fn on_revoked(&self) -> impl Future<Output = bool> + Send + use<> {
        let mut held = self.held.clone();
        async move {
            loop {
                tokio::select! {
                    biased;
                    () = held.tenure.revoked().wait() => return true,
                    () = held.lost() => {}
                }
                match held.successor.get().cloned() {
                    Some(next) => held = next,
                    None => return held.tenure.revoked().is_up(),
                }
            }
        }
    }

    /// A contender that came while the lock was held and does not respect it, if one has been seen: the first one,
    /// until the first [certain](ForeignContender::certain) one.
    ///
    /// Clients that overlook ours (which do, is in the repository's `docs/interop.md`) cannot be kept out when
    /// they come second: then two believe that they hold the lock. It is seen from 0.2 s after the grant on, and then
    /// within about a quarter of a second and 0.2 ms for each child of the directory. Never with
    /// [`allow_foreign`](crate::Lock::allow_foreign).
    pub fn foreign_contender(&self) -> Option<ForeignContender> {
        self.held.tenure.foreign.get()
    }

    /// Resolves when a contender is seen that surely does not respect the lock; at once if one has been. What to do
    /// is for the holder to decide: stop, or go on behind a resource that checks tokens. Cancel-safe. The end
    /// of the lock does not resolve it: wait for [`lost`](Guard::lost), too.
    pub async fn foreign(&self) -> ForeignContender {
        foreign::certain(&self.held.tenure.foreign).await
    }

    /// A future for another task, which does not keep the lock: the contender as [`foreign`](Guard::foreign) has it,
    /// `None` if the lock was released or lost before. It goes on through upgrades and downgrades.
    pub fn on_foreign(&self) -> impl Future<Output = Option<ForeignContender>> + Send + use<> {
        let mut held = self.held.clone();
        async move {
            loop {
                tokio::select! {
                    biased;
                    found = foreign::certain(&held.tenure.foreign) => return Some(found),
                    () = held.lost() => {}
                }
                held = held.successor.get().cloned()?;
            }
        }
    }

    /// Releases the lock and waits until its node is deleted, through reconnects. If the future is
    /// dropped, the release goes on in the background. A lock that is handed on to another task of
    /// this process ([`Handover`](crate::Handover)) is released at once.
    ///
    /// # Errors
    /// [`Error::Lost`]: the lock had been lost before; what was done under it may have overlapped
    /// with the next holder.
    pub async fn release(self) -> Result<(), Error> {
        let held = self.held.clone();
        let lost = || Error::Lost { path: held.tenure.recipe.path.to_string() };
        let was_lost = held.state() == GuardState::Lost;
        match held.let_go() {
            Some(tenure) if tenure.remove().instrument(releasing(&tenure)).await => Ok(()),
            None if !was_lost => Ok(()),
            _ => Err(lost()),
        }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The lock was acquired in this span.
    pub(crate) fn acquired_in(&self, span: &Span) {
        self.held.holding.follows(span);
    }

    /// Takes the node out, to be looked after by somebody else.
    pub(crate) fn into_tenure(self) -> Arc<Tenure> {
        self.held.released.raise();
        self.held.holding.cancel();
        self.held.tenure.clone()
    }

    /// This guard's place is taken by `next`.
    pub(crate) fn succeeded_by(self, next: &Guard) {
        // Nobody else sets it: a guard is consumed by what changes it.
        let _ = self.held.successor.set(next.held.clone());
        self.held.holding.cancel();
        self.held.released.raise();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(tenure) = self.held.let_go() {
            tenure.remove_in_background();
        }
    }
}

fn releasing(tenure: &Tenure) -> Span {
    observe::releasing(&tenure.recipe.path, &tenure.node)
}

impl Held {
    fn state(&self) -> GuardState {
        let state = self.tenure.state();
        if state == GuardState::Lost {
            self.holding.lost();
        }
        state
    }

    /// The holder lets go. The node, if it is now for the caller to remove.
    fn let_go(&self) -> Option<Arc<Tenure>> {
        if self.released.is_up() {
            return None;
        }
        // Before the flag: whoever waits for the loss looks at this when the flag is up.
        self.lost_before.store(self.state() == GuardState::Lost, Ordering::Release);
        if !self.released.raise() {
            return None;
        }
        self.holding.end();
        match &self.seat {
            None => Some(self.tenure.clone()),
            Some(seat) => seat.leave(),
        }
    }

    /// See [`Guard::has_lock`].
    pub(crate) async fn has_lock(&self) -> Result<bool, Error> {
        let tenure = &self.tenure;
        if tenure.state() == GuardState::Lost {
            return Ok(false);
        }
        let flight = tenure.session.flight();
        let (synced, seen) = (tenure.session.sync(&tenure.node), tenure.session.exists(&tenure.node));
        drop(flight);
        synced.await?;
        let ours = seen.await?.is_some_and(|stat| stat.ephemeral_owner == tenure.session.id());
        Ok(ours && tenure.state() != GuardState::Lost)
    }

    pub(crate) fn tenure(&self) -> &Arc<Tenure> {
        &self.tenure
    }

    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    async fn lost(&self) {
        if self.released.is_up() {
            return;
        }
        tokio::select! {
            () = self.tenure.lost() => self.holding.lost(),
            () = self.released.wait() => {}
        }
    }
}
