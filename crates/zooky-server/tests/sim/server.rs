//! The server without sockets and threads: the real core, log and rule of release, put together as
//! `run.rs` does it.

use bytes::Bytes;
use zooky_server::core::{ConnId, Core, Input, Now, Output};
use zooky_server::held::Held;
use zooky_server::log::{Batch, Batches, LogError, LogWriter, encode_snapshot};

use super::disk::Disk;

/// What a snapshot is called until it is whole.
const UNFINISHED: &str = "unfinished-snapshot";

/// What is on its way out.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) conn: ConnId,
    /// `None`: close.
    pub(crate) frame: Option<Bytes>,
    /// The newest transaction that it can show.
    pub(crate) shows: i64,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) core: Core,
    pub(crate) writer: LogWriter,
    batches: Batches,
    held: Held<Leaving>,
    /// The batch that is under way to the disk.
    job: Option<Batch>,
}

impl Server {
    pub(crate) fn new(core: Core, writer: LogWriter) -> Server {
        Server { core, writer, batches: Batches::default(), held: Held::default(), job: None }
    }

    pub(crate) fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let mut newest = self.core.last_zxid();
        self.core.step(now, input, &mut out);
        for output in &out {
            match output.clone() {
                Output::Append(record) => {
                    newest = record.header.zxid;
                    self.batches.push(record);
                }
                Output::Send { conn, frame, shows } => {
                    let batch = self.batches.needed_for(shows);
                    self.held.push(batch, Leaving { conn, frame: Some(frame), shows });
                }
                Output::Close { conn } => {
                    self.held.push(self.batches.needed(), Leaving { conn, frame: None, shows: newest });
                }
            }
        }
        out
    }

    /// The log gets the next batch, if it is idle.
    pub(crate) fn begin_sync(&mut self) {
        if self.job.is_none() && !self.batches.open().is_empty() {
            self.job = Some(self.batches.take());
        }
    }

    /// The log does what it was given.
    pub(crate) fn finish_sync(&mut self) -> Result<(), LogError> {
        if let Some(batch) = self.job.take() {
            self.writer.append(&batch)?;
            self.batches.synced(batch);
        }
        Ok(())
    }

    /// A snapshot of the present moment, put there as the server does it, once all in it is durable: whether that was done.
    /// `None` if something is under way, or it is there already. `told` is told its name first.
    pub(crate) fn take_snapshot(
        &self,
        disk: &Disk,
        told: impl FnOnce(&str),
    ) -> Option<Result<(), std::io::Error>> {
        if !self.is_idle() {
            return None;
        }
        let image = self.core.image();
        let name = format!("snapshot.{:x}", image.last_zxid());
        if disk.names().contains(&name) {
            return None;
        }
        told(&name);
        let bytes = encode_snapshot(image);
        let storage = disk.storage();
        let write = || {
            if disk.names().iter().any(|name| name == UNFINISHED) {
                storage.remove(UNFINISHED)?;
            }
            let mut file = storage.create(UNFINISHED)?;
            file.write_at(0, &bytes)?;
            file.sync_data()?;
            storage.rename(UNFINISHED, &name)?;
            storage.sync_dir()
        };
        Some(write())
    }

    /// How many bytes are under way to the disk.
    #[allow(dead_code)] // the simulator of client and server together does not ask
    pub(crate) fn under_way(&self) -> usize {
        self.job.as_ref().map_or(0, |batch| batch.bytes().len())
    }

    /// Whether a batch is under way to the disk.
    #[allow(dead_code)] // the simulator of client and server together asks
    pub(crate) fn is_syncing(&self) -> bool {
        self.job.is_some()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.job.is_none() && self.batches.open().is_empty() && self.held.is_empty()
    }

    pub(crate) fn release(&mut self) -> Option<Leaving> {
        self.core.note_durable(self.batches.durable_zxid());
        self.held.pop(self.batches.durable())
    }
}
