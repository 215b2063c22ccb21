//! Chance from the simulated machine's seed, by the names of the crate `getrandom`: `zooky-client` and `zooky`
//! are built against this one for the simulator.

pub use zooky_sim_machine::{Unavailable as Error, fill, u64};
