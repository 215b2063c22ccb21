//! `zooky clean`: removes the directories of locks that nobody uses, and says whom that can hurt.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::table::Table;
use crate::{cli, json, locks};
use serde::Serialize;
use std::time::Duration;
use zooky::{Cleaned, Kept};

/// How old a directory has to be unless the user says something else: whoever uses it now and then has used it again.
const AGE: &str = "86400";

/// Remove the directories of locks that nobody holds or wants
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Only say what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Only those that were made at least this many seconds ago
    #[arg(long, value_name = "SECONDS", default_value = AGE, value_parser = cli::seconds)]
    age: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where to look, instead of /locks and /ZktoolsLocks
    root: Option<String>,
}

const HELP: &str = "\
No contender is ever removed: the server itself refuses to delete a directory that has one. zooky's own handles make their \
directory again. Programs of others that run now can be hurt; the table says which:

  kazoo    a lock object that has been used before raises NoNodeError from then on
  zktools  lock objects that exist cannot find their directory

Semaphores and nodes that do not look like a lock are left alone.";

/// `zooky clean --json`.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    removed: Vec<Removed>,
    kept: Vec<Left>,
}

#[derive(Debug, Serialize)]
struct Removed {
    path: String,
    hurts: String,
}

#[derive(Debug, Serialize)]
struct Left {
    path: String,
    why: String,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(clean(config, args))
}

async fn clean(config: &Config, args: &Args) -> Result<u8, Failure> {
    let roots = args.root.as_deref().map_or_else(|| config.roots(), |root| vec![root]);
    let cleaned = locks::with(config, async |client| {
        let mut all = Vec::new();
        for root in roots {
            all.push(match args.dry_run {
                true => zooky::clean_preview(client, root, args.age).await?,
                false => zooky::clean(client, root, args.age).await?,
            });
        }
        Ok(all)
    });
    let cleaned = cleaned.await?;
    let report = Report::new(args.dry_run, &cleaned);
    if args.json {
        json::print(&report)?;
    } else {
        report.print()?;
    }
    let failed = cleaned.iter().flat_map(|one| &one.kept).any(|(_, kept)| matches!(kept, Kept::Failed(_)));
    Ok(if failed { exit::NO } else { exit::OK })
}

impl Report {
    fn new(dry_run: bool, cleaned: &[Cleaned]) -> Report {
        let removed = cleaned.iter().flat_map(|one| &one.removed);
        let removed = removed.map(|one| Removed { path: one.path.clone(), hurts: one.hurts.to_string() });
        let kept = cleaned.iter().flat_map(|one| &one.kept);
        let kept = kept.map(|(path, why)| Left { path: path.clone(), why: why.to_string() });
        Report { dry_run, removed: removed.collect(), kept: kept.collect() }
    }

    fn print(&self) -> Result<(), Failure> {
        let done = if self.dry_run { "would be removed" } else { "removed" };
        let mut table = Table::new(["LOCK", "DONE", "WHY, OR WHOM IT CAN HURT"]);
        for Removed { path, hurts } in &self.removed {
            table.row([path.as_str(), done, hurts]);
        }
        for Left { path, why } in &self.kept {
            table.row([path.as_str(), "kept", why]);
        }
        table.print()?;
        say(format_args!("{} {done}, {} kept", self.removed.len(), self.kept.len()));
        Ok(())
    }
}
