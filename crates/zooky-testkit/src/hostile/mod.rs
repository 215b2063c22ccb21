//! Twenty-four clients that mean harm, in one process that is held to a fifth of one core.
//!
//! Four each of six kinds: slow ones, oversized and malformed packets, watch bombs, readers that do not read, and
//! floods of connections. Each breaks off and comes again for as long as it is let. What they spend is read off
//! the process's own clock, and they sleep when it is more than their share; so they are a load that does not
//! depend on how many processors the machine has.

mod kinds;
mod packets;

use kinds::{Attacker, KINDS};
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many of each kind.
const OF_EACH: usize = 4;
/// All of them together.
pub const HOSTILE_CLIENTS: usize = OF_EACH * KINDS.len();
/// What part of one core they may take.
pub const HOSTILE_SHARE: f64 = 0.2;
/// What they may have taken in advance.
const AHEAD: Duration = Duration::from_millis(2);

/// Attacks the server at `addr` for `time`, in this process, which should have nothing else to do; with those alone
/// whose kind `only` names, to find out which of them does what. Returns what part of one core it took, and how often
/// each kind was thrown out or gave up.
///
/// # Panics
/// When there is nobody at `addr` to begin with.
pub fn attack(addr: SocketAddr, time: Duration, only: Option<&str>) -> (f64, Vec<(&'static str, usize)>) {
    std::net::TcpStream::connect(addr).unwrap_or_else(|error| panic!("no server at {addr}: {error}"));
    let mut all: Vec<Attacker> = (0..HOSTILE_CLIENTS).map(|number| Attacker::new(addr, number)).collect();
    all.retain(|attacker| only.is_none_or(|only| attacker.name() == only));
    let (begin, cpu_at_begin) = (Instant::now(), cpu());
    while begin.elapsed() < time {
        for attacker in &mut all {
            attacker.act();
            let (used, passed) = (cpu().saturating_sub(cpu_at_begin), begin.elapsed());
            let earned = passed.mul_f64(HOSTILE_SHARE) + AHEAD;
            if used > earned {
                // No synchronisation: this is the pace that was asked for.
                std::thread::sleep((used - earned).div_f64(HOSTILE_SHARE));
            }
        }
    }
    let share = cpu().saturating_sub(cpu_at_begin).as_secs_f64() / begin.elapsed().as_secs_f64();
    let ended = KINDS.iter().map(|&(name, _)| {
        (name, all.iter().filter(|attacker| attacker.name() == name).map(Attacker::ended).sum())
    });
    (share, ended.collect())
}

/// What this process has spent, the kernel's work for it included.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
