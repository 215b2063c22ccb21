//! A session with its requests, and handles of locks on it.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zooky::SessionConfig;
use zooky::session::{Acl, CreateMode, Error as SessionError, Pending, Session, Stat, State, TlsConfig};

use crate::candidate::Candidate;
use crate::errors::raise;
use crate::lock::{Lock, Wanted};
use crate::node::{Node, Opening};
use crate::runtime::{Owned, runtime, seconds, wait};
use crate::told::call;

/// A znode's stat as kazoo shows it: eleven numbers, in the protocol's order.
type StatTuple = (i64, i64, i64, i64, i32, i32, i32, i64, i32, i32, i64);

/// An entry of an ACL: permission bits, scheme, id.
type AclEntry = (i32, String, String);

/// A connection to ZooKeeper.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Client {
    client: Owned<zooky::Client>,
}

impl Client {
    /// Sends one request on the present session and waits for its answer.
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        request: impl FnOnce(&Session) -> Pending<T> + Send,
    ) -> PyResult<T> {
        let client = self.client.get()?;
        let answer = wait(py, async {
            let session = client.session().await?;
            Ok::<T, zooky::Error>(request(&session).await?)
        })?;
        answer.map_err(raise)
    }
}

#[pymethods]
impl Client {
    /// Connects, or fails after `connect_timeout` seconds.
    #[staticmethod]
    #[pyo3(signature = (hosts, timeout, connect_timeout, auth, ca_file = None, cert_file = None, key_file = None))]
    #[allow(clippy::too_many_arguments)] // Keywords in Python.
    fn connect(
        py: Python<'_>,
        hosts: &str,
        timeout: f64,
        connect_timeout: f64,
        auth: Vec<(String, String)>,
        ca_file: Option<PathBuf>,
        cert_file: Option<PathBuf>,
        key_file: Option<PathBuf>,
    ) -> PyResult<Client> {
        let servers = hosts.parse().map_err(|error| raise(zooky::Error::Servers(error)))?;
        let mut config = SessionConfig::new(servers).timeout(seconds(timeout)?);
        config = config.connect_timeout(seconds(connect_timeout)?).arrivals(runtime()?.arrivals().clone());
        for (scheme, credentials) in auth {
            config = config.auth(scheme, credentials);
        }
        if let Some(ca) = ca_file {
            let identity = cert_file.as_deref().zip(key_file.as_deref());
            let tls = TlsConfig::new(&ca, identity);
            config = config.tls(tls.map_err(|error| raise(zooky::Error::Connect(error.into())))?);
        }
        let client = wait(py, zooky::Client::connect_with(config))?.map_err(raise)?;
        Ok(Client { client: Owned::new(client) })
    }

    /// The present session's id; 0 in a forked child.
    #[getter]
    fn session_id(&self) -> PyResult<i64> {
        Ok(self.client.get()?.current().id())
    }

    /// The session timeout in seconds, as the server granted it.
    #[getter]
    fn session_timeout(&self) -> PyResult<f64> {
        Ok(self.client.get()?.current().timeout().as_secs_f64())
    }

    /// "CONNECTED", "SUSPENDED" or "LOST", as of now.
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(name_of(self.client.get()?.current().state()))
    }

    /// Calls `callback` with each new state, one after the other on a thread of its own; after a loss it opens a new
    /// session. It ends with the client.
    fn listen(&self, callback: Py<PyAny>) -> PyResult<()> {
        let client = self.client.get()?.clone();
        runtime()?.spawn(follow(client, Arc::new(callback)));
        Ok(())
    }

    /// Closes the session and waits for the server's word. Its locks are free then.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let client = self.client.get()?.clone();
        match wait(py, client.close())? {
            // Closed before, or no server there: it ends by its timeout.
            Err(zooky::Error::Session(
                SessionError::Closed | SessionError::ConnectionLoss { .. } | SessionError::SessionLost,
            )) => Ok(()),
            other => other.map_err(raise),
        }
    }

    /// A handle of the lock at `path`; `mode` is "exclusive", "read", "write" or "lease" (of so many). With `zktools` it
    /// is written as zktools writes it; `revoke` is "ask" or "immediately".
    #[pyo3(signature = (path, mode, identifier = None, max_leases = 1, zktools = false, revoke = None))]
    #[allow(clippy::too_many_arguments)] // Keywords in Python.
    fn lock(
        &self,
        path: &str,
        mode: &str,
        identifier: Option<String>,
        max_leases: u32,
        zktools: bool,
        revoke: Option<&str>,
    ) -> PyResult<Lock> {
        let wanted = Wanted { mode, identifier, max_leases, zktools, revoke };
        Lock::new(self.client.get()?, path, wanted).map_err(raise)
    }

    /// Queues for zktools' asynchronous lock at `path`, in the background.
    fn enqueue(&self, path: &str) -> PyResult<Candidate> {
        Candidate::enqueue(self.client.get()?, path).map_err(raise)
    }

    /// Follows the node at `path`. If it is not there it is created with `default`, and with these rights and that life.
    #[pyo3(signature = (path, default, json, acl, ephemeral))]
    fn node(
        &self,
        py: Python<'_>,
        path: &str,
        default: Option<Vec<u8>>,
        json: bool,
        acl: Vec<AclEntry>,
        ephemeral: bool,
    ) -> PyResult<Node> {
        Node::open(py, self.client.get()?, path, Opening { default, json, acl: rights(acl), ephemeral })
    }

    /// Creates a node and returns its path; `flags` are ZooKeeper's (1 ephemeral, 2 sequential …).
    #[pyo3(signature = (path, data, flags, acl = None))]
    fn create(
        &self,
        py: Python<'_>,
        path: &str,
        data: Vec<u8>,
        flags: i32,
        acl: Option<Vec<AclEntry>>,
    ) -> PyResult<String> {
        let mode = match flags {
            0 => CreateMode::PERSISTENT,
            1 => CreateMode::EPHEMERAL,
            2 => CreateMode::PERSISTENT_SEQUENTIAL,
            3 => CreateMode::EPHEMERAL_SEQUENTIAL,
            _ => return Err(pyo3::exceptions::PyValueError::new_err(format!("{flags} is no create mode"))),
        };
        let acl = acl.map_or_else(Acl::open, rights);
        let created = self.ask(py, |session| session.create(path, data, mode, &acl))?;
        Ok(created.path)
    }

    /// The stat, or `None` if there is no such node.
    fn exists(&self, py: Python<'_>, path: &str) -> PyResult<Option<StatTuple>> {
        Ok(self.ask(py, |session| session.exists(path))?.map(|stat| tuple(&stat)))
    }

    /// Data and stat.
    fn get<'py>(&self, py: Python<'py>, path: &str) -> PyResult<(Bound<'py, PyBytes>, StatTuple)> {
        let (data, stat) = self.ask(py, |session| session.get(path))?;
        Ok((PyBytes::new(py, &data), tuple(&stat)))
    }

    /// Sets the data if the version fits (-1: whatever it is).
    fn set(&self, py: Python<'_>, path: &str, data: Vec<u8>, version: i32) -> PyResult<StatTuple> {
        Ok(tuple(&self.ask(py, |session| session.set(path, data, version))?))
    }

    /// Deletes the node if the version fits.
    fn delete(&self, py: Python<'_>, path: &str, version: i32) -> PyResult<()> {
        self.ask(py, |session| session.delete(path, version))
    }

    /// The names of the children.
    fn children(&self, py: Python<'_>, path: &str) -> PyResult<Vec<String>> {
        Ok(self.ask(py, |session| session.children(path))?.names)
    }

    /// Waits until what others have written can be read here.
    fn sync(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.ask(py, |session| session.sync(path))
    }
}

/// Tells of every change until the client is closed.
async fn follow(client: zooky::Client, callback: Arc<Py<PyAny>>) {
    loop {
        let Ok(session) = client.session().await else { return };
        let mut states = session.watch_state();
        let mut state = session.state();
        loop {
            let _ = call(callback.clone(), (name_of(state),)).await;
            if state == State::Lost {
                break;
            }
            state = states.changed().await;
        }
    }
}

fn rights(entries: Vec<AclEntry>) -> Vec<Acl> {
    entries.into_iter().map(|(perms, scheme, id)| Acl::new(perms, scheme, id)).collect()
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Connected => "CONNECTED",
        State::Suspended => "SUSPENDED",
        State::Lost => "LOST",
    }
}

fn tuple(stat: &Stat) -> StatTuple {
    (
        stat.czxid,
        stat.mzxid,
        stat.ctime_ms,
        stat.mtime_ms,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
        stat.pzxid,
    )
}
