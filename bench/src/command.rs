//! `zooky run NAME -- true` beside `flock FILE true`: the whole command, from its start to its end, alternately.

use crate::failure::Failure;
use crate::interrupt;
use crate::report::{digits, table};
use crate::servers::{Server, ServerKind};
use crate::stats::{Spread, median};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many times longer a lock on a server may take than one in a file.
const BAR: f64 = 5.0;

/// How long to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// How often each command is run in a round.
    pub(crate) times: usize,
}

/// The medians of the rounds, in milliseconds.
#[derive(Default)]
struct Seen {
    flock: Vec<f64>,
    bare: Vec<f64>,
    run: Vec<f64>,
}

/// Measures on both servers and returns the part of the report.
pub(crate) fn measure(plan: &Plan, data: &Path, when: &str) -> Result<String, Failure> {
    let zooky = program()?;
    let file = data.join("flock");
    let mut flock = Command::new("flock");
    flock.arg(&file).arg("true");
    // What of it is the system's: a process that starts and does nothing.
    let mut bare = Command::new(&zooky);
    bare.arg("--version");
    let mut rows = Vec::new();
    for kind in [ServerKind::Ours, ServerKind::Apache] {
        let server = Server::start(kind, data)?;
        let mut run = Command::new(&zooky);
        run.args(["--servers", &server.hosts(), "run", "bench", "--", "true"]);
        let mut seen = Seen::default();
        for round in 0..plan.rounds {
            eprintln!("run: {}, round {} of {}", kind.name(), round + 1, plan.rounds);
            let commands =
                [(&mut flock, &mut seen.flock), (&mut bare, &mut seen.bare), (&mut run, &mut seen.run)];
            for (command, medians) in commands {
                let times: Vec<f64> = (0..plan.times).map(|_| once(command)).collect::<Result<_, _>>()?;
                medians.extend(median(&times));
            }
        }
        rows.push(seen.row(kind));
    }
    let text = format!(
        "# The command beside flock(1)\n\n{when}.\n\nWhole commands, from their start to their end, one after the other: `flock FILE true`, `zooky --version` (a \
         process that starts and does nothing)\nand `zooky run NAME -- true` on a server that runs. {} rounds of {} each, alternately; milliseconds.\n",
        plan.rounds, plan.times
    );
    let heads = ["server", "flock", "zooky --version", "zooky run", "zooky run / flock", "at most"];
    Ok(text + &table("One command", &heads, &rows))
}

impl Seen {
    fn row(&self, kind: ServerKind) -> Vec<String> {
        let spread = |values: &[f64]| {
            Spread::of(values).unwrap_or(Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN })
        };
        let ratios: Vec<f64> = self.run.iter().zip(&self.flock).map(|(run, flock)| run / flock).collect();
        let ratio = spread(&ratios);
        // The bar is that of our own server.
        let bar = match kind {
            ServerKind::Ours if ratio.median <= BAR => format!("{BAR}, met"),
            ServerKind::Ours => format!("{BAR}, **missed**"),
            _ => "–".to_string(),
        };
        vec![
            kind.name().to_string(),
            digits(spread(&self.flock)),
            digits(spread(&self.bare)),
            digits(spread(&self.run)),
            digits(ratio),
            bar,
        ]
    }
}

/// Runs it to its end; milliseconds.
fn once(command: &mut Command) -> Result<f64, Failure> {
    interrupt::check()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(Failure::io("running a command that is measured"))?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    if status.success() {
        Ok(took)
    } else {
        Err(Failure::Refused(format!("{command:?} ended with {status}")))
    }
}

/// `zooky`, built beside this program.
fn program() -> Result<PathBuf, Failure> {
    let me = std::env::current_exe().map_err(Failure::io("looking for this program"))?;
    let zooky = me.with_file_name("zooky");
    if zooky.exists() {
        return Ok(zooky);
    }
    Err(Failure::Refused(format!("there is no {}; `make bench` builds it", zooky.display())))
}
