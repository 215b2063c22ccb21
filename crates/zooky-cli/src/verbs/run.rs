//! `zooky run`: take the lock, run the command, give the lock back; and never let the command outlive the lock.

use crate::cli;
use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::locks::{self, failure};
use crate::run::child::Child;
use crate::run::keeper::{Bark, Keeper};
use crate::run::signals::{Arrived, Signals};
use crate::run::waiting;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use zooky::{Client, Error, Guard, GuardState, Owner, RwLock};

/// Run a command while holding a lock: flock(1) for more than one machine
#[derive(Debug, clap::Args)]
#[command(after_help = RUN_CODES)]
pub(crate) struct Args {
    /// Share the lock with others that share it (a read lock)
    #[arg(short, long, conflicts_with = "exclusive")]
    shared: bool,
    /// Share the lock with nobody (a write lock); the default
    #[arg(short = 'x', short_alias = 'e', long)]
    exclusive: bool,
    /// Fail at once if the lock is not free
    #[arg(short, long, visible_alias = "nb")]
    nonblock: bool,
    /// Fail if the lock is not free within this many seconds; fractions are allowed, 0 is --nonblock
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", value_parser = cli::seconds)]
    wait: Option<Duration>,
    /// The exit code for failing by --nonblock or --wait
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = crate::exit::NO)]
    conflict_exit_code: u8,
    /// The lock: NAME is /locks/NAME, a path is itself
    name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const RUN_CODES: &str = "\
The command finds ZOOKY_LOCK (the lock's path) and ZOOKY_FENCING_TOKEN in its environment and runs in a process \
group of its own; the lock is held until every process of that group has ended.

If the servers fall silent, the group gets TERM a third of the session timeout before the lock could be lost, \
and KILL 200 ms before, even when zooky itself was stopped or killed.

Exit codes: the command's own, or 128 + the signal that killed it (or zooky while it waited); 1 (or -E's) if the \
lock was not free in time; 64 usage; 65 bad lock name; 69 no server; 70 the lock was lost or about to be, and the \
command was stopped or never started; 126 and 127 if the command cannot be run or found.";

/// Leftovers of the command that live longer than this are worth a line.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// Runs the verb; the exit code is the command's wherever there is one.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(run(config, args))
}

async fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let path = config.lock_path(&args.name);
    // Before a server is started for it.
    zooky::check_lock_path(&path).map_err(|error| failure(&error))?;
    let client = tokio::select! {
        client = locks::connect(config) => client?,
        signal = signals.end() => return Ok(killed_by(signal)),
    };
    let result = under_lock(&client, &path, args, &mut signals).await;
    locks::close(client).await;
    result
}

async fn under_lock(client: &Client, path: &str, args: &Args, signals: &mut Signals) -> Result<u8, Failure> {
    let guard = tokio::select! {
        guard = acquire(client, path, args) => guard?,
        // Dropping the wait takes our contender out of the queue.
        signal = signals.end() => return Ok(killed_by(signal)),
    };
    let Some(guard) = guard else { return Ok(args.conflict_exit_code) };
    let held = Held { path, timeout: guard.session_timeout(), guard };
    let code = held.run(args, signals).await;
    let released = release(held.guard).await;
    match code {
        Ok(code) if code != exit::LOST => released.map(|()| code),
        other => other,
    }
}

/// None if it is held by another, and the user does not want to wait longer for it.
async fn acquire(client: &Client, path: &str, args: &Args) -> Result<Option<Guard>, Failure> {
    let (tell, changes) = watch::channel(0_u64);
    let lock = RwLock::new(client, path).map_err(|error| failure(&error))?;
    let lock =
        lock.with_owner(owner(&args.command[0])).on_wait(move |_| tell.send_modify(|changes| *changes += 1));
    let taken = async {
        if args.nonblock || args.wait.is_some_and(|wait| wait.is_zero()) {
            return if args.shared { lock.try_read().await } else { lock.try_write().await };
        }
        let taken = match (args.wait, args.shared) {
            (None, false) => lock.write().await,
            (None, true) => lock.read().await,
            (Some(wait), false) => lock.write_timeout(wait).await,
            (Some(wait), true) => lock.read_timeout(wait).await,
        };
        match taken {
            Err(Error::Timeout { .. }) => Ok(None),
            other => other.map(Some),
        }
    };
    tokio::select! {
        taken = taken => taken.map_err(|error| failure(&error)),
        () = waiting::tell(client, path, changes) => Ok(None),
    }
}

/// What others are shown: this process, and the command by its name only, as its arguments may be secret.
fn owner(command: &OsString) -> Owner {
    let name = Path::new(command).file_name().unwrap_or(command);
    Owner::this_process().with_program(name.to_string_lossy())
}

/// Gives the lock back, with the library's own retries, for as long as it could still be ours.
async fn release(guard: Guard) -> Result<(), Failure> {
    let left = guard.deadline().remaining();
    match timeout(left.max(Duration::from_millis(100)), guard.release()).await {
        // Somebody deleted our node while the command ran.
        Ok(Err(error @ Error::Lost { .. })) => Err(failure(&error)),
        // Else the session is closed next, which frees the lock too, or it times out.
        _ => Ok(()),
    }
}

fn killed_by(signal: rustix::process::Signal) -> u8 {
    exit::SIGNAL.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(0))
}

/// A lock that we hold, and what it takes to run a command under it.
struct Held<'a> {
    path: &'a str,
    guard: Guard,
    timeout: Duration,
}

impl Held<'_> {
    async fn run(&self, args: &Args, signals: &mut Signals) -> Result<u8, Failure> {
        if !self.settle().await {
            say(format_args!("the lock {} was lost before the command was started", self.path));
            return Ok(exit::LOST);
        }
        let token = self.guard.fencing_token().to_string();
        let env = [("ZOOKY_LOCK", self.path.to_string()), ("ZOOKY_FENCING_TOKEN", token)];
        let mut child = Child::at_gate(&args.command, &env)?;
        let mut keeper = Keeper::start(child.group(), self.timeout, self.deadline_ns()).await?;
        if self.guard.state() != GuardState::Held {
            say(format_args!("the lock {} was lost before the command was started", self.path));
            return Ok(exit::LOST);
        }
        child.go()?;
        let lost = self.supervise(&mut child, &mut keeper, signals).await;
        if lost.is_err() {
            // Nobody watches the command any more: it must not outlive the lock that is released next.
            child.end().await;
        }
        // If we were stopped meanwhile, what the watchdog did is read only now.
        let barked = keeper.finish().await;
        child.return_terminal();
        Ok(if lost? || barked { exit::LOST } else { child.code().unwrap_or(exit::OS) })
    }

    /// Waits while it is not certain that the lock is still ours; false if it is not.
    async fn settle(&self) -> bool {
        let mut beat = interval(Duration::from_millis(20));
        loop {
            match self.guard.state() {
                GuardState::Held => return true,
                GuardState::Lost => return false,
                GuardState::Suspect => _ = beat.tick().await,
            }
        }
    }

    /// Until the command's whole group has ended; true if it was ended for the lock's sake.
    async fn supervise(
        &self,
        child: &mut Child,
        keeper: &mut Keeper,
        signals: &mut Signals,
    ) -> Result<bool, Failure> {
        let mut ended_for_lock = false;
        let mut lost = false;
        // Often enough that the watchdog's deadline is never much older than ours.
        let mut beat =
            interval((self.timeout / 40).clamp(Duration::from_millis(10), Duration::from_millis(500)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leftovers = Leftovers::default();
        loop {
            tokio::select! {
                arrived = signals.next() => match arrived {
                    Arrived::PassOn(signal) => child.signal(signal),
                    Arrived::Child => child.reap(),
                    Arrived::Continued => child.resume(),
                },
                bark = keeper.bark() => match bark {
                    Bark::Gone => {
                        keeper.replace(self.deadline_ns()).await?;
                        if lost && !child.group_is_gone() {
                            keeper.lost();
                        }
                    }
                    Bark::Term | Bark::Kill => {
                        self.tell_loss(bark, lost);
                        ended_for_lock = true;
                    }
                },
                () = self.guard.lost(), if !lost => {
                    lost = true;
                    child.reap();
                    if !child.group_is_gone() {
                        ended_for_lock = true;
                        keeper.lost();
                    }
                }
                _ = beat.tick() => {
                    keeper.deadline(self.deadline_ns());
                    child.offer_terminal();
                }
            }
            if child.group_is_gone() {
                return Ok(ended_for_lock);
            }
            leftovers.tell(child, self.path);
        }
    }

    fn tell_loss(&self, bark: Bark, lost: bool) {
        let what = if lost { "is lost" } else { "will be lost: no sign of life from the servers" };
        let signal = if bark == Bark::Kill { "KILL" } else { "TERM" };
        say(format_args!("the lock {} {what}; {signal} sent to the command", self.path));
    }

    fn deadline_ns(&self) -> u64 {
        self.guard.deadline().as_nanos()
    }
}

/// What the command has left running in its group after its own end.
#[derive(Debug, Default)]
struct Leftovers {
    since: Option<Instant>,
    told: bool,
}

impl Leftovers {
    /// Says once why we are still here.
    fn tell(&mut self, child: &Child, path: &str) {
        if child.code().is_none() || self.told {
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= LEFTOVERS {
            let group = child.group().as_raw_nonzero();
            say(format_args!(
                "the command has ended but left processes in its group {group}; they keep {path} held"
            ));
            self.told = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use crate::verbs::Verb;
    use clap::Parser;

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
