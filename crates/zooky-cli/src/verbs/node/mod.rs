//! `zooky node`: looking at and changing single znodes, with their values typed as a [`zooky::Node`] types them.

mod change;
mod look;
mod report;

use crate::config::Config;
use crate::exit::{self, Failure};
use std::path::PathBuf;

/// Read, write, follow, list or remove znodes
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const HELP: &str = "\
A node's data is a value: none, true or false, a whole number, a decimal, a date, a moment in ISO 8601, JSON in brackets, or text. \
PATH begins with a slash.

Exit codes: 0 done; 1 there is no such node, it has children, or its version is another; 64, 65, 69, 77 as everywhere.";

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a node's value
    Get(Get),
    /// Set a node's value; a node that is not there is created, and its parents
    Set(Set),
    /// Print a node's value and each new one, until a signal comes
    Watch(Watch),
    /// List a node's children
    Ls(Ls),
    /// Remove a node
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
struct Get {
    /// Print the data byte for byte, and nothing behind it
    #[arg(long)]
    raw: bool,
    /// Print JSON: value, type, version, times
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    path: String,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// Store VALUE byte for byte; else it is read as a value and stored as all clients of zktools' ZkNode store that
    #[arg(long)]
    raw: bool,
    /// Only if the node's version is still N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    version: Option<i32>,
    /// Do not create the node
    #[arg(long)]
    existing: bool,
    /// Store what this file holds; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    from: Option<PathBuf>,
    /// Print JSON: what is stored now
    #[arg(long)]
    json: bool,
    path: String,
    #[arg(required_unless_present = "from", allow_hyphen_values = true)]
    value: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Watch {
    /// End after N lines
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Print JSON, a line for each change
    #[arg(long)]
    json: bool,
    path: String,
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// A table with version, size, number of children, owner and time of the last change
    #[arg(short, long)]
    long: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "long")]
    json: bool,
    #[arg(default_value = "/")]
    path: String,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// With everything below it
    #[arg(short, long)]
    recursive: bool,
    /// Only if the node's version is still N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "recursive")]
    version: Option<i32>,
    path: String,
}

impl Action {
    fn path(&self) -> &str {
        match self {
            Action::Get(args) => &args.path,
            Action::Set(args) => &args.path,
            Action::Watch(args) => &args.path,
            Action::Ls(args) => &args.path,
            Action::Rm(args) => &args.path,
        }
    }
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    let path = args.action.path();
    // Before a server is started for it.
    if let Err(fault) = zooky::session::validate_path(path) {
        return Err(Failure::new(exit::DATA, format!("{path:?} is no path of a znode: {}", fault.why)));
    }
    crate::block_on(async {
        match &args.action {
            Action::Get(args) => look::get(config, args).await,
            Action::Watch(args) => look::watch(config, args).await,
            Action::Ls(args) => look::ls(config, args).await,
            Action::Set(args) => change::set(config, args).await,
            Action::Rm(args) => change::rm(config, args).await,
        }
    })
}
