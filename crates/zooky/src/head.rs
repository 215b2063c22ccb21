//! Following who is at the head of a lock's queue, without being in it.

use std::sync::Arc;

use zooky_client::{ConnectError, Error as SessionError, Session, Watch};

use crate::cleanup::Pause;
use crate::core::queue::Queue;
use crate::inspect::Contender;
use crate::{Client, Error};

/// Follows the head of the queue of the lock at a path. It watches one node: the head, or the directory while
/// there is no head.
#[derive(Debug)]
pub(crate) struct Head {
    client: Client,
    path: Arc<str>,
    /// Set by the last look; resolves when looking again is worth while.
    watch: Option<Watch>,
    told: Option<Option<Identity>>,
}

/// What makes a head another one: its node, and what its data say.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    czxid: i64,
    version: i32,
}

impl Head {
    pub(crate) fn new(client: &Client, path: Arc<str>) -> Head {
        Head { client: client.clone(), path, watch: None, told: None }
    }

    /// The head, at once the first time, and then each time that it is another, or says something else.
    /// Over reconnects and new sessions; cancel-safe: nothing is missed by dropping the future.
    pub(crate) async fn changed(&mut self) -> Result<Option<Contender>, Error> {
        let mut pause = Pause::new();
        loop {
            if let Some(watch) = &mut self.watch {
                // An event or the end of the session: both are reasons to look.
                let _ = watch.await;
                self.watch = None;
            }
            let session = match self.client.session().await {
                Ok(session) => session,
                Err(Error::Connect(ConnectError::Timeout { .. } | ConnectError::Lost)) => continue,
                Err(fault) => return Err(fault),
            };
            match look(&session, &self.path).await {
                Ok((head, watch)) => {
                    self.watch = Some(watch);
                    let identity = head
                        .as_ref()
                        .map(|head| Identity { czxid: head.stat.czxid, version: head.stat.version });
                    if self.told.as_ref() != Some(&identity) {
                        self.told = Some(identity);
                        return Ok(head);
                    }
                }
                Err(SessionError::ConnectionLoss { .. } | SessionError::NoNode { .. }) => {}
                Err(SessionError::Overloaded { .. }) => pause.next().await,
                // If it was the client that was closed, it says so above.
                Err(SessionError::SessionLost | SessionError::Closed) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

/// Looks once, and sets the watch that tells when to look again. `NoNode`: it changed while it was looked at.
async fn look(session: &Session, path: &str) -> Result<(Option<Contender>, Watch), SessionError> {
    let children = match session.children(path).await {
        Ok(children) => children.names,
        Err(SessionError::NoNode { .. }) => {
            return match session.exists_watch(path).await? {
                (None, watch) => Ok((None, watch)),
                (Some(_), _) => Err(SessionError::NoNode { path: path.to_owned() }),
            };
        }
        Err(fault) => return Err(fault),
    };
    if head_of(&children).is_none() {
        let (children, watch) = session.children_watch(path).await?;
        return match head_of(&children.names) {
            None => Ok((None, watch)),
            Some(_) => Err(SessionError::NoNode { path: path.to_owned() }),
        };
    }
    let name = head_of(&children).unwrap_or_default();
    let (data, stat, watch) = session.get_watch(&format!("{path}/{name}")).await?;
    Ok((Contender::read(path, &name, data, stat, Some(true)), watch))
}

fn head_of(children: &[String]) -> Option<String> {
    Queue::of_any(children).places().first().map(|place| place.name.clone())
}
