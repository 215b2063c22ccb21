//! `zooky list`: all locks and whether they are held.

use crate::config::{Config, LOCKS, ZKTOOLS};
use crate::exit::{self, Failure};
use crate::table::Table;
use crate::{json, locks, time};
use zooky::inspect::{Contender, LockSummary, list};

/// List the locks and whether they are held
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The width of the first column in zktools' table.
const ZKTOOLS_WIDTH: usize = 35;

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(list_locks(config, args))
}

async fn list_locks(config: &Config, args: &Args) -> Result<u8, Failure> {
    let client = locks::connect(config).await?;
    let found = collect(config, &client).await;
    locks::close(client).await;
    let found = found?;
    if args.json {
        json::print(&found.iter().map(json::Lock::from).collect::<Vec<_>>())?;
    } else if config.lock_root.is_some() {
        zktools_table(&found)?;
    } else {
        table(&found)?;
    }
    Ok(exit::OK)
}

async fn collect(config: &Config, client: &zooky::Client) -> Result<Vec<LockSummary>, Failure> {
    if let Some(root) = &config.lock_root {
        return list(client, root).await.map_err(|error| locks::failure(&error));
    }
    let mut found = Vec::new();
    for root in [LOCKS, ZKTOOLS] {
        found.extend(list(client, root).await.map_err(|error| locks::failure(&error))?);
    }
    Ok(found)
}

/// Exactly what zktools' `zooky list` prints.
fn zktools_table(found: &[LockSummary]) -> Result<(), Failure> {
    let mut table = Table::with_widths(["LOCK", "STATUS"], [ZKTOOLS_WIDTH, 0]);
    for lock in found {
        table.row([lock.name.clone(), locks::status(lock.is_locked()).to_string()]);
    }
    Ok(table.print(&mut std::io::stdout().lock())?)
}

fn table(found: &[LockSummary]) -> Result<(), Failure> {
    let mut table = Table::new(["LOCK", "STATUS", "MODE", "HOLDER", "WAITERS", "SINCE"]);
    for lock in found {
        let first = lock.holders.first();
        let since = lock.holders.iter().map(Contender::since_ms).min();
        let more = match lock.holders.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        table.row([
            short(&lock.path),
            locks::status(lock.is_locked()).to_string(),
            first.map_or("-", |one| locks::mode(one.mode)).to_string(),
            first.map_or("-".to_string(), |one| locks::describe(one) + &more),
            lock.waiters.to_string(),
            since.map_or("-".to_string(), time::ago),
        ]);
    }
    Ok(table.print(&mut std::io::stdout().lock())?)
}

/// The name that `zooky show` and `zooky run` take for this lock.
fn short(path: &str) -> String {
    let inside = path.strip_prefix(LOCKS).and_then(|rest| rest.strip_prefix('/'));
    inside.unwrap_or(path).to_string()
}
