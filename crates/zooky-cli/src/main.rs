//! The `zooky` command: one file per verb under `verbs`, thin over the library. Exit codes are settled here and
//! in [`exit`]: whatever goes wrong is one line on standard error, `zooky: …`, and never a panic.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod embedded;
mod exit;
mod hidden;
mod json;
mod locks;
mod proc;
mod run;
mod settings;
mod table;
mod time;
mod verbs;

use clap::Parser;
use cli::{Cli, Verb};
use config::Config;
use exit::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The helper processes that `run` and the embedded default start: this same program by another name.
    if let Some(code) = hidden::main() {
        return code;
    }
    let code = match Cli::try_parse() {
        Ok(cli) => start(cli),
        Err(error) => return exit::usage(&error),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}

fn start(cli: Cli) -> Result<u8, Failure> {
    trace(cli.globals.verbose, matches!(cli.verb, Verb::Server(_)));
    let config = Config::resolve(&cli.globals)?;
    // The server's threads are its own; it wants no session and so no servers.
    if let Verb::Server(args) = &cli.verb {
        return verbs::server::main(&config, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::os("cannot start", error))?;
    let code = match cli.verb {
        Verb::Run(args) => runtime.block_on(verbs::run::main(&config, args)),
        Verb::Demo(args) => runtime.block_on(verbs::demo::main(&config, &args)),
        Verb::List(args) => runtime.block_on(verbs::list::main(&config, &args)),
        Verb::Show(args) => runtime.block_on(verbs::show::main(&config, &args)),
        Verb::Server(_) => Ok(exit::OK),
    };
    // A name that is still being looked up, say, must not hold up the end.
    runtime.shutdown_background();
    code
}

/// What whoever runs a server must hear of without asking, and what no client can bring about: files that are not as
/// they should be.
const SERVERS_TROUBLES: &str =
    "zooky_server::server=warn,zooky_server::log=warn,zooky_server::net::tls=error";

/// `-v` tells what the library does, `-vv` in detail; else `RUST_LOG` decides, and without it only `zooky: …`
/// lines are written, and a server's troubles with its files.
fn trace(verbose: u8, serves: bool) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let quiet = if serves { SERVERS_TROUBLES } else { "off" };
    let filter = match verbose {
        0 => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet)),
        1 => EnvFilter::new("debug"),
        _ => EnvFilter::new("trace"),
    };
    // Nobody else sets one in this process; if somebody had, theirs would do.
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = format.with_ansi(std::io::stderr().is_terminal()).try_init();
}
