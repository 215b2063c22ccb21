//! What programs do: contend for a lock in one of the ways there are, hold it, write under it, and let go in one of
//! the ways there are.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use zooky::{BootInstant, Client, ConnectError, Error, Guard, Lock, RwLock, SessionConfig};

use crate::judge::{Judge, Mode};
use crate::rng::Rng;

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
    /// How many of the locks are used.
    pub(crate) locks: usize,
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
        let name = format!("{}.{}.{number}", part.program, part.life);
        tokio::spawn(work(name, client.clone(), part.clone(), Rng::new(rng.next())));
    }
}

async fn work(name: String, client: Client, part: Part, mut rng: Rng) {
    let judge = part.judge.clone();
    while !judge.state().stopping {
        sleep(Duration::from_millis(*rng.pick(&[0, 1, 10, 50]))).await;
        let lock = LOCKS[rng.below(part.locks)];
        let mode = if rng.one_in(3) { Mode::Read } else { Mode::Write };
        let Some(guard) = contend(&name, &client, lock, mode, &judge, &mut rng).await else { continue };
        let session = client.current().id();
        let id = judge.granted(&name, part.program, lock, mode, session, guard);
        hold(id, &judge, part.timeout, &mut rng).await;
        let Some(guard) = judge.lets_go(id) else { return };
        let_go(guard, &judge, &name, &mut rng).await;
    }
}

async fn contend(
    name: &str,
    client: &Client,
    lock: &str,
    mode: Mode,
    judge: &Judge,
    rng: &mut Rng,
) -> Option<Guard> {
    let patience = Duration::from_millis(rng.below(400) as u64);
    let wanted = match rng.below(10) {
        0 => match timeout(patience, acquire(client, lock, mode)).await {
            Ok(result) => result.map(Some),
            // Cancelled in the midst of it.
            Err(_) => Ok(None),
        },
        1 | 2 => attempt(client, lock, mode, None).await,
        3 | 4 => attempt(client, lock, mode, Some(patience)).await,
        _ => {
            judge.waits(name, lock);
            let wanted = tokio::select! {
                biased;
                wanted = acquire(client, lock, mode) => wanted.map(Some),
                () = stopping(judge) => Ok(None),
            };
            judge.waits_no_more(name);
            wanted
        }
    };
    match wanted {
        Ok(guard) => guard,
        Err(Error::Timeout { .. }) => None,
        // Without a server for too long, or the session was lost while it tried.
        Err(
            fault @ (Error::Connect(ConnectError::Timeout { .. } | ConnectError::Lost) | Error::Session(_)),
        ) => {
            judge.say(format!("{name} does not get {lock}: {fault}"));
            None
        }
        Err(fault) => {
            judge.wrong(format!("{name} does not get {lock}: {fault}"));
            None
        }
    }
}

async fn acquire(client: &Client, lock: &str, mode: Mode) -> Result<Guard, Error> {
    match mode {
        Mode::Write => Lock::new(client, lock)?.acquire().await,
        Mode::Read => RwLock::new(client, lock)?.read().await,
    }
}

async fn attempt(
    client: &Client,
    lock: &str,
    mode: Mode,
    within: Option<Duration>,
) -> Result<Option<Guard>, Error> {
    match (mode, within) {
        (Mode::Write, None) => Lock::new(client, lock)?.try_acquire().await,
        (Mode::Write, Some(within)) => Lock::new(client, lock)?.acquire_timeout(within).await.map(Some),
        (Mode::Read, None) => RwLock::new(client, lock)?.try_read().await,
        (Mode::Read, Some(within)) => RwLock::new(client, lock)?.read_timeout(within).await.map(Some),
    }
}

/// Ready once workers are to leave.
async fn stopping(judge: &Judge) {
    while !judge.state().stopping {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Holds and writes, as long as the guard says so; sometimes far too long.
async fn hold(id: u64, judge: &Judge, session: Duration, rng: &mut Rng) {
    let writes = match rng.below(20) {
        0 | 1 => rng.below(session.as_millis() as usize / 20),
        2..=4 => 0,
        _ => rng.below(6),
    };
    for _ in 0..writes {
        let Some(guard) = judge.look(id) else { return };
        let (held, deadline) = (guard.is_held(), guard.deadline());
        // The program may have stood still until just now: nobody but this look may have noticed.
        if held && BootInstant::now() >= deadline {
            judge.wrong(format!("a guard of {} says it is held past its deadline", guard.lock_path()));
        }
        drop(guard);
        if !held || judge.state().stopping {
            return;
        }
        // Between the look and the write the program may stand still.
        tokio::task::yield_now().await;
        judge.write(id);
        sleep(Duration::from_millis(rng.below(40) as u64)).await;
    }
}

async fn let_go(guard: Guard, judge: &Judge, name: &str, rng: &mut Rng) {
    let path = guard.path().to_owned();
    let result = match rng.below(4) {
        0 => return drop(guard),
        // Given up in the midst of it.
        1 => match timeout(Duration::from_millis(rng.below(50) as u64), guard.release()).await {
            Ok(result) => result,
            Err(_) => return,
        },
        _ => guard.release().await,
    };
    match result {
        Ok(()) => judge.say(format!("{name} has released {path}")),
        Err(fault) => judge.say(format!("{name} has lost {path}: {fault}")),
    }
}
