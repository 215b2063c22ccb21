//! `zooky list`: all locks and whether they are held.

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::table::{Cell, Colour, Table};
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
    let found = locks::with(config, async |client| {
        let mut found = Vec::new();
        for root in config.roots() {
            found.extend(list(client, root).await?);
        }
        Ok(found)
    });
    let found = found.await?;
    if args.json {
        json::print(&found.iter().map(json::Lock::from).collect::<Vec<_>>())?;
    } else if config.as_zktools {
        zktools_table(&found)?;
    } else {
        table(config, &found)?;
    }
    Ok(exit::OK)
}

/// Exactly what zktools' `zooky list` prints.
fn zktools_table(found: &[LockSummary]) -> Result<(), Failure> {
    let mut table = Table::with_widths(["LOCK", "STATUS"], [ZKTOOLS_WIDTH, 0]);
    for lock in found {
        table.row([lock.name.clone(), locks::status(lock.is_locked()).to_string()]);
    }
    Ok(table.print()?)
}

fn table(config: &Config, found: &[LockSummary]) -> Result<(), Failure> {
    let mut table = Table::new(["LOCK", "STATUS", "MODE", "HOLDER", "WAITERS", "SINCE"]);
    for lock in found {
        let first = lock.holders.first();
        let since = lock.holders.iter().map(Contender::since_ms).min();
        let more = match lock.holders.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let colour = if lock.is_locked() { Colour::Busy } else { Colour::Good };
        table.row([
            config.short(&lock.path).into(),
            colour.cell(locks::status(lock.is_locked())),
            first.map_or("-", locks::mode).into(),
            first.map_or("-".to_string(), |one| locks::describe(one) + &more).into(),
            Cell::from(lock.waiters.to_string()),
            since.map_or("-".to_string(), time::ago).into(),
        ]);
    }
    Ok(table.print()?)
}
