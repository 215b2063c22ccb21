//! Servers that show what the leader does not know: asking it, after long waiting, whether whom one waits for is still there; and
//! noticing that it refuses what our server shows.
//!
//! A follower can have lost transactions: Apache ZooKeeper 3.8.0 was seen to when leaders were killed in a row. It shows
//! for ever what the others have removed. Whoever waits on it for such a node waits in vain, and all behind him do. But what
//! is written is judged by the leader, wherever it was sent to; so a transaction that only checks tells the truth.

use std::time::Duration;

use zooky_client::{ErrorCode, MultiOp, Session};

use crate::multi::first_error;

/// After how many timeouts of the session the leader is asked first; then at twice the distance each time, as each question
/// is a transaction.
const PATIENCE: u32 = 2;
const LONGEST: Duration = Duration::from_secs(3600);

/// Resolves when the leader has said that `path` is gone and our server shows it all the same; the session is on its way to
/// another one then. Never, if whoever is waited for is just slow.
pub(crate) async fn shown_in_vain(session: &Session, path: &str) {
    let mut pause = session.timeout() * PATIENCE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
        if is_gone(session, path).await && matches!(session.exists(path).await, Ok(Some(_))) {
            tracing::warn!(
                path,
                "the server shows a node that the leader knows to be gone: it has lost transactions; going to another server"
            );
            session.leave_server();
            return;
        }
    }
}

/// The leader's word. It comes by way of our server, and behind all that had to come before.
async fn is_gone(session: &Session, path: &str) -> bool {
    let check = MultiOp::Check { path: path.to_owned(), version: -1 };
    let Ok(results) = session.multi(vec![check]).await else { return false };
    matches!(first_error(&results), Some((0, ErrorCode::NO_NODE)))
}

/// After how many refusals in a row of one and the same version our server is doubted.
const REFUSALS: u32 = 3;

/// Notices that our server shows a node otherwise than the leader has it: then no change of it, by its version, succeeds.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    version: Option<i32>,
    times: u32,
}

impl Refusals {
    /// The leader has refused a change of the node at `path` in `version`, which our server showed after a `sync`. Somebody else was
    /// faster, or, if that goes on with the version that it was: the session goes to another server.
    pub(crate) fn again(&mut self, session: &Session, path: &str, version: i32) {
        let same = self.version.replace(version) == Some(version);
        self.times = if same { self.times + 1 } else { 1 };
        if self.times == REFUSALS {
            self.times = 0;
            tracing::warn!(
                path,
                version,
                "the server shows a node otherwise than the leader: it has lost transactions; going to another server"
            );
            session.leave_server();
        }
    }
}
