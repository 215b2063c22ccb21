//! `zooky server start`: a server in the background, as the embedded default is one, with settings of the caller's.

use super::whereabouts;
use crate::embedded::{self, state::StateDir};
use crate::exit::{self, Failure, say};
use crate::settings::{Resolved, Settings};
use std::io::Write;

const HELP: &str = "\
The settings are those of `zooky server`; without a data directory it is the one of the server that zooky starts by itself. There is one \
server in the background for each user (each XDG_STATE_HOME). What it says goes to server.log beside its data.";

/// Start a server in the background and wait until it serves; prints where, and its process
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

/// Runs the verb.
pub(super) fn main(args: &Args) -> Result<u8, Failure> {
    let dir = StateDir::open()?;
    // Told here and not in the background's log: what is wrong with the settings.
    let env = |name: &str| std::env::var_os(name);
    let Resolved { config, warnings } = args.settings.resolve_with(dir.data(), env)?;
    for warning in warnings {
        say(warning);
    }
    let _alone = dir.lock()?;
    if let Some(running) = dir.running() {
        let same_place = config.listen == running.listen || config.listen.port() == 0;
        if same_place && std::path::absolute(&config.data_dir).is_ok_and(|data| data == running.data_dir) {
            writeln!(std::io::stdout().lock(), "running already {}", whereabouts(&running))?;
            return Ok(exit::OK);
        }
        say(format_args!("another one runs {}; `zooky server stop` stops it", whereabouts(&running)));
        return Ok(exit::NO);
    }
    let process = [dir.path().into()].into_iter().chain(args.settings.to_args());
    let (at, pid) = embedded::in_background(&dir, process)?;
    writeln!(
        std::io::stdout().lock(),
        "serving at {at}, process {pid}, data in {}",
        config.data_dir.display()
    )?;
    Ok(exit::OK)
}
