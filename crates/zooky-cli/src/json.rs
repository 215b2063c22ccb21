//! The JSON that `--json` prints. Times are milliseconds since 1970, sessions hexadecimal text (they do not fit
//! into a double), absent things null.

use crate::exit::Failure;
use crate::locks;
use serde::Serialize;
use std::io::Write;
use zooky::Contender;
use zooky::inspect::{LockSummary, LockView};

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
    sequence: i64,
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
            status: locks::status(lock.status),
            mode: lock.holders.first().map(|one| locks::mode(one.mode)),
            holders: lock.holders.iter().map(Member::from).collect(),
            waiters: lock.waiters,
            since_ms: lock.since_ms,
        }
    }
}

impl From<&LockView> for View {
    fn from(view: &LockView) -> View {
        let locked = view.contenders.iter().any(|one| one.holding);
        View {
            path: view.path.clone(),
            status: if locked { "Locked" } else { "Free" },
            contenders: view.contenders.iter().map(Member::from).collect(),
        }
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
            holding: contender.holding,
            mode: locks::mode(contender.mode),
            sequence: contender.sequence,
            session: format!("0x{:x}", contender.session),
            since_ms: locks::since_ms(contender),
            owner,
            data: String::from_utf8_lossy(&contender.raw_data).into_owned(),
            czxid: contender.stat.czxid,
        }
    }
}

/// Prints one value and a line's end.
pub(crate) fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
