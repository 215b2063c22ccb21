//! The clock that is slowed down by what others take, and by nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use zooky_testkit::MachineClock;

const WHILE: Duration = Duration::from_secs(2);
/// Turns in circles; not for ever, should nobody end it.
const BURN: &str = "while ((SECONDS < 60)); do :; done";

/// A process of somebody else: its parent has left it.
struct Stranger(Pid);

impl Stranger {
    fn burn() -> Stranger {
        let script = format!("({BURN}) </dev/null >/dev/null 2>&1 & echo $!");
        let said = Command::new("bash").args(["-c", &script]).output().unwrap();
        let pid = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
        Stranger(Pid::from_raw(pid).unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

struct Ours(Child);

impl Ours {
    fn burn() -> Ours {
        Ours(Command::new("bash").args(["-c", BURN]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What passed in a while.
struct Look {
    counted: Duration,
    wall: Duration,
    /// How much the burners had of all processors: at least, and at most. This process may be kept waiting anywhere.
    burnt: (Duration, Duration),
}

fn look(burners: &[Pid]) -> Look {
    let begun = Instant::now();
    let mut clock = MachineClock::start();
    let had = || burners.iter().copied().map(processor_time).sum::<Duration>() / processors();
    let before = had();
    std::thread::sleep(WHILE);
    let least = had() - before;
    let counted = clock.elapsed();
    let most = had() - before;
    Look { counted, wall: begun.elapsed(), burnt: (least, most) }
}

fn processor_time(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let words = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: u64 = words.skip(11).take(2).map(|word| word.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn processors() -> u32 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    // The first line is of all of them.
    u32::try_from(stat.lines().filter(|line| line.starts_with("cpu")).count()).unwrap() - 1
}

#[test]
fn it_is_slowed_down_by_others_and_not_by_ourselves() {
    // The kernel's accounts are exact to a tick for each process and processor, and are not read at one moment.
    let slack = WHILE / 8;
    let strangers: Vec<Stranger> = (0..processors()).map(|_| Stranger::burn()).collect();
    let Look { counted, wall, burnt } = look(&strangers.iter().map(|one| one.0).collect::<Vec<_>>());
    assert!(!burnt.0.is_zero());
    assert!(counted + burnt.1 <= wall + slack, "{counted:?} of {wall:?} although others had {burnt:?}");
    drop(strangers);

    let burners: Vec<Ours> = (0..processors()).map(|_| Ours::burn()).collect();
    let pids: Vec<Pid> = burners.iter().map(|one| Pid::from_child(&one.0)).collect();
    let Look { counted, wall, burnt } = look(&pids);
    assert!(counted + slack >= burnt.0, "{counted:?} of {wall:?} although we ourselves had {burnt:?}");
    assert!(counted <= wall + slack, "{counted:?} of {wall:?}");
}
