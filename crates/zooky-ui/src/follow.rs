//! Following the locks: one session, and one recursive watch for each root.
//!
//! First the watch, then a listing, then the watch's events: so nothing is missed. When the connection breaks, or more
//! happens than is kept up with, all begins again; what has not changed is not told to pages a second time. Servers before 3.6
//! have no such watch: they are listed again and again, with pauses of ten times as long as it took.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use zooky::inspect::{Contender, Listed, LockQueue, list_level};
use zooky::session::{BootInstant, Error as SessionError, EventType, Session, Stat, TreeSink, WatchEvent};
use zooky::{Client, Error};

use crate::core::health::Health;
use crate::core::metrics;
use crate::core::model::Model;
use crate::core::row::{Place, Row};
use crate::core::update::{Link, Update};

/// How often pages are told what has changed.
const TICK: Duration = Duration::from_millis(100);
/// How many events may wait; with more, everything is listed anew.
const EVENTS: usize = 65_536;
/// How many requests are under way at once.
const AT_ONCE: usize = 512;
/// How many updates a page may be behind before it is told everything anew.
const BEHIND: usize = 256;
/// How many contenders a page takes in at one go.
const PIECE: usize = 500;
/// The shortest pause between two listings.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait after a failure, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How deep locks are looked for below a root.
const DEPTH: usize = 16;

/// By what the picture is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By recursive watches; on servers that have none, as [`Poll`](How::Poll).
    Watch,
    /// By listing everything again and again.
    Poll,
}

/// Keeps a picture of all locks below some roots, until it is dropped.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the task and those who look share.
#[derive(Debug)]
pub(crate) struct Shared {
    model: Mutex<Model>,
    health: Mutex<Vec<Health>>,
    updates: broadcast::Sender<Bytes>,
    pub(crate) client: Client,
    roots: Vec<String>,
    /// Whether the server tells whose sessions have expired.
    tells_losses: bool,
}

/// A change cannot leave the model half done: its methods do not panic.
impl Shared {
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Vec<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_health(&self, health: Vec<Health>) {
        self.model().look_for_losses(&health);
        self.publish(&Update { now_ms: now_ms(), health: Some(health.clone()), ..Update::default() });
        *self.health() = health;
    }

    pub(crate) fn metrics(&self) -> String {
        let health = self.health().clone();
        let around = metrics::Around { health: &health, tells_losses: self.tells_losses };
        metrics::write(&self.model(), &around)
    }

    /// Everything as of now, and what comes after it.
    pub(crate) fn subscribe(&self) -> (VecDeque<Bytes>, broadcast::Receiver<Bytes>) {
        let mut model = self.model();
        self.publish_news(&mut model);
        let mut all = model.everything(now_ms(), PIECE);
        if let Some(first) = all.first_mut() {
            first.health = Some(self.health().clone());
        }
        // Still under the lock: no update is told twice or never.
        (all.iter().map(encoded).collect(), self.updates.subscribe())
    }

    fn publish_news(&self, model: &mut Model) {
        if let Some(news) = model.news(now_ms()) {
            self.publish(&news);
        }
    }

    fn publish(&self, update: &Update) {
        if self.updates.receiver_count() > 0 {
            // The last page may have gone meanwhile.
            let _ = self.updates.send(encoded(update));
        }
    }
}

fn encoded(update: &Update) -> Bytes {
    // Serializing plain structures cannot fail.
    serde_json::to_vec(update).unwrap_or_default().into()
}

impl Follower {
    /// Begins to follow the locks below `roots`, on the client's session. Roots that do not exist yet are waited for. What
    /// fails is tried again, for as long as this exists; meanwhile the picture stays as it was, and is said to be old.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn start(client: Client, roots: Vec<String>, how: How) -> Follower {
        Follower::new(client, roots, how, None)
    }

    /// The same beside a server in this process, which tells here the paths of nodes that go because their session has expired,
    /// before it tells any client: so losses are counted. Those that are told while more happens than is kept up with may
    /// not be.
    ///
    /// # Panics
    /// As [`start`](Follower::start).
    pub fn beside_server(
        client: Client,
        roots: Vec<String>,
        expired: mpsc::Receiver<Vec<String>>,
    ) -> Follower {
        Follower::new(client, roots, How::Watch, Some(expired))
    }

    fn new(
        client: Client,
        roots: Vec<String>,
        how: How,
        expired: Option<mpsc::Receiver<Vec<String>>>,
    ) -> Follower {
        let (updates, _) = broadcast::channel(BEHIND);
        let (model, health) = (Mutex::default(), Mutex::default());
        let tells_losses = expired.is_some();
        let shared = Arc::new(Shared { model, health, updates, client, roots, tells_losses });
        // Without a server that tells, one end of a channel whose other end is gone.
        let expired = expired.unwrap_or_else(|| mpsc::channel(1).1);
        let task = tokio::spawn(follow(shared.clone(), how, expired));
        Follower { shared, task }
    }

    /// All locks as they are now, in no order.
    pub fn rows(&self) -> Vec<Row> {
        self.shared.model().rows()
    }

    /// Who holds the lock at `path` now and who waits for it, in order; nobody if there is no such lock.
    pub fn queue(&self, path: &str) -> Vec<Place> {
        self.shared.model().queue(path)
    }

    /// Why the picture is not of now; `None` if it is.
    pub fn stale(&self) -> Option<String> {
        let model = self.shared.model();
        if model.link.live {
            return None;
        }
        Some(model.link.why.clone().unwrap_or_else(|| "the locks are being listed".to_owned()))
    }

    /// The numbers for Prometheus, in its text format.
    pub fn metrics(&self) -> String {
        self.shared.metrics()
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(shared: Arc<Shared>, how: How, expired: mpsc::Receiver<Vec<String>>) {
    let (mut how, mut expired) = (how, expired);
    let mut again = AGAIN.0;
    loop {
        let begun = Instant::now();
        let ended = Round::run(&shared, how, &mut expired).await;
        let why = match ended {
            Ok(Ended::NoWatches) => {
                how = How::Poll;
                continue;
            }
            Ok(Ended::TooMuch) => "more happened than can be followed".to_owned(),
            Err(fault) => fault.to_string(),
        };
        tracing::warn!(why, "the locks are listed anew");
        {
            let mut model = shared.model();
            model.link.live = false;
            model.link.why = Some(why);
            let link = model.link.clone();
            shared.publish(&Update { now_ms: now_ms(), link: Some(link), ..Update::default() });
        }
        again = if begun.elapsed() > AGAIN.1 { AGAIN.0 } else { (again * 2).min(AGAIN.1) };
        tokio::time::sleep(again).await;
    }
}

/// Why following has to begin anew, other than by an error.
enum Ended {
    NoWatches,
    TooMuch,
}

/// Hands events on; it runs on the task that drives the session.
struct Feed {
    events: mpsc::Sender<Result<WatchEvent, SessionError>>,
    full: Arc<AtomicBool>,
}

impl TreeSink for Feed {
    fn event(&self, event: Result<WatchEvent, SessionError>) {
        if self.events.try_send(event).is_err() {
            self.full.store(true, Ordering::Release);
        }
    }
}

type Read = (String, String, Result<(Bytes, Stat), SessionError>);

/// One session's worth of following.
struct Round<'a> {
    shared: &'a Shared,
    session: Session,
    how: How,
    /// Reads under way, and those that wait for their turn.
    reads: FuturesUnordered<Pin<Box<dyn Future<Output = Read> + Send>>>,
    to_read: VecDeque<(String, String)>,
    /// Nodes that are about to go with their sessions.
    expired: &'a mut mpsc::Receiver<Vec<String>>,
}

impl<'a> Round<'a> {
    async fn run(
        shared: &'a Shared,
        how: How,
        expired: &'a mut mpsc::Receiver<Vec<String>>,
    ) -> Result<Ended, Error> {
        let session = shared.client.session().await?;
        let (reads, to_read) = Default::default();
        let mut round = Round { shared, session, how, reads, to_read, expired };
        let (events, mut arriving) = mpsc::channel(EVENTS);
        let full = Arc::<AtomicBool>::default();
        let mut watches = Vec::new();
        if how == How::Watch {
            for root in &shared.roots {
                let feed = Feed { events: events.clone(), full: full.clone() };
                let (watch, set) = round.session.watch_tree(root, Arc::new(feed));
                match set.await {
                    Ok(()) => watches.push(watch),
                    Err(fault) if is_unknown(&fault) => return Ok(Ended::NoWatches),
                    Err(fault) => return Err(fault.into()),
                }
            }
        }
        let took = round.list().await?;
        round.ticking(&mut arriving, &full, took).await
    }

    async fn ticking(
        mut self,
        arriving: &mut mpsc::Receiver<Result<WatchEvent, SessionError>>,
        full: &AtomicBool,
        took: Duration,
    ) -> Result<Ended, Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut second = Instant::now();
        let mut list_at = Instant::now() + pause(took);
        loop {
            self.begin_reads();
            tokio::select! {
                biased;
                Some(event) = arriving.recv() => self.event(&event?),
                Some(read) = self.reads.next() => self.read(read)?,
                _ = tick.tick() => {
                    if full.load(Ordering::Acquire) {
                        return Ok(Ended::TooMuch);
                    }
                    if self.how == How::Poll && Instant::now() >= list_at {
                        let took = self.list().await?;
                        list_at = Instant::now() + pause(took);
                    }
                    note_expired(self.expired, &mut self.shared.model());
                    self.tell(&mut second);
                }
            }
        }
    }

    /// Tells the pages what is new.
    fn tell(&self, second: &mut Instant) {
        let mut model = self.shared.model();
        self.shared.publish_news(&mut model);
        if second.elapsed() >= Duration::from_secs(1) {
            *second = Instant::now();
            self.link(&mut model);
            let update = model.second(now_ms());
            self.shared.publish(&update);
        }
    }

    fn link(&self, model: &mut Model) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let left = self.session.deadline().saturating_since(BootInstant::now());
        model.link = Link {
            live: true,
            how: if self.how == How::Watch { "watch" } else { "poll" },
            why: None,
            session: format!("0x{:x}", self.session.id()),
            timeout_ms: millis(self.session.timeout()),
            left_ms: millis(left),
            roots: self.shared.roots.clone(),
        };
    }

    /// Lists everything below the roots; how long that took.
    async fn list(&mut self) -> Result<Duration, Error> {
        let begun = Instant::now();
        let mut found: Vec<(String, String)> = Vec::new();
        let mut directories = HashSet::new();
        for root in &self.shared.roots {
            let mut level = vec![root.clone()];
            for _ in 0..DEPTH {
                let mut next = Vec::new();
                for (path, listed) in level.iter().zip(list_level(&self.session, &level).await?) {
                    // Deleted meanwhile, or not for us to see.
                    let Listed::Children { contending, below } = listed else { continue };
                    if path != root && (below.is_empty() || !contending.is_empty()) {
                        directories.insert(path.clone());
                    }
                    found.extend(contending.into_iter().map(|name| (path.clone(), name)));
                    next.extend(below);
                }
                level = next;
                if level.is_empty() {
                    break;
                }
            }
        }
        let mut model = self.shared.model();
        note_expired(self.expired, &mut model);
        model.listing();
        for path in &directories {
            model.directory(path);
        }
        for (path, name) in &found {
            model.joined(path, name, false, now_ms());
        }
        model.listed(&directories, now_ms());
        self.to_read = model.undescribed().into();
        self.link(&mut model);
        Ok(begun.elapsed())
    }

    fn event(&mut self, event: &WatchEvent) {
        let Some((parent, name)) = event.path.rsplit_once('/') else { return };
        let mut model = self.shared.model();
        let now_ms = now_ms();
        let is_root = self.shared.roots.contains(&event.path);
        match event.kind {
            EventType::CREATED if contends(name) => {
                let new = model.joined(parent, name, true, now_ms);
                self.to_read.extend(new.then(|| (parent.to_owned(), name.to_owned())));
            }
            EventType::CREATED if !is_root && !name.starts_with("zooky.") => {
                model.no_lock(parent);
                model.directory(&event.path);
            }
            EventType::DELETED if contends(name) => {
                note_expired(self.expired, &mut model);
                model.left(parent, name, now_ms);
            }
            EventType::DELETED => model.directory_gone(&event.path, now_ms),
            EventType::DATA_CHANGED if contends(name) => {
                self.to_read.push_back((parent.to_owned(), name.to_owned()));
            }
            _ => {}
        }
    }

    fn begin_reads(&mut self) {
        while self.reads.len() < AT_ONCE {
            let Some((path, name)) = self.to_read.pop_front() else { return };
            let read = self.session.get(&format!("{path}/{name}"));
            self.reads.push(Box::pin(async move { (path, name, read.await) }));
        }
    }

    fn read(&mut self, (path, name, read): Read) -> Result<(), Error> {
        match read {
            Ok((data, stat)) => {
                let Some(contender) = Contender::of_node(&path, &name, data, stat) else { return Ok(()) };
                self.shared.model().described(&path, &name, contender);
                Ok(())
            }
            // It has left, or is not for us to see.
            Err(SessionError::NoNode { .. } | SessionError::NoAuth { .. }) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Takes in which nodes go with their sessions. That is told before the events of their deletions are.
fn note_expired(expired: &mut mpsc::Receiver<Vec<String>>, model: &mut Model) {
    while let Ok(nodes) = expired.try_recv() {
        model.expired(&nodes);
    }
}

/// Whether a child of this name stands in the queue of its directory.
fn contends(name: &str) -> bool {
    LockQueue::default().insert(name).is_some()
}

/// A server that does not know recursive watches says so, or hangs up.
fn is_unknown(fault: &SessionError) -> bool {
    matches!(fault, SessionError::Server { .. })
}

fn pause(took: Duration) -> Duration {
    (took * 10).max(POLL)
}

/// Milliseconds since 1970 on this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
