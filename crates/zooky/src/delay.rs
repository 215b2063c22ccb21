//! Lock-delay: a lock whose holder vanished stays closed for a while, so that what the holder had sent to a resource
//! before can arrive there. The idea is Chubby's (M. Burrows, 2006, section 2.4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zooky_client::{
    BootInstant, Create, CreateKind, CreateMode, Error as SessionError, ErrorCode, MultiOp, Session,
};

use crate::Error;
use crate::acquire::Recipe;
use crate::cleanup::{self, Pause};
use crate::core::delay::{marker, stale};
use crate::core::dialect::Mode;
use crate::guard::Guard;
use crate::multi::first_error;

/// The longest delay that a marker can ask for.
const LONGEST: Duration = Duration::from_secs(3600);

/// The setting of a handle; its clones share what they have seen.
#[derive(Debug, Clone)]
pub(crate) struct LockDelay {
    time: Duration,
    /// When each marker, by its czxid, was seen first.
    seen: Arc<Mutex<HashMap<i64, BootInstant>>>,
}

/// What a marker's node says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    /// How long whoever is next is to wait.
    delay_ms: u64,
    /// Who held the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<crate::Owner>,
}

/// What came of a grant.
pub(crate) enum Settled {
    /// The lock is held.
    Held(Guard),
    /// A dead holder's delay is not over.
    NotYet,
    /// The lock was lost meanwhile.
    Lost,
}

/// What came of leaving our marker.
enum Marked {
    /// It is there, and those that were waited out are not.
    Done,
    /// One of those was not there any more.
    Gone(String),
    /// Perhaps it was done.
    Unknown,
    /// The lock was lost meanwhile.
    Lost,
}

macro_rules! lock_delay {
    () => {
        /// If a holder vanishes (its session ends without a release), the lock stays closed for `time` from the moment
        /// at which whoever is next sees that, so that what the holder had sent before can arrive; the default is not.
        ///
        /// **Only handles with this setting are kept out**: give it to all handles of the lock, in all programs. Clients of
        /// others ignore it. The delay is the vanished holder's. It costs one round trip and two more nodes for each
        /// grant: the holder writes a persistent marker (`zooky.N.write.delay`) beside its node before it has the lock, and removes it
        /// with its node. Readers wait for writers only (one that was upgraded or downgraded
        /// counts as what it was first). At most an hour.
        ///
        /// A `try` is refused while the delay lasts, which begins when any clone of the handle sees the marker; a new
        /// program that tries once only never gets past a marker: let it wait.
        #[must_use]
        pub fn lock_delay(mut self, time: std::time::Duration) -> Self {
            self.recipe.delay = Some($crate::delay::LockDelay::new(time));
            self
        }
    };
}
pub(crate) use lock_delay;

impl LockDelay {
    pub(crate) fn new(time: Duration) -> LockDelay {
        LockDelay { time: time.min(LONGEST), seen: Arc::default() }
    }

    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Waits out the markers of vanished holders, and leaves our own. The lock is granted, but not yet held.
    /// Dropped at any point, the guard removes its node, and the marker if there is one.
    pub(crate) async fn settle(&self, recipe: &Recipe, guard: Guard, wait: bool) -> Result<Settled, Error> {
        let session = guard.session().clone();
        let mut pause = Pause::new();
        let mut gone = Vec::new();
        loop {
            let children = match session.children(&recipe.path).await {
                Ok(children) => children.names,
                Err(SessionError::ConnectionLoss { .. }) => continue,
                Err(SessionError::Overloaded { .. }) => {
                    pause.next().await;
                    continue;
                }
                Err(SessionError::NoNode { .. }) => return Ok(Settled::Lost),
                Err(fault) => return Err(fault.into()),
            };
            let mut stale = stale(&children, guard.mode());
            stale.retain(|name| !gone.contains(*name));
            let left = self.left(recipe, &session, &stale).await?;
            if !left.is_zero() {
                if !wait {
                    return Ok(Settled::NotYet);
                }
                tracing::info!(path = %recipe.path, ?left, "the last holder vanished; its delay is waited out");
                tokio::select! {
                    biased;
                    () = guard.lost() => return Ok(Settled::Lost),
                    // In a suspend it stands still, which makes it longer.
                    () = tokio::time::sleep(left) => {}
                }
                continue;
            }
            match self.mark(recipe, &session, &guard, &stale).await? {
                Marked::Done => return Ok(Settled::Held(guard)),
                Marked::Gone(name) => gone.push(name),
                Marked::Unknown => {}
                Marked::Lost => return Ok(Settled::Lost),
            }
        }
    }

    /// Whether a vanished holder's delay is not over for one who comes in `mode`, by a listing from before.
    pub(crate) async fn lasts(
        &self,
        recipe: &Recipe,
        session: &Session,
        children: &[String],
        mode: Mode,
    ) -> Result<bool, Error> {
        Ok(!self.left(recipe, session, &stale(children, mode)).await?.is_zero())
    }

    /// How long these markers are yet to be waited for.
    async fn left(&self, recipe: &Recipe, session: &Session, stale: &[&String]) -> Result<Duration, Error> {
        let mut longest = Duration::ZERO;
        'markers: for name in stale {
            let path = format!("{}/{name}", recipe.path);
            let (said, stat) = loop {
                match session.get(&path).await {
                    Ok((data, stat)) => break (serde_json::from_slice::<Said>(&data).ok(), stat),
                    Err(SessionError::NoNode { .. }) => continue 'markers,
                    // Not known is not over. The next request waits for the next connection.
                    Err(SessionError::ConnectionLoss { .. }) => {}
                    Err(fault) => return Err(fault.into()),
                }
            };
            let delay = said.map_or(self.time, |said| Duration::from_millis(said.delay_ms)).min(LONGEST);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let now = BootInstant::now();
            let until = *seen.entry(stat.czxid).or_insert(now) + delay;
            longest = longest.max(until.saturating_since(now));
        }
        Ok(longest)
    }

    /// Leaves our marker, if the lock is still ours, and removes those that were waited out, all in one.
    async fn mark(
        &self,
        recipe: &Recipe,
        session: &Session,
        guard: &Guard,
        waited_out: &[&String],
    ) -> Result<Marked, Error> {
        let Some(name) = guard.path().rsplit('/').next().and_then(marker) else { return Ok(Marked::Lost) };
        let path = format!("{}/{name}", recipe.path);
        let delay_ms = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        let said = Said { delay_ms, owner: Some(recipe.owner.since_now()) };
        let create = Create {
            kind: CreateKind::Create2,
            path: path.clone(),
            data: Some(serde_json::to_vec(&said).unwrap_or_default().into()),
            acl: recipe.acl.to_vec(),
            mode: CreateMode::PERSISTENT,
        };
        let mut ops =
            vec![MultiOp::Check { path: guard.path().to_owned(), version: -1 }, MultiOp::Create(create)];
        let stale = waited_out.iter().map(|name| format!("{}/{name}", recipe.path));
        ops.extend(stale.map(|path| MultiOp::Delete { path, version: -1 }));
        // From now on whoever removes the node removes the marker, too.
        guard.has_marker(path.clone());
        match session.multi(ops).await {
            Ok(results) => match first_error(&results) {
                None => Ok(Marked::Done),
                Some((0, ErrorCode::NO_NODE)) => Ok(Marked::Lost),
                // Ours, by an attempt whose answer was lost.
                Some((1, ErrorCode::NODE_EXISTS)) => Ok(Marked::Done),
                // Another reader has removed it; and though the server that we are connected to may show it on, because it is
                // behind, or has lost transactions, the leader is right.
                Some((at @ 2.., ErrorCode::NO_NODE)) => {
                    Ok(waited_out.get(at - 2).map_or(Marked::Unknown, |name| Marked::Gone((*name).clone())))
                }
                Some((_, ErrorCode::NO_AUTH)) => Err(SessionError::NoAuth { path }.into()),
                Some((_, code)) => Err(SessionError::Server { code, path }.into()),
            },
            Err(SessionError::ConnectionLoss { .. }) => Ok(Marked::Unknown),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Sends the removal of a node, together with its marker if it has one, and tells what came of the node.
pub(crate) fn send_removal(
    session: &Session,
    node: &str,
    marker: Option<&String>,
) -> impl Future<Output = Result<(), SessionError>> + Send + use<> {
    let delete = |path: &str| MultiOp::Delete { path: path.to_owned(), version: -1 };
    let (alone, both) = match marker {
        None => (Some(session.delete(node, -1)), None),
        Some(marker) => {
            let sent = session.multi(vec![delete(node), delete(marker)]);
            (None, Some((sent, session.clone(), node.to_owned(), marker.clone())))
        }
    };
    async move {
        if let Some(sent) = alone {
            return sent.await;
        }
        let Some((sent, session, node, marker)) = both else { return Ok(()) };
        let first = match sent.await {
            Ok(results) => first_error(&results),
            Err(fault) => {
                cleanup::remove(&session, &marker, true).await;
                return Err(fault);
            }
        };
        match first {
            None => Ok(()),
            // One of them was gone: the other goes by itself.
            Some((at, _)) => {
                cleanup::remove(&session, &marker, false).await;
                if at == 0 {
                    Err(SessionError::NoNode { path: node })
                } else {
                    session.delete(&node, -1).await
                }
            }
        }
    }
}

/// Removes the marker, then the node, for certain.
pub(crate) async fn remove_both(session: &Session, node: &str, marker: Option<&String>) {
    if let Some(marker) = marker {
        cleanup::remove(session, marker, true).await;
    }
    cleanup::remove(session, node, true).await;
}
