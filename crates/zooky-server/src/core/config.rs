//! What the core has to be told once.

use super::{Limits, PasswordRule};

/// The settings of a [`super::Core`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoreConfig {
    /// The smallest session timeout a client gets, in milliseconds.
    pub min_session_timeout_ms: u32,
    /// The largest session timeout a client gets, in milliseconds.
    pub max_session_timeout_ms: u32,
    /// The bounds that the core enforces.
    pub limits: Limits,
    /// `super:<base64 of the SHA-1 of "super:password">`: who authenticates so may do everything.
    pub super_digest: Option<String>,
    /// The number of the first new session; later ones count up. Its highest byte is the server's
    /// number and must be neither 0x80 nor 0xff (see [`first_session_id`]).
    pub first_session_id: i64,
    /// How session passwords are made.
    pub password: PasswordRule,
    /// Keys the hash tables, so that clients cannot choose paths that collide. Any number that
    /// clients do not know; it shows in nothing the core puts out.
    pub hash_seed: u64,
    /// Where this server takes clients, `host:port`: what `reconfig` shows of it.
    pub client_addr: String,
    /// Whether the hard limits of quotas are enforced; off in the original unless it is told.
    pub enforce_quota: bool,
    /// How often containers and TTL nodes are looked at, in milliseconds.
    pub container_check_ms: u64,
    /// Sessions end at multiples of this, in milliseconds, never before their whole timeout has passed: those that end about the
    /// same time end together, and cost one sync. The original looks once in a tick.
    pub expiry_step_ms: u64,
}

impl CoreConfig {
    /// Defaults: a tick of two seconds, so timeouts from 4 to 40 seconds.
    pub fn new(first_session_id: i64, password: PasswordRule) -> CoreConfig {
        CoreConfig {
            min_session_timeout_ms: 4_000,
            max_session_timeout_ms: 40_000,
            limits: Limits::default(),
            super_digest: None,
            first_session_id,
            password,
            hash_seed: 0,
            client_addr: "0.0.0.0:2181".into(),
            enforce_quota: false,
            container_check_ms: 60_000,
            expiry_step_ms: 1,
        }
    }
}

/// A first session id as the original makes it: the server's number in the highest byte, then the
/// time of the start, so that ids are not used again after a restart.
pub fn first_session_id(server: u8, wall_ms: i64) -> i64 {
    let time = ((wall_ms as u64) << 24) >> 8;
    ((u64::from(server & 0x7f) << 56) | (time & 0x00ff_ffff_ffff_ffff)) as i64
}
