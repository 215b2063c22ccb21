//! The machine that a simulated program runs on.
//!
//! `zooky-client` and `zooky` are built a second time against this crate under the name `tokio`: their sources find
//! tokio here as it is, but for sockets, which end in a simulated network; for `select!`, which takes its
//! branches in their order, and `sync::watch`, which wakes in order, so that the same seed tells the same story; and
//! for [`machine`], the clock. Time is tokio's own paused clock: whoever runs a program lets it pass.
//!
//! One thread runs all programs in turn; the one that runs is the present one ([`Machine::enter`]).

mod chance;
mod clock;
pub mod net;
mod state;
pub mod watch;

pub use tokio::*;

pub use chance::{Unavailable, fill, u64};
pub use net::Stage;
pub use state::{Arrival, Link, Machine, Sending, Sent};

/// tokio's `sync`, with a `watch` that leaves nothing to chance.
pub mod sync {
    pub use tokio::sync::*;

    pub use crate::watch;
}

/// What `zooky-client`'s own module of this name gives: the clocks.
pub mod machine {
    pub use crate::clock::{Timer, boot_nanos, unix_ms};
    pub use crate::net::Arrivals;
}

/// tokio's `select!`, always from the first branch to the last.
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)*) => { $crate::select_of_tokio! { biased; $($branches)* } };
    ($($branches:tt)*) => { $crate::select_of_tokio! { biased; $($branches)* } };
}

#[doc(hidden)]
pub use tokio::select as select_of_tokio;
