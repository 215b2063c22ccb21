//! Which transactions share a sync, and which batches are durable.

use zooky_wire::TxnRecord;

use super::Batch;

/// The batch that is being filled, and the numbers of all batches: the first is 1. At most one batch is
/// under way to the disk. Pure: who writes and syncs tells it.
#[derive(Debug)]
pub struct Batches {
    open: Batch,
    /// An empty batch whose buffer can be used again.
    spare: Batch,
    /// The number of the batch in `open`.
    open_number: u64,
    /// Every batch up to this one is durable.
    durable: u64,
    /// The newest transaction, the newest in the batch that was taken last, and the newest that is durable.
    newest_zxid: i64,
    taken_zxid: i64,
    durable_zxid: i64,
}

impl Default for Batches {
    fn default() -> Self {
        Batches {
            open: Batch::new(),
            spare: Batch::new(),
            open_number: 1,
            durable: 0,
            newest_zxid: 0,
            taken_zxid: 0,
            durable_zxid: 0,
        }
    }
}

impl Batches {
    /// Takes a transaction into the batch that is being filled.
    pub fn push(&mut self, record: TxnRecord) {
        self.newest_zxid = record.header.zxid;
        self.open.push(record);
    }

    /// The batch that must be durable before anything that shows the present state may leave.
    pub fn needed(&self) -> u64 {
        self.open_number - u64::from(self.open.is_empty())
    }

    /// The batch that must be durable before anything that shows the transactions up to `zxid` may leave.
    pub fn needed_for(&self, zxid: i64) -> u64 {
        if !self.open.is_empty() && zxid >= self.open.first_zxid() {
            self.open_number
        } else if zxid > self.durable_zxid {
            self.open_number - 1
        } else {
            self.durable
        }
    }

    /// The newest transaction of which this knows that it is durable; 0 if none has been since the start.
    pub fn durable_zxid(&self) -> i64 {
        self.durable_zxid
    }

    /// Every batch up to this one is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The batch that is being filled.
    pub fn open(&self) -> &Batch {
        &self.open
    }

    /// Closes the batch that is being filled: it is to be written and synced now. Only when the one taken
    /// before is durable.
    pub fn take(&mut self) -> Batch {
        self.open_number += 1;
        self.taken_zxid = self.newest_zxid;
        std::mem::replace(&mut self.open, std::mem::take(&mut self.spare))
    }

    /// The batch that was taken last is durable. Its buffer is used again.
    pub fn synced(&mut self, mut batch: Batch) {
        self.durable = self.open_number - 1;
        self.durable_zxid = self.taken_zxid;
        batch.clear();
        self.spare = batch;
    }
}
