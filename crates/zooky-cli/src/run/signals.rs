//! The signals that `zooky run` handles: those passed on to the command, and those about its state.

use crate::exit::Failure;
use crate::proc;
use rustix::process::Signal;
use std::future::poll_fn;
use std::task::Poll;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

const PASSED_ON: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// What has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// One to be passed on.
    PassOn(Signal),
    /// A child has ended or stopped.
    Child,
    /// We were stopped and go on.
    Continued,
}

/// Signals caught since [`install`](Signals::install). Those that were ignored at the start (nohup's HUP) stay
/// ignored, for the command as well.
#[derive(Debug)]
pub(crate) struct Signals {
    streams: Vec<(Arrived, Stream)>,
}

impl Signals {
    /// Starts catching.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn install() -> Result<Signals, Failure> {
        let ignored = proc::ignored_signals();
        let is_caught = |signal: &Signal| ignored & (1 << (signal.as_raw() - 1)) == 0;
        let mut wanted: Vec<(Arrived, i32)> = PASSED_ON
            .into_iter()
            .filter(is_caught)
            .map(|signal| (Arrived::PassOn(signal), signal.as_raw()))
            .collect();
        wanted.push((Arrived::Child, Signal::CHILD.as_raw()));
        wanted.push((Arrived::Continued, Signal::CONT.as_raw()));
        let mut streams = Vec::new();
        for (arrived, raw) in wanted {
            let stream = signal(SignalKind::from_raw(raw))
                .map_err(|error| Failure::os("cannot catch signals", error))?;
            streams.push((arrived, stream));
        }
        Ok(Signals { streams })
    }

    /// The next one. Several of a kind that come together count once, as the kernel has it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arrived {
        poll_fn(|context| {
            let ready =
                self.streams.iter_mut().find_map(|(arrived, stream)| match stream.poll_recv(context) {
                    Poll::Ready(Some(())) => Some(*arrived),
                    _ => None,
                });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next one that asks us to end, while there is no command to pass it on to. Cancel-safe.
    pub(crate) async fn end(&mut self) -> Signal {
        loop {
            if let Arrived::PassOn(signal) = self.next().await {
                return signal;
            }
        }
    }
}
