//! What each dialect's clients put into nodes, and which directories they make: written as they write it.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;
use zooky_client::{Acl, CreateMode, Error as SessionError, ErrorCode, Session};

use crate::Owner;
use crate::core::dialect::{Role, Written};

/// How long the search for this machine's own address may take.
const LOOKUP: Duration = Duration::from_secs(2);

/// The data of a contender's node.
pub(crate) async fn data(dialect: Written, owner: &Owner) -> Vec<u8> {
    match dialect {
        Written::Kazoo => owner.since_now().to_line(),
        Written::Curator => local_address().await.as_bytes().to_vec(),
        Written::Zktools => b"0".to_vec(),
    }
}

/// The address that this machine's name stands for, as Curator writes it; looked up once.
async fn local_address() -> &'static str {
    static ADDRESS: OnceCell<String> = OnceCell::const_new();
    let look_up = async || {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name, 0))).await;
        let first = found.ok().and_then(Result::ok).and_then(|mut found| found.next());
        first.map_or_else(|| "127.0.0.1".to_owned(), |address| address.ip().to_string())
    };
    ADDRESS.get_or_init(look_up).await
}

/// Creates the lock's directory and its parents, as the dialect's own clients do.
///
/// Containers, which the server removes once they are empty, only in Curator's: a stock kazoo Lock whose directory has
/// vanished raises NoNodeError for ever, and zktools makes the directory when the lock object is made, never again.
pub(crate) async fn make_directory(
    session: &Session,
    path: &str,
    dialect: Written,
    role: Role,
    acl: &[Acl],
) -> Result<(), SessionError> {
    let mode = match dialect {
        Written::Curator => CreateMode::CONTAINER,
        Written::Kazoo | Written::Zktools => CreateMode::PERSISTENT,
    };
    match make(session, path, mode, |last| directory_data(dialect, role, last), acl).await {
        // A server of before 3.5 knows no containers.
        Err(fault) if mode == CreateMode::CONTAINER && is_unimplemented(&fault) => {
            make(session, path, CreateMode::PERSISTENT, |last| directory_data(dialect, role, last), acl).await
        }
        result => result,
    }
}

fn is_unimplemented(fault: &SessionError) -> bool {
    matches!(fault, SessionError::Server { code: ErrorCode::UNIMPLEMENTED, .. })
}

fn directory_data(dialect: Written, role: Role, last: bool) -> &'static str {
    match dialect {
        Written::Kazoo | Written::Curator => "",
        Written::Zktools if last && role != Role::Async => "lock",
        Written::Zktools => "zktools ZLock dir",
    }
}

/// Creates all that is missing, in one flight; `data` is told whether it is asked for the last one's. Starts again if a parent that was there vanishes meanwhile.
pub(crate) async fn make<D: Into<Bytes>>(
    session: &Session,
    path: &str,
    mode: CreateMode,
    data: impl Fn(bool) -> D,
    acl: &[Acl],
) -> Result<(), SessionError> {
    loop {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        let flight = session.flight();
        let creates: Vec<_> =
            ends.map(|end| session.create(&path[..end], data(end == path.len()), mode, acl)).collect();
        drop(flight);
        let (mut last, mut parent_was_there) = (Ok(()), false);
        for create in creates {
            last = match create.await {
                // The server closes the connection behind this answer: the other creates were not done.
                Err(fault) if is_unimplemented(&fault) => return Err(fault),
                // The server, or another, removed the parent since: an empty container, mostly. Of a parent that we
                // may not create and that is not there it is no news.
                Err(SessionError::NoNode { .. }) if parent_was_there => Err(None),
                // A parent that we may not create may be there all the same: the last one decides.
                Ok(_) | Err(SessionError::NodeExists { .. } | SessionError::ConnectionLoss { .. }) => Ok(()),
                Err(fault) => Err(Some(fault)),
            };
            parent_was_there = matches!(last, Ok(()) | Err(None));
        }
        match last {
            Err(None) => {}
            Ok(()) => return Ok(()),
            Err(Some(fault)) => return Err(fault),
        }
    }
}
