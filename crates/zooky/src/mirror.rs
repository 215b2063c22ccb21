//! Mirrors of locks' queues: which locks of a client have one, and the events that keep them true.
//!
//! A lock that a client uses again and again, and waits for or uses beside many others, gets a recursive watch on
//! its directory and a copy of its queue (`core/mirror.rs`), shared by all contenders of the client on that path. A
//! contender then only creates its node; whom it waits for stands in the mirror by the time the create's answer is
//! there, and the deletion that lets it go ahead comes as an event, without another request.
//!
//! A mirror ends with the connection, with the session, with the directory, at the first doubt about what was told,
//! and when nobody has used it for a while; its waiters then go on by listing. Each session with a mirror is told of
//! every creation and deletion: so there are mirrors only while few clients contend, or where the queue is so long
//! that listing it costs more.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use zooky_client::{
    Children, Error as SessionError, EventType, Pending, Session, Stat, TreeSink, TreeWatch, WatchEvent,
};

use crate::core::dialect::Kind;
use crate::core::mirror::{Doubt, Mirror};

/// How many clients may contend for a lock that is mirrored, if its queue is short.
const CLIENTS: usize = 16;
/// In a long queue: one more client for each so many contenders. Listing them costs about as much as the two events
/// that each acquisition costs each client.
const LISTED_PER_CLIENT: usize = 64;
/// Joins that follow each other within this time are use again and again.
const SOON: Duration = Duration::from_secs(1);
/// How many of them are wanted.
const JOINS: u32 = 4;
/// How many contenders of a client are joining at once when its requests, and not its waits, are what takes time.
const BUSY: usize = 8;
/// How long a mirror is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(5);
/// The first and the longest pause after a mirror that could not be had or kept; it doubles each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));
/// How many locks are remembered beside those in use.
const REMEMBERED: usize = 1024;
/// How many events may come between the watch and the listing.
const EARLY: usize = 1 << 16;

/// All mirrors of one client.
#[derive(Debug)]
pub(crate) struct Mirrors {
    runtime: Handle,
    slots: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
    /// How many contenders wait for the answer to their create.
    joining: AtomicUsize,
    /// The servers do not know recursive watches.
    unknown: AtomicBool,
}

/// One lock of a client: its mirror, if it has one, and what tells whether it should.
#[derive(Debug)]
pub(crate) struct Slot {
    path: Arc<str>,
    state: Mutex<State>,
    /// For onlookers: a mirror was begun or ended, or a child came.
    changed: Notify,
    /// For onlookers: their watches are in the way of a mirror.
    make_way: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Which watch is the present one: an old one's late events are nobody's.
    epoch: u64,
    /// By the name of the contender that they wait for.
    waiters: BTreeMap<String, Vec<oneshot::Sender<()>>>,
    users: usize,
    joins: u32,
    waits: u32,
    last_join: Instant,
    not_before: Option<Instant>,
    pause: Duration,
}

#[derive(Debug)]
enum Stage {
    Off,
    /// The watch and the listing are under way.
    Opening {
        early: Vec<(EventType, String)>,
    },
    On {
        mirror: Mirror,
        session: i64,
        since: Instant,
        _watch: TreeWatch,
    },
}

/// What a waiter is to do who has found out whom it waits for.
pub(crate) enum Wait {
    /// Look again once this is ready, with whatever.
    Told(oneshot::Receiver<()>),
    /// It is gone already: look again.
    Gone,
    /// The mirror would not be told: watch it on the server.
    Ask,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mirrors {
    pub(crate) fn new(runtime: Handle) -> Arc<Mirrors> {
        let (slots, joining, unknown) = Default::default();
        Arc::new(Mirrors { runtime, slots, joining, unknown })
    }

    /// The lock at `path`, in use from now on until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, path: &Arc<str>) -> Use {
        let slot = self.slot(path);
        slot.state().enter();
        Use { slot, mirrors: self.clone() }
    }

    /// The lock at `path`, for one who only looks on.
    pub(crate) fn look_on(&self, path: &Arc<str>) -> Onlooker {
        Onlooker(self.slot(path))
    }

    fn slot(&self, path: &Arc<str>) -> Arc<Slot> {
        let mut slots = locked(&self.slots);
        if let Some(slot) = slots.get(path) {
            return slot.clone();
        }
        if slots.len() >= REMEMBERED {
            // One that somebody looks at is not forgotten: they would not see its next mirror.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_idle());
        }
        let slot = Arc::new(Slot::new(path));
        slots.insert(path.clone(), slot.clone());
        slot
    }
}

/// One contender's use of a lock's mirror, be there one or not.
#[derive(Debug)]
pub(crate) struct Use {
    slot: Arc<Slot>,
    mirrors: Arc<Mirrors>,
}

impl Use {
    /// A contender waits for the answer to its create, until this is dropped.
    pub(crate) fn joining(&self) -> Joining {
        self.mirrors.joining.fetch_add(1, Ordering::Relaxed);
        Joining(self.mirrors.clone())
    }

    /// Whether there is a mirror for this session.
    pub(crate) fn is_on(&self, session: &Session) -> bool {
        matches!(&self.slot.state().stage, Stage::On { session: of, .. } if *of == session.id())
    }

    /// Looks into the mirror, if there is one for this session.
    pub(crate) fn look<T>(&self, session: &Session, look: impl FnOnce(&Mirror) -> T) -> Option<T> {
        match &self.slot.state().stage {
            Stage::On { mirror, session: of, .. } if *of == session.id() => Some(look(mirror)),
            _ => None,
        }
    }

    /// How to wait for `blocker`.
    pub(crate) fn wait_for(&self, session: &Session, blocker: &str) -> Wait {
        let mut state = self.slot.state();
        state.waits = state.waits.saturating_add(1);
        match &state.stage {
            Stage::On { mirror, session: of, .. } if *of == session.id() => {
                if !mirror.contains(blocker) {
                    return Wait::Gone;
                }
                if !mirror.was_told_of(blocker) {
                    return Wait::Ask;
                }
            }
            _ => return Wait::Ask,
        }
        let (sender, told) = oneshot::channel();
        let waiters = state.waiters.entry(blocker.to_owned()).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        Wait::Told(told)
    }

    /// The server says that there is no such contender: a mirror that still holds it is wrong.
    pub(crate) fn is_gone(&self, name: &str) {
        let mut state = self.slot.state();
        if matches!(&state.stage, Stage::On { mirror, .. } if mirror.contains(name)) {
            state.end(End::Doubt);
        }
    }

    /// Asks for a listing; if a mirror is wanted, for its watch before that.
    pub(crate) fn list(&self, session: &Session) -> Listing {
        match self.begin() {
            None => Listing::Plain(session.children(&self.slot.path)),
            Some((opening, feed)) => {
                let (watch, set) = session.watch_tree(&self.slot.path, feed);
                let listed = session.children_stat(&self.slot.path);
                Listing::Opening { opening, watch, set, listed }
            }
        }
    }

    fn begin(&self) -> Option<(Opening, Arc<Feed>)> {
        if self.mirrors.unknown.load(Ordering::Relaxed) {
            return None;
        }
        let busy = self.mirrors.joining.load(Ordering::Relaxed) >= BUSY;
        let mut state = self.slot.state();
        if !state.wants(busy) {
            return None;
        }
        state.epoch += 1;
        state.stage = Stage::Opening { early: Vec::new() };
        let epoch = state.epoch;
        drop(state);
        let feed = Arc::new(Feed { slot: self.slot.clone(), epoch });
        Some((Opening { slot: self.slot.clone(), mirrors: self.mirrors.clone(), epoch }, feed))
    }
}

/// One who looks at a lock's mirror, be there one or not, without keeping it.
#[derive(Debug)]
pub(crate) struct Onlooker(Arc<Slot>);

impl Onlooker {
    /// Those children that may not respect a contender of the kind `own`, and how many contenders there are in all;
    /// `None` without a mirror for this session.
    pub(crate) fn strangers(&self, session: &Session, own: Kind) -> Option<(Vec<String>, usize)> {
        match &self.0.state().stage {
            Stage::On { mirror, session: of, .. } if *of == session.id() => {
                Some((mirror.strangers(own), mirror.len()))
            }
            _ => None,
        }
    }

    /// Ready once there is something new to see.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// Ready when a watch on the directory is in the way of a mirror.
    pub(crate) fn make_way(&self) -> Notified<'_> {
        self.0.make_way.notified()
    }
}

/// A listing that is under way.
pub(crate) enum Listing {
    Plain(Pending<Children>),
    /// A mirror is begun with it.
    Opening {
        opening: Opening,
        watch: TreeWatch,
        set: Pending<()>,
        listed: Pending<(Children, Stat)>,
    },
}

impl Listing {
    /// The names of the children.
    pub(crate) async fn names(self, session: &Session) -> Result<Vec<String>, SessionError> {
        match self {
            Listing::Plain(listed) => Ok(listed.await?.names),
            Listing::Opening { opening, watch, set, listed } => {
                // First this: servers before 3.6 say that they do not know it, and hang up.
                let opening = match set.await {
                    Ok(()) => Some(opening),
                    Err(fault) => {
                        opening.failed(&fault);
                        None
                    }
                };
                let (children, stat) = listed.await?;
                if let Some(opening) = opening {
                    opening.finish(session, watch, &children.names, creations(&stat));
                }
                Ok(children.names)
            }
        }
    }
}

/// How many children a directory has ever had, which is the number of the next one. `cversion` counts creations and
/// deletions, in 32 bits that wrap.
fn creations(stat: &Stat) -> i64 {
    i64::from(stat.cversion.wrapping_add(stat.num_children).cast_unsigned() / 2)
}

impl Drop for Use {
    fn drop(&mut self) {
        self.slot.state().users -= 1;
    }
}

/// See [`Use::joining`].
pub(crate) struct Joining(Arc<Mirrors>);

impl Drop for Joining {
    fn drop(&mut self) {
        self.0.joining.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A mirror that is being opened. Dropped unfinished, there is none.
pub(crate) struct Opening {
    slot: Arc<Slot>,
    mirrors: Arc<Mirrors>,
    epoch: u64,
}

impl Opening {
    /// The watch could not be set. To be dropped then is all there is to do for the lock itself.
    pub(crate) fn failed(self, fault: &SessionError) {
        if matches!(fault, SessionError::Watched { .. }) {
            // Most likely by who looks out for a guard: next time it is not.
            self.slot.make_way.notify_waiters();
        }
        if matches!(fault, SessionError::Server { .. }) {
            tracing::debug!(path = %self.slot.path, %fault, "no recursive watches here: queues are listed");
            self.mirrors.unknown.store(true, Ordering::Relaxed);
        }
    }

    /// The watch is set, and this was listed after it; `creations` is how many children the directory has had.
    pub(crate) fn finish(self, session: &Session, watch: TreeWatch, children: &[String], creations: i64) {
        let mut mirror = Mirror::new(children, creations);
        let mut state = self.slot.state();
        let Some(early) = state.take_early(self.epoch) else { return };
        let told = early.iter().try_for_each(|(kind, name)| match *kind {
            EventType::DELETED => {
                mirror.deleted(name);
                Ok(())
            }
            _ => mirror.created_meanwhile(name),
        });
        match told {
            Err(Doubt) => state.end(End::Doubt),
            Ok(()) if mirror.clients() > most_clients(mirror.len()) => state.end(End::Crowd),
            Ok(()) => {
                state.stage =
                    Stage::On { mirror, session: session.id(), since: Instant::now(), _watch: watch };
                self.slot.changed.notify_waiters();
                self.mirrors.runtime.spawn(end_when_idle(self.slot.clone(), self.epoch));
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        if state.is_opening(self.epoch) {
            state.end(End::Doubt);
        }
    }
}

fn most_clients(contenders: usize) -> usize {
    CLIENTS.max(contenders / LISTED_PER_CLIENT)
}

/// Ends a mirror once nobody has used it for a while.
async fn end_when_idle(slot: Arc<Slot>, epoch: u64) {
    loop {
        tokio::time::sleep(IDLE).await;
        let mut state = slot.state();
        if state.epoch != epoch || !matches!(state.stage, Stage::On { .. }) {
            return;
        }
        if state.users == 0 && state.last_join.elapsed() >= IDLE {
            return state.end(End::Unused);
        }
    }
}

impl Slot {
    fn new(path: &Arc<str>) -> Slot {
        let (changed, make_way) = Default::default();
        Slot { path: path.clone(), state: Mutex::new(State::new()), changed, make_way }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn is_idle(&self) -> bool {
        let state = self.state();
        state.users == 0 && matches!(state.stage, Stage::Off)
    }

    /// The child that `path` is, if it is one of the lock's.
    fn child<'a>(&self, path: &'a str) -> Option<&'a str> {
        let child = path.strip_prefix(&*self.path)?.strip_prefix('/')?;
        (!child.contains('/')).then_some(child)
    }
}

/// Why there is no mirror any more.
#[derive(Debug, Clone, Copy)]
enum End {
    /// What was told cannot be all.
    Doubt,
    /// Too many clients contend.
    Crowd,
    /// The connection, the session or the directory is gone, or nobody needs it.
    Unused,
}

impl State {
    fn new() -> State {
        State {
            stage: Stage::Off,
            epoch: 0,
            waiters: BTreeMap::new(),
            users: 0,
            joins: 0,
            waits: 0,
            last_join: Instant::now(),
            not_before: None,
            pause: PAUSES.0,
        }
    }

    fn enter(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.last_join) > SOON && self.users == 0 {
            (self.joins, self.waits) = (0, 0);
        }
        self.last_join = now;
        self.joins = self.joins.saturating_add(1);
        self.users += 1;
        if let Stage::On { mirror, .. } = &self.stage
            && mirror.clients() > 2 * most_clients(mirror.len())
        {
            self.end(End::Crowd);
        }
    }

    fn wants(&self, busy: bool) -> bool {
        matches!(self.stage, Stage::Off)
            && self.joins >= JOINS
            && (busy || self.waits >= 2 || self.users > 2)
            && self.not_before.is_none_or(|moment| Instant::now() >= moment)
    }

    fn is_opening(&self, epoch: u64) -> bool {
        self.epoch == epoch && matches!(self.stage, Stage::Opening { .. })
    }

    /// The events that came while it was opened, if it still is; it then is off.
    fn take_early(&mut self, epoch: u64) -> Option<Vec<(EventType, String)>> {
        if self.epoch != epoch {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Off) {
            Stage::Opening { early } => Some(early),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// From here on everybody lists.
    fn end(&mut self, why: End) {
        if matches!(&self.stage, Stage::On { since, .. } if since.elapsed() >= IDLE) {
            self.pause = PAUSES.0;
        }
        self.stage = Stage::Off;
        self.epoch += 1;
        // Their senders' end is what they wait for.
        self.waiters.clear();
        let pause = match why {
            End::Unused => return,
            End::Crowd => IDLE,
            End::Doubt => {
                let pause = self.pause;
                self.pause = (2 * pause).min(PAUSES.1);
                pause
            }
        };
        self.not_before = Some(Instant::now() + pause);
    }
}

/// Where the events of one watch go.
#[derive(Debug)]
struct Feed {
    slot: Arc<Slot>,
    epoch: u64,
}

impl TreeSink for Feed {
    fn event(&self, event: Result<WatchEvent, SessionError>) {
        let mut state = self.slot.state();
        if state.epoch != self.epoch {
            return;
        }
        let event = match event {
            Ok(event) if event.kind == EventType::DATA_CHANGED => return,
            Ok(event) => event,
            Err(fault) => {
                let taken = matches!(fault, SessionError::Watched { .. });
                return state.end(if taken { End::Doubt } else { End::Unused });
            }
        };
        let Some(child) = self.slot.child(&event.path) else {
            if event.path == *self.slot.path {
                state.end(End::Unused);
            }
            return;
        };
        let doubt = match &mut state.stage {
            Stage::Off => false,
            Stage::Opening { early } => {
                early.push((event.kind, child.to_owned()));
                early.len() > EARLY
            }
            Stage::On { mirror, .. } if event.kind == EventType::DELETED => {
                mirror.deleted(child);
                false
            }
            Stage::On { mirror, .. } => mirror.created(child).is_err(),
        };
        if doubt {
            tracing::debug!(path = %self.slot.path, child, "a mirror missed somebody; listing");
            state.end(End::Doubt);
        } else if event.kind == EventType::DELETED {
            state.waiters.remove(child);
        } else {
            self.slot.changed.notify_waiters();
        }
    }
}
