//! The command line as the user types it. What it means together with the environment is `config`'s business.

use crate::settings::Settings;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::time::Duration;

/// Distributed locks from the command line, on ZooKeeper or on nothing at all.
#[derive(Debug, Parser)]
#[command(name = "zooky", version, max_term_width = 100, disable_help_subcommand = true, after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const ENVIRONMENT: &str = "\
With neither --servers nor ZOOKY_SERVERS, zooky uses the ZooKeeper at localhost:2181. If there never was one, it \
starts a server of its own in the background, for this machine only; `zooky server stop` stops it.

Exit codes: 0 done; 1 no (a conflict, no such lock); 64 usage; 65 bad data or path; 69 no server; 71 the system \
refused; 74 output; 77 no rights; 78 environment. `zooky run` passes the command's code on, see `zooky run --help`.";

/// What every verb understands.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// ZooKeeper servers, `host:port,host:port/chroot` [env: ZOOKY_SERVERS, default: localhost:2181]
    #[arg(long, visible_alias = "host", global = true, value_name = "HOSTS")]
    pub(crate) servers: Option<String>,
    /// Where a NAME without a leading slash lives [default: /locks]; with it, tables are zktools' own
    #[arg(long = "lock_root", visible_alias = "lock-root", global = true, value_name = "PATH")]
    pub(crate) lock_root: Option<String>,
    /// How long the servers keep our locks when they hear nothing from us, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = positive_seconds)]
    pub(crate) session_timeout: Duration,
    /// Tell on standard error what is going on; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command while holding a lock: flock(1) for more than one machine
    Run(RunArgs),
    /// Watch three processes contend for one lock
    Demo(DemoArgs),
    /// List the locks and whether they are held
    List(ListArgs),
    /// Show who holds one lock and who waits for it
    Show(ShowArgs),
    /// Run a ZooKeeper server, or look after the one in the background
    Server(ServerArgs),
}

/// `zooky run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_CODES)]
pub(crate) struct RunArgs {
    /// Share the lock with others that share it (a read lock)
    #[arg(short, long, conflicts_with = "exclusive")]
    pub(crate) shared: bool,
    /// Share the lock with nobody (a write lock); the default
    #[arg(short = 'x', short_alias = 'e', long)]
    exclusive: bool,
    /// Fail at once if the lock is not free
    #[arg(short, long, visible_alias = "nb")]
    pub(crate) nonblock: bool,
    /// Fail if the lock is not free within this many seconds; fractions are allowed, 0 is --nonblock
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,
    /// The exit code for failing by --nonblock or --wait
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = crate::exit::NO)]
    pub(crate) conflict_exit_code: u8,
    /// The lock: NAME is /locks/NAME, a path is itself
    pub(crate) name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

const RUN_CODES: &str = "\
The command finds ZOOKY_LOCK (the lock's path) and ZOOKY_FENCING_TOKEN in its environment and runs in a process \
group of its own; the lock is held until every process of that group has ended.

If the servers fall silent, the group gets TERM a third of the session timeout before the lock could be lost, \
and KILL 200 ms before, even when zooky itself was stopped or killed.

Exit codes: the command's own, or 128 + the signal that killed it (or zooky while it waited); 1 (or -E's) if the \
lock was not free in time; 64 usage; 65 bad lock name; 69 no server; 70 the lock was lost or about to be, and the \
command was stopped or never started; 126 and 127 if the command cannot be run or found.";

/// `zooky demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How far each worker counts while it holds the lock
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// How many processes contend
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) workers: u32,
    /// The pause after each number, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) delay_ms: u64,
}

/// `zooky list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `zooky show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The lock: NAME is /locks/NAME, a path is itself
    pub(crate) name: String,
}

const SERVER_SETTINGS: &str = "\
A flag counts more than the environment, that more than the file of --config, that more than the default. Times are \
in milliseconds, or with `s` behind them; bytes may have `k`, `m` or `g`. TERM, INT or HUP ends the server, with 0.";

/// `zooky server`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = SERVER_SETTINGS)]
pub(crate) struct ServerArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ServerAction>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What to do with the server in the background.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerAction {
    /// Stop the server that zooky started in the background
    Stop,
    /// Tell whether it runs, and where
    Status,
    /// Forget that another ZooKeeper once answered at localhost, so that zooky may start its own there
    Forget,
}

/// The longest wait that is taken at its word: a century. Beyond it, clocks overflow.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    if number.is_nan() || number < 0.0 {
        return Err("seconds cannot be negative".to_string());
    }
    Ok(Duration::from_secs_f64(number.min(LONGEST)))
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    let duration = seconds(text)?;
    // The protocol counts milliseconds in 32 bits.
    if duration.as_millis() == 0 || duration.as_millis() > i32::MAX as u128 {
        return Err("a session timeout is between 0.001 and 2147483 seconds".to_string());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_as_in_flock() {
        assert_eq!(seconds(".25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert!(seconds("1e300").is_ok());
        for bad in ["", "-1", "x", "NaN", "1s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        for line in
            [&["zooky", "run", "-n", "x", "--", "ls", "-s"][..], &["zooky", "run", "-n", "x", "ls", "-s"]]
        {
            let cli = Cli::try_parse_from(line).unwrap();
            let Verb::Run(args) = cli.verb else { panic!("{line:?}") };
            assert_eq!(args.command, ["ls", "-s"]);
            assert!(args.nonblock && !args.shared);
        }
    }
}
