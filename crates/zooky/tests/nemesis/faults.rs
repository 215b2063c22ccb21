//! What the nemesis does: faults from a seed, one after another, each healed and followed by everybody's turn.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use zooky_testkit::{Ensemble, FencedRegister, MachineClock, RecordKind, Rng, Talk};

use super::common::{self, LONG, Observer, again};
use super::members::Members;
use super::{SESSION_TIMEOUT, client, judge, kinds};

const CLIENTS: usize = 8;
/// What it may take until each task of each client has had a turn.
const SERVED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The leader dies, and comes back at the healing.
    LeaderKilled,
    /// A member is frozen, the leader perhaps.
    MemberFrozen,
    /// Two of three die: nobody can be served.
    QuorumKilled,
    /// A member cannot reach the others, but its clients can reach it.
    MemberCutOff,
    /// A member's clients cannot reach it; packets vanish.
    ClientsCutOff,
    /// The connections of one member's clients are reset, again and again.
    ConnectionsReset,
    /// Clients are frozen past their sessions' timeout.
    ClientsFrozen,
    /// A client dies, and another takes its place.
    ClientKilled,
    /// The wall clock of all clients jumps by hours.
    ClocksSet,
}

const FAULTS: [Fault; 9] = [
    Fault::LeaderKilled,
    Fault::MemberFrozen,
    Fault::QuorumKilled,
    Fault::MemberCutOff,
    Fault::ClientsCutOff,
    Fault::ConnectionsReset,
    Fault::ClientsFrozen,
    Fault::ClientKilled,
    Fault::ClocksSet,
];

pub(crate) struct Nemesis {
    rng: Rng,
    ensemble: Ensemble,
    registers: Vec<FencedRegister>,
    clients: Vec<Talk>,
    births: usize,
    frozen: Vec<usize>,
    down: Vec<usize>,
    asleep: Vec<usize>,
    files: TempDir,
}

impl Nemesis {
    /// Starts the servers and the clients.
    pub(crate) fn start(seed: u64) -> Nemesis {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("clock"), "+0\n").unwrap();
        let ensemble = Ensemble::start();
        let registers = kinds::ALL.iter().map(|&kind| client::register(files.path(), kind)).collect();
        let mut nemesis = Nemesis {
            rng: Rng::new(seed),
            ensemble,
            registers,
            clients: Vec::new(),
            births: 0,
            frozen: Vec::new(),
            down: Vec::new(),
            asleep: Vec::new(),
            files,
        };
        for place in 0..CLIENTS {
            let client = nemesis.birth(place);
            nemesis.clients.push(client);
        }
        for client in &mut nemesis.clients {
            client.expect_line("connected", LONG);
        }
        nemesis
    }

    /// One fault, or two at once; its healing; and what must happen then.
    pub(crate) fn strike(&mut self, round: u64) {
        // Each fault has its turn before chance alone decides.
        let first = FAULTS.get(usize::try_from(round).unwrap()).copied();
        let first = first.unwrap_or_else(|| *self.rng.pick(&FAULTS));
        let second = self.rng.one_in(3).then(|| *self.rng.pick(&FAULTS));
        println!("round {round}: {first:?}{}", second.map(|two| format!(" and {two:?}")).unwrap_or_default());
        self.bring(first);
        if let Some(second) = second {
            self.bring(second);
        }
        // How long the fault lasts: up to twice the sessions' timeout.
        std::thread::sleep(SESSION_TIMEOUT.mul_f64(0.1 + self.rng.below(20) as f64 / 10.0));
        self.heal();
        self.everybody_is_served();
        Members(&self.ensemble).every_node_has_its_session(CLIENTS);
    }

    fn bring(&mut self, fault: Fault) {
        let member = self.rng.below(self.ensemble.len());
        match fault {
            Fault::LeaderKilled => {
                if self.down.is_empty() && self.frozen.is_empty() {
                    let leader = self.ensemble.leader();
                    self.kill_member(leader);
                }
            }
            Fault::MemberFrozen => {
                if !self.down.contains(&member) && !self.frozen.contains(&member) {
                    self.ensemble.member(member).pause();
                    self.frozen.push(member);
                }
            }
            Fault::QuorumKilled => {
                for member in (0..self.ensemble.len()).filter(|&other| other != member) {
                    self.kill_member(member);
                }
            }
            Fault::MemberCutOff => self.ensemble.cut_off(member),
            Fault::ClientsCutOff => self.ensemble.cut_off_clients(member),
            Fault::ConnectionsReset => {
                for _ in 0..10 {
                    let member = self.rng.below(self.ensemble.len());
                    self.ensemble.reset_clients(member);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            Fault::ClientsFrozen => {
                for _ in 0..1 + self.rng.below(3) {
                    let client = self.rng.below(CLIENTS);
                    if !self.asleep.contains(&client) {
                        self.asleep.push(client);
                        let talk = &mut self.clients[client];
                        undisturbed(&self.registers, || talk.pause());
                    }
                }
                // Past their timeout whatever else happens.
                std::thread::sleep(SESSION_TIMEOUT);
            }
            Fault::ClientKilled => {
                let client = self.rng.below(CLIENTS);
                let talk = &mut self.clients[client];
                undisturbed(&self.registers, || talk.kill());
                self.asleep.retain(|&one| one != client);
                self.clients[client] = self.birth(client);
            }
            Fault::ClocksSet => {
                let hours = self.rng.below(48) as i64 - 24;
                fs::write(self.clock(), format!("{:+}\n", hours * 3600)).unwrap();
                self.clocks_are_off_by(hours);
            }
        }
    }

    /// Asks a client that can answer.
    fn clocks_are_off_by(&mut self, hours: i64) {
        let Some(client) = (0..CLIENTS).find(|client| !self.asleep.contains(client)) else { return };
        self.clients[client].send_line("clock");
        let theirs: i64 = self.clients[client].expect_line("clock", LONG).parse().unwrap();
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let off = theirs - i64::try_from(ours).unwrap();
        assert!((off - hours * 3600).abs() < 60, "the clients' clock is off by {off} s, not by {hours} h");
    }

    fn kill_member(&mut self, member: usize) {
        self.frozen.retain(|&one| one != member);
        if !self.down.contains(&member) {
            self.ensemble.member(member).kill();
            self.down.push(member);
        }
    }

    fn heal(&mut self) {
        self.ensemble.heal();
        for member in self.frozen.drain(..) {
            self.ensemble.member(member).resume();
        }
        for member in self.down.drain(..) {
            self.ensemble.relaunch(member);
        }
        for client in self.asleep.drain(..) {
            self.clients[client].resume();
        }
    }

    /// The next grants come in time, and each client gets each lock once more.
    fn everybody_is_served(&mut self) {
        let before: Vec<usize> = self.registers.iter().map(entries).collect();
        let mut clock = MachineClock::start();
        let leader = Members(&self.ensemble).elected();
        let elected = clock.elapsed();
        let granted = self.next_grants(leader, &before);
        for client in &mut self.clients {
            client.send_line("turn");
        }
        let mut clock = MachineClock::start();
        for client in &mut self.clients {
            if !client.hears_line("served", clock.left_of(SERVED)) {
                client.send_line("late");
                let waiting = client.expect_line("waiting", LONG);
                panic!("{waiting} had no turn in {clock}");
            }
        }
        println!(
            "  member {leader} led after {elected:.1?}, granted again {granted:.1?} after that, everybody served after {clock}"
        );
    }

    /// Waits for a grant of each kind, in time from now on; `before` were granted before the healing. How long it took.
    fn next_grants(&self, leader: usize, before: &[usize]) -> Duration {
        let mut clock = MachineClock::start();
        for ((&kind, register), &before) in kinds::ALL.iter().zip(&self.registers).zip(before) {
            let lost = || Members(&self.ensemble).differences(leader, &kind.directories());
            let judged = judge::next_grant(kind, &mut clock, || entries(register) > before, lost);
            if let Some(told) = judged.unwrap_or_else(|fault| panic!("{fault}: {clock}")) {
                println!("  {told}");
            }
        }
        clock.elapsed()
    }

    /// Ends the clients, sees that none of their nodes is left, and tells how often each kind of lock was granted.
    pub(crate) fn end(&mut self) -> Vec<(String, usize)> {
        for mut client in self.clients.drain(..) {
            let ended = client.wait(LONG);
            assert!(ended.success(), "{ended}\n{}", client.stderr());
        }
        Members(&self.ensemble).show_nothing(&all_directories());
        let grants = kinds::ALL.iter().zip(&self.registers);
        grants.map(|(kind, register)| (kind.name(), entries(register))).collect()
    }

    /// Where the servers are.
    fn hosts(&self) -> String {
        self.ensemble.hosts()
    }

    /// A client in a process of its own, whose wall clock is read from a file.
    fn birth(&mut self, place: usize) -> Talk {
        self.births += 1;
        let files = self.files.path().display().to_string();
        let (who, seed) = (format!("client {}", self.births), self.rng.below(1 << 30).to_string());
        let (hosts, key) = (self.ensemble.hosts(), format!("place {place}"));
        let mut command = again::command("child_client", &[&hosts, &files, &who, &key, &seed]);
        command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", self.clock());
        // The wall clock only: nobody can set the others.
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("DONT_FAKE_MONOTONIC", "1");
        // What it says when it fails is told by its last lines.
        command.env("RUST_BACKTRACE", "0");
        Talk::start(command)
    }

    fn clock(&self) -> PathBuf {
        self.files.path().join("clock")
    }
}

/// Whoever reads of a failure wants to know who stood where, and what the servers said.
impl Drop for Nemesis {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.heal();
        let hosts = self.hosts();
        // Each by itself: members can come to hold different trees, which is no fault of a client's.
        let mut first = None;
        for host in hosts.split(',') {
            let told = queues(host.to_owned());
            // A second panic in this thread would end everything.
            let told = std::thread::spawn(move || common::run(LONG, told)).join();
            let told = told.unwrap_or_else(|_| "the queues cannot be read".to_owned());
            if first.as_ref() == Some(&told) {
                println!("{host} shows the same");
            } else {
                println!("{host} shows\n{told}");
            }
            first.get_or_insert(told);
        }
        for member in 0..self.ensemble.len() {
            let log = self.ensemble.member(member).log();
            let lines: Vec<&str> = log.lines().collect();
            println!("member {member}:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}

/// Where all contenders' nodes are.
fn all_directories() -> Vec<String> {
    kinds::ALL.iter().flat_map(|kind| kind.directories()).collect()
}

/// All contenders, with their sessions, and the versions and data of their nodes.
async fn queues(hosts: String) -> String {
    let observer = Observer::new(&hosts).await;
    let mut told = String::new();
    for directory in all_directories() {
        told += &format!("{directory}:\n");
        for name in observer.children(&directory).await {
            let seen = observer.session.get(&format!("{directory}/{name}")).await;
            let seen = seen.map(|(data, stat)| (stat.ephemeral_owner, stat.ctime_ms, stat.version, data));
            told += &format!("  {name} {seen:x?}\n");
        }
    }
    told
}

/// While nobody is at any register: a frozen process must not hold a register's file.
fn undisturbed<T>(registers: &[FencedRegister], action: impl FnOnce() -> T) -> T {
    match registers {
        [] => action(),
        [first, rest @ ..] => first.undisturbed(|| undisturbed(rest, action)),
    }
}

fn entries(register: &FencedRegister) -> usize {
    register.history().iter().filter(|one| one.kind == RecordKind::Enter).count()
}

fn faketime() -> PathBuf {
    let directories = fs::read_dir("/usr/lib").unwrap().map_while(Result::ok).map(|entry| entry.path());
    let mut found =
        directories.map(|path| path.join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketime is not installed: run `make peers`")
}
