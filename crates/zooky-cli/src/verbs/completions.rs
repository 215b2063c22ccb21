//! `zooky completions SHELL`: from the one description of the command line.

use crate::cli::Cli;
use crate::config::Config;
use crate::exit::{self, Failure};
use clap::CommandFactory;
use std::io::Write;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    shell: Shell,
}

const HELP: &str = "\
  bash: zooky completions bash > ~/.local/share/bash-completion/completions/zooky
  zsh:  zooky completions zsh > \"${fpath[1]}/_zooky\"
  fish: zooky completions fish > ~/.config/fish/completions/zooky.fish";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the verb.
pub(crate) fn main(_: &Config, args: &Args) -> Result<u8, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // It panics on a pipe that is closed, a vector never is.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "zooky", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(exit::OK)
}
