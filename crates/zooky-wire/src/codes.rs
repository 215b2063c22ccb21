//! The numbers of the protocol, with their names.

use std::fmt;

/// The xids that do not number a request.
pub mod xid {
    /// A watch event.
    pub const EVENT: i32 = -1;
    /// A ping and its answer.
    pub const PING: i32 = -2;
    /// An auth packet and its answer.
    pub const AUTH: i32 = -4;
    /// A setWatches request and its answer.
    pub const SET_WATCHES: i32 = -8;
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $id:ident = $value:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i32);

        impl $name {
            $($(#[$doc])* pub const $id: $name = $name($value);)*

            /// What the number stands for, if it is known.
            pub fn text(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($id)),)*
                    other => write!(f, concat!(stringify!($name), "({})"), other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.text() {
                    Some(text) => write!(f, "{text} ({})", self.0),
                    None => write!(f, "unknown code {}", self.0),
                }
            }
        }
    };
}

codes! {
    /// The type of a request.
    OpCode {
        /// Create a node.
        CREATE = 1, "create";
        /// Delete a node.
        DELETE = 2, "delete";
        /// The stat of a node, or that there is none.
        EXISTS = 3, "exists";
        /// Data and stat of a node.
        GET_DATA = 4, "getData";
        /// Set a node's data.
        SET_DATA = 5, "setData";
        /// A node's ACL.
        GET_ACL = 6, "getACL";
        /// Set a node's ACL.
        SET_ACL = 7, "setACL";
        /// The names of a node's children.
        GET_CHILDREN = 8, "getChildren";
        /// Catch up with the leader.
        SYNC = 9, "sync";
        /// Still here.
        PING = 11, "ping";
        /// As `GET_CHILDREN`, with the stat.
        GET_CHILDREN2 = 12, "getChildren2";
        /// Inside multi: the version is the one expected.
        CHECK = 13, "check";
        /// Several writes as one.
        MULTI = 14, "multi";
        /// As `CREATE`, answered with a stat.
        CREATE2 = 15, "create2";
        /// Change the members of the ensemble.
        RECONFIG = 16, "reconfig";
        /// Is there such a watch?
        CHECK_WATCHES = 17, "checkWatches";
        /// Remove watches.
        REMOVE_WATCHES = 18, "removeWatches";
        /// Create a container.
        CREATE_CONTAINER = 19, "createContainer";
        /// The server removes an empty container (in logs only).
        DELETE_CONTAINER = 20, "deleteContainer";
        /// Create a node that goes when it has been idle for long enough.
        CREATE_TTL = 21, "createTTL";
        /// Several reads in one request.
        MULTI_READ = 22, "multiRead";
        /// Add an identity to the session.
        AUTH = 100, "auth";
        /// Set watches again after a reconnect.
        SET_WATCHES = 101, "setWatches";
        /// SASL.
        SASL = 102, "sasl";
        /// The session's ephemeral nodes.
        GET_EPHEMERALS = 103, "getEphemerals";
        /// How many nodes there are below a node.
        GET_ALL_CHILDREN_NUMBER = 104, "getAllChildrenNumber";
        /// As `SET_WATCHES`, with persistent watches too.
        SET_WATCHES2 = 105, "setWatches2";
        /// Add a persistent watch.
        ADD_WATCH = 106, "addWatch";
        /// The session's identities.
        WHO_AM_I = 107, "whoAmI";
        /// A new session (in logs only).
        CREATE_SESSION = -10, "createSession";
        /// Close the session.
        CLOSE_SESSION = -11, "closeSession";
        /// A refused write (in logs and multi results only).
        ERROR = -1, "error";
    }
}

codes! {
    /// The error in a reply.
    ErrorCode {
        /// No error.
        OK = 0, "ok";
        /// Something went wrong inside the server.
        SYSTEM = -1, "system error";
        /// A part of a multi was not tried, or would have worked had another not failed.
        RUNTIME_INCONSISTENCY = -2, "runtime inconsistency";
        /// The connection broke while the request was under way.
        CONNECTION_LOSS = -4, "connection loss";
        /// The request could not be read.
        MARSHALLING = -5, "marshalling error";
        /// The server does not know this request.
        UNIMPLEMENTED = -6, "unimplemented";
        /// It took too long.
        OPERATION_TIMEOUT = -7, "operation timeout";
        /// Something in the request makes no sense.
        BAD_ARGUMENTS = -8, "bad arguments";
        /// The configuration has changed meanwhile.
        NEW_CONFIG_NO_QUORUM = -13, "no quorum of the new config is connected";
        /// Another reconfiguration is under way.
        RECONFIG_IN_PROGRESS = -14, "a reconfiguration is in progress";
        /// There is no such node.
        NO_NODE = -101, "no node";
        /// The ACL does not allow it.
        NO_AUTH = -102, "not authorized";
        /// The node's version is another.
        BAD_VERSION = -103, "bad version";
        /// An ephemeral node cannot have children.
        NO_CHILDREN_FOR_EPHEMERALS = -108, "ephemeral nodes may not have children";
        /// There is such a node already.
        NODE_EXISTS = -110, "node exists";
        /// The node has children.
        NOT_EMPTY = -111, "the node has children";
        /// The session has ended.
        SESSION_EXPIRED = -112, "session expired";
        /// A watch could not be made.
        INVALID_CALLBACK = -113, "invalid callback";
        /// The ACL is not a valid one.
        INVALID_ACL = -114, "invalid ACL";
        /// The server refused the credentials.
        AUTH_FAILED = -115, "authentication failed";
        /// The session has moved to another server.
        SESSION_MOVED = -118, "the session moved to another server";
        /// The server serves reads only.
        NOT_READ_ONLY = -119, "the server is read-only";
        /// Only a local session here.
        EPHEMERAL_ON_LOCAL_SESSION = -120, "ephemeral node on a local session";
        /// There is no such watch.
        NO_WATCHER = -121, "no such watch";
        /// The request took too long to be served.
        REQUEST_TIMEOUT = -122, "request timeout";
        /// Reconfiguration is switched off.
        RECONFIG_DISABLED = -123, "reconfig is disabled";
        /// The connection's session was closed because it must authenticate by SASL.
        SESSION_CLOSED_REQUIRE_SASL = -124, "the session must authenticate";
        /// A quota would be exceeded.
        QUOTA_EXCEEDED = -125, "quota exceeded";
        /// The server is overloaded.
        THROTTLED = -127, "throttled";
    }
}

codes! {
    /// What happened to a watched node.
    EventType {
        /// Only the connection's state changed.
        NONE = -1, "none";
        /// The node was created.
        CREATED = 1, "created";
        /// The node was deleted.
        DELETED = 2, "deleted";
        /// Its data changed.
        DATA_CHANGED = 3, "data changed";
        /// A child was created or deleted.
        CHILDREN_CHANGED = 4, "children changed";
        /// The data watch was removed (seen by clients only).
        DATA_WATCH_REMOVED = 5, "data watch removed";
        /// The child watch was removed (seen by clients only).
        CHILD_WATCH_REMOVED = 6, "child watch removed";
        /// The persistent watch was removed (seen by clients only).
        PERSISTENT_WATCH_REMOVED = 7, "persistent watch removed";
    }
}

codes! {
    /// The state in a watch event's header.
    KeeperState {
        /// Connected, as in every event a server sends.
        SYNC_CONNECTED = 3, "connected";
    }
}

codes! {
    /// How long a node lives and how it is named.
    CreateMode {
        /// Until it is deleted.
        PERSISTENT = 0, "persistent";
        /// Until the session ends.
        EPHEMERAL = 1, "ephemeral";
        /// Until it is deleted; a number is put behind its name.
        PERSISTENT_SEQUENTIAL = 2, "persistent sequential";
        /// Until the session ends; a number is put behind its name.
        EPHEMERAL_SEQUENTIAL = 3, "ephemeral sequential";
        /// Until it has had children and has none.
        CONTAINER = 4, "container";
        /// Until it has been idle and childless for its time to live.
        PERSISTENT_WITH_TTL = 5, "persistent with TTL";
        /// As before, with a number behind its name.
        PERSISTENT_SEQUENTIAL_WITH_TTL = 6, "persistent sequential with TTL";
    }
}

impl CreateMode {
    /// Whether the node goes with its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::EPHEMERAL | CreateMode::EPHEMERAL_SEQUENTIAL)
    }

    /// Whether a number is put behind the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PERSISTENT_SEQUENTIAL
                | CreateMode::EPHEMERAL_SEQUENTIAL
                | CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL
        )
    }

    /// Whether it is one of the seven known modes.
    pub fn is_known(self) -> bool {
        self.text().is_some()
    }
}
