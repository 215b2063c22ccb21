//! What the handles and the driver of a session share: the queue of requests, the state, the deadline.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use zooky_wire::{Create, MultiOp, Request, parent};

use crate::boottime::BootInstant;
use crate::chroot::Chroot;
use crate::core;
use crate::direct;
use crate::driver::Driver;
use crate::error::Error;
use crate::pending::{Exchange, ReplySender};
use crate::session::State;
use crate::watch::{TreeSink, WatchEvent};

/// So many requests leave at once, from the thread that asked the last of them, although the session's task has been woken: it
/// gets its turn only after all others that are ready, and meanwhile the server would have nothing to do.
const PORTION: usize = 16;

/// Where events go.
pub(crate) enum WatchSender {
    Once(oneshot::Sender<Result<WatchEvent, Error>>),
    Tree(Arc<dyn TreeSink>, Arc<AtomicBool>),
}

impl WatchSender {
    /// Hands an event over. Whoever does not wait any more does not care.
    pub(crate) fn send(self, event: Result<WatchEvent, Error>) {
        match self {
            WatchSender::Once(sender) => drop(sender.send(event)),
            WatchSender::Tree(sink, gone) if !gone.load(Ordering::Acquire) => sink.event(event),
            WatchSender::Tree(..) => {}
        }
    }
}

impl core::Watcher for WatchSender {
    fn is_gone(&self) -> bool {
        match self {
            WatchSender::Once(sender) => sender.is_closed(),
            WatchSender::Tree(_, gone) => gone.load(Ordering::Acquire),
        }
    }

    fn again(&self) -> Option<WatchSender> {
        match self {
            WatchSender::Once(_) => None,
            WatchSender::Tree(sink, gone) => Some(WatchSender::Tree(sink.clone(), gone.clone())),
        }
    }
}

pub(crate) type Ask = core::Ask<ReplySender, WatchSender>;

/// Shared between the handles and the driver.
pub(crate) struct Shared {
    pub(crate) chroot: Chroot,
    /// The state as last told to those who follow it.
    pub(crate) states: watch::Sender<State>,
    limit: usize,
    deadline_ns: AtomicU64,
    /// From when on an acknowledgement is overdue.
    overdue_ns: AtomicU64,
    connected: AtomicBool,
    /// Never reset.
    lost: AtomicBool,
    queue: Mutex<Queue>,
    /// Set before the task is started.
    driver: OnceLock<Weak<Mutex<Driver>>>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) asks: Vec<Ask>,
    pub(crate) close: Option<Vec<oneshot::Sender<Result<(), Error>>>>,
    /// Somebody's look at the clock has ended the session before the driver's did.
    pub(crate) look: bool,
    /// Somebody wants another server.
    leave: bool,
    /// What is no longer waited for.
    forgotten: Vec<(String, core::Target)>,
    corks: usize,
    /// The driver's task, once it has looked.
    task: Option<Waker>,
    /// It sleeps, or will, and nobody has woken it since it looked.
    asleep: bool,
    /// Why nothing is taken any more.
    ended: Option<Error>,
}

impl Shared {
    pub(crate) fn new(chroot: Chroot, limit: usize) -> Shared {
        Shared {
            chroot,
            states: watch::Sender::new(State::Suspended),
            limit,
            deadline_ns: AtomicU64::new(u64::MAX),
            overdue_ns: AtomicU64::new(u64::MAX),
            connected: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            queue: Mutex::default(),
            driver: OnceLock::new(),
        }
    }

    /// For those who send from their own threads.
    pub(crate) fn driven_by(&self, driver: Weak<Mutex<Driver>>) {
        let _ = self.driver.set(driver);
    }

    /// Nothing panics while it holds this lock; should it happen, what is behind it is still whole.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        if self.lost.load(Ordering::Acquire) {
            return State::Lost;
        }
        if BootInstant::now() >= self.deadline() {
            // The driver must not move the deadline on after somebody was told Lost: the flag is what counts.
            self.lost.store(true, Ordering::Release);
            self.change(|queue| queue.look = true);
            return State::Lost;
        }
        if self.connected.load(Ordering::Acquire) { State::Connected } else { State::Suspended }
    }

    pub(crate) fn deadline(&self) -> BootInstant {
        BootInstant::from_nanos(self.deadline_ns.load(Ordering::Acquire))
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.state() != State::Connected
            || BootInstant::now().as_nanos() >= self.overdue_ns.load(Ordering::Acquire)
    }

    /// The driver has a new deadline; `lead` before it an acknowledgement is overdue.
    pub(crate) fn set_deadline(&self, deadline: BootInstant, lead: Duration) {
        self.overdue_ns.store((deadline - lead).as_nanos(), Ordering::Release);
        self.deadline_ns.store(deadline.as_nanos(), Ordering::Release);
    }

    /// The driver tells the state. Lost is final.
    pub(crate) fn set_state(&self, state: State) {
        self.connected.store(state == State::Connected, Ordering::Release);
        if state == State::Lost {
            self.lost.store(true, Ordering::Release);
        }
        self.states.send_if_modified(|old| {
            let changes = *old != state && *old != State::Lost;
            if changes {
                *old = state;
            }
            changes
        });
    }

    /// Queues a request and wakes the driver. Otherwise its reply is given here, now.
    pub(crate) fn push(&self, mut ask: Ask) {
        let mut queue = self.queue();
        let refused = match &queue.ended {
            Some(error) => error.clone(),
            None if queue.asks.len() < self.limit => {
                queue.asks.push(ask);
                return self.wake(queue);
            }
            None => Error::Overloaded { path: String::new(), limit: self.limit },
        };
        drop(queue);
        let reply = ask.reply.take();
        let refused = match refused {
            Error::Overloaded { limit, .. } => {
                Error::Overloaded { path: self.chroot.outward(ask.take_path()), limit }
            }
            refused => refused,
        };
        if let Some(reply) = reply {
            reply.send(Err(refused));
        }
    }

    /// Queues a creation. If what was asked last before it is an unattended deletion beside it, and has not left yet, both are
    /// one request; `path` is the new node's as the session's user knows it.
    pub(crate) fn push_creation(
        &self,
        create: Create,
        path: &str,
        created: oneshot::Sender<Result<core::Answer, Error>>,
    ) {
        let mut queue = self.queue();
        let beside =
            |ask: &&mut Ask| unattended_removal(ask).is_some_and(|old| parent(old) == parent(&create.path));
        let Some(last) = queue.asks.last_mut().filter(beside) else {
            drop(queue);
            let reply = Some(ReplySender::Awaited(created));
            return self.push(Ask { request: Request::Create(create), reply, watch: None });
        };
        let removal = std::mem::replace(&mut last.request, Request::Ping);
        if let (Request::Delete { path: old, version }, Some(ReplySender::Unattended(not_deleted))) =
            (removal, last.reply.take())
        {
            let outward = self.chroot.outward(old.clone());
            let exchange = Exchange { old: outward, not_deleted, new: path.to_owned(), created };
            last.request =
                Request::Multi(vec![MultiOp::Delete { path: old, version }, MultiOp::Create(create)]);
            last.reply = Some(ReplySender::Exchanged(Box::new(exchange)));
        }
        self.wake(queue);
    }

    /// Somebody does not wait any more for what they watch; the path is the server's.
    pub(crate) fn forget(&self, path: String, target: core::Target) {
        let mut queue = self.queue();
        if queue.ended.is_none() {
            queue.forgotten.push((path, target));
            self.wake(queue);
        }
    }

    pub(crate) fn close(&self, done: Option<oneshot::Sender<Result<(), Error>>>) {
        self.set_state(State::Lost);
        self.change(|queue| match &queue.ended {
            // It has ended already. Lost, it was not closed: the servers expire it by themselves.
            Some(Error::Closed) => done.into_iter().for_each(|done| _ = done.send(Ok(()))),
            Some(_) => {}
            None => queue.close.get_or_insert_default().extend(done),
        });
    }

    /// The connection ends, and the next one leads to another server if there is one.
    pub(crate) fn leave_server(&self) {
        self.change(|queue| queue.leave = true);
    }

    pub(crate) fn cork(&self) {
        self.queue().corks += 1;
    }

    pub(crate) fn uncork(&self) {
        self.change(|queue| queue.corks -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        change(&mut queue);
        self.wake(queue);
    }

    /// Wakes the driver once the lock is free again, unless this thread does its work; it has at most one wake-up to
    /// come. A portion leaves without waiting for that.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if queue.corks > 0 {
            return;
        }
        let first = std::mem::take(&mut queue.asleep);
        // Not with a deletion at its end: a creation may be about to come along with it.
        let portion = queue.asks.len() >= PORTION && queue.asks.last().and_then(unattended_removal).is_none();
        let Some(task) = (first || portion).then(|| queue.task.clone()).flatten() else { return };
        drop(queue);
        let send = if first { direct::send } else { direct::send_now };
        if !self.driver.get().is_some_and(|driver| send(driver, &task)) {
            task.wake();
        }
    }

    /// The driver takes what is there into `asks`, which must be empty, or leaves its waker.
    pub(crate) fn drain(&self, asks: &mut Vec<Ask>, waker: &Waker) -> Drained {
        let mut queue = self.queue();
        if queue.corks == 0 {
            std::mem::swap(&mut queue.asks, asks);
        }
        match &mut queue.task {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        queue.asleep = true;
        Drained {
            close: queue.close.take(),
            look: std::mem::take(&mut queue.look),
            leave: std::mem::take(&mut queue.leave),
            // After the requests before them: a watch that is being set for somebody else is seen then.
            forgotten: if queue.corks == 0 { std::mem::take(&mut queue.forgotten) } else { Vec::new() },
        }
    }

    /// The driver ends; what is still asked fails with `error`.
    pub(crate) fn end(&self, error: &Error) -> (Vec<Ask>, Vec<oneshot::Sender<Result<(), Error>>>) {
        let mut queue = self.queue();
        queue.ended = Some(error.clone());
        (std::mem::take(&mut queue.asks), queue.close.take().unwrap_or_default())
    }
}

/// The node that nobody waits to see deleted, if this asks for that.
fn unattended_removal(ask: &Ask) -> Option<&str> {
    match (&ask.request, &ask.reply) {
        (Request::Delete { path, .. }, Some(ReplySender::Unattended(_))) => Some(path),
        _ => None,
    }
}

/// What else was in the queue.
pub(crate) struct Drained {
    pub(crate) close: Option<Vec<oneshot::Sender<Result<(), Error>>>>,
    pub(crate) look: bool,
    pub(crate) leave: bool,
    pub(crate) forgotten: Vec<(String, core::Target)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn ask() -> Ask {
        Ask { request: Request::Ping, reply: None, watch: None }
    }

    #[test]
    fn a_flight_leaves_whole_with_one_wake() {
        let shared = Shared::new(Chroot::default(), 10);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut asks = Vec::new();
        shared.drain(&mut asks, &waker);
        shared.cork();
        shared.push(ask());
        shared.drain(&mut asks, &waker);
        assert!(asks.is_empty());
        shared.push(ask());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        shared.uncork();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        shared.drain(&mut asks, &waker);
        assert_eq!(asks.len(), 2);
    }

    #[test]
    fn lost_is_final_and_found_by_looking() {
        let shared = Shared::new(Chroot::default(), 10);
        shared.set_state(State::Connected);
        shared.set_deadline(BootInstant::now() + Duration::from_secs(10), Duration::from_secs(3));
        assert_eq!((shared.state(), shared.is_suspect()), (State::Connected, false));
        shared.set_deadline(BootInstant::now() + Duration::from_secs(2), Duration::from_secs(3));
        assert_eq!((shared.state(), shared.is_suspect()), (State::Connected, true));
        shared.set_deadline(BootInstant::now(), Duration::ZERO);
        assert_eq!(shared.state(), State::Lost);
        // An acknowledgement that comes now is too late.
        shared.set_deadline(BootInstant::now() + Duration::from_secs(10), Duration::ZERO);
        shared.set_state(State::Connected);
        assert_eq!((shared.state(), shared.is_suspect()), (State::Lost, true));
        assert!(shared.drain(&mut Vec::new(), Waker::noop()).look);
    }

    #[test]
    fn the_queue_has_a_bound_and_an_end() {
        let shared = Shared::new(Chroot::default(), 1);
        shared.push(ask());
        let refused = || {
            let (reply, mut answer) = oneshot::channel();
            shared.push(Ask { reply: Some(ReplySender::Awaited(reply)), ..ask() });
            answer.try_recv().map(|answer| answer.unwrap_err())
        };
        assert!(matches!(refused(), Ok(Error::Overloaded { limit: 1, .. })));
        assert_eq!(shared.end(&Error::Closed).0.len(), 1);
        assert_eq!(refused(), Ok(Error::Closed));
        // One who does not wait is told as well.
        let told = Arc::new(Mutex::new(None));
        let tell = told.clone();
        let reply = ReplySender::Unattended(Box::new(move |error| *tell.lock().unwrap() = Some(error)));
        shared.push(Ask { reply: Some(reply), ..ask() });
        assert_eq!(told.lock().unwrap().take(), Some(Error::Closed));
    }
}
