//! Functions that are called with changes, on threads of their own.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Changes, ChildrenChanges, NodeState};

/// Calls a function with each change, until it is dropped. A call that is under way is not interrupted by that.
#[derive(Debug)]
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    task: Option<AbortHandle>,
}

impl Subscription {
    /// Goes on for as long as the node is followed, without a handle to end it.
    pub fn forever(mut self) {
        self.task = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Where changes come from.
pub(super) trait Feed: Send + 'static {
    type Item: Send + 'static;

    fn pull(&mut self) -> impl Future<Output = Option<Self::Item>> + Send;
}

impl Feed for Changes {
    type Item = NodeState;

    fn pull(&mut self) -> impl Future<Output = Option<NodeState>> + Send {
        self.next()
    }
}

impl Feed for ChildrenChanges {
    type Item = Arc<[String]>;

    fn pull(&mut self) -> impl Future<Output = Option<Arc<[String]>>> + Send {
        self.next()
    }
}

/// Calls `told` with everything that `feed` gives, one call at a time. A function that blocks must not hold up the
/// session, which may share its thread with any task: hence a thread for blocking work.
pub(super) fn run<F: Feed>(
    runtime: &Handle,
    mut feed: F,
    told: impl Fn(&F::Item) + Send + Sync + 'static,
) -> Subscription {
    let told = Arc::new(told);
    let task = runtime.spawn(async move {
        while let Some(item) = feed.pull().await {
            let told = told.clone();
            if let Err(fault) = tokio::task::spawn_blocking(move || told(&item)).await {
                tracing::error!(%fault, "a function that was told of a node's change has failed");
            }
        }
    });
    Subscription { task: Some(task.abort_handle()) }
}
