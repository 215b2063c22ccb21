//! What must hold, whatever goes wrong; looked at after every step of the world.
//!
//! - One holder, or readers only, or no more than there are leases: by what the guards themselves say, on their
//!   machines' clocks.
//! - Tokens grow in the order of grants, and a fenced register refuses the stale ones.
//! - A guard never says Held past its deadline, and Lost is final.
//! - Who says Held has a node in the server's tree: of its own session, or (persistent) of none.
//! - Whoever comes after a holder that vanished comes no sooner than the lock's delay after the last look at which the
//!   server still had its node.
//! - Everybody is served in the end, and nobody is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zooky::{BootInstant, GuardState};
use zooky_testkit::Rng;

use crate::program::Program;
use crate::recipe::{Mode, Recipe, Taken};

/// Who has been granted what.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) worker: String,
    pub(crate) program: usize,
    pub(crate) lock: String,
    pub(crate) recipe: Recipe,
    pub(crate) mode: Mode,
    pub(crate) session: i64,
    /// Upgraded or downgraded: the token is no longer that of the node.
    pub(crate) changed: bool,
}

/// A guard that somebody has.
#[derive(Debug)]
struct Held {
    grant: Grant,
    taken: Arc<Taken>,
    lost: bool,
}

/// A write on its way to the register.
#[derive(Debug)]
struct Write {
    at_ms: u64,
    guard: u64,
    lock: String,
    recipe: Recipe,
    mode: Mode,
    token: u128,
}

#[derive(Debug, Default, Clone, Copy)]
struct Newest {
    any: u128,
    writer: u128,
}

impl Newest {
    /// Whether a holder with this token may come in, as the resource sees it.
    fn lets_in(&self, mode: Mode, token: u128) -> bool {
        token >= if mode == Mode::Write { self.any } else { self.writer }
    }

    fn note(&mut self, mode: Mode, token: u128) {
        self.any = self.any.max(token);
        if mode == Mode::Write {
            self.writer = self.writer.max(token);
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often a lock was granted.
    pub grants: u64,
    /// How many guards were lost.
    pub lost: u64,
    /// Writes that reached the register.
    pub writes: u64,
    /// Those it refused.
    pub refused: u64,
    /// Readers that became writers.
    pub upgrades: u64,
    /// Writers that became readers.
    pub downgrades: u64,
    /// Holders that let go because they were asked to.
    pub heeded: u64,
    /// Revocations of everybody at once.
    pub revocations: u64,
    /// Delays of vanished holders that were waited out.
    pub waited_out: u64,
    /// Persistent locks that were taken back by a new process.
    pub taken_back: u64,
    /// Leases of semaphores.
    pub leases: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.grants += other.grants;
        self.lost += other.lost;
        self.writes += other.writes;
        self.refused += other.refused;
        self.upgrades += other.upgrades;
        self.downgrades += other.downgrades;
        self.heeded += other.heeded;
        self.revocations += other.revocations;
        self.waited_out += other.waited_out;
        self.taken_back += other.taken_back;
        self.leases += other.leases;
    }
}

/// A holder of a lock with a delay is gone with its machine.
#[derive(Debug)]
struct Vanished {
    /// Its node, which its session leaves behind.
    path: String,
    /// When the server was last seen to have that node. Nobody can know that the holder is gone before: the delay counts
    /// from later than this.
    there_ms: u64,
    mode: Mode,
    delay: Duration,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) now_ms: u64,
    rng: Rng,
    guards: BTreeMap<u64, Held>,
    last_guard: u64,
    granted: BTreeMap<String, Newest>,
    register: BTreeMap<String, Newest>,
    writes: Vec<Write>,
    /// By lock: when it was last granted.
    pub(crate) granted_at: BTreeMap<String, u64>,
    /// By worker: the lock that it would wait for ever for, and since when it does.
    waiting: BTreeMap<String, (String, u64)>,
    vanished: BTreeMap<String, Vec<Vanished>>,
    /// Programs whose clock has jumped: for them a delay may seem to have passed.
    pub(crate) jumped: BTreeSet<usize>,
    /// Workers are to leave.
    pub(crate) stopping: bool,
    pub(crate) counts: Counts,
    pub(crate) said: Vec<String>,
    wrong: Option<String>,
}

/// Shared between the world and the workers.
#[derive(Debug, Clone)]
pub(crate) struct Judge(Arc<Mutex<State>>);

impl Judge {
    pub(crate) fn new(rng: Rng) -> Judge {
        Judge(Arc::new(Mutex::new(State {
            now_ms: 0,
            rng,
            guards: BTreeMap::new(),
            last_guard: 0,
            granted: BTreeMap::new(),
            register: BTreeMap::new(),
            writes: Vec::new(),
            granted_at: BTreeMap::new(),
            waiting: BTreeMap::new(),
            vanished: BTreeMap::new(),
            jumped: BTreeSet::new(),
            stopping: false,
            counts: Counts::default(),
            said: Vec::new(),
            wrong: None,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker says something for the trace.
    pub(crate) fn say(&self, line: String) {
        self.state().said.push(line);
    }

    /// A worker has seen what must not be. It cannot fail the test by itself: its task's end is nobody's.
    pub(crate) fn wrong(&self, what: String) {
        self.state().wrong.get_or_insert(what);
    }

    pub(crate) fn waits(&self, worker: &str, lock: &str) {
        let mut state = self.state();
        let now = state.now_ms;
        state.waiting.insert(worker.to_owned(), (lock.to_owned(), now));
    }

    pub(crate) fn waits_no_more(&self, worker: &str) {
        self.state().waiting.remove(worker);
    }

    /// Who waits for ever, for which lock, since when.
    pub(crate) fn waiting(&self) -> Vec<(String, String, u64)> {
        let state = self.state();
        let waiting = state.waiting.iter();
        waiting.map(|(worker, (lock, since))| (worker.clone(), lock.clone(), *since)).collect()
    }

    /// A worker has got a lock.
    pub(crate) fn granted(&self, grant: Grant, taken: Taken) -> u64 {
        let token = taken.token().as_u128();
        let mut state = self.state();
        let now = state.now_ms;
        let Grant { worker, lock, mode, .. } = &grant;
        state.said.push(format!("{worker} holds {lock} ({mode:?}) with {}", taken.token()));
        state.must_have_waited(&grant);
        let newest = state.granted.entry(lock.clone()).or_default();
        let before = *newest;
        // Two grants of one node are told apart by the count; nobody gets the same token twice.
        let grows = if *mode == Mode::Write { token > before.any } else { token > before.writer };
        newest.note(*mode, token);
        // Whoever was removed may hear late that it had been granted the lock before that.
        if !grows && grant.recipe != Recipe::Taking {
            let what = format!("{worker} holds {lock} ({mode:?}) with token {token:x} after {before:x?}");
            state.wrong.get_or_insert(what);
        }
        state.granted_at.insert(lock.clone(), now);
        state.counts.grants += 1;
        state.counts.leases += u64::from(matches!(grant.recipe, Recipe::Semaphore(_)));
        state.holds(grant, taken)
    }

    /// A guard that was to be changed, and was not.
    pub(crate) fn still_has(&self, grant: Grant, taken: Taken) -> u64 {
        self.state().holds(grant, taken)
    }

    /// The guard itself; the judge keeps it as long as it is held.
    pub(crate) fn look(&self, guard: u64) -> Option<Arc<Taken>> {
        Some(self.state().guards.get(&guard)?.taken.clone())
    }

    /// A worker lets go.
    pub(crate) fn lets_go(&self, guard: u64) -> Option<(Grant, Taken)> {
        let held = self.state().guards.remove(&guard)?;
        Some((held.grant, Arc::into_inner(held.taken)?))
    }

    /// A worker writes: the register gets it some time later.
    pub(crate) fn write(&self, guard: u64) {
        let mut state = self.state();
        let at_ms = state.now_ms + state.rng.below(30) as u64;
        let Some(Held { grant, taken, .. }) = state.guards.get(&guard) else { return };
        let Grant { lock, recipe, mode, .. } = grant.clone();
        let token = taken.token().as_u128();
        state.writes.push(Write { at_ms, guard, lock, recipe, mode, token });
    }

    /// The guards of a program that has died, to be dropped where it was.
    pub(crate) fn bury(&self, program: usize, was_running: bool) -> Vec<Arc<Taken>> {
        let mut state = self.state();
        state.waiting.retain(|worker, _| !worker.starts_with(&format!("{program}.")));
        let of_it = state.guards.iter().filter(|(_, held)| held.grant.program == program);
        let dead: Vec<u64> = of_it.map(|(&id, _)| id).collect();
        let mut guards = Vec::new();
        for held in dead.iter().filter_map(|id| state.guards.remove(id)).collect::<Vec<_>>() {
            let (delay, mode) = (held.grant.recipe.delay(), held.grant.mode);
            // One that stood still knows nothing of the time.
            if !delay.is_zero() && was_running && held.taken.is_held() {
                let path = held.taken.path().to_owned();
                let vanished = Vanished { path, there_ms: state.now_ms, mode, delay };
                state.vanished.entry(held.grant.lock).or_default().push(vanished);
            }
            guards.push(held.taken);
        }
        guards
    }

    /// The locks whose holder's end is somebody else's turn, with the holder's program and the delay.
    pub(crate) fn holders(&self, programs: &[Program]) -> Vec<(String, usize, Duration)> {
        let state = self.state();
        let held = state.guards.values().filter(|held| {
            let Grant { program, recipe, mode, .. } = held.grant;
            let program = &programs[program];
            let in_the_way = mode == Mode::Write || matches!(recipe, Recipe::Semaphore(_));
            recipe != Recipe::Persistent
                && in_the_way
                && program.is_running()
                && program.within(|| held.taken.state()) == Some(GuardState::Held)
        });
        held.map(|held| (held.grant.lock.clone(), held.grant.program, held.grant.recipe.delay())).collect()
    }

    /// Looks at everything. `node` tells the owner of a node and the transaction that made it, `None` if the server
    /// cannot be asked.
    pub(crate) fn check(&self, programs: &[Program], node: impl Fn(&str) -> Option<Option<(i64, i64)>>) {
        let mut state = self.state();
        let state = &mut *state;
        let mut holding: Vec<(u64, &Grant)> = Vec::new();
        for (&id, held) in &mut state.guards {
            let Held { grant, taken, lost } = held;
            let (grant, taken): (&Grant, &Taken) = (grant, taken);
            let program = &programs[grant.program];
            if !program.is_running() {
                continue;
            }
            let look = || (taken.state(), taken.deadline(), BootInstant::now());
            let Some((said, deadline, now)) = program.within(look) else { continue };
            if said == GuardState::Lost {
                state.counts.lost += u64::from(!*lost);
                *lost = true;
                continue;
            }
            assert!(!*lost, "the guard of {} is {said:?} after it was lost", grant.lock);
            assert!(now < deadline, "a guard of {} says {said:?} past its deadline", grant.lock);
            if grant.recipe != Recipe::Taking {
                if let Some(found) = node(taken.path()) {
                    assert!(
                        found.is_some_and(|found| fits(grant, taken, found)),
                        "{said:?}, but the server's {} is {found:?}",
                        taken.path()
                    );
                }
                let (counts, leases) = match grant.recipe {
                    Recipe::Semaphore(leases) => (true, leases as usize),
                    _ => (false, 1),
                };
                let shares = |theirs: &Grant| !counts && [grant.mode, theirs.mode] == [Mode::Read; 2];
                let bars = |(_, theirs): &&(u64, &Grant)| theirs.lock == grant.lock && !shares(theirs);
                let barring: Vec<u64> = holding.iter().filter(bars).map(|(other, _)| *other).collect();
                assert!(
                    barring.len() < leases,
                    "too many hold {} at once: guards {barring:?} and {id}, {:?}",
                    grant.lock,
                    grant.mode
                );
            }
            holding.push((id, grant));
        }
        let holding: BTreeSet<u64> = holding.into_iter().map(|(id, _)| id).collect();
        let now = state.now_ms;
        for gone in state.vanished.values_mut().flatten() {
            // A deletion that a power cut takes back was shown to nobody: the node is simply still there.
            if let Some(Some(_)) = node(&gone.path) {
                gone.there_ms = now;
            }
        }
        state.writes_arrive(&holding);
        if let Some(wrong) = state.wrong.take() {
            panic!("{wrong}");
        }
    }
}

/// Whether this node, by its owner and the transaction that made it, is the one of somebody who says it holds.
fn fits(grant: &Grant, taken: &Taken, (owner, czxid): (i64, i64)) -> bool {
    match grant.recipe {
        Recipe::Persistent => owner == 0,
        _ => owner == grant.session && (grant.changed || czxid == taken.token().czxid() as i64),
    }
}

impl State {
    fn holds(&mut self, grant: Grant, taken: Taken) -> u64 {
        self.last_guard += 1;
        self.guards.insert(self.last_guard, Held { grant, taken: Arc::new(taken), lost: false });
        self.last_guard
    }

    /// Those who vanished, and whom this grant had to wait for, are waited out.
    fn must_have_waited(&mut self, grant: &Grant) {
        let Some(vanished) = self.vanished.get_mut(&grant.lock) else { return };
        let now = self.now_ms;
        let knows = !self.jumped.contains(&grant.program);
        let (waited_for, others): (Vec<_>, Vec<_>) = std::mem::take(vanished)
            .into_iter()
            .partition(|gone| gone.mode == Mode::Write || grant.mode == Mode::Write);
        *vanished = others;
        for gone in waited_for {
            self.counts.waited_out += 1;
            // Clocks may go a little too fast.
            let least_ms = gone.there_ms + gone.delay.as_millis() as u64 * 95 / 100;
            if knows && now < least_ms {
                let what = format!("{} holds {} at {now} ms, {gone:?} is not over", grant.worker, grant.lock);
                self.wrong.get_or_insert(what);
            }
        }
    }

    /// Those that are due come to the register.
    fn writes_arrive(&mut self, holding: &BTreeSet<u64>) {
        let now = self.now_ms;
        let (due, later) = std::mem::take(&mut self.writes).into_iter().partition(|write| write.at_ms <= now);
        self.writes = later;
        for write in due {
            let newest = self.register.entry(write.lock.clone()).or_default();
            self.counts.writes += 1;
            if newest.lets_in(write.mode, write.token) {
                newest.note(write.mode, write.token);
                continue;
            }
            self.counts.refused += 1;
            let still_holds = holding.contains(&write.guard) && write.recipe != Recipe::Taking;
            assert!(!still_holds, "the register refuses the holder of {}", write.lock);
        }
    }
}
