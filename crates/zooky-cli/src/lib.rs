//! The `zooky` command as a library: the program `zooky` is a `main` around [`main_from`], and the Python package offers
//! the same command as `python -m zooky`.
//!
//! One file per verb under `verbs`, thin over the library `zooky`. Exit codes are settled here and in `exit`: whatever
//! goes wrong is one line on standard error, `zooky: …`, and never a panic.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod embedded;
mod exit;
mod hidden;
mod json;
mod locks;
#[cfg_attr(not(feature = "otel"), path = "no_otel.rs")]
mod otel;
mod proc;
mod run;
mod settings;
mod srvr;
mod table;
mod time;
mod top;
mod verbs;
mod xdg;

pub use hidden::Invocation;

use cli::Cli;
use config::Config;
use exit::Failure;
use std::ffi::OsString;

/// The command line `args`, the program's name first, from beginning to end; the exit code is the answer.
///
/// It is the whole program: it catches signals, reaps children that this process has not started itself, writes to the standard
/// streams, and expects to be alone in its process. An interpreter around it should have given its own signal handlers
/// up before (tokio calls handlers that it finds beside its own).
///
/// `invocation` says how this same function is reached in a new process, for the helpers that `run`, `demo` and the embedded
/// server need: they are started with names of their own in place of a verb.
pub fn main_from(invocation: Invocation, args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    hidden::remember(invocation);
    // The helper processes that `run` and the embedded default start: this same program by another name.
    if let Some(code) = hidden::main(&args) {
        return code;
    }
    match Cli::read(&args) {
        Ok(cli) => start(&cli).unwrap_or_else(Failure::report),
        Err(error) => exit::usage(&error),
    }
}

fn start(cli: &Cli) -> Result<u8, Failure> {
    let _exporting = trace(cli.globals.verbose, matches!(cli.verb, verbs::Verb::Server(_)));
    let config = Config::resolve(&cli.globals)?;
    cli.verb.main(&config)
}

/// What whoever runs a server must hear of without asking, and what no client can bring about: files that are not as
/// they should be.
const SERVERS_TROUBLES: &str =
    "zooky_server::server=warn,zooky_server::log=warn,zooky_server::net::tls=error";

/// `-v` tells what the library does, `-vv` in detail; else `RUST_LOG` decides, and without it only `zooky: …`
/// lines are written, and a server's troubles with its files. What is returned hands the last spans over when it is
/// dropped, if they are exported.
fn trace(verbose: u8, serves: bool) -> Option<otel::Export> {
    use std::io::IsTerminal;
    use tracing_subscriber::{EnvFilter, fmt, prelude::*, registry};
    let quiet = if serves { SERVERS_TROUBLES } else { "off" };
    let (spans, export) = otel::layer().unzip();
    // Nobody would hear anything: a lock for a short command is not to wait for a filter of nothing.
    if verbose == 0 && !serves && spans.is_none() && std::env::var_os("RUST_LOG").is_none() {
        return None;
    }
    let filter = match verbose {
        0 => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet)),
        1 => EnvFilter::new("debug"),
        _ => EnvFilter::new("trace"),
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = lines.with_filter(filter);
    // Nobody else sets one in this process; if somebody had, theirs would do.
    let _ = registry().with(lines).with(spans).try_init();
    export
}

/// Runs a verb's work on this thread. Nothing of it outlives the call.
fn block_on(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::os("cannot start", error))?;
    let code = runtime.block_on(work);
    // A name that is still being looked up, say, must not hold up the end.
    runtime.shutdown_background();
    code
}
