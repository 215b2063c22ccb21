//! What must hold, whatever goes wrong; looked at after every step of the world.
//!
//! - One holder, or readers only: by what the guards themselves say, on their machines' clocks.
//! - Tokens grow in the order of grants, and a fenced register refuses the stale ones.
//! - A guard never says Held past its deadline, and Lost is final.
//! - Who says Held has a node of its own session in the server's tree.
//! - Everybody is served in the end, and nobody is left behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zooky::{BootInstant, Guard, GuardState};

use crate::program::Program;
use crate::rng::Rng;

/// How a lock is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
}

/// A guard that somebody has.
#[derive(Debug)]
struct Held {
    program: usize,
    lock: String,
    mode: Mode,
    session: i64,
    guard: Arc<Guard>,
    lost: bool,
}

/// A write on its way to the register.
#[derive(Debug)]
struct Write {
    at_ms: u64,
    guard: u64,
    lock: String,
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
pub(crate) struct Counts {
    pub(crate) grants: u64,
    pub(crate) lost: u64,
    pub(crate) writes: u64,
    pub(crate) refused: u64,
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
    pub(crate) served: BTreeMap<String, u64>,
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
            served: BTreeMap::new(),
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
    pub(crate) fn granted(
        &self,
        worker: &str,
        program: usize,
        lock: &str,
        mode: Mode,
        session: i64,
        guard: Guard,
    ) -> u64 {
        let token = guard.fencing_token().as_u128();
        let mut state = self.state();
        let now = state.now_ms;
        state.said.push(format!("{worker} holds {lock} ({mode:?}) with {}", guard.fencing_token()));
        let newest = state.granted.entry(lock.to_owned()).or_default();
        let before = *newest;
        // Two grants of one node are told apart by the count; nobody gets the same token twice.
        let grows = if mode == Mode::Write { token > before.any } else { token > before.writer };
        newest.note(mode, token);
        if !grows {
            let what = format!("{worker} holds {lock} ({mode:?}) with token {token:x} after {before:x?}");
            state.wrong.get_or_insert(what);
        }
        state.granted_at.insert(lock.to_owned(), now);
        *state.served.entry(worker.to_owned()).or_default() += 1;
        state.counts.grants += 1;
        state.last_guard += 1;
        let id = state.last_guard;
        let held =
            Held { program, lock: lock.to_owned(), mode, session, guard: Arc::new(guard), lost: false };
        state.guards.insert(id, held);
        id
    }

    /// The guard itself; the judge keeps it as long as it is held.
    pub(crate) fn look(&self, guard: u64) -> Option<Arc<Guard>> {
        Some(self.state().guards.get(&guard)?.guard.clone())
    }

    /// A worker lets go.
    pub(crate) fn lets_go(&self, guard: u64) -> Option<Guard> {
        let held = self.state().guards.remove(&guard)?;
        Arc::into_inner(held.guard)
    }

    /// A worker writes: the register gets it some time later.
    pub(crate) fn write(&self, guard: u64) {
        let mut state = self.state();
        let at_ms = state.now_ms + state.rng.below(30) as u64;
        let Some(held) = state.guards.get(&guard) else { return };
        let (lock, mode, token) = (held.lock.clone(), held.mode, held.guard.fencing_token().as_u128());
        state.writes.push(Write { at_ms, guard, lock, mode, token });
    }

    /// The guards of a program that has died.
    pub(crate) fn bury(&self, program: usize) -> Vec<Arc<Guard>> {
        let mut state = self.state();
        state.waiting.retain(|worker, _| !worker.starts_with(&format!("{program}.")));
        let dead: Vec<u64> =
            state.guards.iter().filter(|(_, h)| h.program == program).map(|(&id, _)| id).collect();
        dead.iter().filter_map(|id| state.guards.remove(id)).map(|held| held.guard).collect()
    }

    /// The locks that somebody holds alone by their own word, with the program.
    pub(crate) fn holders(&self, programs: &[Program]) -> Vec<(String, usize)> {
        let state = self.state();
        let held = state.guards.values().filter(|held| {
            let program = &programs[held.program];
            let alone = held.mode == Mode::Write;
            alone && program.is_running() && program.within(|| held.guard.state()) == Some(GuardState::Held)
        });
        held.map(|held| (held.lock.clone(), held.program)).collect()
    }

    /// Looks at everything. `node` tells the owner of a node and the transaction that made it, `None` if the server
    /// cannot be asked.
    pub(crate) fn check(&self, programs: &[Program], node: impl Fn(&str) -> Option<Option<(i64, i64)>>) {
        let mut state = self.state();
        let state = &mut *state;
        let mut holding: Vec<(u64, &str, Mode)> = Vec::new();
        for (&id, held) in &mut state.guards {
            let program = &programs[held.program];
            if !program.is_running() {
                continue;
            }
            let look = || (held.guard.state(), held.guard.deadline(), BootInstant::now());
            let Some((said, deadline, now)) = program.within(look) else { continue };
            if said == GuardState::Lost {
                state.counts.lost += u64::from(!held.lost);
                held.lost = true;
                continue;
            }
            assert!(!held.lost, "the guard of {} is {said:?} after it was lost", held.lock);
            assert!(now < deadline, "a guard of {} says {said:?} past its deadline", held.lock);
            if let Some(found) = node(held.guard.path()) {
                let expected = (held.session, held.guard.fencing_token().czxid() as i64);
                assert_eq!(
                    found,
                    Some(expected),
                    "{said:?}, but the server's {} is another",
                    held.guard.path()
                );
            }
            for (other, lock, mode) in &holding {
                let alone = held.mode == Mode::Write || *mode == Mode::Write;
                assert!(
                    *lock != held.lock || !alone,
                    "two hold {lock} at once, guards {other} and {id} ({:?}, {:?})",
                    mode,
                    held.mode
                );
            }
            holding.push((id, &held.lock, held.mode));
        }
        let now = state.now_ms;
        let (due, later) =
            std::mem::take(&mut state.writes).into_iter().partition(|write| write.at_ms <= now);
        state.writes = later;
        for write in due {
            let newest = state.register.entry(write.lock.clone()).or_default();
            state.counts.writes += 1;
            if newest.lets_in(write.mode, write.token) {
                newest.note(write.mode, write.token);
            } else {
                state.counts.refused += 1;
                let still_holds = holding.iter().any(|(id, ..)| *id == write.guard);
                assert!(!still_holds, "the register refuses the holder of {}", write.lock);
            }
        }
        if let Some(wrong) = state.wrong.take() {
            panic!("{wrong}");
        }
    }
}
