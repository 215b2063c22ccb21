//! `zooky run`: take the lock, run the command, give the lock back; and never let the command outlive the lock.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::locks;
use crate::run::command::{Command, Ended, killed_by, owner};
use crate::run::helpers::Starting;
use crate::run::signals::Signals;
use crate::run::want::Want;
use std::ffi::OsString;
use std::time::Duration;

/// Run a command while holding a lock: flock(1) for more than one machine
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    want: Want,
    /// Begin anew, up to N times, when no server can be reached or the lock was lost
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,
    /// The lock: NAME is /locks/NAME, a path is itself. Several are taken as one: all or nothing
    #[arg(required = true, num_args = 1.., value_name = "NAME")]
    names: Vec<String>,
    /// The command and its arguments
    #[arg(required = true, last = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const HELP: &str = "\
All words before the first -- are names. Without a -- the first word is the name and the rest is the command, as with \
flock(1).

The command finds ZOOKY_LOCK (the lock's path) and ZOOKY_FENCING_TOKEN in its environment (of several locks a line \
each) and runs in a process group of its own; the lock is held until every process of that group has ended.

If the servers fall silent, the group gets TERM a third of the session timeout before the lock could be lost, \
and KILL 200 ms before, even when zooky itself was stopped or killed.

Exit codes: the command's own, or 128 + the signal that killed it (or zooky while it waited); 1 (or -E's) if the \
lock was not free in time; 64 usage; 65 bad lock name; 69 no server; 70 the lock was lost or about to be, and the \
command was stopped or never started; 126 and 127 if the command cannot be run or found.";

/// The pause before the first new beginning of `--retry`; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The description for a command line without a `--`: one name, and the rest is the command with its own flags.
pub(crate) fn without_separator(run: clap::Command) -> clap::Command {
    run.mut_arg("names", |names| names.num_args(1).action(clap::ArgAction::Set))
        .mut_arg("command", |command| command.last(false).trailing_var_arg(true))
}

/// How one attempt ended.
enum Attempt {
    /// With this exit code.
    Code(u8),
    /// The command has run and ended with this code, and its lock is released.
    Ran(u8),
    /// The lock was lost, or no server could be reached: another attempt may do better.
    Again(Result<u8, Failure>),
}

/// Runs the verb; the exit code is the command's wherever there is one.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(run(config, args))
}

async fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let paths: Vec<String> = args.names.iter().map(|name| config.lock_path(name)).collect();
    // Before a server is started for it.
    args.want.check(&paths)?;
    let mut pause = FIRST_PAUSE;
    for left in (0..=args.retry).rev() {
        let ended = match attempt(config, args, &paths, &mut signals).await? {
            Attempt::Code(code) | Attempt::Ran(code) => return Ok(code),
            Attempt::Again(ended) => ended,
        };
        if left == 0 {
            return ended;
        }
        if let Err(failure) = ended {
            say(failure.line());
        }
        let (number, of) = (args.retry - left + 1, args.retry);
        say(format_args!("beginning anew in {} s ({number} of {of})", pause.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            signal = signals.end() => return Ok(killed_by(signal)),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(exit::LOST)
}

async fn attempt(
    config: &Config,
    args: &Args,
    paths: &[String],
    signals: &mut Signals,
) -> Result<Attempt, Failure> {
    let starting = Starting::begin(&args.command);
    let client = tokio::select! {
        client = locks::connect(config) => match client {
            Err(failure) if failure.code() == exit::UNAVAILABLE => return Ok(Attempt::Again(Err(failure))),
            client => client?,
        },
        signal = signals.end() => return Ok(Attempt::Code(killed_by(signal))),
    };
    let ended = under_lock(&client, config, args, paths, starting, signals).await;
    match &ended {
        Ok(Attempt::Ran(_)) => locks::leave(client).await,
        _ => locks::close(client).await,
    }
    match ended {
        Err(failure) if failure.code() == exit::UNAVAILABLE => Ok(Attempt::Again(Err(failure))),
        ended => ended,
    }
}

async fn under_lock(
    client: &zooky::Client,
    config: &Config,
    args: &Args,
    paths: &[String],
    starting: Starting,
    signals: &mut Signals,
) -> Result<Attempt, Failure> {
    let holding = tokio::select! {
        holding = args.want.take(client, &config.acl, paths, owner(&args.command[0], args.want.revocable)) => holding?,
        // Dropping the wait takes our contender out of the queue.
        signal = signals.end() => return Ok(Attempt::Code(killed_by(signal))),
    };
    let Some(holding) = holding else {
        return Ok(Attempt::Code(args.want.patience.conflict_exit_code));
    };
    let command = Command { paths, revocable: args.want.revocable };
    Ok(match command.under(holding, starting, signals).await? {
        Ended::Code(code) => Attempt::Ran(code),
        Ended::Lost => Attempt::Again(Ok(exit::LOST)),
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use crate::verbs::Verb;
    use std::ffi::OsString;

    fn parse(line: &[&str]) -> (Vec<String>, Vec<String>, super::Args) {
        let line: Vec<OsString> = line.iter().map(Into::into).collect();
        let Verb::Run(args) = Cli::read(&line).unwrap().verb else { panic!("it is run") };
        let command = args.command.iter().map(|word| word.to_str().unwrap().to_string()).collect();
        (args.names.clone(), command, args)
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        for line in
            [&["zooky", "run", "-n", "x", "--", "ls", "-s"][..], &["zooky", "run", "-n", "x", "ls", "-s"]]
        {
            let (names, command, args) = parse(line);
            assert_eq!((names, command), (vec!["x".to_string()], vec!["ls".to_string(), "-s".to_string()]));
            assert!(args.want.patience.nonblock && !args.want.shared);
        }
    }

    #[test]
    fn what_stands_before_the_separator_are_names() {
        let (names, command, args) =
            parse(&["zooky", "run", "a", "b", "--read", "--", "git", "diff", "--", "-x"]);
        assert_eq!(names, ["a", "b"]);
        assert_eq!(command, ["git", "diff", "--", "-x"]);
        assert!(args.want.shared);
        let (names, command, _) = parse(&["zooky", "run", "a", "b", "c"]);
        assert_eq!((names.len(), command), (1, vec!["b".to_string(), "c".to_string()]));
    }

    #[test]
    fn there_is_no_run_without_a_name_or_a_command() {
        for line in [
            &["zooky", "run"][..],
            &["zooky", "run", "x"],
            &["zooky", "run", "x", "--"],
            &["zooky", "run", "--", "x"],
            &["zooky", "run", "--semaphore", "2", "-s", "x", "--", "y"],
            &["zooky", "run", "--semaphore", "0", "x", "--", "y"],
        ] {
            let line: Vec<OsString> = line.iter().map(Into::into).collect();
            assert!(Cli::read(&line).is_err(), "{line:?}");
        }
    }
}
