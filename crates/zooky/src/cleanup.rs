//! Removing contenders for certain: tried again until the node, or the session that owns it, is
//! gone. It outlives the caller's deadline; a contender that stays behind would block everybody.

use std::sync::Arc;
use std::time::Duration;

use zooky_client::{Error, Pending, Session, Stat};

/// How a removal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// Our request removed it, or one of our requests did.
    ByUs,
    /// The first request found nothing.
    AlreadyGone,
    /// The session is gone, and takes the node with it.
    WithSession,
}

/// A pause between tries of what failed for a passing reason: the requests that wait are too many, the
/// server is throttling.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Pause {
        Pause(Duration::from_millis(10))
    }

    pub(crate) async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}

/// Whether trying again may help.
fn passes(fault: &Error) -> bool {
    matches!(fault, Error::Overloaded { .. } | Error::Server { .. })
}

/// Removes `path`. A request made while the connection is down waits for the next one, so this
/// does not spin.
pub(crate) async fn remove(session: &Session, path: &str, may_have_been_sent: bool) -> Removed {
    let sent = session.delete(path, -1);
    go_on_removing(session, path, sent, may_have_been_sent).await
}

/// The same, by a request that was sent already.
async fn go_on_removing(
    session: &Session,
    path: &str,
    mut sent: Pending<()>,
    mut may_have_been_sent: bool,
) -> Removed {
    let mut pause = Pause::new();
    loop {
        match sent.await {
            Ok(()) => return Removed::ByUs,
            Err(Error::NoNode { .. }) if may_have_been_sent => return Removed::ByUs,
            Err(Error::NoNode { .. }) => return Removed::AlreadyGone,
            Err(Error::ConnectionLoss { .. }) => may_have_been_sent = true,
            Err(fault) if fault.is_final() => return Removed::WithSession,
            Err(fault) if passes(&fault) => pause.next().await,
            Err(fault) => {
                // Nothing that trying again would mend (the ACL forbids it, say). The node goes with
                // the session.
                tracing::error!(path, %fault, "a contender could not be removed; it stays until the session ends");
                return Removed::WithSession;
            }
        }
        sent = session.delete(path, -1);
    }
}

/// Removes a contender whose create may or may not have been carried out. If the node is known, the request leaves now,
/// before whatever the session is asked for next: its own client finds it gone.
pub(crate) fn abandon(
    session: Session,
    directory: Arc<str>,
    prefix: String,
    node: Option<String>,
) -> impl Future<Output = ()> + Send + use<> {
    let known = node.map(|node| {
        let path = format!("{directory}/{node}");
        (session.delete(&path, -1), path)
    });
    async move {
        match known {
            Some((sent, path)) => _ = go_on_removing(&session, &path, sent, false).await,
            None => sweep(session, directory, prefix).await,
        }
    }
}

/// Removes all nodes in the directory whose names begin with this random part, for certain: what is left of a
/// contender whose create is not known to have been carried out, or that was being changed.
pub(crate) async fn sweep(session: Session, directory: Arc<str>, unique: String) {
    let mut pause = Pause::new();
    loop {
        match find(&session, &directory, &unique).await {
            Ok(Some((name, _))) => {
                let removed = remove(&session, &format!("{directory}/{name}"), false).await;
                if removed == Removed::WithSession {
                    return;
                }
            }
            Ok(None) => return,
            Err(Error::ConnectionLoss { .. }) => {}
            Err(fault) if fault.is_final() => return,
            Err(fault) if passes(&fault) => pause.next().await,
            Err(fault) => {
                tracing::error!(%directory, unique, %fault, "a contender could not be looked up; it stays until the session ends");
                return;
            }
        }
    }
}

/// Looks for the child with our unique name, after everything this session has sent before.
pub(crate) async fn find(
    session: &Session,
    directory: &str,
    prefix: &str,
) -> Result<Option<(String, Stat)>, Error> {
    let flight = session.flight();
    let synced = session.sync(directory);
    let listed = session.children(directory);
    drop(flight);
    synced.await?;
    let children = match listed.await {
        Ok(children) => children.names,
        Err(Error::NoNode { .. }) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let Some(name) = children.into_iter().find(|name| name.starts_with(prefix)) else { return Ok(None) };
    let stat = session.exists(&format!("{directory}/{name}")).await?;
    Ok(stat.map(|stat| (name, stat)))
}
