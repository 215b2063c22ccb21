//! Distributed locks on ZooKeeper: guards with fencing tokens that know when they are lost.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
//! # let hosts = server.addr().to_string();
//! // hosts: "zk1:2181,zk2:2181,zk3:2181/app", say
//! let client = zooky::Client::connect(&hosts).await?;
//! let lock = zooky::Lock::new(&client, "/locks/nightly-backup")?;
//! let guard = lock.acquire().await?;
//! // ... write, handing guard.fencing_token() along ...
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Lock`] is exclusive, [`RwLock`] is shared by readers; both are first come first served and
//!   exclude kazoo's locks on the same path.
//! - A [`Semaphore`] has a number of leases that all clients agree on, kazoo's included; or Curator's, in its layout.
//! - A [`PersistentLock`] outlives its session and is taken back by a key.
//! - [`MultiLock`] takes several locks as one, [`AsyncLock`] is asked for now and decided on later, an [`Election`] has
//!   leaders and observers, in kazoo's layout.
//! - A [`Guard`] is held, suspect or lost, by a deadline of its own; see [`GuardState`].
//! - A [`Node`] follows the typed value of one znode.
//! - [`inspect`] tells who holds a lock and who waits.
//! - [`blocking`] has the same for programs without an asynchronous runtime.
//!
//! The locks follow the recipes of ZooKeeper's documentation ("ZooKeeper Recipes and Solutions":
//! locks and shared locks), with the corrections that a decade of issue reports asks for; see
//! `docs/` in the repository.

mod acquire;
mod async_lock;
pub mod blocking;
mod clean;
mod cleanup;
mod client;
mod core;
mod deadlock;
mod delay;
mod doubt;
mod election;
mod error;
mod foreign;
mod guard;
mod handover;
mod head;
pub mod inspect;
mod layout;
mod limit;
mod lock;
mod many;
mod mirror;
mod multi;
pub mod node;
mod observe;
mod owner;
mod persistent;
mod progress;
mod reentrant;
mod revoke;
mod rwlock;
mod semaphore;
mod tenure;
mod token;
mod upgrade;

pub use acquire::check_lock_path;
pub use async_lock::{AsyncLock, Candidate};
pub use clean::{Cleaned, Hurts, Kept, RemovedDirectory, clean, clean_preview, remove};
pub use client::Client;
pub use core::dialect::{Dialect, Mode};
pub use core::strangers::Others;
pub use core::value::Value;
pub use election::{Election, LeaderObserver, Leadership};
pub use error::Error;
pub use foreign::ForeignContender;
pub use guard::{Guard, GuardState};
pub use handover::Handover;
pub use lock::Lock;
pub use many::{MultiGuard, MultiLock, Part};
pub use node::{Node, NodeState};
pub use owner::Owner;
pub use persistent::{PersistentGuard, PersistentLock};
pub use progress::Trouble;
pub use reentrant::{OwnerKey, ReentrantGuard, ReentrantLock};
pub use revoke::{Revocation, Revoke, Standing, revoke};
pub use rwlock::RwLock;
pub use semaphore::Semaphore;
pub use token::{FencingToken, ParseTokenError};
pub use upgrade::Unchanged;

/// The types of dates and decimals in a [`Value`].
pub use {bigdecimal, jiff};

/// The session underneath, for those who need ZooKeeper itself.
pub use zooky_client::{self as session, Acl, BootInstant, ConnectError, SessionConfig};
