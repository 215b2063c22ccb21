//! `zooky elect`: stands for election and runs a command while it leads; or tells who leads.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::run::command::{Command, Ended, killed_by, owner};
use crate::run::helpers::Starting;
use crate::run::holding::Holding;
use crate::run::signals::Signals;
use crate::run::waiting;
use crate::run::want::Patience;
use crate::{json, locks, time};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use tokio::sync::watch;
use zooky::inspect::Contender;
use zooky::{Client, Election, Error};

/// Stand for election and run a command while leading; without a command, tell who leads
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    patience: Patience,
    /// Stand under this name, which others are shown
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Resign when somebody asks for it (`zooky revoke`): TERM to the command
    #[arg(long)]
    revocable: bool,
    /// Do not stand: tell who leads, and each change, until a signal comes
    #[arg(long, conflicts_with_all = ["command", "nonblock", "wait"])]
    observe: bool,
    /// Print JSON, with --observe a line for each change
    #[arg(long, conflicts_with = "command")]
    json: bool,
    /// The election: NAME is /locks/NAME, a path is itself
    #[arg(value_name = "NAME")]
    name: String,
    /// The command and its arguments
    #[arg(last = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const HELP: &str = "\
An election is a lock in kazoo's layout, and kazoo's Election may stand as well. The command finds the same environment as under \
`zooky run` and is ended in the same way when the leadership is lost. When it ends, we resign.

Exit codes: as `zooky run`; without a command 0 somebody leads, 1 nobody does.";

/// `zooky elect --json`.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    leader: Option<json::Member>,
    candidates: Option<usize>,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(elect(config, args))
}

async fn elect(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let path = config.lock_path(&args.name);
    zooky::check_lock_path(&path)?;
    let client = tokio::select! {
        client = locks::connect(config) => client?,
        signal = signals.end() => return Ok(killed_by(signal)),
    };
    let ended = match args.command.is_empty() {
        false => stand(&client, config, args, &path, &mut signals).await,
        true if args.observe => observe(&client, args, &path, &mut signals).await,
        true => tell(&client, args, &path).await,
    };
    locks::close(client).await;
    ended
}

async fn stand(
    client: &Client,
    config: &Config,
    args: &Args,
    path: &str,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let starting = Starting::begin(&args.command);
    let (tell, waits) = watch::channel(waiting::Waits::new(path));
    let mut election = Election::new(client, path)?.with_owner(owner(&args.command[0], args.revocable));
    election = election.with_acl(config.acl.clone());
    if let Some(id) = &args.id {
        election = election.identifier(id);
    }
    let election = election.on_wait(move |other| waiting::Waits::note(&tell, other));
    let led = async {
        match args.patience.limit() {
            None => election.campaign().await.map(Some),
            Some(limit) if limit.is_zero() => election.try_campaign().await,
            Some(limit) => match election.campaign_timeout(limit).await {
                Err(Error::Timeout { .. }) => Ok(None),
                led => led.map(Some),
            },
        }
    };
    let led = tokio::select! {
        led = led => led?,
        () = waiting::tell(client, waits) => None,
        signal = signals.end() => return Ok(killed_by(signal)),
    };
    let Some(led) = led else { return Ok(args.patience.conflict_exit_code) };
    let paths = [path.to_string()];
    let command = Command { paths: &paths, revocable: args.revocable };
    Ok(match command.under(Holding::One(led.into_guard()), starting, signals).await? {
        Ended::Code(code) => code,
        Ended::Lost => exit::LOST,
    })
}

async fn tell(client: &Client, args: &Args, path: &str) -> Result<u8, Failure> {
    let candidates = match Election::new(client, path)?.candidates().await {
        Err(error) if locks::is_missing(&error) => Vec::new(),
        candidates => candidates?,
    };
    let leader = candidates.first();
    if args.json {
        json::print(&report(path, leader, Some(candidates.len())))?;
    } else if let Some(leader) = leader {
        writeln!(std::io::stdout().lock(), "{}", line(leader))?;
    } else {
        say(format_args!("nobody leads {path}"));
    }
    Ok(if leader.is_some() { exit::OK } else { exit::NO })
}

async fn observe(client: &Client, args: &Args, path: &str, signals: &mut Signals) -> Result<u8, Failure> {
    let mut leaders = Election::new(client, path)?.observe();
    loop {
        let leader = tokio::select! {
            leader = leaders.changed() => leader?,
            _ = signals.end() => return Ok(exit::OK),
        };
        if args.json {
            json::print_line(&report(path, leader.as_ref(), None))?;
            continue;
        }
        let text = leader.as_ref().map_or("nobody".to_string(), line);
        writeln!(std::io::stdout().lock(), "{text}")?;
    }
}

fn report(path: &str, leader: Option<&Contender>, candidates: Option<usize>) -> Report {
    Report { path: path.to_string(), leader: leader.map(json::Member::from), candidates }
}

fn line(leader: &Contender) -> String {
    format!("{} since {}", locks::describe(leader), time::utc(leader.since_ms()))
}
