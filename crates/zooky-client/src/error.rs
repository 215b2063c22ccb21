//! What can go wrong, and what to do then.

use std::time::Duration;

use zooky_wire::{ErrorCode, PathError};

use crate::tls::TlsError;

/// Why a request failed. Every variant says what is known about the request's fate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such node (for a create: no such parent).
    #[error("{path}: there is no such node; create it (or its parent) first")]
    NoNode {
        /// The node.
        path: String,
    },
    /// There is such a node already.
    #[error("{path}: the node exists already")]
    NodeExists {
        /// The node.
        path: String,
    },
    /// The node's version is another than the one given.
    #[error("{path}: somebody else changed the node; read it again")]
    BadVersion {
        /// The node.
        path: String,
    },
    /// The node's ACL does not allow it to any identity of this session.
    #[error(
        "{path}: not allowed by the node's ACL; authenticate as one whom it names (SessionConfig::auth, or a client \
         certificate), or have the ACL changed"
    )]
    NoAuth {
        /// The node.
        path: String,
    },
    /// The node has children, so that it cannot be deleted.
    #[error("{path}: the node has children; delete them first")]
    NotEmpty {
        /// The node.
        path: String,
    },
    /// The parent is ephemeral, so that it can have no children.
    #[error("{path}: the parent is ephemeral and cannot have children")]
    NoChildrenForEphemerals {
        /// The node.
        path: String,
    },
    /// The ACL is empty, names an unknown scheme, or `auth` without an identity.
    #[error("{path}: the ACL is not a valid one (is it empty, or has nobody authenticated?)")]
    InvalidAcl {
        /// The node.
        path: String,
    },
    /// The connection broke after the request was sent and before it was answered. **Its fate is unknown**: it
    /// may have been done, it may yet be done by the server that has it, or never. The session goes on; look
    /// before you repeat it.
    #[error(
        "{path}: the connection broke before the answer came; whether it was done is unknown, look it up"
    )]
    ConnectionLoss {
        /// The node (of a multi: of its first part).
        path: String,
    },
    /// The session is over: its deadline passed, or the servers have expired it. Its ephemeral nodes are gone or
    /// will be. The fate of a request that had been sent is unknown.
    #[error("the session is lost; open a new one")]
    SessionLost,
    /// A server refused the credentials. The session is over.
    #[error("the server refused the credentials; correct them and open a new session")]
    AuthFailed,
    /// The servers demand that sessions authenticate, and closed this one, which had not (by SASL, or by the schemes
    /// of their `enforce.auth.schemes`). The request was not done; the session is over.
    #[error(
        "the servers demand authentication and closed the session. zooky does not speak SASL: have them accept digest \
         or x509 (enforce.auth.schemes), and give the credentials with SessionConfig::auth or a client certificate"
    )]
    AuthRequired,
    /// zooky does not speak SASL; nothing was sent.
    #[error(
        "zooky does not speak SASL (Kerberos, DIGEST-MD5); authenticate with digest or a client certificate"
    )]
    SaslUnsupported,
    /// The session was closed by this program.
    #[error("the session was closed; open a new one")]
    Closed,
    /// The string names no node; nothing was sent.
    #[error(transparent)]
    BadPath(#[from] PathError),
    /// The request is longer than servers accept; nothing was sent.
    #[error("{path}: a request of {size} bytes; servers accept {limit}; store less in one node")]
    TooLarge {
        /// The node.
        path: String,
        /// The request's length in bytes.
        size: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Too many requests wait for their answers; this one was not sent.
    #[error("{path}: {limit} requests wait already; await some of them first")]
    Overloaded {
        /// The node.
        path: String,
        /// How many may wait.
        limit: usize,
    },
    /// This session has a one-shot watch on the node itself, and servers keep one kind of watch for each node and
    /// session, the newest: a watch of the tree from there downwards was not set, or has ended.
    #[error("{path}: this session watches the node in another way; use another session for one of the two")]
    Watched {
        /// The top of the tree.
        path: String,
    },
    /// The server answered with another error; the request was not done.
    #[error("{path}: the server answered: {code}")]
    Server {
        /// The error.
        code: ErrorCode,
        /// The node.
        path: String,
    },
}

impl Error {
    /// The error for a server's code.
    pub(crate) fn from_code(code: ErrorCode, path: String) -> Error {
        match code {
            ErrorCode::NO_NODE => Error::NoNode { path },
            ErrorCode::NODE_EXISTS => Error::NodeExists { path },
            ErrorCode::BAD_VERSION => Error::BadVersion { path },
            ErrorCode::NO_AUTH => Error::NoAuth { path },
            ErrorCode::NOT_EMPTY => Error::NotEmpty { path },
            ErrorCode::NO_CHILDREN_FOR_EPHEMERALS => Error::NoChildrenForEphemerals { path },
            ErrorCode::INVALID_ACL => Error::InvalidAcl { path },
            ErrorCode::CONNECTION_LOSS => Error::ConnectionLoss { path },
            ErrorCode::SESSION_EXPIRED => Error::SessionLost,
            ErrorCode::SESSION_CLOSED_REQUIRE_SASL => Error::AuthRequired,
            code => Error::Server { code, path },
        }
    }

    /// Whether it is unknown if the request was, or will be, done.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Error::ConnectionLoss { .. } | Error::SessionLost | Error::Closed)
    }

    /// Whether the session is over, so that no request on it can succeed any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Error::SessionLost | Error::AuthFailed | Error::AuthRequired | Error::Closed)
    }
}

/// Why no session could be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server opened a session in time.
    #[error("no session at {servers} within {waited:?}: {last}")]
    Timeout {
        /// The servers that were tried.
        servers: String,
        /// How long.
        waited: Duration,
        /// What the last attempt at each server failed with: `server: cause; server: cause`.
        last: String,
    },
    /// A server refused the credentials.
    #[error("the server refused the credentials; correct them")]
    AuthFailed,
    /// The servers demand that sessions authenticate; see [`Error::AuthRequired`].
    #[error("{}", Error::AuthRequired)]
    AuthRequired,
    /// SASL was asked for; see [`Error::SaslUnsupported`].
    #[error("{}", Error::SaslUnsupported)]
    SaslUnsupported,
    /// The TLS settings do not work.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The session was lost before it was of use. Try again.
    #[error("the session was lost while it was opened; try again")]
    Lost,
    /// This machine gave no timer, random bytes, or runtime.
    #[error("cannot start a session here: {why}")]
    Local {
        /// What is missing.
        why: String,
    },
}
