//! What `zooky run` is made of: the command's process group, the watchdog that ends it in time, the signals
//! passed through and the terminal lent out. The order of events is in `verbs/run.rs`.

pub(crate) mod child;
pub(crate) mod keeper;
pub(crate) mod launcher;
pub(crate) mod signals;
pub(crate) mod terminal;
pub(crate) mod waiting;
pub(crate) mod watchdog;
