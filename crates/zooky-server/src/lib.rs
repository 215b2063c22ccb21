//! A durable ZooKeeper server in one process.
//!
//! ```no_run
//! use zooky_server::{Config, Server};
//!
//! let server = Server::start(Config::new("127.0.0.1:2181".parse()?, "data"))?;
//! println!("listening on {}", server.addr());
//! server.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | part | what it knows |
//! |---|---|
//! | [`core`] | the tree, sessions, watches, ACLs; pure |
//! | [`log`] | files: the transaction log, snapshots, recovery |
//! | `net` | sockets, limits, four-letter words |
//! | `run` | the one thread that owns all of them: step, append, sync, then answer |
//!
//! The data directory is one of Apache ZooKeeper's: see `docs/log-format.md`.

pub mod core;
pub mod log;

mod config;
mod data_dir;
mod error;
mod net;
mod run;
mod secret;
mod server;

pub use config::{Config, FourLetterWords, Limits};
pub use error::{ServerError, StartError};
pub use server::{Server, Stopper};
