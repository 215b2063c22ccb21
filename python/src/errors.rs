//! The exceptions, and which error becomes which of them.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use zooky::Error;
use zooky::session::{ConnectError, Error as SessionError};

create_exception!(zooky, ZookyError, PyException, "The base of everything that zooky raises.");
create_exception!(zooky, ConnectionClosedError, ZookyError, "The client was stopped, or never started.");
create_exception!(
    zooky,
    ConnectionLoss,
    ZookyError,
    "The connection broke: whether the request was done is unknown."
);
create_exception!(
    zooky,
    SessionExpiredError,
    ZookyError,
    "The session is lost, and its ephemeral nodes with it."
);
create_exception!(zooky, AuthFailedError, ZookyError, "The server refused the credentials.");
create_exception!(zooky, NoNodeError, ZookyError, "There is no such node.");
create_exception!(zooky, NodeExistsError, ZookyError, "There is such a node already.");
create_exception!(zooky, BadVersionError, ZookyError, "Somebody else changed the node.");
create_exception!(zooky, NoAuthError, ZookyError, "The node's ACL does not allow it.");
create_exception!(zooky, NotEmptyError, ZookyError, "The node has children.");
create_exception!(zooky, NoChildrenForEphemeralsError, ZookyError, "An ephemeral node can have no children.");
create_exception!(zooky, InvalidACLError, ZookyError, "The ACL is empty or names nobody.");
create_exception!(zooky, BadArgumentsError, ZookyError, "The path or the data cannot be a znode's.");
create_exception!(zooky, LockTimeout, ZookyError, "The lock was not granted in time.");
create_exception!(
    zooky,
    LockLost,
    ZookyError,
    "The lock was lost before it was released: another may have held it since."
);
create_exception!(
    zooky,
    ForeignContenderError,
    ZookyError,
    "The lock's directory holds contenders that would not respect ours."
);
create_exception!(zooky, CancelledError, ZookyError, "The wait was cancelled from another thread.");
create_exception!(zooky, ForkError, ZookyError, "The object belongs to the process before the fork.");
create_exception!(zooky, ServerError, ZookyError, "The embedded server did not start, or failed.");

/// Puts the exceptions into the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    macro_rules! add {
        ($($name:ident),*) => { $( module.add(stringify!($name), py.get_type::<$name>())?; )* };
    }
    add!(
        ZookyError,
        ConnectionClosedError,
        ConnectionLoss,
        SessionExpiredError,
        AuthFailedError,
        NoNodeError,
        NodeExistsError,
        BadVersionError,
        NoAuthError,
        NotEmptyError,
        NoChildrenForEphemeralsError,
        InvalidACLError,
        BadArgumentsError,
        LockTimeout,
        LockLost,
        ForeignContenderError,
        CancelledError,
        ForkError,
        ServerError
    );
    Ok(())
}

/// A lock's error as an exception.
pub(crate) fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Session(error) => raise_session(&error),
        Error::Connect(ConnectError::AuthFailed) => AuthFailedError::new_err(text),
        Error::Connect(_) => ConnectionLoss::new_err(text),
        // As kazoo has it for a semaphore whose leases others count differently.
        Error::Servers(_) | Error::Token(_) | Error::LeasesDiffer { .. } | Error::NoSemaphore { .. } => {
            PyValueError::new_err(text)
        }
        Error::Path { .. } | Error::NodePath { .. } => BadArgumentsError::new_err(text),
        Error::Timeout { .. } => LockTimeout::new_err(text),
        Error::Lost { .. } => LockLost::new_err(text),
        Error::ForeignContender { .. } | Error::UnknownChild { .. } | Error::SequenceExhausted { .. } => {
            ForeignContenderError::new_err(text)
        }
        _ => ZookyError::new_err(text),
    }
}

/// A request's error as an exception.
pub(crate) fn raise_session(error: &SessionError) -> PyErr {
    let text = error.to_string();
    match error {
        SessionError::NoNode { .. } => NoNodeError::new_err(text),
        SessionError::NodeExists { .. } => NodeExistsError::new_err(text),
        SessionError::BadVersion { .. } => BadVersionError::new_err(text),
        SessionError::NoAuth { .. } => NoAuthError::new_err(text),
        SessionError::NotEmpty { .. } => NotEmptyError::new_err(text),
        SessionError::NoChildrenForEphemerals { .. } => NoChildrenForEphemeralsError::new_err(text),
        SessionError::InvalidAcl { .. } => InvalidACLError::new_err(text),
        SessionError::ConnectionLoss { .. } => ConnectionLoss::new_err(text),
        SessionError::SessionLost => SessionExpiredError::new_err(text),
        SessionError::AuthFailed => AuthFailedError::new_err(text),
        SessionError::Closed => ConnectionClosedError::new_err(text),
        SessionError::BadPath(_) | SessionError::TooLarge { .. } => BadArgumentsError::new_err(text),
        _ => ZookyError::new_err(text),
    }
}
