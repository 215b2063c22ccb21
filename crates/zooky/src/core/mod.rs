//! The logic of the locks, pure: who blocks whom, and what a contender does next.
//!
//! Nothing here knows a socket, a task or a clock; `acquire.rs` carries out what is decided here.

pub(crate) mod contender;
pub(crate) mod delay;
pub(crate) mod dialect;
pub(crate) mod handover;
pub(crate) mod leases;
pub(crate) mod message;
pub(crate) mod mirror;
#[cfg(test)]
mod model;
pub(crate) mod queue;
pub(crate) mod respect;
pub(crate) mod strangers;
pub(crate) mod swap;
pub(crate) mod tenancy;
pub(crate) mod upgrade;
pub(crate) mod value;
pub(crate) mod waits;
