//! One contender for all tasks of a process that want the same lock: they hand it to each other locally.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use zooky_client::BootInstant;

use crate::acquire::{OnWait, Recipe, WaitingFor};
use crate::core::dialect::Role;
use crate::core::handover::{Admitted, Bound, Left, Turns};
use crate::delay::LockDelay;
use crate::guard::{Guard, GuardState};
use crate::inspect::Contender;
use crate::observe;
use crate::tenure::Tenure;
use crate::{Error, Owner};

/// How long tasks wait for one of their own before it is looked up who that is.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// How long the tasks of one process hand a lock to each other before other processes get their turn.
///
/// With [`Lock::local_handover`](crate::Lock::local_handover) all tasks on one [`Client`] that want the same
/// lock (the same path, role, owner, ACL and other settings) share one contender in the ensemble's queue. The lock goes from one to the
/// next within the process, first come first served, without asking a server: a thousand times faster. Each
/// holder gets a strictly larger [`FencingToken`](crate::FencingToken), by its count. Readers share one
/// contender and hold it together.
///
/// Two things come with it:
/// - Processes are still served in the order in which their contenders came, but a task that came late is
///   served before another process that came before it. How much so is bounded by this: a contender's node is
///   released, and taken anew behind the others, after so many grants or so much time, whichever is first. The
///   time ends no hold; it is looked at when the lock changes hands.
/// - The ensemble's queue shows one contender for all of them.
///
/// The lock is handed on only if it is [`Held`](GuardState::Held) at that moment, for the one who gives and for
/// the one who takes; if it is suspect, lost or [revoked](Guard::revoked), the tasks queue anew at the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Handover {
    grants: u32,
    time: Duration,
}

impl Handover {
    /// Up to 1,000 grants and 100 ms.
    pub const DEFAULT: Handover = Handover { grants: 1_000, time: Duration::from_millis(100) };

    /// With another number of grants for each contender; at least one.
    pub const fn grants(self, grants: u32) -> Handover {
        Handover { grants: if grants == 0 { 1 } else { grants }, ..self }
    }

    /// With another time for each contender, from its grant by the ensemble.
    pub const fn time(self, time: Duration) -> Handover {
        Handover { time, ..self }
    }

    fn bound(self) -> Bound {
        let time_ns = u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX);
        Bound { grants: u64::from(self.grants), time_ns }
    }
}

impl Default for Handover {
    fn default() -> Handover {
        Handover::DEFAULT
    }
}

/// The tasks that share a contender.
pub(crate) struct Group {
    recipe: Recipe,
    role: Role,
    bound: Handover,
    /// Whom the shared contender waits for, or, in this process, who holds it.
    waiting_for: Arc<WaitingFor>,
    inner: Mutex<Inner>,
}

struct Inner {
    turns: Turns<Waiter>,
    /// By term.
    holdings: HashMap<u64, Holding>,
    /// By ticket: granted, and not yet seen by the task.
    granted: HashMap<u64, Admitted>,
    work: Work,
}

#[derive(Default)]
struct Waiter {
    waker: Option<Waker>,
    on_wait: Option<OnWait>,
}

/// A term's node.
struct Holding {
    tenure: Arc<Tenure>,
    /// Tells the waiters when the node is lost, whatever its holder does.
    lookout: Option<AbortHandle>,
    /// One of the holders means to upgrade or downgrade, and to have the node for itself.
    claimed: bool,
    /// Told when a holder leaves a claimed node.
    left: Arc<Notify>,
}

/// Getting the lock from the server: done by whichever task is in front, kept when that one gives up.
enum Work {
    None,
    Parked(Acquiring),
    /// The task in front is at it, at this moment.
    Out,
}

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send>>;

impl Group {
    pub(crate) fn new(recipe: &Recipe, role: Role, bound: Handover) -> Arc<Group> {
        Arc::new_cyclic(|group: &Weak<Group>| {
            let group = group.clone();
            let on_wait: OnWait = Arc::new(move |contender: &Contender| {
                group.upgrade().into_iter().for_each(|group| group.tell(contender));
            });
            Group {
                recipe: Recipe { on_wait: Some(on_wait), local: None, progress: None, ..recipe.clone() },
                role,
                bound,
                waiting_for: Arc::default(),
                inner: Mutex::new(Inner {
                    turns: Turns::new(role.mode(), bound.bound()),
                    holdings: HashMap::new(),
                    granted: HashMap::new(),
                    work: Work::None,
                }),
            }
        })
    }

    /// Whether handles made like this one may share it.
    pub(crate) fn fits(&self, recipe: &Recipe, role: Role, bound: Handover) -> bool {
        self.role == role && self.bound == bound && self.recipe.same_contender(recipe)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all who wait whom they wait for.
    fn tell(&self, contender: &Contender) {
        let told: Vec<OnWait> =
            self.inner().turns.waiters().filter_map(|waiter| waiter.on_wait.clone()).collect();
        told.iter().for_each(|on_wait| on_wait(contender));
    }

    /// Waits for a turn.
    pub(crate) async fn acquire(
        self: &Arc<Group>,
        on_wait: Option<OnWait>,
        report: &WaitingFor,
    ) -> Result<Guard, Error> {
        if let Some(guard) = self.seat_at_once() {
            return Ok(guard);
        }
        if let (Some(on_wait), Some(contender)) = (&on_wait, self.waiting_for.peek()) {
            on_wait(&contender);
        }
        let ticket = self.inner().turns.join(Waiter { waker: None, on_wait });
        let mut place = Place { group: self.clone(), ticket, report, done: false, driving: false };
        poll_fn(|cx| place.poll(cx)).await
    }

    /// A turn if there is one at this moment.
    pub(crate) async fn try_acquire(
        self: &Arc<Group>,
        report: Option<&WaitingFor>,
    ) -> Result<Option<Guard>, Error> {
        if let Some(guard) = self.seat_at_once() {
            return Ok(Some(guard));
        }
        if let Some(tenure) = self.held_here() {
            if let Some(report) = report {
                report_own(&tenure, report).await;
            }
            return Ok(None);
        }
        let Some(guard) = self.recipe.try_alone(self.role, report).await? else { return Ok(None) };
        let mut inner = self.inner();
        if inner.turns.open_term().is_some() || inner.turns.waiters().next().is_some() {
            // Others of this process have begun meanwhile: this one has a node of its own.
            return Ok(Some(guard));
        }
        let (tenure, now) = (guard.into_tenure(), BootInstant::now().as_nanos());
        inner.begin(tenure.clone(), now);
        let admitted = inner.turns.admit(now);
        Ok(admitted.map(|admitted| self.seated(tenure, admitted)))
    }

    /// In a term that takes one more.
    fn seat_at_once(self: &Arc<Group>) -> Option<Guard> {
        let mut inner = self.inner();
        let term = inner.turns.open_term()?;
        let Some(tenure) = inner.usable(term) else {
            inner.turns.close(term);
            return None;
        };
        if inner.turns.waiters().next().is_some() {
            return None;
        }
        let admitted = inner.turns.admit(BootInstant::now().as_nanos())?;
        Some(self.seated(tenure, admitted))
    }

    fn seated(self: &Arc<Group>, tenure: Arc<Tenure>, admitted: Admitted) -> Guard {
        let seat = Seat { group: self.clone(), term: admitted.term };
        Guard::of(tenure, admitted.count, Some(seat))
    }

    /// The node, if tasks of this process hold it and nobody else of them may join.
    fn held_here(&self) -> Option<Arc<Tenure>> {
        let inner = self.inner();
        let term = inner.turns.open_term().filter(|_| self.role != Role::Reader)?;
        inner.holdings.get(&term).map(|holding| holding.tenure.clone())
    }

    /// A holder of this term lets go; the node, if nobody has it any more.
    fn leave(self: &Arc<Group>, term: u64) -> Option<Arc<Tenure>> {
        let mut inner = self.inner();
        let worn = inner.usable(term).is_none();
        let (left, waiter) = inner.turns.leave(term, BootInstant::now().as_nanos(), worn);
        let (tenure, waker) = match left {
            Left::HandedOn(ticket, admitted) => {
                inner.granted.insert(ticket, admitted);
                (None, waiter.and_then(|waiter| waiter.waker))
            }
            Left::Nobody => {
                let tenure = inner.holdings.remove(&term).map(Holding::end);
                (tenure, inner.driver_waker())
            }
            Left::Held => {
                inner.holdings.get(&term).into_iter().for_each(|holding| holding.left.notify_waiters());
                (None, inner.driver_waker())
            }
        };
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
        tenure
    }

    /// Someone waits for a lock that is held in this process: told if it is lost, and it is looked up for
    /// them who holds it.
    fn look_out(self: &Arc<Group>, inner: &mut Inner) {
        let Some(term) = inner.turns.open_term() else { return };
        let Some(holding) = inner.holdings.get_mut(&term).filter(|holding| holding.lookout.is_none()) else {
            return;
        };
        let (tenure, group) = (holding.tenure.clone(), Arc::downgrade(self));
        let watching = async move {
            tokio::select! {
                () = tenure.lost() => {}
                () = tokio::time::sleep(LOOK_AFTER) => {
                    if let Some(group) = group.upgrade() {
                        report_own(&tenure, &group.waiting_for).await;
                    }
                    tenure.lost().await;
                }
            }
            let Some(group) = group.upgrade() else { return };
            let mut inner = group.inner();
            inner.turns.close(term);
            let waker = inner.driver_waker();
            drop(inner);
            waker.into_iter().for_each(Waker::wake);
        };
        holding.lookout = Some(self.recipe.client.runtime().spawn(watching).abort_handle());
    }
}

async fn report_own(tenure: &Tenure, report: &WaitingFor) {
    if let Ok((data, stat)) = tenure.session.get(&tenure.node).await {
        let directory = &tenure.recipe.path;
        let contender = Contender::read(directory, tenure.name(), data, stat, Some(true));
        contender.into_iter().for_each(|contender| report.set(contender));
    }
}

impl Inner {
    fn begin(&mut self, tenure: Arc<Tenure>, now_ns: u64) {
        let term = self.turns.begin(now_ns);
        let left = Arc::new(Notify::new());
        self.holdings.insert(term, Holding { tenure, lookout: None, claimed: false, left });
    }

    /// The node, if it is good enough for a new holder at this moment.
    fn usable(&self, term: u64) -> Option<Arc<Tenure>> {
        let holding = self.holdings.get(&term).filter(|holding| !holding.claimed)?;
        let tenure = &holding.tenure;
        let good = tenure.state() == GuardState::Held && !tenure.revoked().is_up();
        good.then(|| tenure.clone())
    }

    fn driver_waker(&mut self) -> Option<Waker> {
        let driver = self.turns.driver()?;
        self.turns.waiter(driver)?.waker.take()
    }
}

impl Holding {
    fn end(self) -> Arc<Tenure> {
        self.lookout.into_iter().for_each(|lookout| lookout.abort());
        self.tenure
    }
}

/// A task that waits for its turn. Dropped, it gives its place up, or hands on what it was just granted.
struct Place<'a> {
    group: Arc<Group>,
    ticket: u64,
    report: &'a WaitingFor,
    done: bool,
    driving: bool,
}

impl Place<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Guard, Error>> {
        loop {
            let group = self.group.clone();
            let mut inner = group.inner();
            if let Some(admitted) = inner.granted.remove(&self.ticket) {
                // Looked at once more: what was good when it was handed on may have been lost since.
                let Some(tenure) = inner.usable(admitted.term) else {
                    self.decline(inner, admitted);
                    continue;
                };
                self.done = true;
                if inner.turns.waiters().next().is_some() {
                    group.look_out(&mut inner);
                }
                return Poll::Ready(Ok(group.seated(tenure, admitted)));
            }
            if let Some(waiter) = inner.turns.waiter(self.ticket) {
                waiter.waker = Some(cx.waker().clone());
            }
            if inner.turns.driver() != Some(self.ticket) {
                group.look_out(&mut inner);
                return Poll::Pending;
            }
            let mut acquiring = match std::mem::replace(&mut inner.work, Work::Out) {
                Work::None => group.acquiring(),
                Work::Parked(acquiring) => acquiring,
                // Another one that was in front is at it, and wakes this one.
                Work::Out => return Poll::Pending,
            };
            drop(inner);
            self.driving = true;
            let polled = acquiring.as_mut().poll(cx);
            self.driving = false;
            if let Some(result) = self.driven(polled, acquiring) {
                return result;
            }
        }
    }

    /// What came of trying to get the lock from the server; `None`: look again.
    fn driven(
        &mut self,
        polled: Poll<Result<Guard, Error>>,
        acquiring: Acquiring,
    ) -> Option<Poll<Result<Guard, Error>>> {
        let group = self.group.clone();
        let mut inner = group.inner();
        let mut wakers = Vec::new();
        let result = match polled {
            Poll::Pending => {
                inner.work = Work::Parked(acquiring);
                let still = inner.turns.driver() == Some(self.ticket);
                wakers.extend((!still).then(|| inner.driver_waker()).flatten());
                Some(Poll::Pending)
            }
            Poll::Ready(Ok(guard)) => {
                inner.work = Work::None;
                group.waiting_for.take();
                let now = BootInstant::now().as_nanos();
                inner.begin(guard.into_tenure(), now);
                while let Some((ticket, waiter, admitted)) = inner.turns.admit_next(now) {
                    inner.granted.insert(ticket, admitted);
                    wakers.extend(waiter.waker.filter(|_| ticket != self.ticket));
                }
                None
            }
            Poll::Ready(Err(fault)) => {
                inner.work = Work::None;
                inner.turns.give_up(self.ticket);
                self.done = true;
                wakers.extend(inner.driver_waker());
                Some(Poll::Ready(Err(fault)))
            }
        };
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Granted, but worth nothing any more: back to the front of the queue, for another node.
    fn decline(&self, mut inner: MutexGuard<'_, Inner>, admitted: Admitted) {
        inner.turns.close(admitted.term);
        inner.turns.rejoin(self.ticket, Waiter::default());
        drop(inner);
        if let Some(tenure) = self.group.leave(admitted.term) {
            tenure.remove_in_background();
        }
    }
}

impl Group {
    fn acquiring(&self) -> Acquiring {
        let (recipe, role, waiting_for) = (self.recipe.clone(), self.role, self.waiting_for.clone());
        Box::pin(async move { recipe.acquire_alone(role, &waiting_for).await })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(contender) = self.group.waiting_for.peek() {
            self.report.set(contender);
        }
        let mut inner = self.group.inner();
        if let Some(admitted) = inner.granted.remove(&self.ticket) {
            drop(inner);
            if let Some(tenure) = self.group.leave(admitted.term) {
                tenure.remove_in_background();
            }
            return;
        }
        inner.turns.give_up(self.ticket);
        if self.driving {
            // It panicked at it.
            inner.work = Work::None;
        }
        let nobody = inner.turns.waiters().next().is_none();
        let abandoned = match &inner.work {
            Work::Parked(_) if nobody => Some(std::mem::replace(&mut inner.work, Work::None)),
            _ => None,
        };
        let waker = inner.driver_waker();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
        drop(abandoned);
    }
}

/// A holder's place in its group.
pub(crate) struct Seat {
    group: Arc<Group>,
    term: u64,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("term", &self.term).finish_non_exhaustive()
    }
}

impl Seat {
    /// The holder lets go; the node, if nobody has it any more.
    pub(crate) fn leave(&self) -> Option<Arc<Tenure>> {
        self.group.leave(self.term)
    }

    /// The holder means to change the node: nobody else may come to it. With `alone`, only if nobody else has it
    /// now.
    pub(crate) fn claim(&self, alone: bool) -> Result<Claim, NotClaimed> {
        let mut inner = self.group.inner();
        let holders = inner.turns.holders(self.term);
        let holding = inner.holdings.get_mut(&self.term).filter(|holding| !holding.claimed);
        let holding = holding.ok_or(NotClaimed::Claimed)?;
        if alone && holders > 1 {
            return Err(NotClaimed::Shared);
        }
        holding.claimed = true;
        inner.turns.close(self.term);
        let waker = inner.driver_waker();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
        Ok(Claim { group: self.group.clone(), term: self.term })
    }
}

/// Why a node could not be claimed.
pub(crate) enum NotClaimed {
    /// Another holder has claimed it.
    Claimed,
    /// Others hold it, too.
    Shared,
}

/// A claimed node; dropped, another holder may claim it.
pub(crate) struct Claim {
    group: Arc<Group>,
    term: u64,
}

impl Claim {
    /// Waits until the other holders have let go. Cancel-safe.
    pub(crate) async fn alone(&self) {
        loop {
            let left = {
                let inner = self.group.inner();
                match inner.holdings.get(&self.term) {
                    Some(holding) if inner.turns.holders(self.term) > 1 => holding.left.clone(),
                    _ => return,
                }
            };
            let left = left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.group.inner().turns.holders(self.term) > 1 {
                left.await;
            }
        }
    }

    /// The node leaves the group with its holder. How many have had the lock by it.
    pub(crate) fn take(self) -> u64 {
        let mut inner = self.group.inner();
        let grants = inner.turns.grants(self.term);
        inner.turns.forget(self.term);
        inner.holdings.remove(&self.term).map(Holding::end);
        grants
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut inner = self.group.inner();
        inner.holdings.get_mut(&self.term).into_iter().for_each(|holding| holding.claimed = false);
    }
}

/// The groups of a client's handles.
#[derive(Default)]
pub(crate) struct Groups {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_path: HashMap<Arc<str>, Vec<Weak<Group>>>,
    /// How many paths there may be before those that nobody uses any more are swept out.
    sweep_at: usize,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl Groups {
    /// The group of this handle and those like it.
    fn of(&self, recipe: &Recipe, role: Role, bound: Handover) -> Arc<Group> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = known.by_path.get(&recipe.path).into_iter().flatten().filter_map(Weak::upgrade);
        if let Some(group) = groups.into_iter().find(|group| group.fits(recipe, role, bound)) {
            return group;
        }
        if known.by_path.len() >= known.sweep_at {
            known.by_path.retain(|_, groups| groups.iter().any(|group| group.strong_count() > 0));
            known.sweep_at = (2 * known.by_path.len()).max(64);
        }
        let group = Group::new(recipe, role, bound);
        let groups = known.by_path.entry(recipe.path.clone()).or_default();
        groups.retain(|group| group.strong_count() > 0);
        groups.push(Arc::downgrade(&group));
        group
    }
}

/// That a handle's tasks hand over locally, and the groups it belongs to, once they are known.
#[derive(Clone)]
pub(crate) struct Local {
    bound: Handover,
    exclusive: OnceLock<Arc<Group>>,
    shared: OnceLock<Arc<Group>>,
}

impl Local {
    pub(crate) fn new(bound: Handover) -> Local {
        Local { bound, exclusive: OnceLock::new(), shared: OnceLock::new() }
    }

    fn group(&self, recipe: &Recipe, role: Role) -> Arc<Group> {
        let cached = match role {
            Role::Reader => &self.shared,
            _ => &self.exclusive,
        };
        let group = cached.get_or_init(|| recipe.client.groups().of(recipe, role, self.bound));
        // The handle may have been set otherwise since.
        if group.fits(recipe, role, self.bound) {
            return group.clone();
        }
        recipe.client.groups().of(recipe, role, self.bound)
    }
}

impl Recipe {
    /// Waits for ever: with a contender of its own, or with the one that the process's tasks share.
    pub(crate) async fn acquire(&self, role: Role, waiting: &WaitingFor) -> Result<Guard, Error> {
        // Pinned here: handed on by value it would take its room several times.
        let acquire = pin!(async {
            match &self.local {
                None => self.acquire_alone(role, waiting).await,
                Some(local) => local.group(self, role).acquire(self.on_wait.clone(), waiting).await,
            }
        });
        observe::acquisition(&self.path, role.mode(), acquire).await
    }

    /// Takes the lock if nobody is in the way; `None` if somebody is. Whoever asks for a `report` is told who, at
    /// the price of one more read.
    pub(crate) async fn try_acquire(
        &self,
        role: Role,
        report: Option<&WaitingFor>,
    ) -> Result<Option<Guard>, Error> {
        let attempt = pin!(async {
            match &self.local {
                None => self.try_alone(role, report).await,
                Some(local) => local.group(self, role).try_acquire(report).await,
            }
        });
        observe::attempt(&self.path, role.mode(), attempt).await
    }

    /// Whether contenders made by this recipe and the other look the same to everybody.
    fn same_contender(&self, other: &Recipe) -> bool {
        let same_owner = || {
            let since_ms = self.owner.since_ms;
            *self.owner == Owner { since_ms, ..(*other.owner).clone() }
        };
        self.path == other.path
            && self.dialect == other.dialect
            && (self.revoke, self.revocable) == (other.revoke, other.revocable)
            && self.on_revoked.is_some() == other.on_revoked.is_some()
            && self.deadlocks_below == other.deadlocks_below
            && self.allow_foreign == other.allow_foreign
            && self.delay.as_ref().map(LockDelay::time) == other.delay.as_ref().map(LockDelay::time)
            && (Arc::ptr_eq(&self.acl, &other.acl) || self.acl == other.acl)
            && (Arc::ptr_eq(&self.owner, &other.owner) || same_owner())
    }
}
