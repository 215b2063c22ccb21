//! Runs Apache ZooKeeper for programs that are not in Rust: `apache standalone [TICK_MS]` or `apache ensemble [TICK_MS]`.
//! It prints the connect string as soon as all of it serves, and ends, with the servers, at the end of its standard
//! input, at Ctrl-C and at SIGTERM. `make ensemble` is this.
// As in the library: what cannot be done must be told at once.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{self, Read, Write};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zooky_testkit::{Apache, Ensemble};

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let tick_ms = args.next().map(|text| text.parse().expect("TICK_MS is a number"));
    match what.as_str() {
        "standalone" => {
            let apache = Apache::builder().tick_ms(tick_ms.unwrap_or(500)).start();
            serve(&apache.hosts());
        }
        "ensemble" => {
            let ensemble = Ensemble::builder().tick_ms(tick_ms.unwrap_or(500)).start();
            serve(&ensemble.hosts());
        }
        _ => panic!("usage: apache standalone|ensemble [TICK_MS]"),
    }
}

/// Nobody reads the line, or closes the input: then its starter is gone, and so are the servers.
fn serve(hosts: &str) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listen = |kind| signal(kind).expect("signals can be listened for");
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
        if writeln!(io::stdout(), "{hosts}").is_err() {
            return;
        }
        let end = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = end => {} }
    });
    // Its reader of the standard input may wait for ever.
    runtime.shutdown_background();
}
