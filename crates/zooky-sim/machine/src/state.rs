//! What a machine is at: its clock, its chance, its connections.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::chance;
use crate::net::Stage;

thread_local! {
    static PRESENT: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// One simulated machine with one program; clones are the same machine.
#[derive(Debug, Clone)]
pub struct Machine(Arc<Mutex<State>>);

/// A connection's number, unique on its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// Something that left the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How long the machine's program had run by then.
    pub at: Duration,
    /// On which connection.
    pub link: Link,
    /// What.
    pub what: Sending,
}

/// What leaves a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// It wants a connection.
    Connect,
    /// Bytes of an open connection.
    Bytes(Bytes),
    /// The connection's end.
    Close,
}

/// What comes to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// The connection is open.
    Accepted,
    /// Nobody listens there.
    Refused,
    /// Bytes.
    Bytes(Bytes),
    /// The other end has closed it.
    End,
    /// It is broken.
    Reset,
}

#[derive(Debug)]
pub(crate) struct State {
    random: u64,
    last_id: u64,
    /// When the program began, on tokio's clock.
    began: Option<Instant>,
    boot_ns: u64,
    /// How fast this machine's clock goes, in millionths.
    rate_ppm: u64,
    /// How long the machine has slept, in nanoseconds.
    slept_ns: u64,
    /// Who is to be woken after a sleep, and how long the machine had slept when it reckoned.
    timers: BTreeMap<u64, (Waker, u64)>,
    dead: bool,
    pub(crate) stages: BTreeMap<Link, Stage>,
    sent: Vec<Sent>,
}

impl Machine {
    /// A machine whose clock goes `rate_ppm` millionths as fast as true time, all of whose chance is from `seed`.
    pub fn new(seed: u64, rate_ppm: u64) -> Machine {
        Machine(Arc::new(Mutex::new(State {
            random: seed,
            last_id: 0,
            began: None,
            boot_ns: 1_000_000_000 + seed % 1_000_000_000_000,
            rate_ppm,
            slept_ns: 0,
            timers: BTreeMap::new(),
            dead: false,
            stages: BTreeMap::new(),
            sent: Vec::new(),
        })))
    }

    /// The machine whose program runs at this moment on this thread.
    pub fn present() -> Option<Machine> {
        PRESENT.with_borrow(Clone::clone)
    }

    /// Makes this the present machine while `work` is done.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = PRESENT.replace(Some(self.clone()));
        let result = work();
        PRESENT.replace(before);
        result
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the program has run: what tokio's clock has counted.
    pub fn ran(&self) -> Duration {
        let now = Instant::now();
        now.saturating_duration_since(*self.state().began.get_or_insert(now))
    }

    /// Nanoseconds since the boot, sleep included.
    pub fn boot_nanos(&self) -> u64 {
        let ran = self.ran().as_nanos() as u64;
        let state = self.state();
        state.boot_ns + ran / 1_000_000 * state.rate_ppm + ran % 1_000_000 + state.slept_ns
    }

    /// How long the program must wait until `wait` has passed on the machine's clock.
    pub(crate) fn until(&self, wait: Duration) -> Duration {
        let rate = self.state().rate_ppm.max(1);
        Duration::from_nanos((wait.as_nanos() as u64).div_ceil(rate) * 1_000_000)
    }

    pub(crate) fn slept(&self) -> u64 {
        self.state().slept_ns
    }

    /// The machine has slept: the clock has gone on, timers have not.
    pub fn sleep(&self, nanos: u64) {
        let wakers: Vec<Waker> = {
            let mut state = self.state();
            state.slept_ns += nanos;
            state.timers.values().map(|(waker, _)| waker.clone()).collect()
        };
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// The program ends by force: nothing it does from here on leaves the machine.
    pub fn kill(&self) {
        self.state().dead = true;
    }

    /// What has left since this was asked before.
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state().sent)
    }

    /// Something comes; nothing happens if the connection is closed on this side.
    pub fn arrives(&self, link: Link, arrival: Arrival) {
        let waker = self.state().stages.get_mut(&link).and_then(|stage| stage.arrives(arrival));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn send(&self, link: Link, what: Sending) {
        let at = self.ran();
        let mut state = self.state();
        if !state.dead {
            state.sent.push(Sent { at, link, what });
        }
    }
}

impl State {
    pub(crate) fn random(&mut self) -> u64 {
        chance::next(&mut self.random)
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn wake_after_sleep(&mut self, timer: u64, waker: &Waker) {
        let slept = self.slept_ns;
        self.timers.entry(timer).or_insert_with(|| (waker.clone(), slept)).0.clone_from(waker);
    }

    /// Whether the machine has slept since this timer last reckoned; it reckons now.
    pub(crate) fn timers_are_stale(&mut self, timer: u64, slept: u64) -> bool {
        self.timers.get_mut(&timer).is_some_and(|(_, before)| std::mem::replace(before, slept) != slept)
    }

    pub(crate) fn forget_timer(&mut self, timer: u64) {
        self.timers.remove(&timer);
    }
}
