//! What programs do: contend for a lock in one of the ways there are, hold it, write under it, change it, and let go in
//! one of the ways there are.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use zooky::{BootInstant, Client, ConnectError, Error, Owner, PersistentLock, SessionConfig};
use zooky_testkit::Rng;

use crate::judge::{Grant, Judge};
use crate::recipe::{Handle, Mode, Patience, Recipe, Taken};

/// The locks of this world.
pub(crate) const LOCKS: [&str; 2] = ["/locks/a", "/locks/b"];

/// What a program is given.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) program: usize,
    /// How often it has been started.
    pub(crate) life: u32,
    pub(crate) timeout: Duration,
    pub(crate) workers: usize,
    /// How each of the locks that are used is used.
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) judge: Judge,
}

/// A program from its start to its end.
pub(crate) async fn program(part: Part, mut rng: Rng) {
    let client = loop {
        let servers = "server:2181".parse().expect("it is an address");
        let config = SessionConfig::new(servers).timeout(part.timeout).connect_timeout(part.timeout);
        match Client::connect_with(config).await {
            Ok(client) => break client,
            Err(fault) => part.judge.say(format!("program {} does not connect: {fault}", part.program)),
        }
    };
    for number in 0..part.workers {
        let worker = Worker::new(&client, &part, number, Rng::new(rng.next()));
        tokio::spawn(worker.work());
    }
}

/// Who holds, the same in every process: the length of what stands in a node is a part of the story.
fn owner(worker: &str) -> Owner {
    let mut owner = Owner::this_process().with_program(worker);
    (owner.host, owner.pid, owner.user) = ("machine".to_owned(), 7, "program".to_owned());
    owner
}

struct Worker {
    name: String,
    client: Client,
    part: Part,
    handles: Vec<Handle>,
    rng: Rng,
}

impl Worker {
    fn new(client: &Client, part: &Part, number: usize, rng: Rng) -> Worker {
        let name = format!("{}.{}.{number}", part.program, part.life);
        // The same in each life.
        let key = format!("job {}.{number}", part.program);
        let owner = owner(&name);
        let handle = |(path, recipe): (&&str, &Recipe)| Handle::new(client, path, *recipe, &owner, &key);
        let handles = LOCKS.iter().zip(&part.recipes).map(handle);
        let handles = handles.collect::<Result<Vec<_>, _>>().expect("they are paths of locks");
        Worker { name, client: client.clone(), part: part.clone(), handles, rng }
    }

    fn stopping(&self) -> bool {
        self.part.judge.state().stopping
    }

    async fn work(mut self) {
        for place in 0..self.handles.len() {
            self.take_back(place).await;
        }
        while !self.stopping() {
            sleep(Duration::from_millis(*self.rng.pick(&[0, 1, 10, 50]))).await;
            let place = self.rng.below(self.handles.len());
            if matches!(self.part.recipes[place], Recipe::Asking | Recipe::Taking) && self.rng.one_in(12) {
                self.revoke_all(place).await;
                continue;
            }
            let mode = self.part.recipes[place].any_mode(&mut self.rng);
            if let Some(taken) = Box::pin(self.contend(place, mode)).await {
                self.use_it(place, mode, taken).await;
            }
        }
        for handle in &self.handles {
            if let Handle::Persistent(lock) = handle {
                self.free(lock).await;
            }
        }
    }

    /// What an earlier life of this program may have left held.
    async fn take_back(&mut self, place: usize) {
        let Handle::Persistent(lock) = self.handles[place].clone() else { return };
        if self.rng.one_in(2) {
            return self.free(&lock).await;
        }
        match lock.take_back().await {
            Ok(Some(guard)) => {
                self.part.judge.state().counts.taken_back += 1;
                self.use_it(place, Mode::Write, Taken::Persistent(guard)).await;
            }
            Ok(None) => {}
            Err(fault) => {
                self.complain(LOCKS[place], fault);
                self.free(&lock).await;
            }
        }
    }

    /// Until it is not held under our key.
    async fn free(&self, lock: &PersistentLock) {
        while let Err(fault) = lock.release().await {
            self.complain(lock.path(), fault);
            // A client whose session is lost makes a new one as soon as it is asked again.
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn use_it(&mut self, place: usize, mode: Mode, taken: Taken) {
        let judge = self.part.judge.clone();
        let grant = Grant {
            worker: self.name.clone(),
            program: self.part.program,
            lock: LOCKS[place].to_owned(),
            recipe: self.part.recipes[place],
            mode,
            session: self.client.current().id(),
            changed: false,
        };
        let mut id = judge.granted(grant, taken);
        self.hold(id).await;
        if self.part.recipes[place] == Recipe::Changing && self.rng.one_in(2) {
            let Some(changed) = self.change(id).await else { return };
            id = changed;
            self.hold(id).await;
        }
        let Some((_, taken)) = judge.lets_go(id) else { return };
        self.let_go(taken).await;
        if let Handle::Persistent(lock) = &self.handles[place] {
            // To drop a guard releases nothing here, and others wait.
            self.free(lock).await;
        }
    }

    async fn revoke_all(&self, place: usize) {
        self.part.judge.say(format!("{} revokes all of {}", self.name, LOCKS[place]));
        match self.handles[place].revoke_all().await {
            Ok(()) => self.part.judge.state().counts.revocations += 1,
            Err(fault) => self.complain(LOCKS[place], fault),
        }
    }

    async fn contend(&mut self, place: usize, mode: Mode) -> Option<Taken> {
        let judge = self.part.judge.clone();
        let (handle, lock) = (self.handles[place].for_once(&mut self.rng), LOCKS[place]);
        let patience = Duration::from_millis(self.rng.below(400) as u64);
        let wanted = match self.rng.below(10) {
            0 => match timeout(patience, handle.take(mode, Patience::Endless)).await {
                Ok(result) => result,
                // Cancelled in the midst of it.
                Err(_) => Ok(None),
            },
            1 | 2 => handle.take(mode, Patience::None).await,
            3 | 4 => handle.take(mode, Patience::For(patience)).await,
            _ => {
                judge.waits(&self.name, lock);
                let wanted = tokio::select! {
                    biased;
                    wanted = handle.take(mode, Patience::Endless) => wanted,
                    () = stopping(&judge) => Ok(None),
                };
                judge.waits_no_more(&self.name);
                wanted
            }
        };
        match wanted {
            Ok(taken) => taken,
            Err(fault) => {
                self.complain(lock, fault);
                None
            }
        }
    }

    /// Some failures are to be expected; the others must not be.
    fn complain(&self, lock: &str, fault: Error) {
        let judge = &self.part.judge;
        let taking = LOCKS.iter().zip(&self.part.recipes).any(|of| of == (&lock, &Recipe::Taking));
        match fault {
            Error::Timeout { .. } => {}
            // Without a server for too long, or the session was lost while it tried.
            Error::Connect(ConnectError::Timeout { .. } | ConnectError::Lost) | Error::Session(_) => {
                judge.say(format!("{} does not get {lock}: {fault}", self.name));
            }
            Error::Revoked { .. } if taking => {
                judge.say(format!("{} does not get {lock}: {fault}", self.name));
            }
            fault => judge.wrong(format!("{} does not get {lock}: {fault}", self.name)),
        }
    }

    /// Holds and writes, as long as the guard says so; sometimes far too long.
    async fn hold(&mut self, id: u64) {
        let (judge, rng) = (&self.part.judge, &mut self.rng);
        let writes = match rng.below(20) {
            0 | 1 => rng.below(self.part.timeout.as_millis() as usize / 20),
            2..=4 => 0,
            _ => rng.below(6),
        };
        for _ in 0..writes {
            let Some(guard) = judge.look(id) else { return };
            let (held, deadline) = (guard.is_held(), guard.deadline());
            // The program may have stood still until just now: nobody but this look may have noticed.
            if held && BootInstant::now() >= deadline {
                judge.wrong(format!("{} says it is held past its deadline", guard.path()));
            }
            let asked = guard.is_revoked();
            drop(guard);
            if asked {
                judge.state().counts.heeded += 1;
            }
            if !held || asked || judge.state().stopping {
                return;
            }
            // Between the look and the write the program may stand still.
            tokio::task::yield_now().await;
            judge.write(id);
            sleep(Duration::from_millis(rng.below(40) as u64)).await;
        }
    }

    /// A reader becomes the writer, or the writer a reader; or everything stays as it was.
    async fn change(&mut self, id: u64) -> Option<u64> {
        let judge = self.part.judge.clone();
        let (grant, taken) = judge.lets_go(id)?;
        let Taken::Guard(guard) = taken else { return None };
        let patience = Duration::from_millis(self.rng.below(400) as u64);
        let (mode, result) = match grant.mode {
            Mode::Write => (Mode::Read, guard.downgrade().await),
            Mode::Read if self.rng.one_in(2) => (Mode::Write, guard.upgrade_timeout(patience).await),
            Mode::Read => {
                judge.waits(&self.name, &grant.lock);
                let result = guard.upgrade().await;
                judge.waits_no_more(&self.name);
                (Mode::Write, result)
            }
        };
        match result {
            Ok(guard) => {
                let mut state = judge.state();
                match mode {
                    Mode::Write => state.counts.upgrades += 1,
                    Mode::Read => state.counts.downgrades += 1,
                }
                drop(state);
                let grant = Grant { mode, changed: true, ..grant };
                Some(judge.granted(grant, Taken::Guard(guard)))
            }
            Err(unchanged) => {
                match unchanged.fault {
                    // Two readers want it: the second is to let go.
                    fault @ (Error::UpgradeConflict { .. } | Error::Lost { .. }) => {
                        judge.say(format!("{} does not change {}: {fault}", self.name, grant.lock));
                    }
                    fault => self.complain(&grant.lock, fault),
                }
                Some(judge.still_has(grant, Taken::Guard(unchanged.guard)))
            }
        }
    }

    async fn let_go(&mut self, taken: Taken) {
        let (judge, path) = (&self.part.judge, taken.path().to_owned());
        let result = match self.rng.below(4) {
            0 => return drop(taken),
            // Given up in the midst of it.
            1 => match timeout(Duration::from_millis(self.rng.below(50) as u64), taken.release()).await {
                Ok(result) => result,
                Err(_) => return,
            },
            _ => taken.release().await,
        };
        match result {
            Ok(()) => judge.say(format!("{} has released {path}", self.name)),
            Err(fault) => judge.say(format!("{} has lost {path}: {fault}", self.name)),
        }
    }
}

/// Ready once workers are to leave.
async fn stopping(judge: &Judge) {
    while !judge.state().stopping {
        sleep(Duration::from_millis(20)).await;
    }
}
