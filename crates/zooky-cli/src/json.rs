//! The JSON that `--json` prints. Times are milliseconds since 1970, sessions hexadecimal text (they do not fit
//! into a double), absent things null.

use crate::exit::Failure;
use crate::locks;
use serde::Serialize;
use std::io::Write;
use zooky::inspect::{Contender, LockSummary};

/// One lock in `zooky list --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Lock {
    name: String,
    path: String,
    status: &'static str,
    mode: Option<&'static str>,
    holders: Vec<Member>,
    waiters: usize,
    since_ms: Option<i64>,
}

/// `zooky show --json`.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    path: String,
    status: &'static str,
    contenders: Vec<Member>,
}

/// A holder or a waiter.
#[derive(Debug, Serialize)]
pub(crate) struct Member {
    node: String,
    holding: bool,
    mode: &'static str,
    dialect: String,
    sequence: Option<i64>,
    session: String,
    since_ms: i64,
    owner: Option<Owner>,
    data: String,
    czxid: i64,
}

/// What a contender says about itself.
#[derive(Debug, Serialize)]
pub(crate) struct Owner {
    host: String,
    pid: u32,
    user: String,
    program: String,
    id: Option<String>,
}

impl From<&LockSummary> for Lock {
    fn from(lock: &LockSummary) -> Lock {
        Lock {
            name: lock.name.clone(),
            path: lock.path.clone(),
            status: locks::status(lock.is_locked()),
            mode: lock.holders.first().map(locks::mode),
            holders: lock.holders.iter().map(Member::from).collect(),
            waiters: lock.waiters,
            since_ms: lock.holders.iter().map(Contender::since_ms).min(),
        }
    }
}

impl View {
    /// The lock at `path` with its contenders, in their order.
    pub(crate) fn new(path: &str, contenders: &[Contender]) -> View {
        let locked = contenders.iter().any(|one| one.holding == Some(true));
        let contenders = contenders.iter().map(Member::from).collect();
        View { path: path.to_string(), status: locks::status(locked), contenders }
    }
}

impl From<&Contender> for Member {
    fn from(contender: &Contender) -> Member {
        let owner = contender.owner.as_ref().map(|owner| Owner {
            host: owner.host.clone(),
            pid: owner.pid,
            user: owner.user.clone(),
            program: owner.program.clone(),
            id: owner.id.clone(),
        });
        Member {
            node: contender.name.clone(),
            holding: contender.holding == Some(true),
            mode: locks::mode(contender),
            dialect: contender.dialect.to_string(),
            sequence: contender.sequence,
            session: format!("0x{:x}", contender.session()),
            since_ms: contender.since_ms(),
            owner,
            data: String::from_utf8_lossy(&contender.data).into_owned(),
            czxid: contender.stat.czxid,
        }
    }
}

/// Prints one value on one line: one of many that come over time.
pub(crate) fn print_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(std::io::Error::from)?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints one value and a line's end.
pub(crate) fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
