//! Sockets: accepting, framing, buffering, limits, and the four-letter words.
//!
//! Nothing here knows the core; [`crate::run`] carries frames from one to the other.

mod conn;
mod conns;
mod effort;
pub(crate) mod four_letter;
mod listener;
pub(crate) mod metrics;
mod numbers;
mod outgoing;
mod sealed;
mod subject;
mod tls;
mod traffic;

pub(crate) use conn::{Conn, Fill, Flushed, NEW_MS, Trade};
pub(crate) use conns::Conns;
pub(crate) use effort::Effort;
pub(crate) use listener::{Accepted, Listener, bind, local_addr};
pub(crate) use numbers::Numbers;
pub(crate) use tls::Tls;
pub(crate) use traffic::{Latency, Traffic};
