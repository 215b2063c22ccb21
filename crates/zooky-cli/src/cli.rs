//! The command line as the user types it. What it means together with the environment is `config`'s business.

use crate::verbs::{self, Verb};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::path::PathBuf;
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

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// clap's: what is wrong with it, or the help that was asked for.
    pub(crate) fn read(args: &[OsString]) -> Result<Cli, clap::Error> {
        Cli::run(args).map_or_else(|| parse(args), Ok)
    }

    /// The same, if it is `run` and there is nothing wrong with it. To describe all the other verbs takes about as long as to take
    /// a free lock, and `run` is what short commands are started with.
    fn run(args: &[OsString]) -> Option<Cli> {
        if !args.iter().any(|arg| arg == "run") {
            return None;
        }
        let OnlyRun { globals, verb: verbs::Often::Run(run) } = parse(args).ok()?;
        Some(Cli { globals, verb: Verb::Run(run) })
    }
}

fn parse<C: CommandFactory + FromArgMatches>(args: &[OsString]) -> Result<C, clap::Error> {
    let mut command = C::command();
    if !args.iter().any(|arg| arg == "--") {
        command = command.mut_subcommand("run", verbs::without_separator);
    }
    C::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// A command line whose verb is `run`.
#[derive(Debug, Parser)]
#[command(name = "zooky", disable_help_subcommand = true)]
struct OnlyRun {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: verbs::Often,
}

const ENVIRONMENT: &str = "\
With neither --servers nor ZOOKY_SERVERS, zooky uses the ZooKeeper at localhost:2181. If there never was one, it \
starts a server of its own in the background, for this machine only; `zooky server stop` stops it.

A flag counts more than its environment variable, that more than the settings file (ZOOKY_CONFIG, else \
~/.config/zooky/config.toml), that more than the default; `zooky doctor` shows what came of it.

Exit codes: 0 done; 1 no (a conflict, no such lock); 64 usage; 65 bad data or path; 69 no server; 70 the lock was lost; 71 the \
system refused; 74 output; 77 no rights; 78 environment. `zooky run` passes the command's code on, see `zooky run --help`.";

/// What every verb understands.
#[derive(Debug, Default, Args)]
pub(crate) struct Globals {
    /// ZooKeeper servers, `host:port,host:port/chroot` [env: ZOOKY_SERVERS] [default: localhost:2181]
    #[arg(long, visible_alias = "host", global = true, value_name = "HOSTS")]
    pub(crate) servers: Option<String>,
    /// Where a NAME without a leading slash lives; given here, tables are zktools' own [env: ZOOKY_LOCK_ROOT] [default:
    /// /locks]
    #[arg(long = "lock_root", visible_alias = "lock-root", global = true, value_name = "PATH")]
    pub(crate) lock_root: Option<String>,
    /// How long the servers keep our locks when they hear nothing from us [env: ZOOKY_SESSION_TIMEOUT] [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = session_timeout)]
    pub(crate) session_timeout: Option<Duration>,
    /// Connect by TLS, to servers with a certificate of one of these authorities (PEM) [env: ZOOKY_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Our own certificate for TLS (PEM), if the servers want one [env: ZOOKY_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert (PEM) [env: ZOOKY_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Tell on standard error what is going on; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The longest wait that is taken at its word: a century. Beyond it, clocks overflow.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// A number of seconds, as flock(1) takes it.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    if number.is_nan() || number < 0.0 {
        return Err("seconds cannot be negative".to_string());
    }
    Ok(Duration::from_secs_f64(number.min(LONGEST)))
}

/// A session timeout in seconds, within what the protocol can say.
pub(crate) fn session_timeout(text: &str) -> Result<Duration, String> {
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

    #[test]
    fn the_description_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_by_itself_is_read_as_among_all_verbs() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        for line in [
            "zooky run job -- true",
            "zooky run job ls -s --help",
            "zooky --servers h:1 -vv run -n -w 2 a b --read -- run list --version",
            "zooky run --revocable --session-timeout 3 --retry 2 job -- sh -c x",
            "zooky --lock_root /run run run -- run",
        ] {
            let args = words(line);
            let all: Cli = parse(&args).unwrap();
            assert_eq!(format!("{:?}", Cli::run(&args).unwrap()), format!("{all:?}"), "{line}");
        }
        // All that is not that is read, or refused, among all.
        for line in
            ["zooky run", "zooky run --help", "zooky show run", "zooky -V run", "zooky run a -w x -- b"]
        {
            assert!(Cli::run(&words(line)).is_none(), "{line}");
        }
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
}
