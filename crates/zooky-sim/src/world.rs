//! The loop: time passes for everybody in small steps, and things go wrong. In the end all is healed, and it is seen
//! who is served, and who is left behind.

use std::cell::OnceCell;
use std::ops::AddAssign;
use std::time::Duration;

use zooky_sim_machine::Sending;
use zooky_testkit::Rng;

use crate::host::Host;
use crate::judge::{Counts, Judge};
use crate::network::Network;
use crate::program::Program;
use crate::recipe::Recipe;
use crate::trace::Trace;
use crate::worker::{LOCKS, Part, program};

/// What a grant may take besides the session's timeout: two ticks of the server, which has a tick of a third of its
/// shortest session here, and some round trips of the slowest world.
const SLACK_MS: u64 = 1_000;

pub(crate) struct World {
    pub(crate) rng: Rng,
    /// Milliseconds since the world began.
    pub(crate) now: u64,
    step_ms: u64,
    pub(crate) host: Host,
    pub(crate) network: Network,
    pub(crate) programs: Vec<Program>,
    lives: Vec<u32>,
    pub(crate) timeouts: Vec<Duration>,
    workers: usize,
    recipes: Vec<Recipe>,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
}

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// The hash of everything that happened.
    pub trace: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// What programs did, and what came of it.
    pub counts: Counts,
    /// How often the server was started.
    pub starts: i64,
}

impl AddAssign for Summary {
    /// Of several worlds; their stories have no common hash.
    fn add_assign(&mut self, other: Summary) {
        self.virtual_ms += other.virtual_ms;
        self.counts += other.counts;
        self.starts += other.starts;
    }
}

/// Runs the world of a seed to its end.
///
/// # Panics
/// Something happened that must not.
pub fn run(seed: u64) -> Summary {
    let mut world = World::new(seed);
    world.story();
    world.everybody_is_served();
    world.a_holder_dies();
    world.nobody_is_left();
    let counts = world.judge.state().counts;
    Summary { trace: world.trace.hash(), virtual_ms: world.now, counts, starts: world.host.starts() }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let programs = 2 + rng.below(3);
        let mut timeout = |_| Duration::from_millis(*rng.pick(&[1_500, 2_000, 3_000, 5_000]));
        let timeouts = (0..programs).map(&mut timeout).collect();
        let locks = 1 + rng.below(LOCKS.len());
        let recipes = (0..locks).map(|_| Recipe::any(&mut rng)).collect();
        let mut world = World {
            now: 0,
            step_ms: *rng.pick(&[1, 2, 2, 4]),
            host: Host::new(Rng::new(rng.next())),
            network: Network::new(Rng::new(rng.next()), programs),
            timeouts,
            programs: Vec::new(),
            lives: vec![0; programs],
            workers: 1 + rng.below(3),
            recipes,
            judge: Judge::new(Rng::new(rng.next())),
            trace: Trace::new(),
            rng,
        };
        world.trace.note(0, &format!("the locks: {:?}", world.recipes));
        for number in 0..programs {
            let started = world.start(number);
            world.programs.push(started);
        }
        world
    }

    fn start(&mut self, number: usize) -> Program {
        // Clocks go at slightly different speeds: within the margin of the deadline.
        let rate_ppm = 980_000 + self.rng.below(40_000) as u64;
        let started = Program::start(self.now, self.rng.next(), rate_ppm);
        self.lives[number] += 1;
        let part = Part {
            program: number,
            life: self.lives[number],
            timeout: self.timeouts[number],
            workers: self.workers,
            recipes: self.recipes.clone(),
            judge: self.judge.clone(),
        };
        self.trace.note(self.now, &format!("program {number} starts, {:?}", self.timeouts[number]));
        let main = program(part, Rng::new(self.rng.next()));
        started.spawn(main);
        started
    }

    /// Time passes, and sometimes something goes wrong.
    fn story(&mut self) {
        let length = 5_000 + self.rng.below(20_000) as u64;
        let calm_ms = *self.rng.pick(&[100, 300, 1_000, 3_000]);
        let mut next_fault = 300;
        while self.now < length {
            self.step();
            if self.now >= next_fault {
                self.fault();
                next_fault = self.now + self.rng.below(2 * calm_ms) as u64;
            }
        }
    }

    /// A little time passes for everybody.
    fn step(&mut self) {
        // With nothing under way, nobody notices that steps are longer: programs' own timers are kept all the same.
        let quiet = self.network.is_quiet() && self.host.is_quiet();
        self.now += if quiet { 5 * self.step_ms } else { self.step_ms };
        let now = self.now;
        self.judge.state().now_ms = now;
        self.host.run_to(now, &mut self.network, &mut self.trace);
        let first = self.rng.below(self.programs.len());
        for turn in 0..self.programs.len() {
            let number = (first + turn) % self.programs.len();
            if self.programs[number].dead_until_ms.is_some_and(|until| until <= now) {
                self.programs[number] = self.start(number);
            }
            let (network, trace) = (&mut self.network, &mut self.trace);
            let mut left = Vec::new();
            self.programs[number].run_to(
                now,
                || network.for_program(now, number),
                |at, link, what| left.push((at, link, what)),
            );
            for (at, link, what) in left {
                match what {
                    Sending::Connect => {
                        trace
                            .detail(now, (number, link), || format!("program {number} connects by {link:?}"));
                        network.connect(at, number, link);
                    }
                    Sending::Bytes(bytes) => {
                        trace.detail(now, (number, link, &bytes), || {
                            format!("program {number} sends {} bytes by {link:?}", bytes.len())
                        });
                        network.write(at, number, link, bytes);
                    }
                    Sending::Close => {
                        trace.detail(now, (number, link), || format!("program {number} closes {link:?}"));
                        network.close(at, number, link);
                    }
                }
            }
        }
        for line in std::mem::take(&mut self.judge.state().said) {
            self.trace.note(now, &line);
        }
        let nodes = OnceCell::new();
        self.judge.check(&self.programs, |path| {
            self.host.server()?;
            let nodes = nodes.get_or_init(|| self.host.contenders("/locks"));
            Some(nodes.iter().find(|node| node.0 == path).map(|node| (node.1, node.2)))
        });
        crate::program::fail_if_a_task_panicked();
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.step();
        }
    }

    fn longest_timeout_ms(&self) -> u64 {
        self.timeouts.iter().max().map_or(0, |timeout| timeout.as_millis() as u64)
    }

    fn heal(&mut self) {
        self.trace.note(self.now, "everything is healed");
        self.network.heal();
        self.host.heal(self.now);
        for program in &mut self.programs {
            program.goes_on();
            program.dead_until_ms = program.dead_until_ms.map(|_| self.now);
        }
    }

    /// Healed, everybody who waits is served within the timeout, the reconnect, and the others' turns.
    fn everybody_is_served(&mut self) {
        self.heal();
        let healed = self.now;
        // Sessions of the dead end; clients are back at the latest when their attempts have ended.
        self.pass(2 * self.longest_timeout_ms() + SLACK_MS);
        let workers = (self.workers * self.programs.len()) as u64;
        let delay_ms = self.recipes.iter().map(|recipe| recipe.delay().as_millis() as u64).max().unwrap_or(0);
        let turn_ms = self.longest_timeout_ms() + SLACK_MS + delay_ms;
        let patience = workers * turn_ms;
        let until = self.now + patience;
        loop {
            let waiting = self.judge.waiting();
            let oldest = waiting.iter().min_by_key(|(.., since)| *since).cloned();
            let Some((worker, _, since)) = oldest.filter(|(.., since)| *since <= healed) else { return };
            assert!(
                self.now < until,
                "{worker} has waited since {since} ms, {patience} ms after all was healed"
            );
            self.step();
        }
    }

    /// A holder's machine is gone without a word: the next one gets the lock within the session's timeout, two
    /// ticks and a little.
    fn a_holder_dies(&mut self) {
        for _ in 0..5_000 {
            let mut holders = self.judge.holders(&self.programs);
            let waiting = self.judge.waiting();
            // Somebody else must want it.
            holders.retain(|(lock, holder, _)| {
                let others =
                    waiting.iter().filter(|w| !w.0.starts_with(&format!("{holder}.")) && w.1 == *lock);
                others.count() > 0
            });
            if !holders.is_empty() {
                let (lock, victim, delay) = self.rng.pick(&holders).clone();
                let died = self.now;
                self.program_dies(victim, true, u64::MAX);
                let at_most = (self.timeouts[victim] + delay).as_millis() as u64 + SLACK_MS;
                // Others may have taken turns with it as readers; those come after its session's end count.
                loop {
                    self.step();
                    let granted = self.judge.state().granted_at.get(&lock).copied().unwrap_or(0);
                    if granted > died {
                        break;
                    }
                    assert!(
                        self.now <= died + at_most,
                        "nobody has got {lock} {at_most} ms after its holder's machine was gone"
                    );
                }
                self.programs[victim].dead_until_ms = Some(self.now);
                return;
            }
            self.step();
        }
    }

    /// Everybody lets go and leaves the queues: no contender stays, though the sessions live on.
    fn nobody_is_left(&mut self) {
        self.trace.note(self.now, "everybody leaves");
        self.judge.state().stopping = true;
        self.pass(self.longest_timeout_ms() + 2 * SLACK_MS);
        for lock in LOCKS {
            for directory in [lock.to_owned(), format!("{lock}-__lock__")] {
                let mut left = self.host.contenders(&directory);
                // Who vanished leaves that behind, until the next one comes.
                left.retain(|(path, ..)| !path.ends_with(".delay"));
                assert!(left.is_empty(), "left behind in {directory}: {left:?}");
            }
        }
        for number in 0..self.programs.len() {
            assert!(self.programs[number].is_alive());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for number in 0..self.programs.len() {
            let judge = self.judge.clone();
            self.programs[number].die(u64::MAX, || drop(judge.bury(number, false)));
        }
    }
}
