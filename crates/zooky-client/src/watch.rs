//! A watch, as the one who set it sees it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use zooky_wire::EventType;

use crate::core::Target;
use crate::error::Error;
use crate::shared::{Shared, WatchSender};

/// What happened to a watched node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened. The node may have changed again since: read it anew.
    pub kind: EventType,
    /// The node's path, below the chroot.
    pub path: String,
}

/// A one-shot watch: a future that is ready once the node has changed.
///
/// It survives reconnects, and what happened meanwhile is told. Its event is there before the answer of any
/// request of the same session that shows the change. It is cancel safe. Dropping it forgets the watch; if nobody
/// else waits for the same, the server is told in the background (`removeWatches`).
///
/// # Errors
/// [`Error::SessionLost`], [`Error::AuthFailed`] or [`Error::Closed`] when the session ends first.
#[must_use = "a watch that is dropped is forgotten"]
pub struct Watch {
    events: oneshot::Receiver<Result<WatchEvent, Error>>,
    /// What to tell the session when this is dropped; nothing once the event is there.
    wanted: Option<Wanted>,
}

/// What is watched, and where to say that it is not any more. The path is the server's.
struct Wanted {
    shared: Arc<Shared>,
    path: String,
    target: Target,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>, path: String, target: Target) -> (WatchSender, Watch) {
        let (sender, events) = oneshot::channel();
        let wanted = Some(Wanted { shared: shared.clone(), path, target });
        (WatchSender::Once(sender), Watch { events, wanted })
    }
}

impl Future for Watch {
    type Output = Result<WatchEvent, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.events).poll(cx);
        polled.map(|answer| {
            self.wanted = None;
            answer.unwrap_or(Err(Error::SessionLost))
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The sender's end must be seen closed by then.
        self.events.close();
        if let Some(Wanted { shared, path, target }) = self.wanted.take() {
            shared.forget(path, target);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.wanted.as_ref().map(|wanted| wanted.path.as_str());
        f.debug_struct("Watch").field("path", &path).finish_non_exhaustive()
    }
}

/// Told what happens to a node and to everything below it; see [`Session::watch_tree`](crate::Session::watch_tree).
pub trait TreeSink: Send + Sync {
    /// An event, in the order in which the server sent them, and before the answer of any request of the same
    /// session that shows the change. An error ends the watch: [`Error::ConnectionLoss`] with the connection
    /// (nothing is told of what happens meanwhile: watch again, and read after that), [`Error::Watched`] when a
    /// one-shot watch took its place, or the end of the session.
    ///
    /// **It runs on the task that drives the session**: it must not block.
    fn event(&self, event: Result<WatchEvent, Error>);
}

/// A watch of a tree, which lasts until this is dropped, or the connection breaks; see
/// [`Session::watch_tree`](crate::Session::watch_tree). The server is told in the background, unless somebody else
/// watches the same tree.
#[must_use = "a watch that is dropped is forgotten"]
pub struct TreeWatch {
    gone: Arc<AtomicBool>,
    wanted: Option<Wanted>,
}

impl TreeWatch {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        path: String,
        sink: Arc<dyn TreeSink>,
    ) -> (WatchSender, TreeWatch) {
        let gone = Arc::<AtomicBool>::default();
        let wanted = Some(Wanted { shared: shared.clone(), path, target: Target::Tree });
        (WatchSender::Tree(sink, gone.clone()), TreeWatch { gone, wanted })
    }

    /// What could not be asked for.
    pub(crate) fn none() -> TreeWatch {
        TreeWatch { gone: Arc::default(), wanted: None }
    }
}

impl Drop for TreeWatch {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        if let Some(Wanted { shared, path, target }) = self.wanted.take() {
            shared.forget(path, target);
        }
    }
}

impl fmt::Debug for TreeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.wanted.as_ref().map(|wanted| wanted.path.as_str());
        f.debug_struct("TreeWatch").field("path", &path).finish_non_exhaustive()
    }
}
