//! Runs Apache ZooKeeper for programs that are not in Rust: `apache standalone [TICK_MS]` or `apache ensemble [TICK_MS]`.
//! It prints the connect string as soon as all of it serves, and ends, with the servers, at the end of its standard
//! input, at Ctrl-C and at SIGTERM. With `--until-signalled` the input says nothing: `make ensemble` is this, for
//! people and for scripts that have none.
// As in the library: what cannot be done must be told at once.
#![allow(clippy::expect_used, clippy::panic)]

use std::io::{self, Read, Write};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zooky_testkit::{Apache, Ensemble};

const USAGE: &str = "usage: apache standalone|ensemble [TICK_MS] [--until-signalled]";

fn main() {
    let (flags, args): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let heeds_input = flags.is_empty();
    assert!(heeds_input || flags == ["--until-signalled"], "{USAGE}");
    let mut args = args.into_iter();
    let what = args.next().unwrap_or_default();
    let tick_ms = args.next().map(|text| text.parse().expect("TICK_MS is a number"));
    match what.as_str() {
        "standalone" => {
            let apache = Apache::builder().tick_ms(tick_ms.unwrap_or(500)).start();
            serve(&apache.hosts(), heeds_input);
        }
        "ensemble" => {
            let ensemble = Ensemble::builder().tick_ms(tick_ms.unwrap_or(500)).start();
            serve(&ensemble.hosts(), heeds_input);
        }
        _ => panic!("{USAGE}"),
    }
}

/// Nobody reads the line, or closes the input that it heeds: then its starter is gone, and so are the servers.
fn serve(hosts: &str, heeds_input: bool) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listen = |kind| signal(kind).expect("signals can be listened for");
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
        if writeln!(io::stdout(), "{hosts}").is_err() {
            return;
        }
        let end = async {
            if !heeds_input {
                std::future::pending::<()>().await;
            }
            let _ = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await;
        };
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, () = end => {} }
    });
    // Its reader of the standard input may wait for ever.
    runtime.shutdown_background();
}
