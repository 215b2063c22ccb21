//! What the demo shows: on a terminal one line per worker, drawn again in place; elsewhere a line per event.

use super::Event;
use super::ledger::Report;
use crate::exit::Failure;
use crate::table::Table;
use rustix::termios::{isatty, tcgetwinsize};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// All workers as last heard of.
#[derive(Debug)]
pub(crate) struct Screen {
    start: Instant,
    live: bool,
    count: u32,
    drawn: usize,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    pid: u32,
    state: State,
    token: Option<String>,
    counted: u32,
    asked: Option<Instant>,
    granted: Option<Instant>,
    released: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    Waiting,
    Holding,
    Done,
    Failed(String),
}

impl Screen {
    pub(crate) fn new(pids: &[u32], count: u32) -> Screen {
        let worker = |&pid| Worker {
            pid,
            state: State::Starting,
            token: None,
            counted: 0,
            asked: None,
            granted: None,
            released: None,
        };
        // More workers than the terminal has lines cannot be drawn in place.
        let rows = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        let rows = if rows == 0 { 24 } else { rows };
        let live = isatty(io::stdout()) && pids.len() + 2 < rows;
        Screen { start: Instant::now(), live, count, drawn: 0, workers: pids.iter().map(worker).collect() }
    }

    /// Takes in what a worker says; without a terminal it is printed.
    pub(crate) fn event(&mut self, index: usize, event: Event) -> Result<(), Failure> {
        let (start, live) = (self.start, self.live);
        let holder = self.workers.iter().find(|one| one.state == State::Holding).map(|one| one.pid);
        let Some(worker) = self.workers.get_mut(index) else { return Ok(()) };
        let news = worker.take(event, holder);
        if let (false, Some(news)) = (live, news) {
            let at = start.elapsed().as_secs_f64();
            writeln!(io::stdout().lock(), "{at:7.3} s  worker {} (pid {}) {news}", index + 1, worker.pid)?;
        }
        self.draw()
    }

    /// Draws all again, on a terminal.
    pub(crate) fn draw(&mut self) -> Result<(), Failure> {
        if !self.live {
            return Ok(());
        }
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first line of what was drawn before.
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        let at = self.start.elapsed().as_secs_f64();
        text.push_str(&format!(
            "\r\x1b[2K{at:.1} s: {} processes contend for {}\n",
            self.workers.len(),
            super::PATH
        ));
        for (index, worker) in self.workers.iter().enumerate() {
            text.push_str(&format!(
                "\r\x1b[2K  worker {} (pid {}) {}\n",
                index + 1,
                worker.pid,
                worker.line(self.count)
            ));
        }
        self.drawn = self.workers.len() + 1;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// The last picture.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.draw()
    }

    /// Whether any worker did not come to its end.
    pub(crate) fn failed(&self) -> bool {
        self.workers.iter().any(|worker| worker.state != State::Done)
    }

    pub(crate) fn print_summary(&self, report: &Report) -> Result<(), Failure> {
        let mut order: Vec<(usize, &Worker)> = self.workers.iter().enumerate().collect();
        order.sort_by_key(|(_, worker)| (worker.granted.is_none(), worker.granted));
        let mut table = Table::new(["HOLDER", "FENCING TOKEN", "WAITED", "HELD", "COUNTED"]);
        for (index, worker) in order {
            table.row([
                format!("worker {} (pid {})", index + 1, worker.pid),
                worker.token.clone().unwrap_or("-".to_string()),
                between(worker.asked, worker.granted),
                between(worker.granted, worker.released),
                worker.counted.to_string(),
            ]);
        }
        let mut out = io::stdout().lock();
        writeln!(out)?;
        table.print()?;
        let (turns, workers) = (report.turns, self.workers.len());
        writeln!(
            out,
            "\n{turns} of {workers} held the lock, overlaps: {}, stale writes: {} ({} numbers checked in a shared file)",
            report.overlaps, report.refused, report.counted
        )?;
        Ok(())
    }
}

impl Worker {
    /// Changes its state; what is worth a line.
    fn take(&mut self, event: Event, holder: Option<u32>) -> Option<String> {
        let now = Instant::now();
        match event {
            Event::Waiting => {
                self.asked = Some(now);
                self.state = State::Waiting;
                Some(holder.map_or("asks for the lock".to_string(), |pid| format!("waits for pid {pid}")))
            }
            Event::Holding(token) => {
                let waited = self.asked.map_or(Duration::ZERO, |asked| now - asked);
                let news = format!("holds the lock, token {token}, after {:.3} s", waited.as_secs_f64());
                (self.token, self.granted, self.state) = (Some(token), Some(now), State::Holding);
                Some(news)
            }
            Event::Counted(number) => {
                self.counted = number;
                Some(format!("counts {number}"))
            }
            Event::Released => {
                (self.released, self.state) = (Some(now), State::Done);
                Some("releases the lock".to_string())
            }
            Event::Failed(why) => {
                let news = format!("failed: {why}");
                self.state = State::Failed(why);
                Some(news)
            }
            Event::Ended if self.state != State::Done && !matches!(self.state, State::Failed(_)) => {
                self.state = State::Failed("ended early".to_string());
                Some("ended early".to_string())
            }
            Event::Ended => None,
        }
    }

    fn line(&self, count: u32) -> String {
        let since = |moment: Option<Instant>| moment.map_or(0.0, |moment| moment.elapsed().as_secs_f64());
        match &self.state {
            State::Starting => "starts".to_string(),
            State::Waiting => format!("waits   for {:.1} s", since(self.asked)),
            State::Holding => {
                let numbers = format!("{} of {count}", self.counted);
                let token = self.token.as_deref().unwrap_or_default();
                format!("HOLDS   for {:.1} s, counting {numbers}, token {token}", since(self.granted))
            }
            State::Done => format!("done    after waiting {}", between(self.asked, self.granted)),
            State::Failed(why) => format!("failed: {why}"),
        }
    }
}

fn between(from: Option<Instant>, to: Option<Instant>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{:.3} s", to.saturating_duration_since(from).as_secs_f64()),
        _ => "-".to_string(),
    }
}
