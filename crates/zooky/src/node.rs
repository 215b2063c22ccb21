//! The value of one znode, followed as it changes: zktools' `ZkNode`.
//!
//! A [`Node`] reads its znode, watches it, and reads it again after each change, through reconnects and over lost
//! sessions. What it has seen last is at hand without a request; subscribers are told of changes. Of changes that
//! follow each other quickly some may be skipped, the newest never is: ZooKeeper's watches promise no more ("ZooKeeper
//! Watches" in its Programmer's Guide).
//!
//! How texts become values and back is said at [`Value`](crate::Value).

mod callback;
mod children;
mod follow;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use zooky_client::{Acl, CreateMode, Error as SessionError, Session, Stat, State};

pub use callback::Subscription;
pub use children::ChildrenChanges;

use crate::node::children::Children;
use crate::node::follow::Follower;
use crate::{Client, Error, Value};

/// What a znode holds, as it was seen at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its value.
    pub value: Value,
    /// Its data as it is.
    pub data: Bytes,
    /// Its stat: version, times, owner.
    pub stat: Stat,
}

impl Snapshot {
    /// When it was last changed, in milliseconds since 1970 on the server's clock.
    pub fn last_modified(&self) -> i64 {
        self.stat.mtime_ms
    }
}

/// What is known of a znode.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeState {
    /// It is there.
    Present(Arc<Snapshot>),
    /// Somebody deleted it. It is still watched: created again, it is `Present` again.
    Deleted,
    /// It cannot be read, for this reason (the ACL forbids it, say). It is tried again every few seconds.
    Unreadable(SessionError),
    /// The client was closed: nothing changes any more.
    Closed,
}

impl NodeState {
    /// What it holds, if it is there.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        if let NodeState::Present(snapshot) = self { Some(snapshot) } else { None }
    }

    /// Its value, if it is there.
    pub fn value(&self) -> Option<&Value> {
        self.snapshot().map(|snapshot| &snapshot.value)
    }
}

/// How a [`Node`] is to be opened; made by [`Node::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `open`"]
pub struct NodeBuilder {
    client: Client,
    path: Arc<str>,
    default: Option<Value>,
    json: bool,
    acl: Arc<[Acl]>,
    mode: CreateMode,
    create: bool,
}

impl NodeBuilder {
    /// What the node holds if it has to be created. The default is no data, which reads as [`Value::Null`].
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Whether text in brackets that is JSON is read as [`Value::Json`].
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// The ACL of the node, and of parents that are missing, if they have to be created. The default is open to
    /// everybody.
    pub fn with_acl(mut self, acl: impl Into<Vec<Acl>>) -> Self {
        self.acl = acl.into().into();
        self
    }

    /// Creates the node, if it has to be created, as an ephemeral one: it is there for as long as this client's
    /// session, and when that is lost, it is created again in the next one, with what it held last. It is not
    /// created again when somebody deleted it, and not beside another's that has taken its place.
    pub fn ephemeral(mut self) -> Self {
        self.mode = CreateMode::EPHEMERAL;
        self
    }

    /// Does not create the node: one that is not there is [`NodeState::Deleted`] until somebody else creates it.
    pub fn existing(mut self) -> Self {
        self.create = false;
        self
    }

    /// Reads the node, creates it if it is not there (and its parents, persistent), and follows it from then on.
    ///
    /// Cancel-safe: dropped, it may have created the node, and nothing follows it.
    ///
    /// # Errors
    /// The server refuses to show or to create it, or no session could be had. A session that is lost meanwhile is
    /// replaced.
    pub async fn open(self) -> Result<Node, Error> {
        let (seen, _) = watch::channel(NodeState::Deleted);
        let shared = Arc::new(Shared { settings: self, seen });
        let mut follower = Follower::new(shared.clone());
        let watch = follower.open().await?;
        let runtime = shared.settings.client.runtime().clone();
        let task = runtime.spawn(follower.follow(watch)).abort_handle();
        Ok(Node { inner: Arc::new(Inner { shared, task, children: OnceLock::new() }) })
    }
}

/// What the handles and the follower of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: NodeBuilder,
    seen: watch::Sender<NodeState>,
}

impl Shared {
    fn snapshot(&self, data: Bytes, stat: Stat) -> Arc<Snapshot> {
        Arc::new(Snapshot { value: Value::read(&data, self.settings.json), data, stat })
    }

    /// Tells what the follower has seen, if it is something else than what is known.
    fn tell(&self, state: NodeState) {
        self.seen.send_if_modified(|known| {
            let changes = *known != NodeState::Closed && *known != state;
            if changes {
                *known = state;
            }
            changes
        });
    }

    /// Tells what another request has shown of a node that is there, if it is newer than what is known. (One that
    /// is known to be deleted may have been so since: only the follower, who watches it, can tell.)
    fn tell_newer(&self, snapshot: Arc<Snapshot>) {
        self.seen.send_if_modified(|known| {
            let newer = known.snapshot().is_some_and(|known| known.stat.mzxid < snapshot.stat.mzxid);
            if newer {
                *known = NodeState::Present(snapshot);
            }
            newer
        });
    }
}

/// The value of one znode, followed as it changes. Clones share it; it is followed until the last one is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// use zooky::{Node, NodeState, Value};
///
/// let node = Node::builder(&client, "/some/config/limit")?.default(100).open().await?;
/// assert_eq!(node.value(), Some(Value::Int(100)));
///
/// let mut changes = node.changes();
/// assert!(matches!(changes.next().await, Some(NodeState::Present(_)))); // the present one, at once
/// node.set(483.24).await?;
/// let changed = changes.next().await.unwrap();
/// assert_eq!(changed.value().unwrap().to_string(), "483.24");
/// # Ok(())
/// # }
/// ```
///
/// While no server can be reached the last known value stays at hand, and [`Node::connected`] is false. A node that is
/// deleted is a state, [`NodeState::Deleted`], not an error. One limit is ZooKeeper's own: somebody whose right to read a
/// node is taken away is sent no events of it any more, so the value known last stays until the node is looked at again.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    task: AbortHandle,
    children: OnceLock<Children>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// How the node at `path` is to be opened. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::NodePath`] if it is no path of a znode.
    pub fn builder(client: &Client, path: &str) -> Result<NodeBuilder, Error> {
        if let Err(fault) = zooky_client::validate_path(path) {
            return Err(Error::NodePath { path: path.to_owned(), why: fault.why.to_owned() });
        }
        Ok(NodeBuilder {
            client: client.clone(),
            path: path.into(),
            default: None,
            json: false,
            acl: Acl::open().into(),
            mode: CreateMode::PERSISTENT,
            create: true,
        })
    }

    /// Follows the node at `path`, and creates it without data if it is not there.
    ///
    /// # Errors
    /// As [`Node::builder`] and [`NodeBuilder::open`].
    pub async fn open(client: &Client, path: &str) -> Result<Node, Error> {
        Node::builder(client, path)?.open().await
    }

    /// The node's path.
    pub fn path(&self) -> &str {
        &self.settings().path
    }

    /// What is known of the node. No request is made.
    pub fn state(&self) -> NodeState {
        self.inner.shared.seen.borrow().clone()
    }

    /// What the node held when it was seen last; `None` if it is deleted or cannot be read.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.inner.shared.seen.borrow().snapshot().cloned()
    }

    /// The value seen last; `None` if the node is deleted or cannot be read.
    pub fn value(&self) -> Option<Value> {
        self.inner.shared.seen.borrow().value().cloned()
    }

    /// When the node was last changed, in milliseconds since 1970 on the server's clock (its `mtime`); `None` if it
    /// is deleted or cannot be read.
    pub fn last_modified(&self) -> Option<i64> {
        self.snapshot().map(|snapshot| snapshot.last_modified())
    }

    /// Whether the session is connected, so that the value is no older than the network is slow.
    pub fn connected(&self) -> bool {
        self.settings().client.current().state() == State::Connected
    }

    /// Follows the node: what is known now, at once, and then each change.
    pub fn changes(&self) -> Changes {
        let mut seen = self.inner.shared.seen.subscribe();
        seen.mark_changed();
        Changes { seen }
    }

    /// Calls `told` with what is known now, at once, and then with each change, until the [`Subscription`] is
    /// dropped. It runs on a thread for blocking work, one call at a time, never on the task that serves the
    /// session: it may block. A panic in it is logged, and the next change is told again.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_change(&self, told: impl Fn(&NodeState) + Send + Sync + 'static) -> Subscription {
        callback::run(self.settings().client.runtime(), self.changes(), told)
    }

    /// Reads the node from the server now. What comes is told to the subscribers, too.
    ///
    /// # Errors
    /// [`SessionError::NoNode`] if it is deleted; else as the session's requests.
    pub async fn read(&self) -> Result<Arc<Snapshot>, Error> {
        let session = self.session().await?;
        let (data, stat) = session.get(self.path()).await?;
        let snapshot = self.inner.shared.snapshot(data, stat);
        self.inner.shared.tell_newer(snapshot.clone());
        Ok(snapshot)
    }

    /// Sets the value, whatever the node holds now. Once it has returned, [`Node::value`] is this one or a newer one
    /// (unless the node was known to be deleted: then it is so a moment later).
    ///
    /// Dropped, it may have been done or not.
    ///
    /// # Errors
    /// [`SessionError::NoNode`] if the node is deleted (see [`Node::create`]), [`SessionError::TooLarge`] for more
    /// than the servers take (1 MiB by default, the request's other fields included),
    /// [`SessionError::ConnectionLoss`] if it is unknown whether it was done.
    pub async fn set(&self, value: impl Into<Value>) -> Result<Stat, Error> {
        self.set_data(value.into().write(), -1).await
    }

    /// Sets the value if the node's version is still `version`, the one of the [`Snapshot`] that it was computed
    /// from. Otherwise as [`Node::set`].
    ///
    /// # Errors
    /// [`SessionError::BadVersion`] if somebody else has changed the node; and as [`Node::set`].
    pub async fn set_if(&self, value: impl Into<Value>, version: i32) -> Result<Stat, Error> {
        // The server takes a negative one for "any".
        if version < 0 {
            return Err(SessionError::BadVersion { path: self.path().to_owned() }.into());
        }
        self.set_data(value.into().write(), version).await
    }

    /// Sets the value to what `change` makes of the present one, again and again until nobody else has changed it in
    /// between. `change` is called with what the server holds, once for each attempt.
    ///
    /// # Errors
    /// As [`Node::set`]. After a [`SessionError::ConnectionLoss`] it is unknown whether the change was made: it is
    /// not made a second time.
    pub async fn update(&self, mut change: impl FnMut(&Snapshot) -> Value) -> Result<Stat, Error> {
        loop {
            let held = self.read().await?;
            match self.set_if(change(&held), held.stat.version).await {
                Err(Error::Session(SessionError::BadVersion { .. })) => {}
                other => return other,
            }
        }
    }

    /// Sets the data as it is, if the node's version is `version`; -1 means any.
    ///
    /// # Errors
    /// As [`Node::set_if`].
    pub async fn set_data(&self, data: impl Into<Bytes>, version: i32) -> Result<Stat, Error> {
        let data = data.into();
        let session = self.session().await?;
        let stat = session.set(self.path(), data.clone(), version).await?;
        self.inner.shared.tell_newer(self.inner.shared.snapshot(data, stat));
        Ok(stat)
    }

    /// Creates the node again after it was deleted, as it was opened: persistent or ephemeral, with the same ACL.
    ///
    /// # Errors
    /// [`SessionError::NodeExists`] if it is there.
    pub async fn create(&self, value: impl Into<Value>) -> Result<(), Error> {
        let session = self.session().await?;
        let created = follow::create(&session, self.settings(), value.into().write().into()).await;
        created.map_err(Error::from)
    }

    /// Deletes the node. It goes on being watched; an ephemeral one is not created again by itself.
    ///
    /// # Errors
    /// [`SessionError::NoNode`] if it was deleted already, [`SessionError::NotEmpty`] if it has children.
    pub async fn delete(&self) -> Result<(), Error> {
        Ok(self.session().await?.delete(self.path(), -1).await?)
    }

    /// The names of the node's children, read from the server now, sorted; none if the node is deleted.
    ///
    /// # Errors
    /// The server refuses to show them, or the connection broke.
    pub async fn children(&self) -> Result<Vec<String>, Error> {
        match self.session().await?.children(self.path()).await {
            Ok(mut children) => {
                children.names.sort();
                Ok(children.names)
            }
            Err(SessionError::NoNode { .. }) => Ok(Vec::new()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Follows the names of the node's children: those of now, at once, and then each change. They are watched from
    /// the first call on, for as long as the node is followed.
    pub fn children_changes(&self) -> ChildrenChanges {
        let settings = self.settings();
        let start = || Children::start(&settings.client, &settings.path);
        self.inner.children.get_or_init(start).changes()
    }

    /// Calls `told` with the names of the node's children, at once and then with each change; as
    /// [`Node::on_change`].
    #[must_use = "dropping the subscription ends it"]
    pub fn on_children(&self, told: impl Fn(&[String]) + Send + Sync + 'static) -> Subscription {
        let runtime = self.settings().client.runtime();
        callback::run(runtime, self.children_changes(), move |names: &Arc<[String]>| told(names))
    }

    fn settings(&self) -> &NodeBuilder {
        &self.inner.shared.settings
    }

    async fn session(&self) -> Result<Session, Error> {
        self.settings().client.session().await
    }
}

/// Follows a node; see [`Node::changes`].
#[derive(Debug, Clone)]
pub struct Changes {
    seen: watch::Receiver<NodeState>,
}

impl Changes {
    /// The next state: at first the one that is known, then each change. Changes that follow each other quickly may
    /// be seen as one. `None` once the client is closed or the last handle of the node dropped. Cancel-safe.
    pub async fn next(&mut self) -> Option<NodeState> {
        self.seen.changed().await.ok()?;
        Some(self.seen.borrow_and_update().clone()).filter(|state| *state != NodeState::Closed)
    }
}
