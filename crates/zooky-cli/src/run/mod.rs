//! What `zooky run` is made of: the command's process group, the watchdog that ends it in time, the signals
//! passed through and the terminal lent out; and what it takes and holds. The order of events is in `command.rs`.

pub(crate) mod child;
pub(crate) mod command;
pub(crate) mod helpers;
pub(crate) mod holding;
pub(crate) mod keeper;
pub(crate) mod launcher;
pub(crate) mod signals;
pub(crate) mod terminal;
pub(crate) mod waiting;
pub(crate) mod want;
pub(crate) mod watchdog;
