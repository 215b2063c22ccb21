//! Asking others to let go of a lock, or taking it from them; and looking at who contends, with ages.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use zooky_client::{
    BootInstant, CreateMode, Error as SessionError, ErrorCode, EventType, MultiOp, Session, Watch, unix_ms,
};

use crate::acquire::Recipe;
use crate::core::dialect::{Kind, Role, Written};
use crate::core::message;
use crate::core::queue::Queue;
use crate::inspect::Contender;
use crate::multi::first_error;
use crate::{Client, Error, Owner, layout};

/// How a lock is taken back from those who have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Revoke {
    immediately: bool,
    held_longer_than: Option<Duration>,
}

impl Revoke {
    /// Asks, in the words of the lock's dialect, and leaves it to them to let go. Holders are told by
    /// [`Guard::revoked`](crate::Guard::revoked); waiters when they are granted, or at once if their handle is
    /// `revocable`.
    pub const fn ask() -> Revoke {
        Revoke { immediately: false, held_longer_than: None }
    }

    /// Removes their nodes. **They may be at work**: their guards are lost, but nothing stops them; let the resource
    /// refuse their tokens.
    pub const fn immediately() -> Revoke {
        Revoke { immediately: true, held_longer_than: None }
    }

    /// Only those who have held the lock for longer than this; with zero, whoever holds it. That is counted on the server's clock from when their node
    /// was created, waiting included, unless this acquirer saw them come to the lock: then from that moment.
    pub const fn held_longer_than(self, time: Duration) -> Revoke {
        Revoke { held_longer_than: Some(time), ..self }
    }
}

/// Whom a revocation reached.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Revocation {
    /// They were asked, now or before.
    pub asked: Vec<Contender>,
    /// Their nodes were removed.
    pub removed: Vec<Contender>,
    /// They cannot be asked: stock kazoo clients, Curator's that were not made revocable, other libraries, owners who say
    /// that they are [`deaf`](Owner::deaf), and nodes whose ACL forbids it.
    pub deaf: Vec<Contender>,
}

impl Revocation {
    /// Whether there was nobody to revoke.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.removed.is_empty() && self.deaf.is_empty()
    }
}

/// A contender and its age.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Standing {
    /// The contender, and whether it holds the lock.
    pub contender: Contender,
    /// How long its node has been there, up to a round trip.
    pub age: Duration,
    /// Whether the age is by the server's clock, which this client knows once it has made a node; else it is by this
    /// machine's, and wrong by as much as the two differ.
    pub by_server_clock: bool,
}

/// What the server's clock showed when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerClock {
    pub(crate) at: BootInstant,
    pub(crate) shown_ms: i64,
}

impl ServerClock {
    pub(crate) fn now_ms(self) -> i64 {
        let since = BootInstant::now().saturating_since(self.at);
        self.shown_ms.saturating_add(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

fn age(now_ms: i64, contender: &Contender) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(contender.since_ms())).unwrap_or(0))
}

impl Recipe {
    /// Everybody who contends is asked, or removed.
    pub(crate) async fn revoke_all(&self, how: Revoke) -> Result<Revocation, Error> {
        let session = self.client.session().await?;
        let contenders = match crate::inspect::show_now(&self.client, &self.path).await {
            Ok(contenders) => contenders,
            Err(Error::Session(SessionError::NoNode { .. })) => return Ok(Revocation::default()),
            Err(fault) => return Err(fault),
        };
        let mut result = Revocation::default();
        let now_ms = match how.held_longer_than {
            Some(longer) if !longer.is_zero() && !contenders.is_empty() => self.server_ms(&session).await?,
            _ => 0,
        };
        // From behind: a waiter must not be granted the lock just before its own node goes.
        for contender in contenders.into_iter().rev() {
            let counts = how.held_longer_than.is_none_or(|longer| {
                contender.holding == Some(true) && (longer.is_zero() || age(now_ms, &contender) > longer)
            });
            if counts {
                revoke_one(&self.owner, &session, contender, how, &mut result).await?;
            }
        }
        for list in [&mut result.asked, &mut result.removed, &mut result.deaf] {
            list.reverse();
        }
        Ok(result)
    }

    /// Removes everybody; how many.
    pub(crate) async fn clear(&self) -> Result<usize, Error> {
        Ok(self.revoke_all(Revoke::immediately()).await?.removed.len())
    }

    pub(crate) async fn standings(&self) -> Result<Vec<Standing>, Error> {
        let clock = self.client.server_clock();
        let contenders = match crate::inspect::show_now(&self.client, &self.path).await {
            Err(Error::Session(SessionError::NoNode { .. })) => Vec::new(),
            other => other?,
        };
        let now_ms = clock.map_or_else(unix_ms, ServerClock::now_ms);
        let standing = |contender: Contender| {
            let age = age(now_ms, &contender);
            Standing { contender, age, by_server_clock: clock.is_some() }
        };
        Ok(contenders.into_iter().map(standing).collect())
    }

    pub(crate) fn revoked(&self) -> Error {
        Error::Revoked { path: self.path.to_string() }
    }

    /// The data of a new contender. In Curator's dialect only one without data can be asked to let go.
    pub(crate) async fn data(&self) -> Vec<u8> {
        match self.dialect {
            Written::Curator if self.revocable => Vec::new(),
            dialect => layout::data(dialect, &self.owner).await,
        }
    }

    /// The server's time. If it is not known, a contender comes and goes to learn it: the one kind of node that every
    /// client bears in a lock's directory.
    async fn server_ms(&self, session: &Session) -> Result<i64, Error> {
        if let Some(clock) = self.client.server_clock() {
            return Ok(clock.now_ms());
        }
        let prefix = Kind::written(self.dialect, Role::Lock).prefix(self.client.unique());
        let path = format!("{}/{prefix}", self.path);
        let data = self.data().await;
        let made = session.create(&path, data, CreateMode::EPHEMERAL_SEQUENTIAL, &self.acl).await?;
        self.client.runtime().spawn(crate::cleanup::abandon(
            session.clone(),
            self.path.clone(),
            prefix,
            made.path.rsplit('/').next().map(str::to_owned),
        ));
        Ok(made.stat.ctime_ms)
    }
}

/// Asks one contender, as [`inspect`](crate::inspect) showed it, to let go of its lock or to leave its queue; or removes its node. The limit
/// of [`Revoke::held_longer_than`] is not looked at: whoever picks one has looked. The result is empty if it has left already.
///
/// Cancel safe: it was told, or it was not.
///
/// # Errors
/// The connection broke, or the server refused the removal.
pub async fn revoke(client: &Client, contender: &Contender, how: Revoke) -> Result<Revocation, Error> {
    let session = client.session().await?;
    let mut result = Revocation::default();
    revoke_one(&Owner::this_process(), &session, contender.clone(), how, &mut result).await?;
    Ok(result)
}

/// Asks or removes this contender. The data's version is checked, so that the word reaches the one that was
/// looked at, as it was.
async fn revoke_one(
    asker: &Owner,
    session: &Session,
    contender: Contender,
    how: Revoke,
    result: &mut Revocation,
) -> Result<(), Error> {
    let mut contender = contender;
    loop {
        if message::asks(&contender.name, &contender.data) && !how.immediately {
            result.asked.push(contender);
            return Ok(());
        }
        let word = message::asking(&contender.name, &contender.data, &asker.to_line());
        let (path, version) = (contender.path.clone(), contender.stat.version);
        let sent = match (how.immediately, word) {
            (false, None) => {
                result.deaf.push(contender);
                return Ok(());
            }
            (false, Some(word)) => session.set(&path, word, version).await.map(|_| ()),
            (true, word) => remove(session, &path, version, word).await,
        };
        let unsure = matches!(sent, Err(SessionError::ConnectionLoss { .. }));
        match sent {
            Ok(()) if how.immediately => result.removed.push(contender),
            Ok(()) => result.asked.push(contender),
            Err(SessionError::NoNode { .. }) => {}
            Err(SessionError::NoAuth { .. }) if !how.immediately => result.deaf.push(contender),
            Err(SessionError::BadVersion { .. } | SessionError::ConnectionLoss { .. }) => {
                match session.get(&path).await {
                    Ok((data, stat)) => {
                        (contender.data, contender.stat) = (data, stat);
                        continue;
                    }
                    Err(SessionError::NoNode { .. }) if unsure && how.immediately => {
                        result.removed.push(contender);
                    }
                    Err(SessionError::NoNode { .. }) => {}
                    Err(SessionError::ConnectionLoss { .. }) => continue,
                    Err(fault) => return Err(fault.into()),
                }
            }
            Err(fault) => return Err(fault.into()),
        }
        return Ok(());
    }
}

/// Removes a contender's node. With a word it is told first, in the same transaction: who watches the node then knows
/// that it was revoked, and not just deleted.
async fn remove(
    session: &Session,
    path: &str,
    version: i32,
    word: Option<Vec<u8>>,
) -> Result<(), SessionError> {
    let path = path.to_owned();
    let data = Some(word.unwrap_or_default().into());
    let tell = MultiOp::SetData { path: path.clone(), data, version };
    let delete = MultiOp::Delete { path: path.clone(), version: -1 };
    let results = session.multi(vec![tell, delete]).await?;
    match first_error(&results).map(|(_, code)| code) {
        None => Ok(()),
        Some(ErrorCode::NO_NODE) => Err(SessionError::NoNode { path }),
        Some(ErrorCode::BAD_VERSION) => Err(SessionError::BadVersion { path }),
        // Not allowed to write, perhaps allowed to delete.
        Some(ErrorCode::NO_AUTH) => session.delete(&path, -1).await,
        Some(code) => Err(SessionError::Server { code, path }),
    }
}

/// What an acquirer that revokes knows of those before it, and of its own node.
#[derive(Debug, Default)]
pub(crate) struct Revoker {
    pub(crate) own: OwnWatch,
    clock: Option<ServerClock>,
    /// By name: `None` if it was not seen to wait, else since when it has been seen to hold, if it does.
    seen: HashMap<String, Option<Option<Instant>>>,
}

impl Revoker {
    /// Asks or removes all who block our node `own`; nobody behind it. If some are spared because they have not
    /// held for long enough: after what time to come again.
    pub(crate) async fn blockers(
        &mut self,
        recipe: &Recipe,
        session: &Session,
        own: &str,
        how: Revoke,
    ) -> Result<Option<Duration>, Error> {
        if self.clock.is_none() {
            let at = BootInstant::now();
            let Some(stat) = session.exists(&format!("{}/{own}", recipe.path)).await? else {
                return Ok(None);
            };
            self.clock = Some(ServerClock { at, shown_ms: stat.ctime_ms });
        }
        let children = session.children(&recipe.path).await?.names;
        let queue = Queue::of_any(&children);
        let mut result = Revocation::default();
        let mut again: Option<Duration> = None;
        // From behind: a waiter must not be granted the lock just before its own node goes.
        for name in queue.blockers_of(own).into_iter().rev() {
            let path = format!("{}/{name}", recipe.path);
            let holding = queue.blocker_of(name).is_none();
            let (data, stat) = match session.get(&path).await {
                Ok(found) => found,
                Err(SessionError::NoNode { .. }) => continue,
                Err(fault) => return Err(fault.into()),
            };
            let Some(contender) = Contender::read(&recipe.path, name, data, stat, Some(holding)) else {
                continue;
            };
            let held = self.held(&contender, holding);
            match how.held_longer_than {
                Some(longer) if !holding || held <= longer => {
                    let left = if holding { longer - held } else { longer };
                    let left = left + Duration::from_millis(1);
                    again = Some(again.map_or(left, |again| again.min(left)));
                }
                _ => revoke_one(&recipe.owner, session, contender, how, &mut result).await?,
            }
        }
        for deaf in &result.deaf {
            tracing::warn!(path = deaf.path, "{deaf} cannot be asked to let go of the lock; waiting for it");
        }
        Ok(again)
    }

    /// For how long it has held the lock, as far as can be told.
    fn held(&mut self, contender: &Contender, holding: bool) -> Duration {
        let by_age = self.clock.map_or(Duration::ZERO, |clock| age(clock.now_ms(), contender));
        let first = if holding { None } else { Some(None) };
        let seen = self.seen.entry(contender.name.clone()).or_insert(first);
        match seen {
            Some(since) if holding => since.get_or_insert_with(Instant::now).elapsed().min(by_age),
            _ if holding => by_age,
            _ => Duration::ZERO,
        }
    }
}

/// After this time, or never.
pub(crate) async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// What happens to a waiter's own node, for a handle that wants to be told at once.
#[derive(Debug, Default)]
pub(crate) struct OwnWatch {
    watch: Option<Watch>,
    told: bool,
    /// Whether the present node was there when it was looked at.
    seen: bool,
}

impl OwnWatch {
    /// Sets the watch, if there is none. `false`: the node was changed and is gone, so it was revoked. So is one that went
    /// before it was looked at for the first time: of those who remove others' nodes, whoever revokes is the likeliest.
    pub(crate) async fn set(&mut self, recipe: &Recipe, session: &Session, own: &str, changed: bool) -> bool {
        if self.watch.is_some() {
            return true;
        }
        match session.get_watch(&format!("{}/{own}", recipe.path)).await {
            Ok((data, _, watch)) => {
                self.watch = Some(watch);
                self.seen = true;
                if message::asks(own, &data) && !std::mem::replace(&mut self.told, true) {
                    recipe.on_revoked.iter().for_each(|on_revoked| on_revoked());
                }
                true
            }
            Err(SessionError::NoNode { .. }) => !changed && self.seen,
            Err(_) => true,
        }
    }

    /// Waits for an event; whether it is a change of the node's data. For ever, if nothing is watched.
    pub(crate) async fn changed(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return std::future::pending().await };
        let event = watch.await;
        self.watch = None;
        event.is_ok_and(|event| event.kind == EventType::DATA_CHANGED)
    }

    /// The node is gone. Whether its data was changed before: nobody but who revokes does that. A watch's event is
    /// there before any answer that shows what came after it. If not, another node takes its place.
    pub(crate) async fn was_revoked(&mut self) -> bool {
        self.seen = false;
        tokio::select! {
            biased;
            changed = self.changed() => changed,
            () = std::future::ready(()) => false,
        }
    }
}
