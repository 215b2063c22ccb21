//! The value of one znode for programs without an asynchronous runtime.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zooky_client::Stat;

use super::Client;
use crate::node::{NodeBuilder, NodeState, Snapshot, Subscription};
use crate::{Error, Value};

/// The value of one znode, followed as it changes; see [`crate::Node`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// let client = zooky::blocking::Client::connect(&hosts)?;
/// let node = zooky::blocking::Node::open(&client, "/some/config/node")?;
/// node.set(483.24)?;
/// assert_eq!(node.value().unwrap().to_string(), "483.24");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Node {
    // In this order: what follows the node ends before its runtime does.
    node: crate::Node,
    client: Client,
}

impl Node {
    /// Follows the node at `path`, and creates it without data if it is not there.
    ///
    /// # Errors
    /// As [`crate::Node::open`], and [`Error::InsideRuntime`].
    pub fn open(client: &Client, path: &str) -> Result<Node, Error> {
        Node::open_with(client, path, |settings| settings)
    }

    /// Follows the node at `path` with the settings that `set` makes:
    /// `Node::open_with(&client, path, |settings| settings.json(true).default(100))`.
    ///
    /// # Errors
    /// As [`crate::node::NodeBuilder::open`], and [`Error::InsideRuntime`].
    pub fn open_with(
        client: &Client,
        path: &str,
        set: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Result<Node, Error> {
        let settings = set(crate::Node::builder(client.asynchronous(), path)?);
        Ok(Node { node: client.run(settings.open())??, client: client.clone() })
    }

    /// The node's path.
    pub fn path(&self) -> &str {
        self.node.path()
    }

    /// What is known of the node. No request is made.
    pub fn state(&self) -> NodeState {
        self.node.state()
    }

    /// What the node held when it was seen last; see [`crate::Node::snapshot`].
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.node.snapshot()
    }

    /// The value seen last; see [`crate::Node::value`].
    pub fn value(&self) -> Option<Value> {
        self.node.value()
    }

    /// When the node was last changed, in milliseconds since 1970; see [`crate::Node::last_modified`].
    pub fn last_modified(&self) -> Option<i64> {
        self.node.last_modified()
    }

    /// Whether the session is connected.
    pub fn connected(&self) -> bool {
        self.node.connected()
    }

    /// Waits up to `timeout` until what is known of the node is no longer `known`, and returns what it is then; `None`
    /// if the time is over.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn wait_change(&self, known: &NodeState, timeout: Duration) -> Result<Option<NodeState>, Error> {
        let mut changes = self.node.changes();
        let other = async {
            loop {
                match changes.next().await {
                    Some(state) if state == *known => {}
                    Some(state) => return state,
                    None => return NodeState::Closed,
                }
            }
        };
        self.client.run(async { tokio::time::timeout(timeout, other).await.ok() })
    }

    /// Calls `told` with what is known now and with each change, on a thread where it may block; see
    /// [`crate::Node::on_change`].
    #[must_use = "dropping the subscription ends it"]
    pub fn on_change(&self, told: impl Fn(&NodeState) + Send + Sync + 'static) -> Subscription {
        self.node.on_change(told)
    }

    /// Calls `told` with the names of the children now and with each change; see [`crate::Node::on_children`].
    #[must_use = "dropping the subscription ends it"]
    pub fn on_children(&self, told: impl Fn(&[String]) + Send + Sync + 'static) -> Subscription {
        self.node.on_children(told)
    }

    /// Reads the node from the server now.
    ///
    /// # Errors
    /// As [`crate::Node::read`], and [`Error::InsideRuntime`].
    pub fn read(&self) -> Result<Arc<Snapshot>, Error> {
        self.client.run(self.node.read())?
    }

    /// Sets the value, whatever the node holds now.
    ///
    /// # Errors
    /// As [`crate::Node::set`], and [`Error::InsideRuntime`].
    pub fn set(&self, value: impl Into<Value>) -> Result<Stat, Error> {
        self.client.run(self.node.set(value))?
    }

    /// Sets the value if the node's version is still this one.
    ///
    /// # Errors
    /// As [`crate::Node::set_if`], and [`Error::InsideRuntime`].
    pub fn set_if(&self, value: impl Into<Value>, version: i32) -> Result<Stat, Error> {
        self.client.run(self.node.set_if(value, version))?
    }

    /// Sets the value to what `change` makes of the present one, overwriting nobody's change.
    ///
    /// # Errors
    /// As [`crate::Node::update`], and [`Error::InsideRuntime`].
    pub fn update(&self, change: impl FnMut(&Snapshot) -> Value) -> Result<Stat, Error> {
        self.client.run(self.node.update(change))?
    }

    /// Sets the data as it is, if the node's version is this one; -1 means any.
    ///
    /// # Errors
    /// As [`crate::Node::set_data`], and [`Error::InsideRuntime`].
    pub fn set_data(&self, data: impl Into<Bytes>, version: i32) -> Result<Stat, Error> {
        self.client.run(self.node.set_data(data, version))?
    }

    /// Creates the node again after it was deleted.
    ///
    /// # Errors
    /// As [`crate::Node::create`], and [`Error::InsideRuntime`].
    pub fn create(&self, value: impl Into<Value>) -> Result<(), Error> {
        self.client.run(self.node.create(value))?
    }

    /// Deletes the node.
    ///
    /// # Errors
    /// As [`crate::Node::delete`], and [`Error::InsideRuntime`].
    pub fn delete(&self) -> Result<(), Error> {
        self.client.run(self.node.delete())?
    }

    /// The names of the node's children, read from the server now, sorted.
    ///
    /// # Errors
    /// As [`crate::Node::children`], and [`Error::InsideRuntime`].
    pub fn children(&self) -> Result<Vec<String>, Error> {
        self.client.run(self.node.children())?
    }
}
