//! One of ours and one of theirs on one path, in both orders of arrival.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use zooky::inspect::Contender;
use zooky::{AsyncLock, Client, Dialect, Error, Guard, Lock, RwLock};
use zooky_testkit::{JavaProgram, Script, Talk};

use crate::common::{LONG, Observer, client, eventually, in_time, path};
use crate::table::{Handle, Meeting, OURS, Program, Theirs};

/// How long one waits for what does not come.
const SHORT: Duration = Duration::from_millis(100);

/// A program with stock clients, on a session of its own.
pub struct Stock(Talk);

impl Stock {
    pub fn start(program: Program, hosts: &str) -> Stock {
        let mut talk = match program {
            Program::Java => JavaProgram::new("Stock", include_str!("Stock.java")).arg(hosts).spawn(),
            Program::Python => Script::new(include_str!("stock.py")).arg(hosts).spawn(),
        };
        talk.expect_line("started", LONG);
        Stock(talk)
    }

    pub fn make(&mut self, kind: &str, path: &str) {
        self.0.send_line(&format!("new lock {kind} {path}"));
        self.0.expect_line("done", LONG);
    }

    /// Begins to acquire.
    pub fn begin(&mut self) {
        self.0.send_line("acquire lock 30");
    }

    /// Whether it is granted soon; for showing that it is not.
    pub fn is_granted_soon(&mut self) -> bool {
        self.0.hears_line("acquired", SHORT)
    }

    pub fn granted(&mut self) -> String {
        self.0.expect_line("acquired", LONG)
    }

    /// Asks whoever has this node to let go, by Curator's Revoker.
    pub fn ask(&mut self, node: &str) {
        self.0.send_line(&format!("revoke {node}"));
        self.0.expect_line("asked", LONG);
    }

    /// Waits until its revocable lock is asked for.
    pub fn is_asked(&mut self) {
        self.0.expect_line("revoked", LONG);
    }

    pub fn release(&mut self) {
        self.0.send_line("release lock");
        self.0.expect_line("released", LONG);
    }
}

/// A contender of ours on its way.
pub async fn acquire(
    client: &Client,
    path: &str,
    (dialect, handle): (Dialect, Handle),
    waits: mpsc::UnboundedSender<Contender>,
) -> Result<Guard, Arc<Error>> {
    let told = move |contender: &Contender| {
        let _ = waits.send(contender.clone());
    };
    match handle {
        Handle::Lock => {
            let lock = Lock::new(client, path)?.dialect(dialect)?.on_wait(told);
            Ok(lock.acquire().await?)
        }
        Handle::Write => Ok(RwLock::new(client, path)?.dialect(dialect)?.on_wait(told).write().await?),
        Handle::Read => Ok(RwLock::new(client, path)?.dialect(dialect)?.on_wait(told).read().await?),
        Handle::Async => {
            let candidate = AsyncLock::new(client, path)?.dialect(dialect)?.on_wait(told).enqueue();
            match candidate.wait().await {
                Ok(()) => Ok(candidate.take_guard().expect("it was acquired")),
                Err(Error::NotAcquired { why, .. }) => Err(why),
                Err(fault) => Err(fault.into()),
            }
        }
    }
}

/// All of ours with one of theirs.
pub async fn meet_all(theirs: &Theirs, stock: &mut Stock, hosts: &str) {
    let client = client(hosts).await;
    let observer = Observer::new(hosts).await;
    for (ours, meeting) in OURS.into_iter().zip(theirs.meetings()) {
        let case = format!("{} and our {ours:?}: {meeting:?}", theirs.name);
        for second in ["ours", "theirs"] {
            let path = path(&format!("interop-{}", theirs.kind));
            // A second client finds the directory made by the first one, and the other way round.
            match second {
                "ours" => ours_second(&client, ours, theirs, stock, meeting, &path, &case).await,
                _ => theirs_second(&client, &observer, ours, theirs, stock, meeting, &path, &case).await,
            }
        }
    }
}

async fn ours_second(
    client: &Client,
    ours: (Dialect, Handle),
    theirs: &Theirs,
    stock: &mut Stock,
    meeting: Meeting,
    path: &str,
    case: &str,
) {
    stock.make(theirs.kind, path);
    stock.begin();
    assert_eq!(stock.granted(), "true", "{case}");
    let (told, mut waits) = mpsc::unbounded_channel();
    let coming = tokio::spawn({
        let (client, path) = (client.clone(), path.to_owned());
        async move { acquire(&client, &path, ours, told).await }
    });
    match meeting {
        Meeting::Exclude | Meeting::Disguised => {
            let blocker = waits.recv().await.unwrap_or_else(|| panic!("{case}: ours did not wait"));
            assert!(blocker.path.starts_with(path), "{case}: {blocker:?}");
            assert!(!coming.is_finished(), "{case}");
            stock.release();
            coming.await.unwrap().expect(case).release().await.unwrap();
        }
        Meeting::Share | Meeting::ShareOnceDowngraded => {
            let guard = coming.await.unwrap().expect(case);
            stock.release();
            guard.release().await.unwrap();
        }
        Meeting::Blind | Meeting::OneWay => {
            let fault = coming.await.unwrap().err().unwrap_or_else(|| panic!("{case}: ours was let in"));
            match &*fault {
                Error::ForeignContender { path: at, child, .. } => {
                    assert_eq!(at, path);
                    let node = client.session().await.unwrap().exists(&format!("{path}/{child}")).await;
                    assert!(node.unwrap().is_some(), "{case}: {child}");
                }
                fault => panic!("{case}: {fault}"),
            }
            stock.release();
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "one call")]
async fn theirs_second(
    client: &Client,
    observer: &Observer,
    ours: (Dialect, Handle),
    theirs: &Theirs,
    stock: &mut Stock,
    meeting: Meeting,
    path: &str,
    case: &str,
) {
    let (told, _waits) = mpsc::unbounded_channel();
    let guard = acquire(client, path, ours, told).await.expect(case);
    stock.make(theirs.kind, path);
    stock.begin();
    let reported = match meeting {
        Meeting::Exclude | Meeting::OneWay | Meeting::ShareOnceDowngraded => {
            observer.count(path, 2).await;
            assert!(!stock.is_granted_soon(), "{case}: theirs was let in beside ours");
            assert!(guard.foreign_contender().is_none_or(|seen| !seen.certain), "{case}: a false alarm");
            None
        }
        Meeting::Share => {
            assert_eq!(stock.granted(), "true", "{case}");
            None
        }
        Meeting::Blind => Some(in_time(LONG / 4, case, guard.foreign()).await),
        Meeting::Disguised => {
            assert_eq!(stock.granted(), "true", "{case}");
            Some(eventually("an uncertain report", || async { guard.foreign_contender() }).await)
        }
    };
    if let Some(seen) = reported {
        assert_eq!(seen.certain, meeting == Meeting::Blind, "{case}");
        assert!(seen.path.starts_with(path), "{case}: {seen:?}");
    }
    assert!(guard.is_held(), "{case}");
    guard.release().await.unwrap();
    if !matches!(meeting, Meeting::Share | Meeting::Disguised) {
        let granted = stock.granted();
        // A client that fails where it cannot read a name has neither waited nor got in.
        assert!(
            granted == "true" || meeting == Meeting::Blind && granted.starts_with("failed"),
            "{case}: {granted}"
        );
    }
    stock.release();
}

/// Two of ours, in this order: the second waits for the first, shares with it, or is refused with nothing left behind.
pub async fn meet_ours(
    first: (Dialect, Handle),
    second: (Dialect, Handle),
    clients: &[Client; 2],
    observer: &Observer,
) {
    let case = format!("{second:?} behind {first:?}");
    let path = path("interop-ours");
    let (told, mut waits) = mpsc::unbounded_channel();
    let guard = acquire(&clients[0], &path, first, told.clone()).await.expect(&case);
    let family = |(dialect, handle)| (dialect, dialect == Dialect::Curator && handle == Handle::Lock);
    let coming = tokio::spawn({
        let (client, path) = (clients[1].clone(), path.clone());
        async move { acquire(&client, &path, second, told).await }
    });
    // Curator's mutex and ZkAsyncLock name their nodes alike enough to see each other.
    let mutexes = [(Dialect::Curator, Handle::Lock), (Dialect::Zktools, Handle::Async)];
    let alike = mutexes.contains(&first) && mutexes.contains(&second);
    if family(first) != family(second) && !alike {
        let fault = coming.await.unwrap().err().unwrap_or_else(|| panic!("{case}: let in"));
        assert!(matches!(&*fault, Error::ForeignContender { .. }), "{case}: {fault}");
        observer.count(&path, 1).await;
    } else if (first.1, second.1) == (Handle::Read, Handle::Read) {
        let reading = coming.await.unwrap().expect(&case);
        reading.release().await.unwrap();
    } else {
        let blocker = waits.recv().await.unwrap_or_else(|| panic!("{case}: did not wait"));
        assert_eq!(blocker.path, guard.path(), "{case}");
        assert!(guard.foreign_contender().is_none(), "{case}");
        guard.release().await.unwrap();
        coming.await.unwrap().expect(&case).release().await.unwrap();
    }
}
