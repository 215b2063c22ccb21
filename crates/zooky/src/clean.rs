//! Removing lock directories that nobody uses any more, when somebody asks for it.
//!
//! kazoo's and zktools' dialects have persistent directories, since their stock clients do not bear it when one
//! vanishes. So they pile up (kazoo#329, CURATOR-173) until somebody cleans up, and knows whom that can hurt.

use std::fmt;
use std::time::Duration;

use zooky_client::{Error as SessionError, Stat, unix_ms};

use crate::{Client, Error};

/// How many requests are under way at once: guards on the same session need room for theirs.
const AT_ONCE: usize = 512;

/// What came of [`clean`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// What was removed.
    pub removed: Vec<RemovedDirectory>,
    /// What was left alone, and why.
    pub kept: Vec<(String, Kept)>,
}

impl Cleaned {
    fn note(&mut self, path: &str, removed: Result<Hurts, Kept>) {
        let path = path.to_owned();
        match removed {
            Ok(hurts) => self.removed.push(RemovedDirectory { path, hurts }),
            Err(kept) => self.kept.push((path, kept)),
        }
    }
}

/// A lock directory that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedDirectory {
    /// Its path.
    pub path: String,
    /// Whom it can hurt.
    pub hurts: Hurts,
}

/// Whose programs, if they run now and have used the lock before, can no longer use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hurts {
    /// zktools, whose lock objects make the directory when they are made, and never again.
    Zktools,
    /// kazoo, if it was used here: a lock object that has been used once raises NoNodeError for ever. (The node
    /// does not tell whose it was; clients of Curator and others make it again.)
    Kazoo,
}

impl fmt::Display for Hurts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hurts::Zktools => "lock objects of zktools that exist now cannot find it: make them anew",
            Hurts::Kazoo => {
                "stock kazoo lock objects that have been used before raise NoNodeError from now on: make them anew"
            }
        })
    }
}

/// Why a node was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// It has children: contenders, or other locks.
    InUse,
    /// It does not look like a lock's directory: it never had children, or has data that no lock's directory has.
    NoLock,
    /// It was made a short time ago.
    Young,
    /// The server did not allow it, or something else went wrong.
    Failed(String),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kept::InUse => f.write_str("in use"),
            Kept::NoLock => f.write_str("does not look like a lock"),
            Kept::Young => f.write_str("made a short time ago"),
            Kept::Failed(why) => f.write_str(why),
        }
    }
}

/// Removes the empty lock directories directly below `root` that were made at least `age` ago (by the server's clock
/// and this machine's), and tells which, and whom that can hurt. A root that does not exist has none.
///
/// **Running programs of others can be hurt**, see [`Hurts`]: this is for people who know what runs. zooky's own
/// handles are not: they make the directory again. No contender is ever removed: the server itself refuses to delete
/// a node that has children, and one whose data has changed since it was looked at is left alone, too. Semaphores
/// of kazoo, whose directory's data is their limit, count as no locks.
///
/// Cancel-safe: what has been removed stays removed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// use std::time::Duration;
///
/// let client = zooky::Client::connect(&hosts).await?;
/// zooky::Lock::new(&client, "/locks/once")?.acquire().await?.release().await?;
/// let cleaned = zooky::clean(&client, "/locks", Duration::ZERO).await?;
/// for one in &cleaned.removed {
///     println!("removed {}; {}", one.path, one.hurts);
/// }
/// assert_eq!(cleaned.removed.len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The children of `root` cannot be listed, or the session was lost. What goes wrong with one lock is in
/// [`Cleaned::kept`].
pub async fn clean(client: &Client, root: &str, age: Duration) -> Result<Cleaned, Error> {
    sweep(client, root, age, true).await
}

/// What [`clean`] would remove at this moment, and what it would leave alone. Changes nothing.
///
/// # Errors
/// As [`clean`].
pub async fn clean_preview(client: &Client, root: &str, age: Duration) -> Result<Cleaned, Error> {
    sweep(client, root, age, false).await
}

/// Removes the directory of the lock at `path`, whatever its age, if it has no children; the answer has it either among
/// [`Cleaned::removed`] or among [`Cleaned::kept`]. A node whose data is not that of a lock's directory is kept, too, unless
/// `whatever` it holds; a semaphore's directory, whose data is its limit, counts as such.
///
/// **Running programs of others can be hurt**, as by [`clean`]. Cancel-safe: dropped, it may have been removed or not.
///
/// # Errors
/// [`Error::Path`], [`NoNode`](SessionError::NoNode) if there is none, and what the server refuses.
pub async fn remove(client: &Client, path: &str, whatever: bool) -> Result<Cleaned, Error> {
    crate::check_lock_path(path)?;
    let session = client.session().await?;
    let (data, stat) = session.get(path).await?;
    let judged = match directory(&data, &stat) {
        _ if stat.num_children > 0 => Err(Kept::InUse),
        // Whoever says so knows better than its data; what is made again by everybody's handles hurts kazoo's only.
        Err(Kept::NoLock) if whatever => Ok(Hurts::Kazoo),
        judged => judged,
    };
    let mut cleaned = Cleaned::default();
    let removed = match judged {
        Ok(hurts) => match session.delete(path, stat.version).await {
            Ok(()) => Ok(hurts),
            Err(SessionError::NotEmpty { .. } | SessionError::BadVersion { .. }) => Err(Kept::InUse),
            Err(fault) => return Err(fault.into()),
        },
        Err(kept) => Err(kept),
    };
    cleaned.note(path, removed);
    Ok(cleaned)
}

async fn sweep(client: &Client, root: &str, age: Duration, really: bool) -> Result<Cleaned, Error> {
    let session = client.session().await?;
    let mut names = match session.children(root).await {
        Ok(children) => children.names,
        Err(SessionError::NoNode { .. }) => return Ok(Cleaned::default()),
        Err(fault) => return Err(fault.into()),
    };
    names.sort();
    let paths: Vec<String> =
        names.iter().map(|name| format!("{}/{name}", root.trim_end_matches('/'))).collect();
    let mut cleaned = Cleaned::default();
    for some in paths.chunks(AT_ONCE) {
        let reads: Vec<_> = some.iter().map(|path| session.get(path)).collect();
        for (path, read) in some.iter().zip(reads) {
            let judged = match read.await {
                Ok((data, stat)) => judge(&data, &stat, age).map(|hurts| (hurts, stat.version)),
                Err(SessionError::NoNode { .. }) => continue,
                Err(fault) if fault.is_final() => return Err(fault.into()),
                Err(fault) => Err(Kept::Failed(fault.to_string())),
            };
            let removed = match judged {
                Ok((hurts, _)) if !really => Ok(hurts),
                // Refused by the server if somebody contends, or changed it, since it was looked at.
                Ok((hurts, version)) => match session.delete(path, version).await {
                    Ok(()) => Ok(hurts),
                    Err(SessionError::NoNode { .. }) => continue,
                    Err(SessionError::NotEmpty { .. } | SessionError::BadVersion { .. }) => Err(Kept::InUse),
                    Err(fault) if fault.is_final() => return Err(fault.into()),
                    Err(fault) => Err(Kept::Failed(fault.to_string())),
                },
                Err(kept) => Err(kept),
            };
            cleaned.note(path, removed);
        }
    }
    Ok(cleaned)
}

/// Whom the removal hurts, or why there is to be none.
fn judge(data: &[u8], stat: &Stat, age: Duration) -> Result<Hurts, Kept> {
    if stat.num_children > 0 {
        return Err(Kept::InUse);
    }
    let hurts = directory(data, stat)?;
    if stat.cversion == 0 {
        return Err(Kept::NoLock);
    }
    let made_ms_ago = u128::try_from(unix_ms().saturating_sub(stat.ctime_ms)).unwrap_or(0);
    if made_ms_ago < age.as_millis() { Err(Kept::Young) } else { Ok(hurts) }
}

/// Whose lock's directory this is, by its data; `NoLock` if it is none.
fn directory(data: &[u8], stat: &Stat) -> Result<Hurts, Kept> {
    match (stat.ephemeral_owner, data) {
        (0, b"") => Ok(Hurts::Kazoo),
        (0, b"lock" | b"zktools ZLock dir") => Ok(Hurts::Zktools),
        _ => Err(Kept::NoLock),
    }
}
