//! `zooky server`: a server in the foreground, and the care of the one in the background.

mod check;
mod start;

use crate::config::Config;
use crate::embedded::{self, numbers::LockNumbers, serve, state::Running, state::StateDir};
use crate::exit::{self, Failure, say};
use crate::settings::{Resolved, Settings};
use crate::verbs::ui;
use crate::{json, time};
use std::io::Write;
use std::net::SocketAddr;

const SERVER_SETTINGS: &str = "\
A flag counts more than the environment, that more than the file of --config, that more than the default. Times are \
in milliseconds, or with `s` behind them; bytes may have `k`, `m` or `g`. TERM, INT or HUP ends the server, with 0; USR1 has it take a snapshot.";

/// Run a ZooKeeper server, or look after the one in the background
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = SERVER_SETTINGS)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Serve the page of `zooky ui` beside it, with numbers of the locks at /metrics
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = ui::LISTEN)]
    ui: Option<SocketAddr>,
    #[command(flatten)]
    settings: Settings,
}

/// What to do with the server in the background.
#[derive(Debug, clap::Subcommand)]
enum Action {
    Start(start::Args),
    /// Stop the server that zooky started in the background
    Stop,
    /// Tell whether it runs, and where
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the server in the background take a snapshot, and wait until it is on the disk
    Snapshot,
    Check(check::Args),
    /// Forget that another ZooKeeper once answered at localhost, so that zooky may start its own there
    Forget,
}

/// Runs the verb. In the foreground it ends with TERM, INT or HUP, cleanly, with 0.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    match &args.action {
        None => foreground(config, args),
        Some(Action::Start(args)) => start::main(args),
        Some(Action::Stop) => stop(),
        Some(Action::Status { json }) => status(*json),
        Some(Action::Snapshot) => snapshot(),
        Some(Action::Check(args)) => check::main(args),
        Some(Action::Forget) => forget(),
    }
}

fn foreground(config: &Config, args: &Args) -> Result<u8, Failure> {
    let Resolved { config: mut settings, warnings } = args.settings.resolve(|name| std::env::var_os(name))?;
    for warning in warnings {
        say(warning);
    }
    let data_dir = settings.data_dir.clone();
    let numbers = LockNumbers::among(&mut settings, args.ui.is_some());
    let (server, stop) = serve::start(settings)?;
    let at = server.addr();
    say(format_args!("serving at {at}, data in {}", data_dir.display()));
    if let Some(tls) = server.tls_addr() {
        say(format_args!("serving with TLS at {tls}"));
    }
    if let Some(metrics) = server.metrics_addr() {
        say(format_args!("metrics at http://{metrics}/metrics"));
    }
    if !at.ip().is_loopback() {
        say(format_args!("anybody who reaches {at} can take and free locks"));
    }
    ui::beside(config.clone(), at, args.ui, numbers)?;
    serve::until_stopped(server, stop)?;
    Ok(exit::OK)
}

fn stop() -> Result<u8, Failure> {
    let dir = StateDir::open()?;
    // A command that is just starting one has it before we look.
    let _alone = dir.lock()?;
    let Some(running) = dir.running() else { return Ok(none()) };
    running.stop()?;
    say(format_args!(
        "stopped the server at {}; its data stays in {}",
        running.listen,
        running.data_dir.display()
    ));
    Ok(exit::OK)
}

fn status(as_json: bool) -> Result<u8, Failure> {
    let running = embedded::running()?;
    let code = if running.is_some() { exit::OK } else { exit::NO };
    if as_json {
        json::print(&running)?;
        return Ok(code);
    }
    let mut out = std::io::stdout().lock();
    match running {
        Some(running) => writeln!(out, "running {}", whereabouts(&running))?,
        None => writeln!(out, "{NONE}")?,
    }
    Ok(code)
}

/// Where a background server is and since when.
fn whereabouts(running: &Running) -> String {
    let since = format!("{} ({})", time::utc(running.since_ms), time::ago(running.since_ms));
    let data = running.data_dir.display();
    format!("at {}, process {}, since {since}, data in {data}", running.listen, running.pid)
}

fn snapshot() -> Result<u8, Failure> {
    let Some(running) = embedded::running()? else { return Ok(none()) };
    let file = running.snapshot()?;
    writeln!(std::io::stdout().lock(), "{}", file.display())?;
    Ok(exit::OK)
}

const NONE: &str = "no server of ours runs in the background";

fn none() -> u8 {
    say(NONE);
    exit::NO
}

fn forget() -> Result<u8, Failure> {
    match StateDir::open()?.forget_foreign()? {
        0 => say("no other ZooKeeper was remembered"),
        _ => say("forgotten: where nothing answers, zooky starts its own server"),
    }
    Ok(exit::OK)
}
