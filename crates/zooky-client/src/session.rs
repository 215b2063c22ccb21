//! The handle of a session: what it knows of its life. Its requests are in `requests.rs`.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::boottime::BootInstant;
use crate::config::SessionConfig;
use crate::driver;
use crate::error::{ConnectError, Error};
use crate::shared::Shared;

/// Whether a session can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Connected to a server, and the deadline lies ahead.
    Connected,
    /// Not connected; requests wait. The session's ephemeral nodes exist until the deadline at least.
    Suspended,
    /// Over. This is final.
    Lost,
}

/// A session with a ZooKeeper service. Cloning it is cheap; when the last clone is dropped the session is closed
/// in the background, which deletes its ephemeral nodes.
#[derive(Clone)]
pub struct Session {
    pub(crate) handle: Arc<Handle>,
}

/// What all clones of a session share; its end closes the session.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    id: i64,
    timeout: Duration,
}

impl Session {
    /// Opens a new session and waits until a server has answered (and accepted the credentials), at most for
    /// [`SessionConfig::connect_timeout`]. Must be called in a tokio runtime with I/O enabled; the session lives as
    /// long as that runtime.
    ///
    /// Cancel safe: a session that was opened meanwhile is closed.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(config: SessionConfig) -> Result<Session, ConnectError> {
        let (shared, id, timeout) = driver::start(config).await?;
        Ok(Session { handle: Arc::new(Handle { shared, id, timeout }) })
    }

    /// The session's id, which its ephemeral nodes carry as `ephemeral_owner`.
    pub fn id(&self) -> i64 {
        self.handle.id
    }

    /// The timeout that the server granted when the session was opened.
    pub fn timeout(&self) -> Duration {
        self.handle.timeout
    }

    /// The present state. Reads the clock at each call: past the [deadline](Session::deadline) it is
    /// [`State::Lost`] and stays so, even if this program stood still and nobody has noticed yet. Takes no lock.
    pub fn state(&self) -> State {
        self.handle.shared.state()
    }

    /// Until when this session's ephemeral nodes exist for certain (unless somebody deletes them). It moves on
    /// with each acknowledged `sync` or write, half the timeout ahead at least in quiet times. Takes no lock.
    pub fn deadline(&self) -> BootInstant {
        self.handle.shared.deadline()
    }

    /// Whether something is wrong that may end in the session's loss: it is not connected, or an acknowledgement
    /// is overdue (by a twelfth of the timeout, at this time). Reads the clock; takes no lock.
    pub fn is_suspect(&self) -> bool {
        self.handle.shared.is_suspect()
    }

    /// Follows the state's changes.
    pub fn watch_state(&self) -> StateWatch {
        StateWatch { receiver: self.handle.shared.states.subscribe() }
    }

    /// Waits until the session is lost, by whatever end: the deadline, the server's word, refused credentials or
    /// a [close](Session::close). After a suspend it is ready at once. Cancel safe.
    pub async fn lost(&self) {
        let mut states = self.handle.shared.states.subscribe();
        if self.state() != State::Lost {
            // The sender lives in `shared`, which outlives this borrow.
            let _ = states.wait_for(|state| *state == State::Lost).await;
        }
    }

    /// Keeps the session open, as any clone does, and in the rhythm in which its deadline is moved on. (The rhythm,
    /// a `sync` every sixth of the timeout, is kept for the whole life of every session, so that a deadline is in its
    /// steady state from the start.)
    pub fn hold(&self) -> Hold {
        Hold { _session: self.clone() }
    }

    /// Requests made while this exists leave together when it is dropped, in one write. Requests that are made back
    /// to back mostly do so anyway; this makes it certain.
    ///
    /// It is not `Send`, so that it is not kept over an `await`: **awaiting a request of this session while it exists
    /// would wait for ever**.
    ///
    /// ```
    /// # use zooky_client::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
    /// # let hosts = server.addr().to_string();
    /// # let session = Session::connect(SessionConfig::new(hosts.parse()?)).await?;
    /// # session.create("/a", "", CreateMode::PERSISTENT, &Acl::open()).await?;
    /// let flight = session.flight();
    /// let made = flight.create("/a/x-", "", CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open());
    /// let names = flight.children("/a");
    /// drop(flight);
    /// let (made, names) = (made.await?, names.await?);
    /// # Ok(()) }
    /// ```
    pub fn flight(&self) -> Flight<'_> {
        self.handle.shared.cork();
        Flight { session: self, not_send: PhantomData }
    }

    /// Ends the connection, so that the session goes on at the next server of its list (at the same one if it is the only
    /// one that can be reached). For a caller who has found that this server does not show what the others do. Requests
    /// under way end as with any lost connection; without a connection nothing happens.
    pub fn leave_server(&self) {
        self.handle.shared.leave_server();
    }

    /// Closes the session, after the requests made before, and waits until a server has said so: its ephemeral
    /// nodes are then deleted. From the call on the session is [`State::Lost`] for all its clones. If no server can
    /// be reached it gives up after the session's timeout.
    ///
    /// Cancel safe: the session is closed in any case.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`]: no server confirmed it; they expire the session by themselves.
    pub async fn close(self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.handle.shared.close(Some(done));
        answer.await.unwrap_or_else(|_| Err(Error::ConnectionLoss { path: "/".to_owned() }))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(None);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(0x{:x}, {:?})", self.id(), self.state())
    }
}

/// Keeps a session open; see [`Session::hold`].
#[derive(Debug, Clone)]
pub struct Hold {
    _session: Session,
}

/// Follows a session's state; see [`Session::watch_state`].
#[derive(Debug, Clone)]
pub struct StateWatch {
    receiver: watch::Receiver<State>,
}

impl StateWatch {
    /// Waits for the next change and returns the new state. Changes that follow each other quickly may be seen as
    /// one. Once the session is lost it returns [`State::Lost`] each time, at once. Cancel safe.
    pub async fn changed(&mut self) -> State {
        if *self.receiver.borrow() != State::Lost && self.receiver.changed().await.is_err() {
            return State::Lost;
        }
        *self.receiver.borrow_and_update()
    }
}

/// Requests that leave together; see [`Session::flight`]. It can be used like the [`Session`].
#[derive(Debug)]
pub struct Flight<'a> {
    session: &'a Session,
    not_send: PhantomData<*const ()>,
}

impl Deref for Flight<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.session.handle.shared.uncork();
    }
}
