//! A contender's way as others see it: whether its node is there, what went wrong, and when it has left for certain.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use zooky_client::{ConnectError, Error as SessionError, ErrorCode};

use crate::Error;

/// How many troubles are kept; the oldest give way.
const KEPT: usize = 64;

/// Something that went wrong on a contender's way, whether it was got over or not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// ZooKeeper's number for it (-4 for a lost connection, -112 for a lost session …), if it has one.
    pub code: Option<i32>,
    /// What it was.
    pub text: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} ({code})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// What is told of a contender while it is under way.
#[derive(Debug)]
pub(crate) struct Progress {
    created: watch::Sender<bool>,
    leaving: watch::Sender<usize>,
    troubles: Mutex<Vec<Trouble>>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Progress> {
        Arc::new(Progress {
            created: watch::Sender::new(false),
            leaving: watch::Sender::new(0),
            troubles: Mutex::default(),
        })
    }

    /// Whether the contender's node is known to exist.
    pub(crate) fn set_created(&self, created: bool) {
        self.created.send_if_modified(|known| std::mem::replace(known, created) != created);
    }

    pub(crate) fn created(&self) -> watch::Receiver<bool> {
        self.created.subscribe()
    }

    pub(crate) fn trouble(&self, fault: &Error) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() == KEPT {
            troubles.remove(0);
        }
        troubles.push(Trouble { code: code(fault), text: fault.to_string() });
    }

    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody is cleaning up after the contender for as long as this exists.
    pub(crate) fn leaving(self: &Arc<Self>) -> Leaving {
        self.leaving.send_modify(|count| *count += 1);
        Leaving(self.clone())
    }

    /// Until nobody cleans up any more.
    pub(crate) async fn left(&self) {
        // The sender is here; it cannot be closed.
        let _ = self.leaving.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// See [`Progress::leaving`].
#[derive(Debug)]
pub(crate) struct Leaving(Arc<Progress>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leaving.send_modify(|count| *count -= 1);
    }
}

/// ZooKeeper's number for a fault.
fn code(fault: &Error) -> Option<i32> {
    let code = match fault {
        Error::Session(fault) => match fault {
            SessionError::NoNode { .. } => ErrorCode::NO_NODE,
            SessionError::NodeExists { .. } => ErrorCode::NODE_EXISTS,
            SessionError::BadVersion { .. } => ErrorCode::BAD_VERSION,
            SessionError::NoAuth { .. } => ErrorCode::NO_AUTH,
            SessionError::NotEmpty { .. } => ErrorCode::NOT_EMPTY,
            SessionError::NoChildrenForEphemerals { .. } => ErrorCode::NO_CHILDREN_FOR_EPHEMERALS,
            SessionError::InvalidAcl { .. } => ErrorCode::INVALID_ACL,
            SessionError::ConnectionLoss { .. } => ErrorCode::CONNECTION_LOSS,
            SessionError::SessionLost => ErrorCode::SESSION_EXPIRED,
            SessionError::AuthFailed => ErrorCode::AUTH_FAILED,
            SessionError::Server { code, .. } => *code,
            _ => return None,
        },
        Error::Connect(ConnectError::Timeout { .. } | ConnectError::Lost) => ErrorCode::CONNECTION_LOSS,
        Error::Connect(ConnectError::AuthFailed) => ErrorCode::AUTH_FAILED,
        Error::Lost { .. } => ErrorCode::SESSION_EXPIRED,
        _ => return None,
    };
    Some(code.0)
}
