//! Telling the user for whom the lock keeps us waiting, if it does so for longer than a second.

use crate::exit::say;
use crate::locks::describe;
use crate::time;
use std::time::Duration;
use tokio::sync::watch;
use zooky::Contender;

/// Shorter waits are not worth a line in cron's mail.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sending half goes into the lock's callback.
pub(crate) fn channel() -> (watch::Sender<Option<Ahead>>, watch::Receiver<Option<Ahead>>) {
    watch::channel(None)
}

/// The one we wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ahead {
    node: String,
    holding: bool,
    who: String,
    since_ms: i64,
}

impl From<&Contender> for Ahead {
    fn from(contender: &Contender) -> Ahead {
        let since_ms = crate::locks::since_ms(contender);
        let who = describe(contender);
        Ahead { node: contender.path.clone(), holding: contender.holding, who, since_ms }
    }
}

/// Writes a line after a second, and another one whenever somebody else is in our way. Never ends; dropped when
/// the wait is over.
pub(crate) async fn tell(name: &str, mut ahead: watch::Receiver<Option<Ahead>>) {
    tokio::time::sleep(PATIENCE).await;
    loop {
        let line = match &*ahead.borrow_and_update() {
            Some(ahead) => {
                let how = if ahead.holding { "held by" } else { "behind" };
                let since = time::utc(ahead.since_ms);
                let ago = time::ago(ahead.since_ms);
                format!("waiting for {name}, {how} {} since {since} ({ago})", ahead.who)
            }
            None => format!("waiting for {name}"),
        };
        say(line);
        let told = ahead.borrow().clone();
        // The same one may be reported again; the line is for another.
        let other =
            ahead.wait_for(|now| now.as_ref().map(|one| &one.node) != told.as_ref().map(|one| &one.node));
        if other.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
