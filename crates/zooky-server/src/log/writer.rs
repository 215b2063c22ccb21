//! The end of the newest log file, where batches are appended.

use std::io;
use std::sync::Arc;

use zooky_wire::Writer;
use zooky_wire::file::FileHeader;

use super::{Batch, LogError, Storage, StorageFile, log_name};

/// How long a log file may get, in bytes, before the next batch starts a new one.
pub const ROLL_BYTES_DEFAULT: u64 = 64 << 20;

/// The least and the most that is filled with zeros at a time, in bytes.
const ROOM_MIN: u64 = 64 << 10;
const ROOM_MAX: u64 = 4 << 20;
/// How much is filled at a time while nothing waits: a batch that comes meanwhile waits for this, not for all of it.
const ROOM_STEP: u64 = 512 << 10;

/// Appends batches to the log. There is one, and whoever owns it may write.
#[derive(Debug)]
pub struct LogWriter {
    storage: Arc<dyn Storage>,
    current: Option<Current>,
    roll_bytes: u64,
    failed: bool,
}

#[derive(Debug)]
struct Current {
    file: Box<dyn StorageFile>,
    name: String,
    /// Behind the last entry.
    end: u64,
    /// Behind the zeros that are on the disk already.
    room_end: u64,
}

impl LogWriter {
    /// A writer whose first batch starts a new file.
    pub(super) fn new(storage: Arc<dyn Storage>) -> LogWriter {
        LogWriter { storage, current: None, roll_bytes: ROLL_BYTES_DEFAULT, failed: false }
    }

    /// Goes on in a file that exists and of which `whole` is good: what stands behind that is cut off.
    ///
    /// When this returns, `whole` and the cut are durable. A sync alone would not do that for the last batch,
    /// which starts at `last_batch`: if its own sync failed, the kernel may have it in the page cache and
    /// take it for written. So it is written again.
    pub(super) fn resume(
        &mut self,
        name: &str,
        mut file: Box<dyn StorageFile>,
        whole: &[u8],
        last_batch: u64,
    ) -> Result<(), LogError> {
        let io = |what, error| self.io(what, name, error);
        let mut end = whole.len() as u64;
        file.truncate(end).map_err(|e| io("truncate", e))?;
        if end < FileHeader::LEN as u64 {
            file.write_at(0, &header()).map_err(|e| io("write", e))?;
            end = FileHeader::LEN as u64;
        } else {
            file.write_at(last_batch, &whole[last_batch as usize..]).map_err(|e| io("write", e))?;
        }
        file.sync_data().map_err(|e| io("sync", e))?;
        let mut current = Current { file, name: name.to_owned(), end, room_end: end };
        if end < self.roll_bytes {
            current.fill(ROOM_MIN).map_err(|e| io("extend", e))?;
            self.current = Some(current);
        }
        Ok(())
    }

    /// How long a file may get, in bytes. The default is [`ROLL_BYTES_DEFAULT`].
    pub fn set_roll_bytes(&mut self, roll_bytes: u64) {
        self.roll_bytes = roll_bytes;
    }

    /// Makes the next batch start a new file, unless the present one is still empty.
    pub fn roll(&mut self) {
        self.current.take_if(|current| current.end > FileHeader::LEN as u64);
    }

    /// Writes a batch and makes it durable. Starts a new file when the present one is long enough.
    ///
    /// # Errors
    /// The disk refused; nothing is known about the batch, and every later call fails too.
    pub fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.guarded(|log| {
            if log.current.as_ref().is_none_or(|current| current.end >= log.roll_bytes) {
                log.current = Some(log.start_file(batch.first_zxid())?);
            }
            let Some(current) = &mut log.current else { return Err(LogError::Failed) };
            let result = current.append(batch.bytes());
            let path = || log.storage.path(&current.name);
            result.map_err(|(what, source)| LogError::Io { what, path: path(), source })
        })
    }

    /// Whether [`LogWriter::make_room`] should be called when there is time.
    pub fn wants_room(&self) -> bool {
        !self.failed
            && self
                .current
                .as_ref()
                .is_some_and(|c| c.room_end < self.roll_bytes + ROOM_MIN && c.room_end - c.end < c.room() / 2)
    }

    /// Writes zeros ahead of the entries and syncs them, so that the syncs of small batches have no
    /// metadata to write. A bounded amount; [`LogWriter::wants_room`] tells whether that is enough.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    pub fn make_room(&mut self) -> Result<(), LogError> {
        self.guarded(|log| {
            let Some(current) = &mut log.current else { return Ok(()) };
            let room = current.room().min(ROOM_STEP);
            current.fill(room).map_err(|source| LogError::Io {
                what: "extend",
                path: log.storage.path(&current.name),
                source,
            })
        })
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), LogError>) -> Result<(), LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        let result = work(self);
        self.failed = result.is_err();
        result
    }

    /// Makes the file whose first entry is to be `zxid`; header and name are durable when this returns.
    fn start_file(&self, zxid: i64) -> Result<Current, LogError> {
        let name = log_name(zxid);
        let mut file = self.storage.create(&name).map_err(|e| self.io("create", &name, e))?;
        file.write_at(0, &header()).map_err(|e| self.io("write", &name, e))?;
        let end = FileHeader::LEN as u64;
        let mut current = Current { file, name, end, room_end: end };
        current.fill(ROOM_MIN).map_err(|e| self.io("extend", &current.name, e))?;
        self.storage.sync_dir().map_err(|e| self.io("sync the directory of", &current.name, e))?;
        Ok(current)
    }

    fn io(&self, what: &'static str, name: &str, source: io::Error) -> LogError {
        LogError::Io { what, path: self.storage.path(name), source }
    }
}

impl Current {
    /// How much to fill at the present length: a little in a small file, more in a large one.
    fn room(&self) -> u64 {
        self.end.clamp(ROOM_MIN, ROOM_MAX)
    }

    /// One write and one sync, over zeros that are on the disk already. If there are too few, more are written first and
    /// synced by themselves: a sync that also has a file's new length or blocks to write is not to be trusted
    /// alone. When ext4 is shut down under it, it may return success although the journal has given those
    /// up; but then the next sync fails, and here it is the next one that an answer waits for.
    fn append(&mut self, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let end = self.end + bytes.len() as u64;
        if end > self.room_end {
            self.fill(end - self.room_end + self.room()).map_err(|e| ("extend", e))?;
        }
        self.file.write_at(self.end, bytes).map_err(|e| ("write", e))?;
        self.end = end;
        self.file.sync_data().map_err(|e| ("sync", e))
    }

    fn fill(&mut self, room: u64) -> io::Result<()> {
        self.file.write_at(self.room_end, &vec![0; room as usize])?;
        self.room_end += room;
        self.file.sync_data()
    }
}

fn header() -> Vec<u8> {
    let mut w = Writer::new();
    FileHeader::LOG.encode(&mut w);
    w.as_slice().to_vec()
}
