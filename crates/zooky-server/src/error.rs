//! Why a server does not start, and why it stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::log::LogError;

/// Why a server could not be started. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken.
    #[error("{addr} is in use; choose another address, or use the server that is there")]
    AddressInUse {
        /// Which address.
        addr: SocketAddr,
    },
    /// The address can be reached by others, and nothing keeps them out.
    #[error(
        "{addr} is not a loopback address: whoever reaches it could take and free locks; listen on 127.0.0.1, \
         use TLS (--tls-listen), or say --insecure (`Config::insecure`)"
    )]
    Exposed {
        /// Which address.
        addr: SocketAddr,
    },
    /// The metrics' address can be reached by others.
    #[error(
        "{addr} is not a loopback address: whoever reaches it could read the metrics, and nothing encrypts them; let \
         --metrics name an address of 127.0.0.1, or say --insecure (`Config::insecure`)"
    )]
    ExposedMetrics {
        /// Which address.
        addr: SocketAddr,
    },
    /// A certificate or key cannot be used.
    #[error("TLS cannot use {}: {why}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The data directory cannot be made or used.
    #[error("cannot {what} {}: {source}; check the data directory and its permissions", path.display())]
    DataDir {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another server has it.
    #[error("{} is in use by another zooky server; stop that one or choose another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds files, but neither ours nor Apache ZooKeeper's.
    #[error(
        "{} is not a ZooKeeper data directory: it holds {found:?} and no version-2; choose an empty directory",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// There is nothing to check in the directory.
    #[error("{} holds no version-2, so no logs and snapshots; name the data directory of a server", path.display())]
    NoData {
        /// The directory.
        path: PathBuf,
    },
    /// The file of the password secret is damaged.
    #[error(
        "{} does not hold a secret of 32 bytes; put back a copy, or remove it (then no session survives)",
        path.display()
    )]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// The settings contradict each other.
    #[error("the session timeouts make no sense: the smallest is {min_ms} ms, the largest {max_ms} ms")]
    Timeouts {
        /// The smallest, in milliseconds.
        min_ms: u32,
        /// The largest, in milliseconds.
        max_ms: u32,
    },
    /// The log or a snapshot cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system refused a thread, a random number or the like.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why a running server stopped. All its connections were closed without an answer; what it had
/// acknowledged is durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The disk failed.
    #[error("the server stopped, because it cannot promise anything any more: {0}")]
    Log(#[from] LogError),
    /// The system refused to tell of events on sockets.
    #[error("the server stopped: cannot wait for its sockets: {source}")]
    Poll {
        /// The system's answer.
        source: io::Error,
    },
    /// The thread of the log is gone.
    #[error("the server stopped: its log thread has ended")]
    LogThread,
    /// The thread that writes snapshots is gone.
    #[error("the server stopped: its snapshot thread has ended")]
    SnapshotThread,
}
