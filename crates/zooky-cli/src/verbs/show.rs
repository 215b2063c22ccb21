//! `zooky show NAME`: who holds one lock, who waits for it, since when.

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::table::{Cell, Table};
use crate::{json, locks, time};
use zooky::inspect::{Contender, show};

/// Show who holds one lock and who waits for it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The lock: NAME is /locks/NAME, a path is itself
    name: String,
}

/// The widths of the first columns in zktools' table.
const ZKTOOLS_WIDTHS: [usize; 3] = [17, 10, 0];

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(show_lock(config, args))
}

async fn show_lock(config: &Config, args: &Args) -> Result<u8, Failure> {
    let path = config.lock_path(&args.name);
    zooky::check_lock_path(&path)?;
    let view = locks::with(config, async |client| match show(client, &path).await {
        Err(error) if locks::is_missing(&error) => Err(locks::no_lock(&path)),
        view => Ok(view?),
    });
    let view = view.await?;
    if args.json {
        json::print(&json::View::new(&path, &view))?;
    } else if config.as_zktools {
        zktools_table(&view)?;
    } else {
        table(&view)?;
    }
    Ok(exit::OK)
}

fn table(contenders: &[Contender]) -> Result<(), Failure> {
    let mut table = Table::new(["LOCK HOLDER", "STATUS", "MODE", "OWNER", "SINCE"]);
    for contender in contenders {
        table.row([
            Cell::from(contender.name.clone()),
            locks::standing(contender),
            locks::mode(contender).into(),
            locks::describe(contender).into(),
            time::ago(contender.since_ms()).into(),
        ]);
    }
    Ok(table.print()?)
}

/// What zktools' `zooky show` prints: INFO is the node's stat as Python shows a dictionary.
fn zktools_table(contenders: &[Contender]) -> Result<(), Failure> {
    let mut table = Table::with_widths(["LOCK HOLDER", "DATA", "INFO"], ZKTOOLS_WIDTHS);
    for contender in contenders {
        let data = String::from_utf8_lossy(&contender.data).into_owned();
        table.row([contender.name.clone(), data, info(contender, time::wall_now_ms())]);
    }
    Ok(table.print()?)
}

/// The stat, in the seed's order, with the ages in seconds. Python 2 marked long numbers with an L, which no
/// Python reads any more; it is left out.
fn info(contender: &Contender, now_ms: i64) -> String {
    let stat = &contender.stat;
    let ago = |ms: i64| now_ms.saturating_sub(ms).max(0) / 1_000;
    let fields = [
        ("pzxid", stat.pzxid),
        ("ctime", stat.ctime_ms),
        ("aversion", i64::from(stat.aversion)),
        ("mzxid", stat.mzxid),
        ("ephemeralOwner", stat.ephemeral_owner),
        ("version", i64::from(stat.version)),
        ("dataLength", i64::from(stat.data_length)),
        ("cversion", i64::from(stat.cversion)),
        ("modified_ago", ago(stat.mtime_ms)),
        ("created_ago", ago(stat.ctime_ms)),
        ("czxid", stat.czxid),
        ("numChildren", i64::from(stat.num_children)),
        ("mtime", stat.mtime_ms),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("'{name}': {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}
