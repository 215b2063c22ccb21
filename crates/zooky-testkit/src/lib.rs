//! What zooky's tests meet in place of mocks: real servers, real clients of other people's making, and a
//! resource that refuses stale fencing tokens.
//!
//! | for | there is |
//! |---|---|
//! | one Apache ZooKeeper | [`Apache`] |
//! | three of them, with links that can be cut | [`Ensemble`] |
//! | any other server, `zooky server` above all | [`ServerProcess`] |
//! | kazoo, or anything else in Python | [`Script`] |
//! | Curator, or anything else in Java | [`JavaProgram`] |
//! | the thing that a lock protects | [`FencedRegister`] |
//! | two dozen clients that mean harm | [`attack`] |
//! | waiting for something | [`eventually`] |
//! | a time limit on a busy machine | [`MachineClock`] |
//! | chance, and stories made of it | [`Rng`], [`run_seeds`] |
//!
//! This crate imports nothing of ours, so that it can judge all of it. It is for tests only: where a test
//! cannot go on, these helpers panic with a message that says what to do, and they never leave a process
//! or a firewall rule behind that a `Drop` can remove.
#![forbid(unsafe_code)]
// A helper that cannot do its work must fail the test at once, with the reason.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod apache;
mod cut;
mod ensemble;
mod eventually;
mod four_letter;
mod hostile;
mod java;
mod machine;
mod managed;
mod port;
mod process;
mod python;
mod register;
mod rng;
mod seeds;
mod talk;

pub use apache::{Apache, ApacheBuilder};
pub use ensemble::{Ensemble, EnsembleBuilder};
pub use eventually::{eventually, within};
pub use four_letter::four_letter;
pub use hostile::{HOSTILE_CLIENTS, HOSTILE_SHARE, attack};
pub use java::JavaProgram;
pub use machine::MachineClock;
pub use port::free_port;
pub use process::ServerProcess;
pub use python::{Script, python_venv};
pub use register::{Entry, FencedRegister, Mode, Overlap, Record, RecordKind, Stale};
pub use rng::Rng;
pub use seeds::{number_from_env, run_seeds, seeds_from_env};
pub use talk::Talk;

/// The top of the source tree, where `.peers` is.
fn workspace() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lives two levels below the workspace").to_path_buf()
}
