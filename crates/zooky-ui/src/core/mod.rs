//! The picture of the locks, without sockets and clocks: changes and the time come in, updates for pages go out.

pub(crate) mod graph;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod model;
pub(crate) mod row;
mod suspects;
pub(crate) mod tally;
pub(crate) mod update;
