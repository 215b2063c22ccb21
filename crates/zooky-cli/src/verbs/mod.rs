//! One file per verb.

pub(crate) mod demo;
pub(crate) mod list;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod show;
