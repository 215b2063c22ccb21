//! `zooky-bench`: zooky beside its peers, alternately in one run, on Apache ZooKeeper and on our own server.
//!
//! Without a subcommand it measures (a) a free lock, (b) many locks at once on one session, (c) one lock that goes
//! from session to session, then the servers themselves, and a good client beside hostile ones; prints tables, and
//! writes them into `docs/benchmarks.md`. `trace` shows one cycle on the wire. `peer`, `load`, `crowd` and `server` are what it starts as
//! processes of their own.
#![forbid(unsafe_code)]

mod bars;
mod child;
mod command;
mod disk;
mod document;
mod failure;
mod handover;
mod hostile;
mod interrupt;
mod machine;
mod peers;
mod protocol;
mod proxy;
mod python;
mod queue;
mod report;
mod rounds;
mod server;
mod servers;
mod stats;
mod trace;

use clap::{Args, Parser, Subcommand, ValueEnum};
use failure::Failure;
use peers::{Flavor, PeerKind};
use rounds::{Plan, Workload};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use servers::{Server, ServerKind};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about = "zooky beside its peers", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Verb {
    /// Show one acquire and release of a free lock on the wire
    Trace {
        /// The client
        #[arg(long, value_enum, default_value = "floor")]
        peer: PeerKind,
        /// The server [default: Apache ZooKeeper, or redis for redis]
        #[arg(long, value_enum)]
        server: Option<ServerKind>,
    },
    /// Attack a server, as two dozen hostile clients (started by a run)
    #[command(hide = true)]
    Crowd {
        addr: SocketAddr,
        /// For so long
        milliseconds: u64,
        /// Only those of one kind
        only: Option<String>,
    },
    /// Take orders from standard input, as one of the clients (started by a run)
    #[command(hide = true)]
    Peer {
        #[arg(value_enum)]
        kind: PeerKind,
        #[arg(long, value_enum, default_value_t)]
        runtime: Flavor,
    },
    /// Take orders from standard input, as the load on a server (started by a run)
    #[command(hide = true)]
    Load,
    /// Run our server until it is killed (started by a run)
    #[command(hide = true)]
    Server {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        data_dir: PathBuf,
    },
}

#[derive(Args)]
struct Measure {
    /// Only see that everything works; the figures mean nothing and are not written anywhere
    #[arg(long)]
    quick: bool,
    /// Measure only these: (a) a free lock, (b) many locks, (c) handoff, the tasks of one process, readers and
    /// writers, a long queue that is drained, handoff before a queue, joining a queue; hand-overs within a process;
    /// clients in Python; the servers as they serve; their starts and memory; a good client beside hostile ones; the command beside flock
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure only these clients
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<PeerKind>,
    /// Only the attackers of one kind: slow, oversized, malformed, 'watch bomb', 'unread replies' or flood
    #[arg(long)]
    attackers: Option<String>,
    /// The runtime of the clients that run on tokio
    #[arg(long, value_enum, default_value_t)]
    runtime: Flavor,
    /// Where to write the report [default: docs/benchmarks.md, each part that was measured completely]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the servers keep their data; it should lie on a real disk [default: target]
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    A,
    B,
    C,
    Tasks,
    Readers,
    Drain,
    Behind,
    Join,
    Handover,
    Python,
    Server,
    Starts,
    Hostile,
    Run,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        None => measure(&cli.measure),
        Some(Verb::Trace { peer, server }) => trace(peer, server),
        Some(Verb::Crowd { addr, milliseconds, only }) => {
            print(&hostile::serve_crowd(addr, Duration::from_millis(milliseconds), only.as_deref()))
        }
        Some(Verb::Peer { kind, runtime }) => peers::serve(kind, runtime),
        Some(Verb::Load) => more_files().and_then(|()| server::load::serve()),
        Some(Verb::Server { listen, data_dir }) => {
            more_files().and_then(|()| servers::serve(listen, &data_dir))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("zooky-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Measure) -> Result<(), Failure> {
    interrupt::listen()?;
    let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
    if Workload::ALL.iter().any(|&workload| wanted(part(workload))) {
        locks(args)?;
    }
    if wanted(Part::Handover) {
        handover(args)?;
    }
    if wanted(Part::Python) {
        python(args)?;
    }
    if wanted(Part::Server) {
        server(args)?;
    }
    if wanted(Part::Starts) {
        starts(args)?;
    }
    if wanted(Part::Hostile) {
        hostile(args)?;
    }
    if wanted(Part::Run) {
        run(args)?;
    }
    Ok(())
}

fn locks(args: &Measure) -> Result<(), Failure> {
    let mut plan = if args.quick { Plan::quick() } else { Plan::full() };
    plan.flavor = args.runtime;
    if !args.peers.is_empty() {
        plan.peers.retain(|peer| args.peers.contains(peer));
    }
    let all = plan.workloads.len();
    plan.workloads.retain(|workload| args.only.is_empty() || args.only.contains(&part(*workload)));
    let complete = plan.workloads.len() == all && args.peers.is_empty();
    let data = data_directory(args.data.as_deref())?;
    let machine = machine::facts(data.path());
    let results = rounds::run(&plan, data.path())?;
    let text = report::markdown(&plan, &results, named(args), &machine::today(), &machine);
    publish(args, "locks", &text, complete)
}

fn handover(args: &Measure) -> Result<(), Failure> {
    let (rounds, through, locally) = if args.quick { (1, 80, 8_000) } else { (9, 400, 40_000) };
    let plan = handover::Plan { rounds, through, locally };
    let data = data_directory(args.data.as_deref())?;
    let when = format!("`{}`, {}: {}", named(args), machine::today(), machine::facts(data.path()));
    let text = handover::measure(&plan, data.path(), &when)?;
    publish(args, "handover", &text, true)
}

fn python(args: &Measure) -> Result<(), Failure> {
    let plan = python::plan(args.quick);
    python::install()?;
    let data = data_directory(args.data.as_deref())?;
    let when = format!("`{}`, {}: {}", named(args), machine::today(), machine::facts(data.path()));
    let text = python::report(&plan, &rounds::run(&plan, data.path())?, &when);
    publish(args, "python", &text, true)
}

fn server(args: &Measure) -> Result<(), Failure> {
    let (plan, data, machine) = server_plan(args)?;
    let results = server::serving(&plan, data.path())?;
    let text = server::serving_report(&plan, &results, named(args), &machine::today(), &machine);
    publish(args, "server", &text, true)
}

fn starts(args: &Measure) -> Result<(), Failure> {
    let (plan, data, machine) = server_plan(args)?;
    let results = server::starts(&plan, data.path())?;
    let text = server::starts_report(&plan, &results, named(args), &machine::today(), &machine);
    publish(args, "starts", &text, true)
}

fn server_plan(args: &Measure) -> Result<(server::Plan, tempfile::TempDir, String), Failure> {
    let plan = if args.quick { server::Plan::quick() } else { server::Plan::full() };
    let data = data_directory(args.data.as_deref())?;
    let machine = machine::facts(data.path());
    Ok((plan, data, machine))
}

fn hostile(args: &Measure) -> Result<(), Failure> {
    let (rounds, slice) = if args.quick { (1, 500) } else { (7, 4_000) };
    let plan = hostile::Plan { rounds, slice: Duration::from_millis(slice), only: args.attackers.clone() };
    let data = data_directory(args.data.as_deref())?;
    let when = format!("`{}`, {}: {}", named(args), machine::today(), machine::facts(data.path()));
    let text = hostile::measure(&plan, data.path(), &when)?;
    publish(args, "hostile", &text, args.attackers.is_none())
}

fn run(args: &Measure) -> Result<(), Failure> {
    let (rounds, times) = if args.quick { (1, 3) } else { (9, 40) };
    let data = data_directory(args.data.as_deref())?;
    let when = format!("`{}`, {}: {}", named(args), machine::today(), machine::facts(data.path()));
    let text = command::measure(&command::Plan { rounds, times }, data.path(), &when)?;
    publish(args, "run", &text, true)
}

fn named(args: &Measure) -> &'static str {
    if args.quick { "zooky-bench --quick" } else { "make bench" }
}

/// Shows a part of the report, and writes it where that was asked for or, if it is `complete`, into the documentation.
fn publish(args: &Measure, part: &str, text: &str, complete: bool) -> Result<(), Failure> {
    print(text)?;
    let usual = || (complete && !args.quick).then(|| workspace().join("docs/benchmarks.md"));
    match args.out.clone().or_else(usual) {
        Some(out) => document::write(&out, part, text),
        None => Ok(()),
    }
}

fn trace(peer: PeerKind, server: Option<ServerKind>) -> Result<(), Failure> {
    interrupt::listen()?;
    let usual = peer.own_server().unwrap_or(ServerKind::Apache);
    let data = data_directory(None)?;
    let server = Server::start(server.unwrap_or(usual), data.path())?;
    let mut child = child::Child::spawn(peer, Flavor::default())?;
    let trace = trace::Trace::of(&mut child, &server.hosts())?;
    let (trips, requests) = (trace.acquire_round_trips(), trace.requests());
    print(&format!(
        "{}Replies were held back. {requests} requests; {trips} round trip(s) until the lock was held: {}\n",
        trace.lines(),
        trace.summary()
    ))
}

fn part(workload: Workload) -> Part {
    match workload {
        Workload::Awaited | Workload::Background => Part::A,
        Workload::Many => Part::B,
        Workload::Handoff => Part::C,
        Workload::Tasks => Part::Tasks,
        Workload::Readers => Part::Readers,
        Workload::Drain => Part::Drain,
        Workload::Behind(_) | Workload::BehindCrowd(_) => Part::Behind,
        Workload::Join(_) => Part::Join,
    }
}

/// As many open files as may be had: thousands of sessions need more than the usual thousand.
fn more_files() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, all).map_err(Failure::io("raising the limit of open files"))
}

/// A fresh directory, which goes with the run. The usual one for temporary files may lie in memory.
fn data_directory(parent: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let parent = parent.map_or_else(|| workspace().join("target"), Path::to_path_buf);
    std::fs::create_dir_all(&parent).map_err(Failure::io("making the directory for data"))?;
    let made = tempfile::Builder::new().prefix("bench-data-").tempdir_in(&parent);
    made.map_err(Failure::io("making the directory for data"))
}

/// The top of the source tree.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::io("printing"))
}
