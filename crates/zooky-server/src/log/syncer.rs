//! When batches are synced, and by which thread.
//!
//! With nothing else at hand the owner's thread syncs itself: handing over to another thread and back
//! costs tens of microseconds. As soon as requests are found waiting after such a sync, batches go to the
//! log's own thread, so that reading and applying go on while the disk is busy; after a while of quiet the
//! owner's thread takes over again. A disk that takes long is waited for there as well: beside that the way to another
//! thread is short, and whoever comes meanwhile would wait for all of it. The owner may say that a batch is to be synced at once,
//! by its own thread. The [`LogWriter`] itself moves back and forth: whoever has it may write.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;
use zooky_wire::TxnRecord;

use super::{Batch, Batches, LogError, LogWriter};
use crate::error::{ServerError, StartError};

/// After how many short syncs of the thread during which no request came in the owner syncs again.
const QUIET_SYNCS: u32 = 8;
/// A sync that takes longer is long.
const LONG_SYNC: Duration = Duration::from_millis(1);

/// Collects transactions into batches and makes them durable, one batch after the other.
#[derive(Debug)]
pub(crate) struct Syncer {
    batches: Batches,
    /// The open batch starts a new file.
    roll: bool,
    /// `None` while the thread has it.
    writer: Option<Box<LogWriter>>,
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    threaded: bool,
    synced_inline: bool,
    worked_meanwhile: bool,
    quiet_syncs: u32,
    /// The last sync was long.
    long: bool,
}

#[derive(Debug)]
struct Job {
    writer: Box<LogWriter>,
    /// Empty: only make room.
    batch: Batch,
}

#[derive(Debug)]
struct Done {
    writer: Box<LogWriter>,
    batch: Batch,
    result: Result<(), LogError>,
    took: Duration,
}

impl Syncer {
    /// Starts the log's thread, which wakes the owner by `waker` after each sync.
    pub(crate) fn start(writer: LogWriter, waker: Arc<Waker>) -> Result<Syncer, StartError> {
        let (jobs, todo) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("zooky-log".into())
            .spawn(move || work(&todo, &finished, &waker))
            .map_err(|source| StartError::System { what: "start the log's thread", source })?;
        Ok(Syncer {
            batches: Batches::default(),
            roll: false,
            writer: Some(Box::new(writer)),
            jobs: Some(jobs),
            done,
            thread: Some(thread),
            threaded: false,
            synced_inline: false,
            worked_meanwhile: false,
            quiet_syncs: 0,
            long: false,
        })
    }

    /// Takes a transaction into the batch that is being filled.
    pub(crate) fn push(&mut self, record: TxnRecord) {
        self.batches.push(record);
    }

    /// The batch that must be durable before anything that shows the present state may leave.
    pub(crate) fn needed(&self) -> u64 {
        self.batches.needed()
    }

    /// The batch that must be durable before anything that shows the transactions up to `zxid` may leave.
    pub(crate) fn needed_for(&self, zxid: i64) -> u64 {
        self.batches.needed_for(zxid)
    }

    /// The newest transaction of which this knows that it is durable; 0 if none has been since the start.
    pub(crate) fn durable_zxid(&self) -> i64 {
        self.batches.durable_zxid()
    }

    /// Whether [`Syncer::sync`] would now keep this thread.
    pub(crate) fn would_sync_here(&self, here: bool) -> bool {
        self.writer.is_some() && self.keeps_this_thread(here) && !self.batches.open().is_empty()
    }

    /// Every batch up to this one is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.batches.durable()
    }

    /// Whether nothing waits in the batch that is being filled.
    pub(crate) fn is_drained(&self) -> bool {
        self.batches.open().is_empty()
    }

    /// Makes the batch that is being filled, or will be, start a new file.
    pub(crate) fn roll(&mut self) {
        self.roll = true;
    }

    /// How many bytes wait in the batch that is being filled.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.batches.open().bytes().len()
    }

    /// Whether the last [`Syncer::sync`] was done here; asked once.
    pub(crate) fn take_synced_inline(&mut self) -> bool {
        std::mem::take(&mut self.synced_inline)
    }

    /// Requests were found waiting after a sync that was done here.
    pub(crate) fn note_waiting(&mut self) {
        self.threaded = true;
        self.quiet_syncs = 0;
    }

    /// Requests were served; if the thread is syncing, it was worth the hop.
    pub(crate) fn note_work(&mut self) {
        self.worked_meanwhile |= self.writer.is_none();
    }

    /// If the disk is idle: makes the open batch durable, or hands it to the thread unless it is to be done `here`; with no
    /// batch, may use the time to make room ahead.
    pub(crate) fn sync(&mut self, here: bool) -> Result<(), ServerError> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        if self.batches.open().is_empty() {
            if writer.wants_room() {
                return self.hand_over(writer, Batch::new());
            }
            self.writer = Some(writer);
            return Ok(());
        }
        if std::mem::take(&mut self.roll) {
            writer.roll();
        }
        if !self.keeps_this_thread(here) {
            let batch = self.batches.take();
            return self.hand_over(writer, batch);
        }
        let batch = self.batches.take();
        let begin = Instant::now();
        writer.append(&batch)?;
        self.long = begin.elapsed() > LONG_SYNC;
        if self.long {
            self.note_waiting();
        }
        self.batches.synced(batch);
        self.synced_inline = true;
        self.writer = Some(writer);
        Ok(())
    }

    /// For a disk that takes long nobody but the log's thread waits.
    fn keeps_this_thread(&self, here: bool) -> bool {
        !self.threaded || (here && !self.long)
    }

    fn hand_over(&mut self, writer: Box<LogWriter>, batch: Batch) -> Result<(), ServerError> {
        self.worked_meanwhile = false;
        let jobs = self.jobs.as_ref().ok_or(ServerError::LogThread)?;
        jobs.send(Job { writer, batch }).map_err(|_| ServerError::LogThread)
    }

    /// Looks whether the thread has finished.
    pub(crate) fn collect(&mut self) -> Result<(), ServerError> {
        if self.writer.is_some() {
            return Ok(());
        }
        match self.done.try_recv() {
            Ok(done) => self.take_back(done),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(ServerError::LogThread),
        }
    }

    fn take_back(&mut self, done: Done) -> Result<(), ServerError> {
        done.result?;
        if !done.batch.is_empty() {
            self.long = done.took > LONG_SYNC;
            let quiet = !self.worked_meanwhile && !self.long;
            self.quiet_syncs = if quiet { self.quiet_syncs + 1 } else { 0 };
            self.threaded &= self.quiet_syncs < QUIET_SYNCS;
            self.batches.synced(done.batch);
        }
        self.writer = Some(done.writer);
        Ok(())
    }

    /// Waits for the thread, and makes all that is open durable.
    pub(crate) fn finish(&mut self) -> Result<(), ServerError> {
        if self.writer.is_none() {
            let done = self.done.recv().map_err(|_| ServerError::LogThread)?;
            self.take_back(done)?;
        }
        self.threaded = false;
        if self.batches.open().is_empty() { Ok(()) } else { self.sync(false) }
    }
}

impl Drop for Syncer {
    /// Ends the thread. If it panicked, so does this.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn work(todo: &Receiver<Job>, finished: &Sender<Done>, waker: &Waker) {
    while let Ok(Job { mut writer, batch }) = todo.recv() {
        let begin = Instant::now();
        let result = if batch.is_empty() { writer.make_room() } else { writer.append(&batch) };
        if finished.send(Done { writer, batch, result, took: begin.elapsed() }).is_err() {
            return;
        }
        if let Err(error) = waker.wake() {
            tracing::warn!(%error, "cannot wake the server's thread; it looks by itself soon");
        }
    }
}
