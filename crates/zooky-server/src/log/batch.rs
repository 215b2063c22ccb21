//! The transactions that share one sync.

use bytes::BytesMut;
use zooky_wire::file::{ENTRY_MARK, ENTRY_PREFIX_LEN, checksum};
use zooky_wire::{TxnDigest, TxnRecord, Writer};

/// The version of the digest in which a record of ours names its batch: `zkby` as a number, unlike any
/// version of Apache ZooKeeper's, which skips digests that are not of its own version.
pub const BATCH_MARK_VERSION: i32 = i32::from_be_bytes(*b"zkby");

/// Log entries that are written with one write and made durable by one sync. Each carries the zxid of
/// the first as its batch mark, so that recovery can tell a torn batch from a damaged one.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: BytesMut,
    first_zxid: i64,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its bytes, as they go into the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The zxid of its first entry; 0 if there is none.
    pub fn first_zxid(&self) -> i64 {
        self.first_zxid
    }

    /// Adds a transaction behind the others. Its digest is replaced by the batch's mark.
    pub fn push(&mut self, mut record: TxnRecord) {
        if self.bytes.is_empty() {
            self.first_zxid = record.header.zxid;
        }
        record.digest = Some(TxnDigest { version: BATCH_MARK_VERSION, value: self.first_zxid });
        let start = self.bytes.len();
        let mut w = Writer::from_buf(std::mem::take(&mut self.bytes));
        w.raw(&[0; ENTRY_PREFIX_LEN]);
        record.encode(&mut w);
        let body = start + ENTRY_PREFIX_LEN;
        let sum = checksum(&w.as_slice()[body..]);
        // Frames end far below 2 GiB, and with them records.
        let length = (w.len() - body) as i32;
        w.raw(&[ENTRY_MARK]);
        self.bytes = w.into_buf();
        self.bytes[start..start + 8].copy_from_slice(&sum.to_be_bytes());
        self.bytes[start + 8..body].copy_from_slice(&length.to_be_bytes());
    }

    /// Empties it; a large buffer is given back.
    pub fn clear(&mut self) {
        self.first_zxid = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = BytesMut::new();
        }
    }
}
