//! A whole world from one seed: programs with locks, the network, clocks, and the server with its disk.
//!
//! Nothing of ours is imitated. The programs are `zooky` and `zooky-client` themselves, drivers, cleanup and all,
//! built against a simulated machine (see `machine/`, `client/` and `locks/` beside this directory); the server is the real core, log and rule of
//! release of `zooky-server`, as its own simulator puts them together. Time is virtual and one thread does
//! everything, so the same seed tells the same story.
//!
//! | file | is |
//! |---|---|
//! | `world.rs` | the loop: time, and who does what when |
//! | `faults.rs` | what goes wrong |
//! | `program.rs` | a program on its machine: it runs, stands still, dies |
//! | `worker.rs` | what programs do: contend, hold, write, change, let go |
//! | `recipe.rs` | the recipes by which locks are used, and how each is taken |
//! | `network.rs` | connections: delay, loss, partitions, half-open ones |
//! | `host.rs` | the server, its disk, and their ends |
//! | `judge.rs` | what must hold: one holder, no guard past its deadline, nobody left behind, everybody served |
// Everything here is a test's: it fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The server's simulator has more uses for these than this one.
#[allow(dead_code)]
#[path = "../../zooky-server/tests/sim/disk.rs"]
mod disk;
mod faults;
mod host;
mod judge;
mod network;
mod program;
mod recipe;
#[allow(dead_code)]
#[path = "../../zooky-server/tests/sim/server.rs"]
mod server;
mod trace;
mod worker;
mod world;

pub use judge::Counts;
pub use world::{Summary, run};
