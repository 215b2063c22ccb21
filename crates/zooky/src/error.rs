//! What can go wrong, and what to do about it.

use std::sync::Arc;
use std::time::Duration;

use crate::core::strangers::Others;
use crate::inspect::Contender;
use crate::{Dialect, ParseTokenError};

/// Why an operation on a lock failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server could be reached, or none let us in.
    #[error(transparent)]
    Connect(#[from] zooky_client::ConnectError),
    /// The text names no list of servers.
    #[error(transparent)]
    Servers(#[from] zooky_client::ServerListError),
    /// A request to the server failed.
    #[error(transparent)]
    Session(#[from] zooky_client::Error),
    /// The path does not name a lock.
    #[error("{path:?} is no path for a lock: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The path names no znode.
    #[error("{path:?} is no path of a znode: {why}")]
    NodePath {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The time was over before the lock was granted. No node is left behind.
    #[error("{path} was not granted within {waited:?}{}", held_by(holder))]
    Timeout {
        /// The lock's path.
        path: String,
        /// How long it was tried.
        waited: Duration,
        /// The contender that was waited for, if it could be seen.
        holder: Option<Box<Contender>>,
    },
    /// To wait would have been for ever: the owner waits for others who wait for it. No node is left behind.
    #[error(
        "waiting for {path} would never end: {cycle}. Release what you hold and begin anew; always locking in \
         one order, or taking them together, avoids it"
    )]
    Deadlock {
        /// The lock's path.
        path: String,
        /// Who waits for whom.
        cycle: Box<crate::inspect::Cycle>,
    },
    /// Deadlocks cannot be found without knowing which locks are one's own.
    #[error(
        "{path}: to be refused in a deadlock, say who you are: with_owner(Owner::this_process().with_id(…))"
    )]
    NoOwnerId {
        /// The lock's path.
        path: String,
    },
    /// Deadlocks cannot be found where contenders do not say whose they are: only in kazoo's dialect is there room for the
    /// [`Owner`](crate::Owner) in their nodes.
    #[error(
        "{path}: to be refused in a deadlock, each contender must say who owns it, and {dialect}'s have no room for \
         that. Use kazoo's dialect, or a time limit"
    )]
    NoRoomForOwner {
        /// The lock's path.
        path: String,
        /// The dialect.
        dialect: Dialect,
    },
    /// The lock was lost before it was released: another may hold it since. What was written under
    /// it since then counts only if it was fenced.
    #[error("{path} was lost before it was released; check what was written under it")]
    Lost {
        /// The lock's path.
        path: String,
    },
    /// Another contender is in the directory that would not respect ours, or that others of our kind would not
    /// respect.
    #[error(
        "{path}/{child} is a contender of {theirs}, which does not share a queue with {ours} (as which zooky \
         contends): both could hold the lock. Use another path, or let all clients of this lock speak one dialect{others}"
    )]
    ForeignContender {
        /// The lock's path.
        path: String,
        /// The child; of several, the one that came first.
        child: String,
        /// Further children for which ours would be refused, whatever they are.
        others: Box<Others>,
        /// Who writes names as the child's.
        dialect: Dialect,
        /// The kind of lock that the child belongs to.
        theirs: &'static str,
        /// The kind of lock as which we came.
        ours: &'static str,
    },
    /// A dialect that zooky reads, but does not write.
    #[error("zooky does not write {dialect}'s contenders; choose kazoo's, Curator's or zktools' dialect")]
    NotWritten {
        /// The dialect.
        dialect: Dialect,
    },
    /// A recipe that the clients of this dialect do not have, so that there is no layout to share with them.
    #[error("{dialect} has no {recipe}; choose kazoo's or Curator's dialect for it")]
    NoSuchRecipe {
        /// The dialect.
        dialect: Dialect,
        /// The recipe.
        recipe: &'static str,
    },
    /// A child that no known client writes.
    #[error("{path}/{child} is no contender of any known client; is {path} really a lock?{others}")]
    UnknownChild {
        /// The lock's path.
        path: String,
        /// The child; of several, the first by its name.
        child: String,
        /// Further children of this sort.
        others: Box<Others>,
    },
    /// The directory's 31-bit counter is near its end, where the order of contenders breaks down.
    #[error(
        "{path}/{child}: the directory's sequence counter is nearly used up. When nobody holds or wants \
         the lock, delete {path}; it will be made anew"
    )]
    SequenceExhausted {
        /// The lock's path.
        path: String,
        /// The child that showed it.
        child: String,
    },
    /// A lock was named twice among several that are to be taken as one.
    #[error("{path} is named twice among the locks that are to be taken as one; name it once")]
    NamedTwice {
        /// The lock's path.
        path: String,
    },
    /// A candidate could not get its lock.
    #[error("{path} was not acquired: {why}")]
    NotAcquired {
        /// The lock's path.
        path: String,
        /// What went wrong; several may have waited for the same candidate.
        why: Arc<Error>,
    },
    /// A candidate was let go before it had the lock.
    #[error("the candidate for {path} was let go before it had the lock; enqueue again")]
    Released {
        /// The lock's path.
        path: String,
    },
    /// Somebody uses a semaphore with another number of leases.
    #[error(
        "{path} is a semaphore with {stored} leases, as its other clients have stored there, not with {ours}; let all clients \
         say the same number, or (when nobody uses it) delete {path}"
    )]
    LeasesDiffer {
        /// The semaphore's path.
        path: String,
        /// What this client was told.
        ours: u32,
        /// What is stored.
        stored: u64,
    },
    /// The node's data are no number of leases: it is used for something else.
    #[error("{path} holds {data:?}, which is no number of leases; use another path for the semaphore")]
    NoSemaphore {
        /// The semaphore's path.
        path: String,
        /// What it holds (at most the first 64 characters).
        data: String,
    },
    /// Somebody revoked the lock immediately while this one waited for it: its node was removed. Told to handles that are
    /// `revocable`; others join again.
    #[error(
        "{path}: somebody revoked the lock immediately while it was waited for; ask again if it is still wanted"
    )]
    Revoked {
        /// The lock's path.
        path: String,
    },
    /// Two readers want to become the writer; each would wait for the other for ever. The one who came second is
    /// told, and still reads.
    #[error(
        "{path}: another reader ({mark}) is being upgraded and waits for this one. Release this reader's guard, or \
         do without the upgrade"
    )]
    UpgradeConflict {
        /// The lock's path.
        path: String,
        /// What the other reader waits by.
        mark: String,
    },
    /// The guard cannot be upgraded or downgraded.
    #[error("{path}: {why}")]
    Unchangeable {
        /// The lock's path.
        path: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// The blocking face was used on a thread that runs asynchronous tasks.
    #[error("zooky::blocking would block an asynchronous runtime's thread; use the asynchronous types there")]
    InsideRuntime,
    /// The blocking face could not start its runtime.
    #[error("the runtime of zooky::blocking did not start: {0}")]
    Runtime(#[source] std::io::Error),
    /// A text that is no fencing token.
    #[error(transparent)]
    Token(#[from] ParseTokenError),
}

impl Error {
    /// Whether the lock was just not free: a time-out.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Timeout { .. })
    }
}

fn held_by(holder: &Option<Box<Contender>>) -> String {
    holder.as_ref().map(|holder| format!("; waiting for {holder}")).unwrap_or_default()
}
