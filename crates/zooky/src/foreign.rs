//! Contenders that come second and do not respect ours. They cannot be kept out; so the holder is told.
//!
//! A stock client that overlooks our contender gets its lock although we hold ours. Whoever comes after it is refused;
//! the one who holds already learns it here, by a watch on the directory's children. The watch is set once a lock has
//! been held for a while, and the children are listed at most a few times a second, less often the more there are: a
//! long queue must not make its holder list it at every join.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use zooky_client::{Error as SessionError, Session};

use crate::cleanup::Pause;
use crate::core::dialect::Kind;
use crate::core::respect::{Danger, danger};
use crate::inspect::Contender;

/// How long a lock is held before the others are looked at: a short one is spared the requests.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// The shortest time between two listings, and what each child adds to it.
const BETWEEN: Duration = Duration::from_millis(250);
const FOR_EACH_CHILD: Duration = Duration::from_micros(200);

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

/// What has been seen so far: the first one, until the first certain one.
pub(crate) type Seen = watch::Sender<Option<ForeignContender>>;

/// Waits for a certain one. For ever, if none comes.
pub(crate) async fn certain(seen: &Seen) -> ForeignContender {
    let mut changes = seen.subscribe();
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

/// Looks at the directory of the held node `own`, of this kind, until a certain stranger is found or the session ends.
/// Ended by being dropped.
pub(crate) async fn look_out(session: Session, directory: &str, own: &str, kind: Kind, seen: &Seen) {
    sleep(LOOK_AFTER).await;
    let mut known = HashSet::new();
    let mut pause = Pause::new();
    loop {
        let listed = Instant::now();
        match session.children_watch(directory).await {
            Ok((children, watch)) => {
                for name in children.names.iter().filter(|name| *name != own) {
                    let Some(danger) = danger(kind, name).filter(|_| known.insert(name.clone())) else {
                        continue;
                    };
                    report(&session, directory, name, danger, seen).await;
                    if danger == Danger::Certain {
                        return;
                    }
                }
                known.retain(|name| children.names.contains(name));
                let many = u32::try_from(children.names.len()).unwrap_or(u32::MAX);
                if watch.await.is_err_and(|fault| fault.is_final()) {
                    return;
                }
                sleep_until(listed + BETWEEN + FOR_EACH_CHILD * many).await;
            }
            // Our node is gone with its directory: that is noticed elsewhere.
            Err(SessionError::NoNode { .. }) => return,
            Err(SessionError::ConnectionLoss { .. }) => {}
            Err(fault) if fault.is_final() => return,
            Err(fault) => {
                tracing::warn!(directory, %fault, "who else contends for a held lock cannot be watched; trying again");
                pause.next().await;
            }
        }
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
    seen.send_if_modified(|first| {
        let graver = first.as_ref().is_none_or(|first| certain && !first.certain);
        if graver {
            *first = Some(found);
        }
        graver
    });
}
