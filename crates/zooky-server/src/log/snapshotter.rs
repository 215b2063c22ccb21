//! Snapshots while serving: when, and by whom.
//!
//! The owner of the core takes the pieces of a capture, a bounded amount in each turn, and hands their bytes to a
//! thread of this module, which writes and syncs them. A snapshot has its name only when it is whole and
//! durable, and when the log is durable up to the snapshot's zxid. Then older files are purged. A snapshot that fails is
//! given up with a warning; the log has everything.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Waker;
use zooky_wire::file::Checksum;

use super::purge::purge;
use super::snapshot::{Encoder, seal};
use super::{LogError, Storage, StorageFile, UNFINISHED, snapshot_name};
use crate::core::Core;
use crate::error::{ServerError, StartError};

/// How many bytes are encoded in one turn: some tenths of a millisecond.
const SLICE_BYTES: usize = 64 << 10;
/// How many slices may wait for the thread.
const SLICES: usize = 8;
/// The thread syncs whenever it has written so much, so that the log's syncs never wait for more than this.
const SYNC_BYTES: u64 = 256 << 10;
/// The thread rests after each job as long as that took, so that half of the disk's time is the log's; but no longer
/// than this.
const REST: Duration = Duration::from_millis(50);

/// When a snapshot is due, and how many are kept.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotRule {
    /// After this many transactions at the latest, and half as many at the earliest.
    pub(crate) transactions: u64,
    /// How many snapshots are kept.
    pub(crate) kept: usize,
    /// Snapshots that cannot be used, by zxid; they are not counted among those that are kept.
    pub(crate) invalid: Vec<i64>,
}

/// Takes snapshots of a core that is being served.
#[derive(Debug)]
pub(crate) struct Snapshotter {
    rule: SnapshotRule,
    /// Transactions since the last snapshot began.
    count: u64,
    due_at: u64,
    under_way: Option<UnderWay>,
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Result<(), LogError>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct UnderWay {
    encoder: Encoder,
    /// The batch that must be durable before the snapshot has its name.
    needs: u64,
    /// There are more pieces.
    more: bool,
    /// What the thread had no room for.
    waiting: Option<Job>,
    /// Everything has been handed over.
    over: bool,
}

#[derive(Debug)]
enum Job {
    /// A snapshot of this zxid begins.
    Begin(i64),
    Bytes(Bytes),
    End,
}

impl Snapshotter {
    /// Starts the thread. `count` transactions stand behind the newest snapshot already.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        rule: SnapshotRule,
        count: u64,
        waker: Arc<Waker>,
    ) -> Result<Snapshotter, StartError> {
        let (jobs, todo) = mpsc::sync_channel(SLICES);
        let (finished, done) = mpsc::channel();
        let (kept, invalid) = (rule.kept, rule.invalid.clone());
        let work = move || {
            let mut current = None;
            while let Ok(job) = todo.recv() {
                let begin = Instant::now();
                let result = work(&storage, &mut current, job);
                let rest = begin.elapsed().min(REST);
                if let Ok(Some(zxid)) = &result {
                    tracing::info!(path = %storage.path(&snapshot_name(*zxid)).display(), "took a snapshot");
                    if let Err(error) = purge(storage.as_ref(), kept, &invalid) {
                        tracing::warn!(%error, "cannot remove old snapshots and logs");
                    }
                }
                let news = result.map(|zxid| zxid.map(|_| ())).transpose();
                if news.is_some_and(|news| finished.send(news).is_err()) || waker.wake().is_err() {
                    return;
                }
                thread::sleep(rest);
            }
        };
        let thread = thread::Builder::new()
            .name("zooky-snapshot".into())
            .spawn(work)
            .map_err(|source| StartError::System { what: "start the snapshots' thread", source })?;
        let (jobs, thread) = (Some(jobs), Some(thread));
        let due_at = due_at(rule.transactions);
        Ok(Snapshotter { rule, count, due_at, under_way: None, jobs, done, thread })
    }

    /// A transaction went into the log.
    pub(crate) fn note_transaction(&mut self) {
        self.count += 1;
    }

    /// Makes the next snapshot due at once; one that is under way is finished first, for it may not show what was there when
    /// this was asked.
    pub(crate) fn ask(&mut self) {
        self.due_at = 0;
    }

    /// Whether it is time for the next snapshot.
    pub(crate) fn is_due(&self) -> bool {
        self.count >= self.due_at && self.under_way.is_none()
    }

    /// Begins a snapshot of the present state. It gets its name only when the batch `needs` is durable.
    pub(crate) fn begin(&mut self, core: &mut Core, needs: u64) {
        self.count = 0;
        self.due_at = due_at(self.rule.transactions);
        let head = core.begin_capture();
        let encoder = Encoder::new(&head);
        let waiting = Some(Job::Begin(head.zxid));
        self.under_way = Some(UnderWay { encoder, needs, more: true, waiting, over: false });
    }

    /// Does a bounded amount of what there is to do. Every batch up to `durable` is durable.
    pub(crate) fn advance(&mut self, core: &mut Core, durable: u64) -> Result<(), ServerError> {
        let Some(under_way) = &mut self.under_way else { return Ok(()) };
        match self.done.try_recv() {
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(ServerError::SnapshotThread),
            Ok(result) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "the snapshot is given up; the logs have everything");
                }
                core.end_capture();
                self.under_way = None;
                return Ok(());
            }
        }
        if under_way.waiting.is_none() {
            under_way.waiting = under_way.next(core, durable);
        }
        let Some(job) = under_way.waiting.take() else { return Ok(()) };
        let jobs = self.jobs.as_ref().ok_or(ServerError::SnapshotThread)?;
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job)) => {
                under_way.waiting = Some(job);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(ServerError::SnapshotThread),
        }
    }

    /// Whether [`Snapshotter::advance`] has something to do now, without any news.
    pub(crate) fn has_work(&self, durable: u64) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| {
            under_way.waiting.is_none() && !under_way.over && (under_way.more || under_way.needs <= durable)
        })
    }
}

impl UnderWay {
    fn next(&mut self, core: &mut Core, durable: u64) -> Option<Job> {
        if self.more {
            self.more = self.encoder.fill(core, SLICE_BYTES);
            return Some(Job::Bytes(self.encoder.take()));
        }
        if self.over || durable < self.needs {
            return None;
        }
        self.over = true;
        Some(Job::End)
    }
}

impl Drop for Snapshotter {
    /// Ends the thread; an unfinished snapshot is left to the next start to remove.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// As in the original: at random in the second half, so that not all servers of a machine do it at the same time.
fn due_at(transactions: u64) -> u64 {
    let half = transactions / 2;
    let random = getrandom::u32().unwrap_or_default();
    (half + u64::from(random) % (transactions - half).max(1)).max(1)
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Unfinished {
    file: Box<dyn StorageFile>,
    zxid: i64,
    sum: Checksum,
    len: u64,
    synced: u64,
}

/// Does a job; returns the zxid of a snapshot that is complete now. After a failure, the rest of that snapshot is
/// passed over.
fn work(
    storage: &Arc<dyn Storage>,
    current: &mut Option<Unfinished>,
    job: Job,
) -> Result<Option<i64>, LogError> {
    let result = do_job(storage, current, job);
    if result.is_err() {
        // The log needs the room more. If even this fails, the next start tries again.
        let _ = remove_unfinished(storage.as_ref());
    }
    result
}

fn do_job(
    storage: &Arc<dyn Storage>,
    current: &mut Option<Unfinished>,
    job: Job,
) -> Result<Option<i64>, LogError> {
    let result = match (job, current.take()) {
        (Job::Begin(zxid), _) => Unfinished::create(storage.as_ref(), zxid).map(Some),
        (_, None) => Ok(None),
        (Job::Bytes(bytes), Some(mut unfinished)) => {
            unfinished.write(storage.as_ref(), &bytes).map(|()| Some(unfinished))
        }
        (Job::End, Some(unfinished)) => return unfinished.finish(storage.as_ref()).map(Some),
    };
    *current = result?;
    Ok(None)
}

impl Unfinished {
    fn create(storage: &dyn Storage, zxid: i64) -> Result<Unfinished, LogError> {
        let io = |what, source| LogError::Io { what, path: storage.path(UNFINISHED), source };
        remove_unfinished(storage)?;
        let file = storage.create(UNFINISHED).map_err(|e| io("create", e))?;
        Ok(Unfinished { file, zxid, sum: Checksum::default(), len: 0, synced: 0 })
    }

    fn write(&mut self, storage: &dyn Storage, bytes: &[u8]) -> Result<(), LogError> {
        let io = |what, source| LogError::Io { what, path: storage.path(UNFINISHED), source };
        self.file.write_at(self.len, bytes).map_err(|e| io("write", e))?;
        self.sum.add(bytes);
        self.len += bytes.len() as u64;
        if self.len - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(|e| io("sync", e))?;
            self.synced = self.len;
        }
        Ok(())
    }

    /// Seals it and gives it its name.
    fn finish(mut self, storage: &dyn Storage) -> Result<i64, LogError> {
        let end = seal(&self.sum);
        self.write(storage, &end)?;
        let name = snapshot_name(self.zxid);
        let io = |what, source| LogError::Io { what, path: storage.path(&name), source };
        self.file.sync_data().map_err(|e| io("sync", e))?;
        storage.rename(UNFINISHED, &name).map_err(|e| io("name", e))?;
        storage.sync_dir().map_err(|e| io("sync the directory of", e))?;
        Ok(self.zxid)
    }
}

/// Removes what an interrupted snapshot has left.
pub(super) fn remove_unfinished(storage: &dyn Storage) -> Result<(), LogError> {
    let io = |what, source| LogError::Io { what, path: storage.path(UNFINISHED), source };
    if storage.list().map_err(|e| io("look for", e))?.iter().any(|name| name == UNFINISHED) {
        storage.remove(UNFINISHED).map_err(|e| io("remove", e))?;
    }
    Ok(())
}

/// Writes a snapshot of a core that is not being served.
pub(super) fn write_snapshot(storage: &dyn Storage, core: &mut Core) -> Result<(), LogError> {
    let head = core.begin_capture();
    let mut encoder = Encoder::new(&head);
    let mut unfinished = Unfinished::create(storage, head.zxid)?;
    loop {
        let more = encoder.fill(core, SLICE_BYTES);
        unfinished.write(storage, &encoder.take())?;
        if !more {
            return unfinished.finish(storage).map(|_| ());
        }
    }
}
