//! Telling the user for whom the lock keeps us waiting, if it does so for longer than a second.

use crate::exit::say;
use crate::locks::describe;
use crate::time;
use std::time::Duration;
use tokio::sync::watch;
use zooky::Client;
use zooky::inspect::{Contender, holders};

/// Shorter waits are not worth a line in cron's mail.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often we look whether the holder is another one, when the one right before us in the queue is still there.
/// Watching the holder would wake every waiter at each release.
const LOOK: Duration = Duration::from_secs(5);

/// What we wait for.
#[derive(Debug)]
pub(crate) struct Waits {
    /// Counts the times that we wait for another contender.
    changes: u64,
    /// The lock at which we wait: of several, they are taken one after the other.
    path: String,
}

impl Waits {
    /// We are about to ask for this one.
    pub(crate) fn new(path: &str) -> Waits {
        Waits { changes: 0, path: path.to_string() }
    }

    /// Another contender is in the way.
    pub(crate) fn note(tell: &watch::Sender<Waits>, other: &Contender) {
        tell.send_modify(|waits| {
            waits.changes += 1;
            waits.path = other.lock_path().to_string();
        });
    }
}

/// Writes a line after a second, and another one whenever somebody else holds the lock. Never ends; dropped when the wait
/// is over.
pub(crate) async fn tell(client: &Client, mut waits: watch::Receiver<Waits>) {
    tokio::time::sleep(PATIENCE).await;
    let mut told = None;
    loop {
        let path = waits.borrow_and_update().path.clone();
        // Without an answer the wait itself goes on; there is only nothing to be told.
        if let Ok(holders) = holders(client, &path).await
            && let Some(first) = holders.first()
            && told.as_ref() != Some(&first.path)
        {
            say(line(&path, first, holders.len() - 1));
            told = Some(first.path.clone());
        }
        // Whichever is first; the sender lives as long as the wait.
        let _ = tokio::time::timeout(LOOK, waits.changed()).await;
    }
}

fn line(path: &str, holder: &Contender, others: usize) -> String {
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let since = holder.since_ms();
    let (moment, ago) = (time::utc(since), time::ago(since));
    format!("waiting for {path}, held by {}{more} since {moment} ({ago})", describe(holder))
}
