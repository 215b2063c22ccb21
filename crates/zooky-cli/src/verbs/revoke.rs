//! `zooky revoke NAME`: asks those who hold a lock to let go, or takes it from them.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::table::Table;
use crate::{cli, json, locks, time};
use serde::Serialize;
use std::time::Duration;
use zooky::inspect::Contender;
use zooky::{Revocation, Revoke, RwLock};

/// Ask those who hold a lock to let go of it, or take it from them
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Do not ask: remove their nodes. THEY MAY BE AT WORK and nothing stops them but a resource that refuses their tokens
    #[arg(long)]
    now: bool,
    /// Those who wait as well
    #[arg(long, conflicts_with = "older")]
    all: bool,
    /// Only those who have held the lock for longer than this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = cli::seconds)]
    older: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The lock: NAME is /locks/NAME, a path is itself
    name: String,
}

const HELP: &str = "\
Asked are the holders, in the words of their own library; they let go when they want to. `zooky run --revocable` sends TERM \
to its command then. Deaf are commands of `zooky run` without --revocable, those whose library knows no such request (kazoo's \
locks), and Curator's that were not made revocable: only --now helps there.

With --now the commands of `zooky run` are ended as after a loss, at once. Programs that do not watch their lock go on.

Exit codes: 0 everybody was asked, or removed; 1 nobody holds the lock, or somebody is deaf; 64, 65, 69, 77 as everywhere.";

/// `zooky revoke --json`.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    asked: Vec<json::Member>,
    removed: Vec<json::Member>,
    deaf: Vec<json::Member>,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(revoke(config, args))
}

async fn revoke(config: &Config, args: &Args) -> Result<u8, Failure> {
    let path = config.lock_path(&args.name);
    zooky::check_lock_path(&path)?;
    let mut how = if args.now { Revoke::immediately() } else { Revoke::ask() };
    if !args.all {
        how = how.held_longer_than(args.older.unwrap_or(Duration::ZERO));
    }
    let revoked =
        locks::with(config, async |client| Ok(RwLock::new(client, &path)?.revoke_all(how).await?)).await?;
    if args.json {
        let members = |contenders: &[Contender]| contenders.iter().map(json::Member::from).collect();
        let Revocation { asked, removed, deaf, .. } = &revoked;
        let (asked, removed, deaf) = (members(asked), members(removed), members(deaf));
        json::print(&Report { path: path.clone(), asked, removed, deaf })?;
    } else if !revoked.is_empty() {
        table(&revoked)?;
    }
    if revoked.is_empty() {
        say(format_args!("nobody {} {path}", if args.all { "holds or wants" } else { "holds" }));
        return Ok(exit::NO);
    }
    if !revoked.deaf.is_empty() {
        say(
            "those who are deaf cannot be asked; --now removes their nodes, and nothing tells them but their session",
        );
        return Ok(exit::NO);
    }
    Ok(exit::OK)
}

fn table(revoked: &Revocation) -> Result<(), Failure> {
    let mut table = Table::new(["DONE", "STATUS", "MODE", "OWNER", "SINCE"]);
    for (done, contenders) in
        [("asked", &revoked.asked), ("removed", &revoked.removed), ("deaf", &revoked.deaf)]
    {
        for one in contenders {
            table.row([
                done.into(),
                locks::standing(one),
                locks::mode(one).into(),
                locks::describe(one).into(),
                time::ago(one.since_ms()).into(),
            ]);
        }
    }
    Ok(table.print()?)
}
