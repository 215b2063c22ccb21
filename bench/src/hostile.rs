//! A good client beside twenty-four hostile ones: its p99 in quiet and under attack, alternately, and the server's
//! memory meanwhile. A third slice tells what the machine itself has to do with it: the same attack on another server.

use crate::failure::Failure;
use crate::peers::wire::{Connection, create, refused};
use crate::report::{digits, table};
use crate::servers::{Server, ServerKind};
use crate::stats::{Spread, percentile};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zooky_testkit::{HOSTILE_CLIENTS, HOSTILE_SHARE, attack, eventually, four_letter};
use zooky_wire::{CreateMode, Request};

/// What the good client's p99 may be under attack, as a multiple of its quiet one.
const AT_MOST: f64 = 2.0;
/// How often the good client asks. Faster it would have its answers in the disk's good times and few in the bad ones, and
/// the more so the fewer others there are; so quiet and attack could not be compared.
const PACE: Duration = Duration::from_millis(2);
/// How long the attackers have to get going before anything is measured.
const LEAD: Duration = Duration::from_secs(1);

/// How long to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How often quiet and attack follow each other.
    pub(crate) rounds: usize,
    /// How long each lasts.
    pub(crate) slice: Duration,
    /// One kind of attackers alone.
    pub(crate) only: Option<String>,
}

/// What the good client saw in one slice, in microseconds.
#[derive(Debug, Default)]
struct Seen {
    /// All requests, each from when it was due: one that waits for the answer before it is late already.
    all: Vec<f64>,
    /// From sending.
    writes: Vec<f64>,
    reads: Vec<f64>,
}

/// One round.
#[derive(Debug, Default)]
struct Round {
    quiet: Seen,
    attacked: Seen,
    /// While another server on this machine is attacked.
    beside: Seen,
    /// What part of a core the attackers had.
    share: f64,
    /// What the server held resident at the end of each slice, in MiB.
    quiet_mib: f64,
    attacked_mib: f64,
}

/// Measures our server and returns the part of the report.
pub(crate) fn measure(plan: &Plan, data: &Path, when: &str) -> Result<String, Failure> {
    let server = Server::start(ServerKind::Ours, &data.join("attacked"))?;
    let another = Server::start(ServerKind::Ours, &data.join("another"))?;
    let (addr, another_addr) = (address(&server)?, address(&another)?);
    let mut rounds = Vec::new();
    work(addr, Duration::from_secs(1))?;
    for number in 0..plan.rounds {
        eprintln!("hostile: round {} of {}", number + 1, plan.rounds);
        let mut round = Round { quiet: work(addr, plan.slice)?, ..Round::default() };
        round.quiet_mib = resident_mib(server.pid())?;
        let crowd = Crowd::begin(addr, plan)?;
        round.attacked = work(addr, plan.slice)?;
        round.attacked_mib = resident_mib(server.pid())?;
        round.share = crowd.end()?;
        let crowd = Crowd::begin(another_addr, plan)?;
        round.beside = work(addr, plan.slice)?;
        crowd.end()?;
        rounds.push(round);
    }
    Ok(report(&rounds, when))
}

fn address(server: &Server) -> Result<SocketAddr, Failure> {
    server.hosts().parse().map_err(|_| Failure::Refused("an address that is none".into()))
}

/// Attacks `addr`, and says what it took.
pub(crate) fn serve_crowd(addr: SocketAddr, time: Duration, only: Option<&str>) -> String {
    let (share, ended) = attack(addr, time, only);
    let ended: Vec<String> = ended.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    format!("{share:.4} of a core; thrown out or gave up: {}\n", ended.join(", "))
}

/// The attackers' process, and whom it attacks.
struct Crowd(Child, SocketAddr);

impl Crowd {
    /// Begins, for as long as the good client works, and lets them get going.
    fn begin(addr: SocketAddr, plan: &Plan) -> Result<Crowd, Failure> {
        let time = LEAD + plan.slice;
        let program = std::env::current_exe().map_err(Failure::io("looking for this program"))?;
        let mut command = Command::new(program);
        command.arg("crowd").arg(addr.to_string()).arg(time.as_millis().to_string()).args(&plan.only);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let crowd = Crowd(child.map_err(Failure::io("starting the attackers"))?, addr);
        std::thread::sleep(LEAD);
        Ok(crowd)
    }

    /// Waits until it has done its time, and what it leaves behind has ended; the part of a core it took.
    fn end(mut self) -> Result<f64, Failure> {
        let mut said = String::new();
        if let Some(mut stdout) = self.0.stdout.take() {
            std::io::Read::read_to_string(&mut stdout, &mut said)?;
        }
        eprint!("  {said}");
        eventually(Duration::from_secs(60), "the attackers' sessions to end", || {
            let mntr = four_letter(self.1, "mntr").ok()?;
            mntr.contains("zk_global_sessions\t0\n").then_some(())
        });
        std::thread::sleep(LEAD);
        let share = said.split(' ').next().and_then(|share| share.parse().ok());
        share.ok_or_else(|| Failure::Unreadable(format!("the attackers said {said:?}")))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Nothing can be done about one that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The good client: makes, sees and deletes an ephemeral, one request at a time, at its pace.
fn work(server: SocketAddr, time: Duration) -> Result<Seen, Failure> {
    let mut connection = Connection::open(&server.to_string())?;
    let path = "/good";
    let exists = Request::Exists { path: path.into(), watch: false };
    let delete = Request::Delete { path: path.into(), version: -1 };
    let mut seen = Seen::default();
    let begin = Instant::now();
    let mut due = begin;
    while begin.elapsed() < time {
        let make = create(path, CreateMode::EPHEMERAL, Bytes::from_static(b"good"));
        for request in [&make, &exists, &delete] {
            // No synchronisation: this is the pace.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let asked = Instant::now();
            // That sleeping takes longer than it should is not the server's.
            let from = if asked.saturating_duration_since(due) < PACE { asked } else { due };
            connection.ask(request)?.map_err(refused)?;
            seen.all.push(from.elapsed().as_secs_f64() * 1e6);
            due += PACE;
            let took_us = asked.elapsed().as_secs_f64() * 1e6;
            if std::ptr::eq(request, &exists) { &mut seen.reads } else { &mut seen.writes }.push(took_us);
        }
    }
    connection.close()?;
    Ok(seen)
}

/// What a process holds resident.
fn resident_mib(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib =
        line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| Failure::Unreadable("no VmRSS".into()))
}

/// A part of what was seen.
type Part = fn(&Seen) -> &Vec<f64>;

fn report(rounds: &[Round], when: &str) -> String {
    let spread = |of: &dyn Fn(&Round) -> f64| {
        Spread::of(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or(Spread {
            median: f64::NAN,
            min: f64::NAN,
            max: f64::NAN,
        })
    };
    let at = |seen: &[f64], percent| percentile(seen, percent).unwrap_or(f64::NAN);
    let kinds: [(&str, Part); 3] = [
        ("requests, from when they were due", |seen| &seen.all),
        ("writes, from sending", |seen| &seen.writes),
        ("reads, from sending", |seen| &seen.reads),
    ];
    let mut rows = Vec::new();
    for (name, of) in kinds {
        let p99 = |seen: fn(&Round) -> &Seen| move |round: &Round| at(of(seen(round)), 99.0);
        let (quiet, attacked, beside) = (p99(|r| &r.quiet), p99(|r| &r.attacked), p99(|r| &r.beside));
        let ratio = spread(&|r| attacked(r) / quiet(r));
        let machine = spread(&|r| beside(r) / quiet(r));
        let met = if ratio.median <= AT_MOST { "met" } else { "**missed**" };
        rows.push(vec![
            name.to_string(),
            digits(spread(&|r| at(of(&r.quiet), 50.0))),
            digits(spread(&|r| at(of(&r.attacked), 50.0))),
            digits(spread(&quiet)),
            digits(spread(&attacked)),
            digits(spread(&beside)),
            format!("{:.2} ({:.2}–{:.2})", machine.median, machine.min, machine.max),
            format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max),
            format!("{AT_MOST:.1}, {met}"),
        ]);
    }
    let heads = [
        "good client's",
        "p50 quiet",
        "p50 attacked",
        "p99 quiet",
        "p99 attacked",
        "p99, another attacked",
        "another attacked / quiet",
        "p99 attacked / quiet",
        "at most",
    ];
    let mut text = format!("# A good client beside hostile ones\n\n{when}.\n\n");
    text += &format!(
        "A good client makes, reads and deletes an ephemeral, one request at a time and one every {} ms, in quiet and beside\n\
         {HOSTILE_CLIENTS} hostile clients, alternately, in {} rounds. Those are four each of: slow ones, oversized and\n\
         malformed packets, watch bombs, readers that do not read, floods of connections; together held to\n\
         {HOSTILE_SHARE} of one core (they took {:.2}). What they do to a client of another server is this machine's part in it:\n\
         its processors and its disk are shared by both. Microseconds.\n",
        PACE.as_millis(),
        rounds.len(),
        spread(&|r| r.share).median,
    );
    text += &table("Its latency", &heads, &rows);
    text += &format!(
        "\nThe server's resident memory: {} MiB quiet, {} MiB under attack.\n",
        digits(spread(&|r| r.quiet_mib)),
        digits(spread(&|r| r.attacked_mib))
    );
    text
}
