//! A durable ZooKeeper server in one process.
//!
//! ```
//! use zooky_server::{Config, Server};
//!
//! # let dir = tempfile::tempdir()?;
//! # let data = dir.path().join("data");
//! // Port 0: any that is free.
//! let server = Server::start(Config::new("127.0.0.1:0".parse()?, data))?;
//! println!("listening on {}", server.addr());
//! # let stopper = server.stopper();
//! # stopper.stop();
//! server.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | part | what it knows |
//! |---|---|
//! | [`core`] | the tree, sessions, watches, ACLs; pure |
//! | [`held`] | what waits for the disk before it leaves |
//! | [`log`] | files: the transaction log, snapshots, recovery |
//! | `net` | sockets, limits, four-letter words |
//! | `run` | the one thread that owns all of them: step, append, sync, then answer |
//!
//! The data directory is one of Apache ZooKeeper's: see `docs/log-format.md`.

pub mod core;
pub mod held;
pub mod log;

mod check;
mod companion;
mod config;
mod data_dir;
mod durable_dir;
mod error;
mod net;
mod run;
mod secret;
mod server;

pub use check::check;
pub use companion::Companion;
pub use config::{Config, FourLetterWords, Limits, TlsSettings};
pub use durable_dir::make_durable_dir;
pub use error::{ServerError, StartError};
pub use server::{Server, Stopper};
