//! What a session and its connection can be at.

use std::time::Duration;

use super::deadline::Deadline;
use crate::boottime::BootInstant;
use crate::chroot::Chroot;
use crate::error::Error;

/// What a session is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How many servers there are.
    pub(crate) servers: usize,
    pub(crate) chroot: Chroot,
    pub(crate) timeout: Duration,
    pub(crate) margin: Option<Duration>,
    pub(crate) auth: Vec<(String, Vec<u8>)>,
    pub(crate) max_outstanding: usize,
    pub(crate) max_request: usize,
    pub(crate) max_reply: usize,
    /// All randomness comes from here.
    pub(crate) seed: u64,
}

/// What the session is at.
#[derive(Debug)]
pub(super) enum Life {
    /// No server has given it an id yet.
    Opening,
    Open,
    /// Nothing is done any more but to close it on a server, until then at the latest. New requests get the error.
    Ending {
        error: Error,
        until: BootInstant,
    },
    Over {
        error: Error,
    },
}

/// What the connection is at.
#[derive(Debug)]
pub(super) enum Link {
    Down {
        retry_at: BootInstant,
    },
    Connecting {
        give_up_at: BootInstant,
    },
    /// The connect request was sent.
    Shaking {
        give_up_at: BootInstant,
        sent_at: BootInstant,
    },
    Up(Up),
}

/// A connection that serves the session.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) heard_at: BootInstant,
    pub(super) sync_at: BootInstant,
    /// Identities of ours that the server has not accepted yet.
    pub(super) unproven: usize,
    pub(super) announced: bool,
}

/// A session that servers know.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) password: Vec<u8>,
    pub(super) deadline: Deadline,
}
