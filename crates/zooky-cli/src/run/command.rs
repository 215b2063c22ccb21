//! Running the user's command under what is held, and never letting it outlive that: for `run` and `elect`.

use super::child::Child;
use super::helpers::{Helpers, Starting};
use super::holding::Holding;
use super::keeper::{Bark, Keeper};
use super::signals::{Arrived, Signals};
use crate::exit::{self, Failure, say};
use rustix::process::Signal;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};
use zooky::{GuardState, Owner};

/// Leftovers of the command that live longer than this are worth a line.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The command's own exit code.
    Code(u8),
    /// The lock was lost or about to be, and the command was stopped for it, or never started.
    Lost,
}

/// A command to be run under a lock.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    /// The locks' paths in the order in which the user named them.
    pub(crate) paths: &'a [String],
    /// TERM when somebody asks for the lock.
    pub(crate) revocable: bool,
}

/// What others are shown: this process, the command by its name only, as its arguments may be secret, and whether it is of
/// any use to ask for the lock.
pub(crate) fn owner(command: &OsString, revocable: bool) -> Owner {
    let name = Path::new(command).file_name().unwrap_or(command);
    Owner::this_process().with_program(name.to_string_lossy()).deaf(!revocable)
}

/// The exit code of a shell's command that this signal has killed.
pub(crate) fn killed_by(signal: Signal) -> u8 {
    exit::SIGNAL.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(0))
}

impl Command<'_> {
    /// Runs it and gives the lock back.
    pub(crate) async fn under(
        &self,
        holding: Holding,
        starting: Starting,
        signals: &mut Signals,
    ) -> Result<Ended, Failure> {
        let name = holding.name();
        let under = Under { command: self, name: &name, holding };
        let ran = under.run(starting, signals).await;
        let Ok(Some(Ran { code, lost, mut keeper })) = ran else {
            let _ = under.holding.release().await;
            return ran.map(|_| Ended::Lost);
        };
        // Nothing runs any more that the watchdog would have to end: it goes beside the lock. Its last word may be read only now: a
        // group that it killed can be gone before we hear of that, or we were stopped meanwhile.
        let gone = under.holding.state() != GuardState::Held;
        let (unheard, released) = tokio::join!(keeper.finish(), under.holding.release());
        for &bark in &unheard {
            tell_loss(&name, bark, gone);
        }
        if lost || !unheard.is_empty() {
            return Ok(Ended::Lost);
        }
        // An error: somebody deleted our node while the command ran.
        released?;
        Ok(Ended::Code(code))
    }

    /// A line each: more than one value has no other separator that a path cannot hold.
    fn environment(&self, holding: &Holding) -> [(&'static str, String); 2] {
        let tokens: Vec<String> =
            self.paths.iter().map(|path| holding.token(path).unwrap_or_default()).collect();
        [("ZOOKY_LOCK", self.paths.join("\n")), ("ZOOKY_FENCING_TOKEN", tokens.join("\n"))]
    }
}

struct Under<'a> {
    command: &'a Command<'a>,
    holding: Holding,
    name: &'a str,
}

/// A command that was run and has ended, with its whole group.
struct Ran {
    code: u8,
    /// It was ended for the lock's sake.
    lost: bool,
    keeper: Keeper,
}

impl Under<'_> {
    /// None if the lock was lost before.
    async fn run(&self, starting: Starting, signals: &mut Signals) -> Result<Option<Ran>, Failure> {
        let Helpers { mut child, whelp } = starting.done().await?;
        let held = self.holding.settle().await;
        let mut keeper = whelp.watch(self.holding.timeout(), self.holding.deadline_ns()).await?;
        if !held || self.holding.state() != GuardState::Held {
            say(format_args!("the lock {} was lost before the command was started", self.name));
            return Ok(None);
        }
        child.go(&self.command.environment(&self.holding))?;
        let lost = self.supervise(&mut child, &mut keeper, signals).await;
        if lost.is_err() {
            // Nobody watches the command any more: it must not outlive the lock that is released next.
            child.end().await;
        }
        child.return_terminal();
        Ok(Some(Ran { code: child.code().unwrap_or(exit::OS), lost: lost?, keeper }))
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
        let mut asked = !self.command.revocable;
        // Often enough that the watchdog's deadline is never much older than ours.
        let beat = self.holding.timeout() / 40;
        let mut beat = interval(beat.clamp(Duration::from_millis(10), Duration::from_millis(500)));
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
                        keeper.replace(self.holding.deadline_ns()).await?;
                        if lost && !child.group_is_gone() {
                            keeper.lost();
                        }
                    }
                    Bark::Term | Bark::Kill => {
                        tell_loss(self.name, bark, lost);
                        ended_for_lock = true;
                    }
                },
                () = self.holding.lost(), if !lost => {
                    lost = true;
                    child.reap();
                    if !child.group_is_gone() {
                        ended_for_lock = true;
                        keeper.lost();
                    }
                }
                () = self.holding.revoked(), if !asked => {
                    asked = true;
                    say(format_args!("{}; TERM sent to the command", self.holding.asker()));
                    // A stopped process would not see TERM.
                    child.signal(Signal::TERM);
                    child.signal(Signal::CONT);
                }
                _ = beat.tick() => {
                    keeper.deadline(self.holding.deadline_ns());
                    child.offer_terminal();
                }
            }
            if child.group_is_gone() {
                return Ok(ended_for_lock);
            }
            leftovers.tell(child, self.name);
        }
    }
}

/// Says what the watchdog has done, and why.
fn tell_loss(name: &str, bark: Bark, lost: bool) {
    let what = if lost { "is lost" } else { "will be lost: no sign of life from the servers" };
    let signal = if bark == Bark::Kill { "KILL" } else { "TERM" };
    say(format_args!("the lock {name} {what}; {signal} sent to the command"));
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
