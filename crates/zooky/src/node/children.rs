//! The names of a znode's children, followed as they change.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use zooky_client::{Error as SessionError, Session, Watch};

use super::follow::{Look, follow};
use crate::Client;

type Seen = Option<Arc<[String]>>;

/// The one who follows them; ended when dropped.
#[derive(Debug)]
pub(super) struct Children {
    /// Nothing until they were seen for the first time.
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
}

impl Children {
    pub(super) fn start(client: &Client, path: &Arc<str>) -> Children {
        let (sender, seen) = watch::channel(None);
        let look = Follower { path: path.clone(), seen: sender };
        let task = client.runtime().spawn(follow(client.clone(), look, None)).abort_handle();
        Children { seen, task }
    }

    pub(super) fn changes(&self) -> ChildrenChanges {
        let mut seen = self.seen.clone();
        seen.mark_changed();
        ChildrenChanges { seen }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the names of a node's children; see [`Node::children_changes`](super::Node::children_changes).
#[derive(Debug, Clone)]
pub struct ChildrenChanges {
    seen: watch::Receiver<Seen>,
}

impl ChildrenChanges {
    /// The names of the children, sorted: at first those that are known, then each change; none for a node that is
    /// deleted. Changes that follow each other quickly may be seen as one. `None` once the client is closed or the
    /// last handle of the node dropped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<[String]>> {
        loop {
            self.seen.changed().await.ok()?;
            if let Some(names) = self.seen.borrow_and_update().clone() {
                return Some(names);
            }
        }
    }
}

struct Follower {
    path: Arc<str>,
    seen: watch::Sender<Seen>,
}

impl Follower {
    fn tell(&self, mut names: Vec<String>) {
        names.sort();
        let names: Seen = Some(names.into());
        self.seen.send_if_modified(|known| {
            let changes = *known != names;
            if changes {
                *known = names;
            }
            changes
        });
    }
}

impl Look for Follower {
    async fn look(&mut self, session: &Session) -> Result<Watch, SessionError> {
        loop {
            match session.children_watch(&self.path).await {
                Ok((children, watch)) => {
                    self.tell(children.names);
                    return Ok(watch);
                }
                Err(SessionError::NoNode { .. }) => {}
                Err(fault) => return Err(fault),
            }
            let (stat, watch) = session.exists_watch(&self.path).await?;
            if stat.is_none() {
                self.tell(Vec::new());
                return Ok(watch);
            }
        }
    }

    fn refused(&self, fault: SessionError) {
        tracing::warn!(path = %self.path, %fault, "a node's children cannot be read; trying again");
    }

    fn closed(&self) {
        // Nothing to tell: the sender goes with this.
    }
}
