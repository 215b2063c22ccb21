//! Three Apache ZooKeepers on this machine's loopback, until Ctrl-C or SIGTERM: the servers of
//! `examples/counting/compose.yaml` without Docker. `make ensemble` runs it.
//!
//! Their data is in a temporary directory and goes with them. What to tell clients is the first line of the output.
#![forbid(unsafe_code)]

use tokio::signal::unix::{SignalKind, signal};
use zooky_testkit::Ensemble;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut ensemble = Ensemble::builder().tick_ms(2_000).start();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("ZOOKY_SERVERS={}", ensemble.hosts());
    println!("export that line in another terminal; Ctrl-C here stops all three");
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    // Each is asked to end, so that none is cut short in a write; dropping them would kill them.
    (0..ensemble.len()).for_each(|index| drop(ensemble.member(index).stop()));
    Ok(())
}
