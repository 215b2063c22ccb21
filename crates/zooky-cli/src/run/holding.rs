//! What `run`, `hold` and `elect` hold: one lock, a lease, or several locks as one.

use crate::locks;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use zooky::{Error, Guard, GuardState, MultiGuard};

/// What is held.
#[derive(Debug)]
pub(crate) enum Holding {
    One(Guard),
    Many(MultiGuard),
}

impl Holding {
    /// The single guards, in the order in which they were taken.
    pub(crate) fn guards(&self) -> &[Guard] {
        match self {
            Holding::One(guard) => std::slice::from_ref(guard),
            Holding::Many(guards) => guards.guards(),
        }
    }

    pub(crate) fn state(&self) -> GuardState {
        match self {
            Holding::One(guard) => guard.state(),
            Holding::Many(guards) => guards.state(),
        }
    }

    /// Resolves when one of them is lost. Cancel-safe.
    pub(crate) async fn lost(&self) {
        match self {
            Holding::One(guard) => guard.lost().await,
            Holding::Many(guards) => guards.lost().await,
        }
    }

    /// Resolves when somebody asks for one of them. Cancel-safe.
    pub(crate) async fn revoked(&self) {
        let mut all: Vec<Pin<Box<_>>> = self.guards().iter().map(|guard| Box::pin(guard.revoked())).collect();
        poll_fn(|context| {
            let any = all.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Who asked, and for what, once somebody has.
    pub(crate) fn asker(&self) -> String {
        let asked = self.guards().iter().find(|guard| guard.is_revoked());
        let who = asked.and_then(Guard::revoked_by).map_or("somebody".to_string(), locks::describe_owner);
        let path = asked.map_or("the lock", Guard::lock_path);
        format!("{who} asks for {path}")
    }

    /// Until when all are held even if no server is heard of any more, in nanoseconds on CLOCK_BOOTTIME.
    pub(crate) fn deadline_ns(&self) -> u64 {
        match self {
            Holding::One(guard) => guard.deadline().as_nanos(),
            Holding::Many(guards) => guards.deadline().as_nanos(),
        }
    }

    /// The session's timeout.
    pub(crate) fn timeout(&self) -> Duration {
        self.guards().iter().map(Guard::session_timeout).min().unwrap_or_default()
    }

    /// The fencing token of the lock at `path`.
    pub(crate) fn token(&self, path: &str) -> Option<String> {
        let guard = self.guards().iter().find(|guard| guard.lock_path() == path)?;
        Some(guard.fencing_token().to_string())
    }

    /// The paths, for a message: `/locks/a and /locks/b`.
    pub(crate) fn name(&self) -> String {
        let paths: Vec<&str> = self.guards().iter().map(Guard::lock_path).collect();
        paths.join(" and ")
    }

    /// Waits while it is not certain that the lock is still ours; false if it is not.
    pub(crate) async fn settle(&self) -> bool {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        loop {
            match self.state() {
                GuardState::Held => return true,
                GuardState::Lost => return false,
                GuardState::Suspect => _ = beat.tick().await,
            }
        }
    }

    /// Gives it back, with the library's own retries, for as long as it could still be ours.
    ///
    /// # Errors
    /// [`Error::Lost`]: somebody had deleted a node of ours before.
    pub(crate) async fn release(self) -> Result<(), Error> {
        let left = self.guards().iter().map(|guard| guard.deadline().remaining()).min().unwrap_or_default();
        let released = async {
            match self {
                Holding::One(guard) => guard.release().await,
                Holding::Many(guards) => guards.release().await,
            }
        };
        match tokio::time::timeout(left.max(Duration::from_millis(100)), released).await {
            Ok(Err(error @ Error::Lost { .. })) => Err(error),
            // Else the session is closed next, which frees the lock too, or it times out.
            _ => Ok(()),
        }
    }
}
