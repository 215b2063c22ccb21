//! The session as a pure state machine: bytes, moments and requests in; bytes, answers, events and deadlines out.
//!
//! Nothing in here waits, reads a clock or touches a socket. The driver calls [`Core`] with the present moment,
//! carries out its [`Output`]s in their order, and writes what stands in [`Core::wire`].

mod connect;
mod deadline;
mod replies;
mod requests;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod watches;

use std::time::Duration;

use zooky_wire::Response;

use crate::error::Error;
use crate::session::State;
use crate::watch::WatchEvent;

pub(crate) use requests::Ask;
pub(crate) use session::Core;
pub(crate) use state::Settings;
pub(crate) use watches::Target;

/// A reply that a server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The newest transaction that the server had applied.
    pub(crate) zxid: i64,
    /// The body, with paths below the chroot.
    pub(crate) response: Response,
}

/// Somebody who waits for a watch's event.
pub(crate) trait Watcher: Sized {
    /// Whether they no longer wait.
    fn is_gone(&self) -> bool;

    /// The same one once more, if it is one who stays after an event.
    fn again(&self) -> Option<Self>;
}

/// What the driver is to do, in this order.
#[derive(Debug)]
pub(crate) enum Output<R, W> {
    /// Open a connection to this server (by its place in the list), in this time, and say [`Core::connected`] or
    /// [`Core::disconnected`].
    Connect { server: usize, within: Duration },
    /// Drop the connection, or the attempt to open one, and everything read from it.
    Disconnect,
    /// Give somebody their answer.
    Reply(R, Result<Answer, Error>),
    /// Give somebody their event.
    Event(W, Result<WatchEvent, Error>),
    /// Tell the new state.
    State(State),
    /// It is over; `Ok` if the session is known to be gone from the servers.
    Over(Result<(), Error>),
}
