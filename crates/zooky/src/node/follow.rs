//! Following a znode: look, watch, wait, look again, over as many sessions as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;
use zooky_client::{CreateMode, Error as SessionError, Session, State, Watch};

use super::{NodeBuilder, NodeState, Shared};
use crate::{Client, Error};

/// The pauses between attempts at what is refused: the server, or whoever sets the ACL, has to change something.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Something that is looked at again after each change.
pub(super) trait Look: Send + 'static {
    /// Looks, tells what is seen, and leaves a watch for the next change.
    fn look(&mut self, session: &Session) -> impl Future<Output = Result<Watch, SessionError>> + Send;

    /// It cannot be looked at, for this reason.
    fn refused(&self, fault: SessionError);

    /// The client was closed.
    fn closed(&self);
}

/// Looks again after each change, for ever. The sessions set watches again after a reconnect by themselves; when one
/// is lost, the next one looks anew.
pub(super) async fn follow<L: Look>(client: Client, mut look: L, first: Option<Watch>) {
    let mut watch = first;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(watch) = watch.take() {
            // An event or the session's end: both are a reason to look.
            let _ = watch.await;
        }
        let session = match client.session().await {
            Ok(session) => session,
            Err(Error::Session(SessionError::Closed)) => return look.closed(),
            Err(fault) => {
                tracing::warn!(%fault, "a node is not followed at the moment: there is no session; trying again");
                wait(&mut pause).await;
                continue;
            }
        };
        match look.look(&session).await {
            Ok(next) => {
                pause = FIRST_PAUSE;
                watch = Some(next);
            }
            // A request that is made now waits for the next connection.
            Err(SessionError::ConnectionLoss { .. }) => yield_now().await,
            Err(fault) if fault.is_final() && session.state() == State::Lost => yield_now().await,
            Err(fault) => {
                look.refused(fault);
                wait(&mut pause).await;
            }
        }
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

/// Creates the node, and its parents if they are missing.
pub(super) async fn create(
    session: &Session,
    settings: &NodeBuilder,
    data: Bytes,
) -> Result<(), SessionError> {
    let NodeBuilder { path, acl, mode, .. } = settings;
    match session.create(path, data.clone(), *mode, acl).await {
        Err(SessionError::NoNode { .. }) => {}
        other => return other.map(|_| ()),
    }
    let parents: Vec<_> = path.match_indices('/').map(|(at, _)| &path[..at]).skip(1).collect();
    for parent in parents {
        match session.create(parent, Bytes::new(), CreateMode::PERSISTENT, acl).await {
            // One that we may not create may be there all the same; if not, the node's own create says so.
            Ok(_) | Err(SessionError::NodeExists { .. } | SessionError::NoAuth { .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    session.create(path, data, *mode, acl).await.map(|_| ())
}

/// Follows the data of a node.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// The session that was looked through last.
    session: i64,
    /// The session that owns, or owned, our ephemeral node; none if there is none of ours to be kept alive.
    ours: Option<i64>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Follower {
        Follower { shared, session: 0, ours: None }
    }

    /// The first look, which creates the node if it is not there.
    pub(super) async fn open(&mut self) -> Result<Watch, Error> {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let data: Bytes = settings.default.as_ref().map(crate::Value::write).unwrap_or_default().into();
        loop {
            let session = settings.client.session().await?;
            let looked = match self.look_at(&session).await {
                Ok(None) if !settings.create => match self.look(&session).await {
                    Ok(watch) => return Ok(watch),
                    Err(fault) => Err(fault),
                },
                Ok(None) => create(&session, settings, data.clone()).await,
                Ok(Some(watch)) => return Ok(watch),
                Err(fault) => Err(fault),
            };
            match looked {
                // Created by us or by somebody else at the same time; or perhaps: look again.
                Ok(()) | Err(SessionError::NodeExists { .. } | SessionError::ConnectionLoss { .. }) => {}
                Err(fault) if fault.is_final() && session.state() == State::Lost => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    pub(super) async fn follow(self, watch: Watch) {
        let client = self.shared.settings.client.clone();
        follow(client, self, Some(watch)).await;
    }

    /// Reads the node; `None` if it is not there.
    async fn look_at(&mut self, session: &Session) -> Result<Option<Watch>, SessionError> {
        let shared = &self.shared;
        let path = &shared.settings.path;
        let same_session = self.session == session.id();
        if !same_session {
            // This server may be behind the one that was asked before: what was known must not go back.
            session.sync(path).await?;
            self.session = session.id();
        }
        match session.get_watch(path).await {
            Ok((data, stat, watch)) => {
                let owner = stat.ephemeral_owner;
                let snapshot = shared.snapshot(data, stat);
                // A `set` of ours may have told something newer already; then its event is on the way. (With a new
                // session the server's word counts: the ensemble may have been restored from an older copy.)
                let known = shared.seen.borrow().snapshot().map_or(0, |known| known.stat.mzxid);
                if !same_session || known < snapshot.stat.mzxid {
                    shared.tell(NodeState::Present(snapshot));
                }
                self.ours = match self.ours {
                    _ if shared.settings.mode != CreateMode::EPHEMERAL => None,
                    _ if owner == session.id() => Some(owner),
                    // What is left of a lost session of ours: it will be deleted, and is then created again.
                    Some(lost) if owner == lost => Some(lost),
                    _ => None,
                };
                Ok(Some(watch))
            }
            Err(SessionError::NoNode { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

impl Look for Follower {
    async fn look(&mut self, session: &Session) -> Result<Watch, SessionError> {
        loop {
            if let Some(watch) = self.look_at(session).await? {
                return Ok(watch);
            }
            let shared = self.shared.clone();
            match self.ours {
                // It went with the session it belonged to.
                Some(lost) if lost != session.id() => {
                    let data = shared.seen.borrow().snapshot().map(|last| last.data.clone());
                    match create(session, &shared.settings, data.unwrap_or_default()).await {
                        Ok(()) => self.ours = Some(session.id()),
                        Err(SessionError::NodeExists { .. }) => {}
                        Err(fault) => return Err(fault),
                    }
                }
                _ => {
                    let (stat, watch) = session.exists_watch(&shared.settings.path).await?;
                    if stat.is_none() {
                        self.ours = None;
                        shared.tell(NodeState::Deleted);
                        return Ok(watch);
                    }
                }
            }
        }
    }

    fn refused(&self, fault: SessionError) {
        tracing::warn!(path = %self.shared.settings.path, %fault, "a node cannot be read; trying again");
        self.shared.tell(NodeState::Unreadable(fault));
    }

    fn closed(&self) {
        self.shared.tell(NodeState::Closed);
    }
}
