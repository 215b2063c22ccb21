//! Looking at locks from outside: who holds them, who waits. Nothing here changes anything.

mod lock_queue;
mod tree;
mod waits;

use std::fmt;

use bytes::Bytes;
use zooky_client::{Error as SessionError, Stat, unix_ms};

use crate::core::dialect::classify;
use crate::core::message;
use crate::core::queue::Queue;
use crate::{Client, Dialect, Error, Mode, Owner};

pub use lock_queue::{LockQueue, Seat};
pub use tree::{Listed, list_level};
pub use waits::{Cycle, Wait, WaitGraph, wait_graph};

/// How many requests are under way at once: guards on the same session need room for theirs.
const AT_ONCE: usize = 512;

/// A contender as the server shows it, of whatever client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Contender {
    /// The name of its node.
    pub name: String,
    /// The path of its node.
    pub path: String,
    /// Whether it wants to be alone.
    pub mode: Mode,
    /// Whose way of naming it is.
    pub dialect: Dialect,
    /// The server's number; `None` where the dialect has none.
    pub sequence: Option<i64>,
    /// Whether it holds the lock, by the rules of its dialect; `None` if only it was looked at.
    pub holding: Option<bool>,
    /// What it says of itself, if it is one of zooky's.
    pub owner: Option<Owner>,
    /// Its node's data, whatever it says.
    pub data: Bytes,
    /// Its node's stat.
    pub stat: Stat,
}

impl Contender {
    pub(crate) fn read(
        directory: &str,
        name: &str,
        data: Bytes,
        stat: Stat,
        holding: Option<bool>,
    ) -> Option<Contender> {
        let what = classify(name).filter(|what| what.kind.contends())?;
        Some(Contender {
            name: name.to_owned(),
            path: format!("{directory}/{name}"),
            mode: what.mode,
            dialect: what.dialect,
            sequence: what.sequence,
            holding,
            owner: Owner::from_line(&data),
            data,
            stat,
        })
    }

    /// Reads the child `name` of the lock at `lock`, as a listing and a read showed it; `None` if it is no contender in
    /// any known dialect. Whether it holds the lock is not said: see [`LockQueue`].
    pub fn of_node(lock: &str, name: &str, data: Bytes, stat: Stat) -> Option<Contender> {
        Contender::read(lock, name, data, stat, None)
    }

    /// Whether it has been asked to let go; see [`Revoke::ask`](crate::Revoke::ask).
    pub fn is_asked(&self) -> bool {
        message::asks(&self.name, &self.data)
    }

    /// What it calls itself: the id of zooky's owner if it has one, else its node's data as they are (kazoo's
    /// identifier, say).
    pub fn identifier(&self) -> String {
        let id = self.owner.as_ref().and_then(|owner| owner.id.clone());
        id.unwrap_or_else(|| String::from_utf8_lossy(&self.data).into_owned())
    }

    /// The same text for all contenders of one owner: one with an id, of one run of one process. Who has no id is an owner
    /// of its own, for each of its contenders.
    pub fn owner_key(&self) -> String {
        match &self.owner {
            Some(Owner { id: Some(id), host, pid, run, .. }) => {
                // The id, which may hold anything, comes last.
                format!("{host}\n{pid}\n{}\n{id}", run.as_deref().unwrap_or_default())
            }
            _ => self.path.clone(),
        }
    }

    /// The path of the lock that it wants.
    pub fn lock_path(&self) -> &str {
        self.path.rsplit_once('/').map_or("/", |(lock, _)| lock)
    }

    /// The session that its node belongs to; 0 if the node is persistent.
    pub fn session(&self) -> i64 {
        self.stat.ephemeral_owner
    }

    /// When its node was created, in milliseconds since 1970 on the server's clock.
    pub fn since_ms(&self) -> i64 {
        self.stat.ctime_ms
    }
}

/// `pid 4711 (backup, user ops) on db1 since 12 s ago`, or what can be told of a stranger.
impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => {
                write!(f, "pid {} ({}, user {}) on {}", owner.pid, owner.program, owner.user, owner.host)?;
                if let Some(id) = &owner.id {
                    write!(f, ", id {id}")?;
                }
            }
            None => {
                let data = String::from_utf8_lossy(&self.data);
                write!(f, "a client of {} (session 0x{:x}", self.dialect, self.session())?;
                if !data.is_empty() {
                    write!(f, ", data {:?}", data.chars().take(64).collect::<String>())?;
                }
                f.write_str(")")?;
            }
        }
        let age_ms = unix_ms().saturating_sub(self.since_ms()).max(0);
        write!(f, ", there for {} s", age_ms / 1000)
    }
}

/// One lock below a root.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LockSummary {
    /// Its name below the root.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Those that hold it: nobody, one, or several readers.
    pub holders: Vec<Contender>,
    /// How many wait.
    pub waiters: usize,
}

impl LockSummary {
    /// Whether anybody holds it.
    pub fn is_locked(&self) -> bool {
        !self.holders.is_empty()
    }
}

/// Whether the child `name` of a lock may go ahead as a reader, judged by the names of all the lock's children: no writer
/// with a smaller number is among them. (zktools' `has_read_lock`; every known client's names are understood.)
///
/// # Errors
/// The names of those in the way, in order. Nobody is named if `name` is not among the children, or no contender.
pub fn has_read_lock(name: &str, children: &[String]) -> Result<(), Vec<String>> {
    free_of(name, children, |mode| mode == Mode::Exclusive)
}

/// The same for a writer: nobody has a smaller number. (zktools' `has_write_lock`.)
///
/// # Errors
/// As [`has_read_lock`].
pub fn has_write_lock(name: &str, children: &[String]) -> Result<(), Vec<String>> {
    free_of(name, children, |_| true)
}

fn free_of(name: &str, children: &[String], blocks: impl Fn(Mode) -> bool) -> Result<(), Vec<String>> {
    let queue = Queue::of_any(children);
    let Some(me) = queue.places().iter().position(|place| place.name == name) else { return Err(Vec::new()) };
    let earlier = queue.places()[..me]
        .iter()
        .filter(|place| classify(&place.name).is_some_and(|what| blocks(what.mode)));
    let blockers: Vec<String> = earlier.map(|place| place.name.clone()).collect();
    if blockers.is_empty() { Ok(()) } else { Err(blockers) }
}

/// The locks directly below `root`, by name. A root that does not exist has none.
///
/// # Errors
/// The server refuses to show it, or the connection broke.
pub async fn list(client: &Client, root: &str) -> Result<Vec<LockSummary>, Error> {
    let session = client.session().await?;
    let mut names = match session.children(root).await {
        Ok(children) => children.names,
        Err(SessionError::NoNode { .. }) => return Ok(Vec::new()),
        Err(fault) => return Err(fault.into()),
    };
    names.sort();
    let path_of = |name: &str| format!("{}/{name}", root.trim_end_matches('/'));
    let mut summaries = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let listings: Vec<_> = some.iter().map(|name| session.children(&path_of(name))).collect();
        for (name, listing) in some.iter().zip(listings) {
            let children = match listing.await {
                Ok(children) => children.names,
                // Deleted meanwhile.
                Err(SessionError::NoNode { .. }) => continue,
                Err(fault) => return Err(fault.into()),
            };
            let path = path_of(name);
            let holders = contenders(&session, &path, &children, true).await?;
            let known = Queue::of_any(&children).places().len();
            let waiters = known.saturating_sub(holders.len());
            summaries.push(LockSummary { name: name.clone(), path, holders, waiters });
        }
    }
    Ok(summaries)
}

/// The contenders of the lock at `path` in the order of their numbers, holders marked. Of several servers it is the one
/// that this client is connected to that shows them; it may be behind the others.
///
/// # Errors
/// There is no such node, the server refuses to show it, or the connection broke.
pub async fn show(client: &Client, path: &str) -> Result<Vec<Contender>, Error> {
    let session = client.session().await?;
    let children = session.children(path).await?.names;
    contenders(&session, path, &children, false).await
}

/// The same as of now: the server that we are connected to may be behind the others.
pub(crate) async fn show_now(client: &Client, path: &str) -> Result<Vec<Contender>, Error> {
    let session = client.session().await?;
    let flight = session.flight();
    let (synced, listed) = (session.sync(path), session.children(path));
    drop(flight);
    synced.await?;
    contenders(&session, path, &listed.await?.names, false).await
}

/// Those that hold the lock at `path` now: nobody, one, or several readers. Costs a listing and one read for
/// each, however long the queue is. A path without a node is held by nobody.
///
/// # Errors
/// The server refuses to show it, or the connection broke.
pub async fn holders(client: &Client, path: &str) -> Result<Vec<Contender>, Error> {
    let session = client.session().await?;
    match session.children(path).await {
        Ok(children) => contenders(&session, path, &children.names, true).await,
        Err(SessionError::NoNode { .. }) => Ok(Vec::new()),
        Err(fault) => Err(fault.into()),
    }
}

async fn contenders(
    session: &zooky_client::Session,
    path: &str,
    children: &[String],
    holders_only: bool,
) -> Result<Vec<Contender>, Error> {
    let queue = Queue::of_any(children);
    let wanted: Vec<_> = queue
        .places()
        .iter()
        .map(|place| (place, queue.blocker_of(&place.name).is_none()))
        .filter(|(_, holding)| *holding || !holders_only)
        .collect();
    let mut contenders = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(AT_ONCE) {
        let reads: Vec<_> =
            some.iter().map(|(place, _)| session.get(&format!("{path}/{}", place.name))).collect();
        for ((place, holding), read) in some.iter().zip(reads) {
            match read.await {
                Ok((data, stat)) => {
                    contenders.extend(Contender::read(path, &place.name, data, stat, Some(*holding)));
                }
                // It left between the listing and the look.
                Err(SessionError::NoNode { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
    Ok(contenders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_told_from_the_names() {
        let hex = "0123456789abcdef0123456789abcdef";
        let [lock, read, write, late] =
            ["-lock--0000000001", "-read--0000000002", "-write--0000000003", "-read--0000000004"]
                .map(|tail| format!("{hex}{tail}"));
        let all = [&late, &write, &read, &lock].map(String::clone);
        // A reader waits for a held ZkLock, too: zktools' own did not see it.
        assert_eq!(has_read_lock(&read, &all), Err(vec![lock.clone()]));
        assert_eq!(has_read_lock(&late, &all), Err(vec![lock.clone(), write.clone()]));
        assert_eq!(has_write_lock(&write, &all), Err(vec![lock.clone(), read.clone()]));
        assert_eq!(has_write_lock(&lock, &all), Ok(()));
        assert_eq!(has_read_lock(&read, &all[1..3]), Ok(()));
        assert_eq!(has_write_lock("nobody", &all), Err(Vec::new()));
    }
}
