//! `zooky wait NAME`: until nobody holds the lock, without asking for it.

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::locks;
use crate::run::command::killed_by;
use crate::run::signals::Signals;
use crate::run::waiting;
use crate::run::want::Patience;
use std::time::Duration;
use tokio::sync::watch;
use zooky::{Client, Election, Error};

/// Wait until nobody holds a lock, without asking for it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    patience: Patience,
    /// The lock: NAME is /locks/NAME, a path is itself
    name: String,
}

const HELP: &str = "\
The lock may be taken again at any moment: to do something under it, use `zooky run`. A lock that has never been used is free.

Exit codes: 0 it is free; 1 (or -E's) it was not free in time; 128 + the signal that ended the wait; 64, 65, 69, 77 as everywhere.";

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(wait(config, args))
}

async fn wait(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let path = config.lock_path(&args.name);
    zooky::check_lock_path(&path)?;
    let waited = locks::with(config, async |client| {
        let limit = args.patience.limit();
        tokio::select! {
            free = until_free(client, &path, limit) => Ok(if free? { exit::OK } else { args.patience.conflict_exit_code }),
            signal = signals.end() => Ok(killed_by(signal)),
        }
    });
    waited.await
}

/// Whether it was free in time.
async fn until_free(client: &Client, path: &str, limit: Option<Duration>) -> Result<bool, Error> {
    // Whoever is at the head of the queue holds the lock.
    let mut heads = Election::new(client, path)?.observe();
    let (tell, waits) = watch::channel(waiting::Waits::new(path));
    let free = async {
        while let Some(head) = heads.changed().await? {
            if limit == Some(Duration::ZERO) {
                return Ok(false);
            }
            waiting::Waits::note(&tell, &head);
        }
        Ok(true)
    };
    let limit = limit.filter(|limit| !limit.is_zero());
    tokio::select! {
        free = free => free,
        () = waiting::tell(client, waits) => Ok(false),
        () = after(limit) => Ok(false),
    }
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
