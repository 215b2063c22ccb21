//! A watch, as the one who set it sees it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use zooky_wire::EventType;

use crate::error::Error;

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
/// request of the same session that shows the change. It is cancel safe, and dropping it forgets the watch here;
/// the server forgets it with the node's next change or the connection.
///
/// # Errors
/// [`Error::SessionLost`], [`Error::AuthFailed`] or [`Error::Closed`] when the session ends first.
#[derive(Debug)]
#[must_use = "a watch that is dropped is forgotten"]
pub struct Watch {
    events: oneshot::Receiver<Result<WatchEvent, Error>>,
}

impl Watch {
    pub(crate) fn new() -> (oneshot::Sender<Result<WatchEvent, Error>>, Watch) {
        let (sender, events) = oneshot::channel();
        (sender, Watch { events })
    }
}

impl Future for Watch {
    type Output = Result<WatchEvent, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.events).poll(cx).map(|answer| answer.unwrap_or(Err(Error::SessionLost)))
    }
}
