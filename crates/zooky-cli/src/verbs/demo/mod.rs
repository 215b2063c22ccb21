//! `zooky demo`: processes that contend for one lock while you watch. Each counts from 1 to 10 while it holds the
//! lock, then releases it. That they never overlap is checked through a shared file that refuses stale tokens,
//! not assumed.

pub(crate) mod ledger;
mod screen;
pub(crate) mod worker;

use crate::config::{Config, Tls};
use crate::exit::{self, Failure, say};
use crate::{hidden, locks};
use ledger::Ledger;
use screen::Screen;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::time::interval;

/// Watch three processes contend for one lock
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How far each worker counts while it holds the lock
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// How many processes contend
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    workers: u32,
    /// The pause after each number, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    delay_ms: u64,
}

/// The lock that they contend for.
pub(crate) const PATH: &str = "/locks/demo";
/// How often the screen is drawn while nothing happens: the waiting times grow.
const REDRAW: Duration = Duration::from_millis(100);

/// What a worker tells on its standard output, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It has asked for the lock.
    Waiting,
    /// It holds the lock, with this token.
    Holding(String),
    /// It has counted this far.
    Counted(u32),
    /// It has given the lock back.
    Released,
    /// It cannot go on.
    Failed(String),
    /// Its process has ended.
    Ended,
}

impl Event {
    fn parse(line: &str) -> Option<Event> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "waiting" => Some(Event::Waiting),
            "holding" => Some(Event::Holding(rest.to_string())),
            "counted" => rest.parse().ok().map(Event::Counted),
            "released" => Some(Event::Released),
            "failed" => Some(Event::Failed(rest.to_string())),
            _ => None,
        }
    }

    fn line(&self) -> String {
        match self {
            Event::Waiting => "waiting".to_string(),
            Event::Holding(token) => format!("holding {token}"),
            Event::Counted(number) => format!("counted {number}"),
            Event::Released => "released".to_string(),
            Event::Failed(why) => format!("failed {}", why.replace('\n', " ")),
            Event::Ended => "ended".to_string(),
        }
    }
}

/// Runs the verb: 0 if every worker had its turn and none overlapped.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(demo(config, args))
}

async fn demo(config: &Config, args: &Args) -> Result<u8, Failure> {
    // The first connection starts the embedded server if there is none; the workers find it then.
    locks::close(locks::connect(config).await?).await;
    let ledger = Ledger::create()?;
    let result = contend(config, args, &ledger).await;
    let report = ledger.check();
    ledger.remove();
    let screen = result?;
    screen.summary(&report?, args)
}

async fn contend(config: &Config, args: &Args, ledger: &Ledger) -> Result<Screen, Failure> {
    let (tell, mut events) = mpsc::unbounded_channel();
    let mut pids = Vec::new();
    for index in 0..args.workers as usize {
        let mut command = hidden::command(hidden::DEMO_WORKER);
        command.arg(config.servers.text()).arg(config.session_timeout.as_millis().to_string());
        command.arg(args.count.to_string()).arg(args.delay_ms.to_string()).arg(ledger.path());
        command.envs(config.tls.iter().flat_map(Tls::variables));
        // The worker's standard input ends with us, and it with that.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| Failure::os("cannot start a worker", error))?;
        pids.push(process.id());
        let Some(stdout) = process.stdout.take() else { continue };
        let lines =
            Receiver::from_owned_fd(stdout.into()).map_err(|error| Failure::os("cannot read", error))?;
        tokio::spawn(listen(index, lines, process, tell.clone()));
    }
    drop(tell);
    let mut screen = Screen::new(&pids, args.count);
    let mut redraw = interval(REDRAW);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some((index, event)) => screen.event(index, event)?,
                None => break,
            },
            _ = redraw.tick() => screen.draw()?,
        }
    }
    screen.finish()?;
    Ok(screen)
}

/// Passes on what one worker says, until it ends.
async fn listen(
    index: usize,
    lines: Receiver,
    mut process: std::process::Child,
    tell: mpsc::UnboundedSender<(usize, Event)>,
) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(event) = Event::parse(&line) {
            // Nobody listens any more only if the demo itself has failed.
            let _ = tell.send((index, event));
        }
    }
    // Its output has ended, so it has, or is about to.
    let _ = process.wait();
    let _ = tell.send((index, Event::Ended));
}

impl Screen {
    /// The end: who held the lock when, with which token, and what the shared file says about it.
    fn summary(&self, report: &ledger::Report, args: &Args) -> Result<u8, Failure> {
        self.print_summary(report)?;
        let turns = args.workers as usize;
        if report.overlaps > 0 || report.refused > 0 {
            say("two workers held the lock at once: please report this, with the servers' kind and version");
            return Ok(exit::NO);
        }
        if report.turns < turns || self.failed() {
            say(format_args!("only {} of {turns} workers had their turn", report.turns));
            return Ok(exit::UNAVAILABLE);
        }
        Ok(exit::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_pipe() {
        let events = [
            Event::Waiting,
            Event::Holding("00-01".to_string()),
            Event::Counted(7),
            Event::Released,
            Event::Failed("no server".to_string()),
        ];
        for event in events {
            assert_eq!(Event::parse(&event.line()), Some(event));
        }
        assert_eq!(Event::parse("counted x"), None);
        assert_eq!(Event::parse(""), None);
    }
}
