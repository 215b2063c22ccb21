//! One client process: a task for each kind of lock, which takes it again and again, and judges itself.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zooky::session::Error as SessionError;
use zooky::{Client, Error, GuardState};
use zooky_testkit::{FencedRegister, Rng};

use super::SESSION_TIMEOUT;
use super::common::{again, config};
use super::kinds::{self, Handle, Held, Kind};

/// Where the registers of a run are kept, one for each kind.
pub(crate) fn register(directory: &Path, kind: Kind) -> FencedRegister {
    FencedRegister::open(directory.join(kind.name()))
}

/// What the process does; the parent says `turn` and hears `served` when each task has been inside once more, says `late`
/// to be told who still waits, and ends its input to end it. How long all that may take is the parent's business, who knows what
/// the machine has given to all of us.
pub(crate) fn run(args: &[String]) {
    let [hosts, directory, who, key, seed] = args else { panic!("{args:?}") };
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        again::heard()
            .map_while(Result::ok)
            .take_while(|line| sender.send(line.clone()).is_ok())
            .for_each(drop);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let name = Name { who: who.clone(), key: key.clone(), seed: seed.parse().unwrap() };
    runtime.block_on(tasks.run_until(work(hosts.clone(), directory.into(), name, orders)));
}

struct Name {
    who: String,
    /// Of this client and of whoever takes its place when it is killed.
    key: String,
    seed: u64,
}

async fn work(
    hosts: String,
    directory: PathBuf,
    Name { who, key, seed }: Name,
    mut orders: mpsc::UnboundedReceiver<String>,
) {
    let client = connected(&hosts).await;
    again::say(format_args!("connected {who}"));
    let (over, _) = watch::channel(false);
    let (mut tasks, mut handles) = (Vec::new(), Vec::new());
    for kind in kinds::ALL {
        let handle = Handle::new(kind, &client, &key);
        handles.push(handle.clone());
        let register = register(&directory, kind);
        for _ in 0..kind.tasks() {
            let turns = Rc::new(Cell::new(0_usize));
            let task = Task {
                kind,
                handle: handle.clone(),
                register: register.clone(),
                who: format!("{who}, task {}", tasks.len()),
                rng: Rng::new(seed * 100 + tasks.len() as u64),
                turns: turns.clone(),
            };
            tasks.push((kind, turns, tokio::task::spawn_local(task.go_on(over.subscribe()))));
        }
    }
    while let Some(order) = orders.recv().await {
        if order == "clock" {
            let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            again::say(format_args!("clock {}", since_1970.as_secs()));
            continue;
        }
        assert_eq!(order, "turn");
        let before: Vec<usize> = tasks.iter().map(|(_, turns, _)| turns.get()).collect();
        loop {
            let ended = tasks.iter().find(|(.., task)| task.is_finished());
            assert!(ended.is_none(), "the task of {:?} ended", ended.map(|(kind, ..)| kind));
            let waiting = tasks.iter().zip(&before).filter(|((_, turns, _), before)| turns.get() <= **before);
            let waiting: Vec<Kind> = waiting.map(|((kind, ..), _)| *kind).collect();
            if waiting.is_empty() {
                break;
            }
            tokio::select! {
                order = orders.recv() => {
                    assert_eq!(order.as_deref(), Some("late"));
                    again::say(format_args!("waiting {waiting:?}"));
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        again::say("served");
    }
    over.send_replace(true);
    for (_, _, task) in tasks {
        task.await.unwrap();
    }
    for handle in handles {
        loop {
            match handle.leave().await {
                Ok(()) => break,
                Err(fault) if passes(&fault) => {}
                Err(fault) => panic!("{who}: {fault:?}"),
            }
        }
    }
    let closed = client.close().await;
    again::say(format_args!("closed {closed:?}"));
}

/// Until it succeeds: the servers may be down, or at an election just now.
async fn connected(hosts: &str) -> Client {
    loop {
        match Client::connect_with(config(hosts).timeout(SESSION_TIMEOUT)).await {
            Ok(client) => return client,
            Err(fault) if passes(&fault) => {}
            Err(fault) => panic!("{fault:?}"),
        }
    }
}

struct Task {
    kind: Kind,
    handle: Handle,
    register: FencedRegister,
    who: String,
    rng: Rng,
    turns: Rc<Cell<usize>>,
}

impl Task {
    async fn go_on(mut self, mut over: watch::Receiver<bool>) {
        while !*over.borrow_and_update() {
            let taken = tokio::select! {
                taken = self.handle.take(self.kind, &self.who, &mut self.rng) => taken,
                // Whoever waits now leaves the queue.
                _ = over.changed() => return,
            };
            match taken {
                Ok(Some(held)) => self.inside(held).await,
                Ok(None) => {}
                Err(fault) if passes(&fault) => tracing::debug!(%fault, "a fault that passes"),
                Err(fault) => panic!("{} {:?}: {fault:?}", self.who, self.kind),
            }
            // So that two cores have room for everybody.
            tokio::time::sleep(Duration::from_millis(self.rng.below(20) as u64)).await;
        }
    }

    async fn inside(&mut self, held: Held) {
        let token = held.token().as_u128();
        match self.register.enter(token, held.mode, &self.who) {
            Ok(entry) => {
                tokio::time::sleep(Duration::from_millis(self.rng.below(12) as u64)).await;
                self.handle.judge().await;
                let overlapped = self.register.overlaps().into_iter().find(|one| one.inside.token == token);
                let written = match held.mode {
                    zooky_testkit::Mode::Write => entry.write(),
                    zooky_testkit::Mode::Read => Ok(()),
                };
                if overlapped.is_some() || written.is_err() {
                    self.hears_of_its_loss(&held).await;
                }
                // Asked last: if it is held now, it was held when all of that happened.
                if held.state() != GuardState::Lost {
                    assert_eq!(overlapped, None, "{:?}: another came in beside a holder", self.kind);
                    assert_eq!(written, Ok(()), "{:?}: a holder was refused", self.kind);
                    self.turns.set(self.turns.get() + 1);
                }
                drop(entry);
            }
            // Refused by the resource: then the guard must know why.
            Err(stale) => {
                self.hears_of_its_loss(&held).await;
                assert_eq!(held.state(), GuardState::Lost, "{:?}: {stale}", self.kind);
            }
        }
        if self.rng.one_in(3) {
            // Released in the background.
            drop(held);
            return;
        }
        match held.release().await {
            Ok(()) | Err(Error::Lost { .. }) => {}
            Err(fault) => panic!("{} {:?}: {fault:?}", self.who, self.kind),
        }
    }

    /// Where locks are taken by force, another may be inside before the news has come. It must come: whoever waits for it in
    /// vain has no more turns.
    async fn hears_of_its_loss(&self, held: &Held) {
        if self.kind == Kind::Seize {
            held.lost().await;
        }
    }
}

/// What a caller who does not wait for ever may be told while servers fail.
fn passes(fault: &Error) -> bool {
    match fault {
        Error::Connect(_) => true,
        Error::Session(fault) => matches!(
            fault,
            SessionError::ConnectionLoss { .. } | SessionError::SessionLost | SessionError::Server { .. }
        ),
        _ => false,
    }
}
