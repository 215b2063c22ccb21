//! The parts of ZooKeeper's log and snapshot files that are not records of jute.
//!
//! A log file (`log.<zxid in hex>`) is a [`FileHeader`], then entries, then zero padding. An entry
//! is: the Adler-32 of its bytes as a 64-bit integer, their length as a 32-bit integer, the bytes
//! ([`crate::TxnRecord`]), and the mark `B`.

use crate::{DecodeError, Reader, Writer};

/// What a file starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// [`LOG_MAGIC`] or [`SNAPSHOT_MAGIC`].
    pub magic: i32,
    /// [`FILE_VERSION`].
    pub version: i32,
    /// Unused by the original: 0 in logs, -1 in snapshots.
    pub dbid: i64,
}

/// `ZKLG`.
pub const LOG_MAGIC: i32 = i32::from_be_bytes(*b"ZKLG");
/// `ZKSN`.
pub const SNAPSHOT_MAGIC: i32 = i32::from_be_bytes(*b"ZKSN");
/// The version of both formats.
pub const FILE_VERSION: i32 = 2;
/// The end mark of a log entry.
pub const ENTRY_MARK: u8 = b'B';
/// The bytes of an entry before its record: checksum and length.
pub const ENTRY_PREFIX_LEN: usize = 12;

impl FileHeader {
    /// Its number of bytes.
    pub const LEN: usize = 16;

    /// The header of a log.
    pub const LOG: FileHeader = FileHeader { magic: LOG_MAGIC, version: FILE_VERSION, dbid: 0 };
    /// The header of a snapshot.
    pub const SNAPSHOT: FileHeader = FileHeader { magic: SNAPSHOT_MAGIC, version: FILE_VERSION, dbid: -1 };

    /// Reads a header.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(FileHeader { magic: r.i32()?, version: r.i32()?, dbid: r.i64()? })
    }

    /// Writes it.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.magic);
        w.i32(self.version);
        w.i64(self.dbid);
    }
}

/// The checksum of a log entry, or of a snapshot's bytes.
pub fn checksum(bytes: &[u8]) -> i64 {
    i64::from(simd_adler32::adler32(&bytes))
}

/// The same checksum of bytes that come in parts.
#[derive(Clone, Default)]
pub struct Checksum(simd_adler32::Adler32);

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checksum({:#x})", self.value())
    }
}

impl Checksum {
    /// Takes more bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> i64 {
        i64::from(self.0.finish())
    }
}

/// Puts a record's bytes into an entry.
pub fn encode_entry(record: &[u8], w: &mut Writer) {
    w.i64(checksum(record));
    w.buffer(Some(record));
    w.raw(&[ENTRY_MARK]);
}

/// What stands at some place of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A whole entry that checks: the record's bytes, and the length of the entry.
    Whole {
        /// The bytes of the record.
        record: &'a [u8],
        /// The length of the entry, prefix and mark included.
        len: usize,
    },
    /// Nothing but padding from here on, or the end of the file.
    End,
    /// Something that does not check.
    Bad {
        /// What does not.
        why: &'static str,
    },
}

/// Looks at the entry at the front of `bytes`, which reach to the end of the file.
pub fn entry_at(bytes: &[u8]) -> Entry<'_> {
    let mut r = Reader::new(bytes);
    let (Ok(sum), Ok(length)) = (r.i64(), r.i32()) else {
        return if bytes.iter().all(|&b| b == 0) { Entry::End } else { Entry::Bad { why: "it is cut off" } };
    };
    if sum == 0 && length == 0 {
        return if bytes.iter().all(|&b| b == 0) {
            Entry::End
        } else {
            Entry::Bad { why: "there is something behind the padding" }
        };
    }
    let Some(n) = usize::try_from(length).ok().filter(|&n| n > 0) else {
        return Entry::Bad { why: "its length is impossible" };
    };
    let (Ok(record), Ok(mark)) = (r.take(n), r.take(1)) else {
        return Entry::Bad { why: "it is cut off" };
    };
    if mark != [ENTRY_MARK] {
        return Entry::Bad { why: "its end mark is missing" };
    }
    if checksum(record) != sum {
        return Entry::Bad { why: "its checksum is wrong" };
    }
    Entry::Whole { record, len: ENTRY_PREFIX_LEN + n + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adler_is_the_known_one() {
        assert_eq!(checksum(b"Wikipedia"), 0x11E6_0398);
        let mut parts = Checksum::default();
        parts.add(b"Wiki");
        parts.add(b"pedia");
        assert_eq!(parts.value(), 0x11E6_0398);
    }

    #[test]
    fn entries() {
        let mut w = Writer::new();
        encode_entry(b"hello", &mut w);
        let len = w.len();
        w.raw(&[0; 100]);
        let bytes = w.into_bytes();
        assert_eq!(entry_at(&bytes), Entry::Whole { record: b"hello", len });
        assert_eq!(entry_at(&bytes[len..]), Entry::End);
        assert_eq!(entry_at(&[]), Entry::End);
        assert!(matches!(entry_at(&bytes[..len - 1]), Entry::Bad { .. }));
        for bit in 0..len * 8 {
            let mut broken = bytes.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(entry_at(&broken), Entry::Bad { .. }), "bit {bit}");
        }
        let mut stale = bytes.to_vec();
        stale[len + 50] = 1;
        assert!(matches!(entry_at(&stale[len..]), Entry::Bad { .. }));
    }
}
