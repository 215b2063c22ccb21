//! The numbers of the locks among those of a server in this process: `zooky server --metrics`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use zooky_server::{Companion, Config};
use zooky_ui::Follower;

/// How old the numbers may be. The server must not wait for whoever looks at the locks.
const EVERY: Duration = Duration::from_secs(1);
/// How many sessions may expire before the follower has heard of the first.
const EXPIRED: usize = 4_096;

/// What the server has of them: the last ones, and where it tells whose sessions expired.
#[derive(Debug)]
struct Last {
    text: Mutex<String>,
    expired: mpsc::Sender<Vec<String>>,
}

impl Companion for Last {
    fn numbers(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn expired(&self, nodes: &[String]) {
        // With no room left some are not counted.
        let _ = self.expired.try_send(nodes.to_vec());
    }
}

/// The other end: with somebody who follows the locks.
#[derive(Debug)]
pub(crate) struct LockNumbers {
    last: Arc<Last>,
    expired: mpsc::Receiver<Vec<String>>,
}

/// Puts the numbers where the server finds them.
pub(crate) struct Keeper(Arc<Last>);

impl LockNumbers {
    /// Has the server of this configuration tell the numbers of its locks among its own, if it tells any, and whose sessions
    /// expire, also if only the `page` counts it.
    pub(crate) fn among(config: &mut Config, page: bool) -> Option<LockNumbers> {
        if config.metrics.is_none() && !page {
            return None;
        }
        let (tell, expired) = mpsc::channel(EXPIRED);
        let last = Arc::new(Last { text: Mutex::default(), expired: tell });
        config.companion = Some(last.clone());
        Some(LockNumbers { last, expired })
    }

    /// What keeps them, and what a follower is to hear.
    pub(crate) fn split(self) -> (Keeper, mpsc::Receiver<Vec<String>>) {
        (Keeper(self.last), self.expired)
    }
}

impl Keeper {
    /// Keeps them up to date, for as long as it is polled.
    pub(crate) async fn keep(&self, follower: &Follower) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let text = follower.metrics();
            *self.0.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}
