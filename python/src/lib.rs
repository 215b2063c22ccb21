//! The extension module `zooky._zooky`: the Rust crates as Python sees them.
//!
//! What users meet is the package around it (`python/zooky`); the classes here are thin: a session with the requests
//! of ZooKeeper, lock handles, guards and the server. Every wait releases the GIL, and Ctrl-C interrupts it.
// PyO3's macros need unsafe code; none is written here by hand.
#![deny(unsafe_code)]

mod awaitable;
mod candidate;
mod client;
mod command;
mod errors;
mod keeper;
mod lock;
mod node;
mod runtime;
mod server;
mod told;

use pyo3::prelude::*;

/// The native part of zooky.
#[pymodule]
mod _zooky {
    #[pymodule_export]
    use super::candidate::Candidate;
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::command::command;
    #[pymodule_export]
    use super::lock::{Guard, Lock};
    #[pymodule_export]
    use super::node::Node;
    #[pymodule_export]
    use super::server::Server;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        errors::register(module)
    }
}
