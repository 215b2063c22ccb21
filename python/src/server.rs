//! The embedded server in the Python process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use zooky_server::Config;

use crate::errors::ServerError;
use crate::runtime::Owned;

/// A ZooKeeper server on a loopback port, on threads of its own.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Server {
    address: String,
    running: Owned<Mutex<Option<zooky_server::Server>>>,
}

#[pymethods]
impl Server {
    /// Starts it on `listen` (port 0: any free one) with its data in `data_dir`.
    #[new]
    #[pyo3(signature = (data_dir, listen, tick_ms))]
    fn new(py: Python<'_>, data_dir: PathBuf, listen: &str, tick_ms: u64) -> PyResult<Server> {
        let address = listen.parse();
        let address = address.map_err(|_| ServerError::new_err(format!("{listen:?} is no ADDRESS:PORT")))?;
        let mut config = Config::new(address, data_dir);
        config.tick = Duration::from_millis(tick_ms);
        config.four_letter_words = zooky_server::FourLetterWords::All;
        let server = py.detach(|| zooky_server::Server::start(config));
        let server = server.map_err(|error| ServerError::new_err(error.to_string()))?;
        Ok(Server { address: server.addr().to_string(), running: Owned::new(Mutex::new(Some(server))) })
    }

    /// Where it takes clients, as a client's `hosts`.
    #[getter]
    fn hosts(&self) -> &str {
        &self.address
    }

    /// Stops it; what was acknowledged is on the disk. Stopping twice does nothing.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let server = self.running.get()?.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(server) = server else { return Ok(()) };
        py.detach(|| server.stop()).map_err(|error| ServerError::new_err(error.to_string()))
    }
}
