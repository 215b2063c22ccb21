//! One ZooKeeper session, with a deadline of its own.
//!
//! A [`Session`] connects to one of several servers, re-attaches to another when that one fails, sets watches
//! again, and knows by its own clock until when the servers cannot have given its ephemeral nodes away:
//! [`Session::deadline`]. Past it the session is [`State::Lost`], which is final, whatever a server still says.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
//! # let hosts = server.addr().to_string();
//! use zooky_client::{Acl, CreateMode, Session, SessionConfig};
//!
//! // hosts: "localhost:2181", say
//! let session = Session::connect(SessionConfig::new(hosts.parse()?)).await?;
//! let made = session.create("/hello", "world", CreateMode::EPHEMERAL, &Acl::open()).await?;
//! let (data, stat) = session.get(&made.path).await?;
//! assert_eq!((&data[..], stat.ephemeral_owner), (&b"world"[..], session.id()));
//! session.close().await?;
//! # Ok(()) }
//! ```
//!
//! It needs a tokio runtime with I/O enabled. One task drives each session; requests that are made back to
//! back leave in one write. A thread outside of the runtime may write its requests itself ([`send_at_once`]).

mod boottime;
mod chroot;
mod config;
mod core;
mod direct;
mod driver;
mod error;
mod failures;
/// Not in the simulator, where nobody asks.
#[cfg(not(feature = "simulated"))]
mod inquiry;
mod link;
/// The simulator builds these same sources on a machine of its own (`crates/zooky-sim`); it stands in for tokio, too.
#[cfg(not(feature = "simulated"))]
mod machine;
mod pending;
mod requests;
mod servers;
mod session;
mod shared;
mod tls;
mod watch;

#[cfg(feature = "simulated")]
use tokio::machine;

pub use boottime::BootInstant;
pub use config::SessionConfig;
pub use direct::send_at_once;
pub use error::{ConnectError, Error};
pub use failures::ConnectFailures;
#[cfg(not(feature = "simulated"))]
pub use inquiry::{Inquiry, InquiryError};
pub use machine::{Arrivals, unix_ms};
pub use pending::{Children, Created, Pending};
pub use servers::{ServerList, ServerListError};
pub use session::{Flight, Hold, Session, State, StateWatch};
pub use tls::{TlsConfig, TlsError};
pub use watch::{TreeSink, TreeWatch, Watch, WatchEvent};
pub use zooky_wire::{
    Acl, ClientInfo, Create, CreateKind, CreateMode, ErrorCode, EventType, MultiOp, MultiResult, PathError,
    Stat, perms, validate_path,
};
