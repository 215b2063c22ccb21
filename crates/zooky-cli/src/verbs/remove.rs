//! `zooky remove NAME`: removes a lock's directory, as zktools' `zooky remove` does; one that is held only by force.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::locks;
use zooky::inspect::{Contender, show};
use zooky::{Cleaned, Client, Kept, Revoke, RwLock};

/// Remove a lock that nobody holds or wants; with --force any lock
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Also a lock that is held or wanted: its contenders' nodes are removed first. THEY MAY BE AT WORK
    #[arg(short, long)]
    force: bool,
    /// The locks: NAME is /locks/NAME, a path is itself
    #[arg(required = true, num_args = 1.., value_name = "NAME")]
    names: Vec<String>,
}

const HELP: &str = "\
Programs that run now and have used the lock before can be hurt by its removal: see `zooky clean --help`.

Exit codes: 0 all were removed; 1 one is held or wanted, is no lock, or is not there; 64, 65, 69, 77 as everywhere.";

/// How often contenders that come while we remove them are removed, too.
const ROUNDS: usize = 10;

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(remove_all(config, args))
}

async fn remove_all(config: &Config, args: &Args) -> Result<u8, Failure> {
    let paths: Vec<String> = args.names.iter().map(|name| config.lock_path(name)).collect();
    for path in &paths {
        zooky::check_lock_path(path)?;
    }
    let removed = locks::with(config, async |client| {
        let mut all = true;
        for path in &paths {
            all &= remove(client, path, args.force).await?;
        }
        Ok(all)
    });
    Ok(if removed.await? { exit::OK } else { exit::NO })
}

/// Whether it is gone by us; if not, why not was said.
async fn remove(client: &Client, path: &str, force: bool) -> Result<bool, Failure> {
    for _ in 0..if force { ROUNDS } else { 1 } {
        if force {
            for one in RwLock::new(client, path)?.revoke_all(Revoke::immediately()).await?.removed {
                say(format_args!("took {path} from {}", locks::describe(&one)));
            }
        }
        let Cleaned { removed, kept, .. } = match zooky::remove(client, path, force).await {
            Err(error) if locks::is_missing(&error) => {
                say(locks::no_lock(path).line());
                return Ok(false);
            }
            other => other?,
        };
        if let Some(one) = removed.first() {
            say(format_args!("removed {path}; {}", one.hurts));
            return Ok(true);
        }
        if !force || kept.iter().any(|(_, why)| *why != Kept::InUse) {
            for (_, why) in kept {
                say(refusal(path, &why, &show(client, path).await?));
            }
            return Ok(false);
        }
    }
    let contenders = show(client, path).await?;
    say(if contenders.is_empty() {
        format!(
            "{path} has children that are no contenders: `zooky node rm -r {path}` removes everything in it"
        )
    } else {
        format!("{path} is not removed: contenders come faster than they can be removed")
    });
    Ok(false)
}

fn refusal(path: &str, why: &Kept, contenders: &[Contender]) -> String {
    match (why, contenders.first()) {
        (Kept::InUse, Some(first)) => {
            let does = if first.holding == Some(true) { "held" } else { "wanted" };
            format!("{path} is {does} by {}; --force takes it from them", locks::describe(first))
        }
        (Kept::InUse, None) => format!("{path} has children that are no contenders: it is not removed"),
        (Kept::NoLock, _) => format!("{path} does not look like a lock; --force removes it all the same"),
        (why, _) => format!("{path} is not removed: {why}"),
    }
}
