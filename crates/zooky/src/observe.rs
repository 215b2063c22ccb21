//! What operators see of the locks: spans for `tracing`, numbers for `metrics`. `docs/observing.md` lists them.
//!
//! Both crates are facades: with nobody listening a free lock's cycle pays for three looks at the clock and a few atomic
//! reads. No number carries a path, so that there are as many of them whatever the locks are called; the spans do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, histogram};
use tracing::{Instrument, Span, debug_span, field};
use zooky_client::{BootInstant, Error as SessionError};

use crate::core::dialect::Mode;
use crate::{Error, Guard};

/// Counts or records with the mode as label; the labels are literals, which cost no allocation.
macro_rules! by_mode {
    ($kind:ident, $name:literal, $mode:expr) => {
        match $mode {
            Mode::Exclusive => $kind!($name, "mode" => "exclusive"),
            Mode::Shared => $kind!($name, "mode" => "shared"),
        }
    };
}

macro_rules! failed {
    ($reason:literal) => {
        counter!("zooky_lock_failures_total", "reason" => $reason).increment(1)
    };
}

fn since(begun: BootInstant) -> Duration {
    Duration::from_nanos(BootInstant::now().as_nanos().saturating_sub(begun.as_nanos()))
}

/// Sees an acquisition through: from being asked for until it is granted or fails. One that is dropped is not counted.
pub(crate) async fn acquisition(
    path: &str,
    mode: Mode,
    acquire: impl Future<Output = Result<Guard, Error>>,
) -> Result<Guard, Error> {
    let begun = BootInstant::now();
    let span = debug_span!("acquire", path, %mode, token = field::Empty);
    let result = acquire.instrument(span.clone()).await;
    tell(&span, mode, begun, result.as_ref());
    result
}

/// The same for a try. Busy is an outcome, and no failure.
pub(crate) async fn attempt(
    path: &str,
    mode: Mode,
    acquire: impl Future<Output = Result<Option<Guard>, Error>>,
) -> Result<Option<Guard>, Error> {
    let begun = BootInstant::now();
    let span = debug_span!("acquire", path, %mode, token = field::Empty);
    let result = acquire.instrument(span.clone()).await;
    match &result {
        Ok(None) => busy(mode),
        Ok(Some(guard)) => tell(&span, mode, begun, Ok(guard)),
        Err(fault) => tell(&span, mode, begun, Err(fault)),
    }
    result
}

/// The same for a look before a try: what is free is counted by the try.
pub(crate) async fn look(
    mode: Mode,
    is_blocked: impl Future<Output = Result<bool, Error>>,
) -> Result<bool, Error> {
    let result = is_blocked.await;
    match &result {
        Ok(true) => busy(mode),
        Ok(false) => {}
        Err(fault) => failure(fault),
    }
    result
}

fn busy(mode: Mode) {
    by_mode!(counter, "zooky_lock_busy_total", mode).increment(1);
}

fn tell(span: &Span, mode: Mode, begun: BootInstant, result: Result<&Guard, &Error>) {
    match result {
        Ok(guard) => {
            by_mode!(counter, "zooky_lock_acquires_total", mode).increment(1);
            by_mode!(histogram, "zooky_lock_wait_seconds", mode).record(since(begun));
            span.record("token", field::display(guard.fencing_token()));
            guard.acquired_in(span);
        }
        Err(fault) => failure(fault),
    }
}

/// An acquisition has failed.
pub(crate) fn failure(fault: &Error) {
    match fault {
        Error::Timeout { .. } => failed!("timeout"),
        Error::Deadlock { .. } => failed!("deadlock"),
        Error::ForeignContender { .. } | Error::UnknownChild { .. } | Error::SequenceExhausted { .. } => {
            failed!("refused");
        }
        Error::Session(
            SessionError::NoAuth { .. } | SessionError::AuthFailed | SessionError::AuthRequired,
        ) => {
            failed!("denied");
        }
        _ => failed!("other"),
    }
}

/// Somebody is in the way: the span of waiting for them.
pub(crate) fn waiting(path: &str, blocker: &str) -> Span {
    debug_span!("wait", path, blocker)
}

/// A contender was not granted the lock at once: somebody was in the way.
pub(crate) fn waits(mode: Mode) {
    by_mode!(counter, "zooky_lock_waits_total", mode).increment(1);
}

/// Granted by the server, `woken` by the end of the last one in the way.
pub(crate) fn handed_over(mode: Mode, woken: BootInstant) {
    by_mode!(histogram, "zooky_lock_handoff_seconds", mode).record(since(woken));
}

/// The span of giving a lock back.
pub(crate) fn releasing(path: &str, node: &str) -> Span {
    debug_span!("release", path, node)
}

/// A lost session was replaced by a new one.
pub(crate) fn session_replaced() {
    counter!("zooky_sessions_replaced_total").increment(1);
}

/// A lock while it is held.
#[derive(Debug)]
pub(crate) struct Holding {
    mode: Mode,
    begun: BootInstant,
    span: Span,
    lost: AtomicBool,
    over: AtomicBool,
}

impl Holding {
    pub(crate) fn begin(path: &str, mode: Mode, node: &str, token: impl std::fmt::Display) -> Holding {
        // No child of the acquisition, which is over.
        let span = debug_span!(parent: None, "hold", path, %mode, node, %token, lost = field::Empty);
        let (lost, over) = (AtomicBool::new(false), AtomicBool::new(false));
        Holding { mode, begun: BootInstant::now(), span, lost, over }
    }

    /// It was acquired in this span.
    pub(crate) fn follows(&self, acquisition: &Span) {
        self.span.follows_from(acquisition);
    }

    /// It is lost: counted at the first time that it is seen.
    pub(crate) fn lost(&self) {
        if !self.over.load(Ordering::Relaxed) && !self.lost.swap(true, Ordering::Relaxed) {
            by_mode!(counter, "zooky_lock_losses_total", self.mode).increment(1);
            self.span.record("lost", true);
        }
    }

    /// The holder has let go.
    pub(crate) fn end(&self) {
        if !self.over.swap(true, Ordering::Relaxed) {
            by_mode!(counter, "zooky_lock_releases_total", self.mode).increment(1);
            by_mode!(histogram, "zooky_lock_hold_seconds", self.mode).record(since(self.begun));
        }
    }

    /// The lock goes on in other hands of this process: this was no hold.
    pub(crate) fn cancel(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
