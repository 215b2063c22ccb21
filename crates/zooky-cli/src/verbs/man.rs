//! `zooky man`: manual pages from the one description of the command line.

use crate::cli::Cli;
use crate::config::Config;
use crate::exit::{self, Failure};
use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;

/// Print a manual page, or write all of them into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write zooky.1, zooky-run.1 and so on into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    dir: Option<PathBuf>,
    /// The verb, as `run` or `node get`; without one the page of zooky itself
    verb: Vec<String>,
}

/// Runs the verb.
pub(crate) fn main(_: &Config, args: &Args) -> Result<u8, Failure> {
    let mut command = Cli::command();
    command.build();
    if let Some(dir) = &args.dir {
        let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
        written.map_err(|error| Failure::new(exit::OUTPUT, format!("{}: {error}", dir.display())))?;
        return Ok(exit::OK);
    }
    let mut page = &command;
    for verb in &args.verb {
        let found = page.find_subcommand(verb);
        page = found.ok_or_else(|| Failure::new(exit::USAGE, format!("there is no verb {verb:?}")))?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text)?;
    std::io::stdout().lock().write_all(&text)?;
    Ok(exit::OK)
}
