//! `zooky top`: the locks live in the whole terminal.

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::{locks, top, verbs};
use std::io::IsTerminal;
use zooky_ui::{Follower, How};

const KEYS: &str = "\
Keys: arrows, PgUp and PgDn move; Enter opens the queue of the chosen lock, Esc closes it; s sorts, / filters; r asks the \
holder, or whoever is chosen in the queue, to let go, x removes its node (each asks once more); q quits.";

/// Show locks, holders, queues and ages live, in the whole terminal
#[derive(Debug, clap::Args)]
#[command(after_help = KEYS)]
pub(crate) struct Args {
    /// Follow the locks by listing them again and again, as on servers before 3.6
    #[arg(long)]
    poll: bool,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::new(exit::USAGE, "top needs a terminal; `zooky list` prints the locks once"));
    }
    crate::block_on(watch(config, args))
}

async fn watch(config: &Config, args: &Args) -> Result<u8, Failure> {
    let client = locks::connect(config).await?;
    let how = if args.poll { How::Poll } else { How::Watch };
    let follower = Follower::start(client.clone(), verbs::ui::roots(config), how);
    top::run(&client, &follower).await?;
    drop(follower);
    locks::close(client).await;
    Ok(exit::OK)
}
