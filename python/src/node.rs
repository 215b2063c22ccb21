//! The value of one znode as it changes, for zktools' `ZkNode`.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::oneshot;
use zooky::node::{NodeState, Snapshot, Subscription};
use zooky::session::{Acl, Error as SessionError, State};
use zooky::{Client, Error, Value};

use crate::errors::{raise, raise_session};
use crate::runtime::{Owned, seconds, wait};
use crate::told::report;

/// What a node is to be like if it has to be created, and how it is read.
pub(crate) struct Opening {
    pub(crate) default: Option<Vec<u8>>,
    pub(crate) json: bool,
    pub(crate) acl: Vec<Acl>,
    pub(crate) ephemeral: bool,
}

/// A znode that is followed, until this is dropped.
#[pyclass(frozen, module = "zooky._zooky")]
pub(crate) struct Node {
    node: Owned<(zooky::Node, Client)>,
}

/// What a value is, its data, and of moments the text in one form.
type Described<'py> = (&'static str, Bound<'py, PyBytes>, Option<String>);

impl Node {
    pub(crate) fn open(py: Python<'_>, client: &Client, path: &str, how: Opening) -> PyResult<Node> {
        let mut builder = zooky::Node::builder(client, path).map_err(raise)?.json(how.json).with_acl(how.acl);
        if let Some(default) = how.default {
            builder = builder.default(default);
        }
        if how.ephemeral {
            builder = builder.ephemeral();
        }
        let node = wait(py, builder.open())?.map_err(raise)?;
        Ok(Node { node: Owned::new((node, client.clone())) })
    }

    fn node(&self) -> PyResult<&zooky::Node> {
        self.node.get().map(|(node, _)| node)
    }

    /// Subscribes a function of Python's by `start`, and waits until it has returned for the first time.
    fn subscribe(
        py: Python<'_>,
        start: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> Subscription,
    ) -> PyResult<()> {
        let (told, first) = oneshot::channel();
        let told = Mutex::new(Some(told));
        let once = move || {
            let told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            // Nobody waits any more after Ctrl-C.
            told.map(|told| told.send(()));
        };
        start(Box::new(once)).forever();
        // An error: the client was closed, and nobody will be told.
        wait(py, first)?.map_err(|_| raise_session(&SessionError::Closed))
    }
}

#[pymethods]
impl Node {
    /// What the value is ("nothing", "truth", "number", "date", "moment", "json", "text" or "bytes"), its data, and for
    /// a date or a moment the text in one form; `None` if the node is deleted. After a loss of the session it waits
    /// for the next one, and reads the node anew.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Described<'py>>> {
        let (node, client) = self.node.get()?;
        if client.current().state() == State::Lost {
            return match wait(py, node.read())? {
                Ok(snapshot) => Ok(Some(describe(py, &snapshot))),
                Err(Error::Session(SessionError::NoNode { .. })) => Ok(None),
                Err(error) => Err(raise(error)),
            };
        }
        match node.state() {
            NodeState::Present(snapshot) => Ok(Some(describe(py, &snapshot))),
            NodeState::Unreadable(error) => Err(raise_session(&error)),
            NodeState::Closed => Err(raise_session(&SessionError::Closed)),
            _ => Ok(None),
        }
    }

    /// When it was last changed, in milliseconds since 1970 on the server's clock; `None` if it is deleted.
    #[getter]
    fn last_modified(&self) -> PyResult<Option<i64>> {
        Ok(self.node()?.last_modified())
    }

    /// Whether a server is answering.
    #[getter]
    fn connected(&self) -> PyResult<bool> {
        Ok(self.node()?.connected())
    }

    /// Sets the data.
    fn set(&self, py: Python<'_>, data: Vec<u8>) -> PyResult<()> {
        let node = self.node()?;
        wait(py, node.set_data(data, -1))?.map(drop).map_err(raise)
    }

    /// The names of the children, asked of the server.
    fn children(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let node = self.node()?;
        wait(py, node.children())?.map_err(raise)
    }

    /// Calls `callback` with the names of the children, now (it has returned once when this returns) and with each
    /// change, on threads of their own.
    fn on_children(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let node = self.node()?;
        Node::subscribe(py, |once| {
            node.on_children(move |names| {
                report(&callback, (names.to_vec(),));
                once();
            })
        })
    }

    /// The same with the value, of which nothing is handed over.
    fn on_change(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let node = self.node()?;
        Node::subscribe(py, |once| {
            node.on_change(move |_| {
                report(&callback, ());
                once();
            })
        })
    }

    /// A number that is another one after each change of the value.
    #[getter]
    fn seen(&self) -> PyResult<i64> {
        Ok(seen(&self.node()?.state()))
    }

    /// Waits until [`seen`] is another number than this, for ever or up to `timeout` seconds; whether it is.
    #[pyo3(signature = (known, timeout = None))]
    fn wait_change(&self, py: Python<'_>, known: i64, timeout: Option<f64>) -> PyResult<bool> {
        let mut changes = self.node()?.changes();
        let timeout = timeout.map(seconds).transpose()?;
        let other = async {
            // None: the client was closed, which is a change, too.
            while changes.next().await.is_some_and(|state| seen(&state) == known) {}
        };
        wait(py, async {
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, other).await.is_ok(),
                None => {
                    other.await;
                    true
                }
            }
        })
    }
}

fn seen(state: &NodeState) -> i64 {
    match state {
        NodeState::Present(snapshot) => snapshot.stat.mzxid,
        NodeState::Deleted => -1,
        NodeState::Unreadable(_) => -2,
        _ => -3,
    }
}

fn describe<'py>(py: Python<'py>, snapshot: &Snapshot) -> Described<'py> {
    let (kind, moment) = match &snapshot.value {
        Value::Null => ("nothing", None),
        Value::Bool(_) => ("truth", None),
        Value::Int(_) | Value::Decimal(_) | Value::Float(_) => ("number", None),
        Value::Date(_) => ("date", Some(snapshot.value.to_string())),
        Value::DateTime(_) | Value::LocalDateTime(_) => ("moment", Some(snapshot.value.to_string())),
        Value::Json(_) => ("json", None),
        Value::Bytes(_) => ("bytes", None),
        _ => ("text", None),
    };
    (kind, PyBytes::new(py, &snapshot.data), moment)
}
