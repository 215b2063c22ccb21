//! Contenders that come second and do not respect ours. They cannot be kept out; so the holder is told.
//!
//! A stock client that overlooks our contender gets its lock although we hold ours. Whoever comes after it is refused;
//! the one who holds already learns it here: from the lock's mirror where its client has one, else by a watch on the
//! directory's children. They are looked at once a lock has been held for a while, and at most a few times a second,
//! less often the more there are: a long queue must not make its holder list it at every join.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use zooky_client::{Error as SessionError, Session};

use crate::cleanup::Pause;
use crate::core::dialect::Kind;
use crate::core::respect::{Danger, danger};
use crate::inspect::Contender;
use crate::mirror::Onlooker;

/// How long a lock is held before the others are looked at: a short one is spared the requests.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// The shortest time between two listings, and what each child adds to it.
const BETWEEN: Duration = Duration::from_millis(250);
const FOR_EACH_CHILD: Duration = Duration::from_micros(200);
/// How often the children are listed although there is a mirror.
const LIST_ANYWAY: Duration = Duration::from_secs(30);
/// For how long nothing is watched where a mirror is wanted.
const MAKE_WAY: Duration = Duration::from_secs(1);

/// A child that came into the directory while the lock was held, and that does not respect it.
///
/// Both may believe that they hold the lock. The [fencing token](crate::Guard::fencing_token) of ours protects a
/// resource that checks it only as far as the stranger brings one, too.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForeignContender {
    /// The path of its node.
    pub path: String,
    /// What the server shows of it; `None` if it is gone already, or no contender of any known client.
    pub contender: Option<Contender>,
    /// Whether it surely does not wait for ours. It is not sure of a child that nobody knows, and behind a reader of
    /// kazoo's dialect: kazoo's Lock and WriteLock look the same, and only the WriteLock waits for readers.
    pub certain: bool,
}

/// What has been seen so far: the first one, until the first certain one. Most locks are released before anybody looks, and
/// are spared the channel.
#[derive(Debug, Default)]
pub(crate) struct Seen(OnceLock<watch::Sender<Option<ForeignContender>>>);

impl Seen {
    pub(crate) fn get(&self) -> Option<ForeignContender> {
        self.0.get().and_then(|seen| seen.borrow().clone())
    }

    fn channel(&self) -> &watch::Sender<Option<ForeignContender>> {
        self.0.get_or_init(watch::Sender::default)
    }
}

/// Waits for a certain one. For ever, if none comes.
pub(crate) async fn certain(seen: &Seen) -> ForeignContender {
    let mut changes = seen.channel().subscribe();
    loop {
        let found = changes.borrow_and_update().clone().filter(|found| found.certain);
        if let Some(found) = found {
            return found;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Looks at a lock's directory for those who do not respect it.
pub(crate) struct LookOut<'a> {
    pub(crate) session: Session,
    pub(crate) mirror: Onlooker,
    pub(crate) directory: &'a str,
    /// The kind of the node that is held.
    pub(crate) kind: Kind,
    pub(crate) seen: &'a Seen,
}

/// How it goes on.
enum Next {
    /// Looks again; there were so many children.
    Again(usize),
    /// A mirror is wanted: watches nothing for a while.
    MakeWay,
    /// Tries again after a fault.
    Pause,
    Over,
}

impl LookOut<'_> {
    /// Looks until a certain stranger is found or the session ends. Ended by being dropped.
    pub(crate) async fn run(self) {
        sleep(LOOK_AFTER).await;
        let mut known = HashSet::new();
        let mut pause = Pause::new();
        let mut list_at = Instant::now() + LIST_ANYWAY;
        loop {
            let begun = Instant::now();
            let next = match self.look_into_mirror(&mut known, &mut list_at).await {
                Some(next) => next,
                None => self.list(&mut known).await,
            };
            match next {
                Next::Again(children) => {
                    let many = u32::try_from(children).unwrap_or(u32::MAX);
                    sleep_until(begun + BETWEEN + FOR_EACH_CHILD.saturating_mul(many)).await;
                }
                Next::MakeWay => _ = timeout(MAKE_WAY, self.mirror.changed()).await,
                Next::Pause => pause.next().await,
                Next::Over => return,
            }
        }
    }

    /// Looks into the mirror and waits for its next change; `None` if there is no mirror. A watch on the children
    /// would take the place of the mirror's own.
    async fn look_into_mirror(&self, known: &mut HashSet<String>, list_at: &mut Instant) -> Option<Next> {
        let mut changed = pin!(self.mirror.changed());
        changed.as_mut().enable();
        let (strangers, many) = self.mirror.strangers(&self.session, self.kind)?;
        if self.judge(&strangers, known).await {
            return Some(Next::Over);
        }
        if timeout_at(*list_at, changed).await.is_ok() {
            return Some(Next::Again(many));
        }
        // A mirror is not told of children that this session may not read.
        *list_at = Instant::now() + LIST_ANYWAY;
        Some(match self.session.children(self.directory).await {
            Ok(children) if self.judge(&children.names, known).await => Next::Over,
            Ok(children) => Next::Again(children.names.len()),
            Err(fault) => self.after(&fault),
        })
    }

    /// Lists the children, and waits for their next change.
    async fn list(&self, known: &mut HashSet<String>) -> Next {
        let mut make_way = pin!(self.mirror.make_way());
        make_way.as_mut().enable();
        match self.session.children_watch(self.directory).await {
            Ok((children, _)) if self.judge(&children.names, known).await => Next::Over,
            Ok((children, watch)) => tokio::select! {
                event = watch => match event {
                    Err(fault) if fault.is_final() => Next::Over,
                    _ => Next::Again(children.names.len()),
                },
                () = make_way => Next::MakeWay,
            },
            Err(fault) => self.after(&fault),
        }
    }

    fn after(&self, fault: &SessionError) -> Next {
        match fault {
            // Our node is gone with its directory: that is noticed elsewhere.
            SessionError::NoNode { .. } => Next::Over,
            SessionError::ConnectionLoss { .. } => Next::Again(0),
            fault if fault.is_final() => Next::Over,
            fault => {
                let directory = self.directory;
                tracing::warn!(directory, %fault, "who else contends for a held lock cannot be watched; trying again");
                Next::Pause
            }
        }
    }

    /// Reports those that do not respect the lock and are not known yet; whether one is certain.
    async fn judge(&self, names: &[String], known: &mut HashSet<String>) -> bool {
        for name in names {
            let Some(danger) = danger(self.kind, name).filter(|_| known.insert(name.clone())) else {
                continue;
            };
            report(&self.session, self.directory, name, danger, self.seen).await;
            if danger == Danger::Certain {
                return true;
            }
        }
        known.retain(|name| names.contains(name));
        false
    }
}

async fn report(session: &Session, directory: &str, name: &str, danger: Danger, seen: &Seen) {
    let path = format!("{directory}/{name}");
    let read = session.get(&path).await.ok();
    let contender = read.and_then(|(data, stat)| Contender::read(directory, name, data, stat, None));
    let certain = danger == Danger::Certain;
    if certain {
        tracing::error!(path, "a contender came that does not respect the lock we hold");
    }
    let found = ForeignContender { path, contender, certain };
    seen.channel().send_if_modified(|first| {
        let graver = first.as_ref().is_none_or(|first| certain && !first.certain);
        if graver {
            *first = Some(found);
        }
        graver
    });
}
