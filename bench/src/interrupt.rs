//! Ctrl-C and TERM end a run between two orders, so that every server and client is ended with it and its data
//! goes too.

use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

static CAME: AtomicBool = AtomicBool::new(false);

/// Listens for both signals from now on.
pub(crate) fn listen() -> Result<(), Failure> {
    let wrong = || Failure::io("listening for signals");
    let runtime = Builder::new_current_thread().enable_all().build().map_err(wrong())?;
    let (mut int, mut term) = {
        let _here = runtime.enter();
        let listen = |kind| signal(kind).map_err(wrong());
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        });
        CAME.store(true, Ordering::Release);
    });
    Ok(())
}

/// Refuses to go on once a signal has come.
pub(crate) fn check() -> Result<(), Failure> {
    if CAME.load(Ordering::Acquire) {
        return Err(Failure::Refused("interrupted; nothing was written".to_string()));
    }
    Ok(())
}
