//! Reads one log file, front to back, and judges what does not check.

use zooky_wire::file::{ENTRY_MARK, ENTRY_PREFIX_LEN, Entry, FILE_VERSION, FileHeader, LOG_MAGIC, entry_at};
use zooky_wire::{Reader, TxnRecord};

use super::BATCH_MARK_VERSION;

/// The bytes of a transaction's header, the least that an entry can hold.
const TXN_HEADER_LEN: usize = 32;
/// Where in them the zxid is.
const ZXID_AT: usize = 12;

/// Where the entries of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Behind the last whole entry; 0 if not even the header is there.
    pub(super) offset: u64,
    /// Whether something that a crash left stands behind it.
    pub(super) torn: bool,
}

/// What comes behind a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Newest,
    /// Another log, whose name says that it starts with this zxid.
    Before(i64),
}

/// Whether nothing can be missing between two transactions: the next number, or the beginning of a later epoch
/// (the upper half of a zxid; each leader of an ensemble begins one).
pub(super) fn follows(last: i64, next: i64) -> bool {
    let (epoch, count) = (next >> 32, next & 0xffff_ffff);
    next == last.wrapping_add(1) || (epoch > last >> 32 && count <= 1)
}

/// A place that does not check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) why: String,
}

/// What stopped a scan.
#[derive(Debug)]
pub(super) enum Stop<E> {
    Damage(Damage),
    Refused { offset: u64, error: E },
}

/// Hands each record of the file in `bytes` to `each`. `last_zxid` is the newest one before this file, and
/// moves on. The end may be torn in the newest file; in another one only if the next file goes on exactly where the whole
/// entries end, so that nothing that was acknowledged can have stood in the torn one: Apache ZooKeeper leaves such a file
/// behind when it is killed in the middle of a write and started again.
pub(super) fn scan<E>(
    bytes: &[u8],
    tail: Tail,
    last_zxid: &mut i64,
    mut each: impl FnMut(TxnRecord) -> Result<(), E>,
) -> Result<End, Stop<E>> {
    if let Some(end) = check_header(bytes, tail == Tail::Newest).map_err(Stop::Damage)? {
        return Ok(end);
    }
    let mut at = FileHeader::LEN;
    loop {
        let damage = |why: String| Stop::Damage(Damage { offset: at as u64, why });
        match entry_at(&bytes[at..]) {
            Entry::Whole { record, len } => {
                let record = TxnRecord::decode(record).map_err(|e| damage(e.to_string()))?;
                let zxid = record.header.zxid;
                if zxid <= *last_zxid {
                    return Err(damage(format!("transaction {zxid:#x} stands behind {last_zxid:#x}")));
                }
                *last_zxid = zxid;
                each(record).map_err(|error| Stop::Refused { offset: at as u64, error })?;
                at += len;
            }
            Entry::End => return Ok(End { offset: at as u64, torn: false }),
            Entry::Bad { why } => {
                let end = End { offset: at as u64, torn: true };
                if let Tail::Before(next) = tail {
                    let goes_on = *last_zxid != 0 && follows(*last_zxid, next);
                    return if goes_on { Ok(end) } else { Err(damage(why.to_owned())) };
                }
                return match promised_behind(&bytes[at..], *last_zxid) {
                    None => Ok(end),
                    Some(more) => {
                        let whole = at + more;
                        Err(damage(format!("{why}, but a later transaction stands whole at byte {whole}")))
                    }
                };
            }
        }
    }
}

/// `Some` if the file ends before its first entry.
fn check_header(bytes: &[u8], newest: bool) -> Result<Option<End>, Damage> {
    let damage = |why: String| Damage { offset: 0, why };
    let header = FileHeader::decode(&mut Reader::new(bytes));
    // The header is durable before the first entry is written: without it there is none.
    if newest && header != Ok(FileHeader::LOG) && bytes.iter().skip(FileHeader::LEN).all(|&b| b == 0) {
        return Ok(Some(End { offset: 0, torn: bytes.iter().any(|&b| b != 0) }));
    }
    let header = header.map_err(|_| damage("its header is cut off".into()))?;
    if header.magic != LOG_MAGIC {
        return Err(damage("it does not start as a log does".into()));
    }
    if header.version != FILE_VERSION {
        return Err(damage(format!("its version is {}, not {FILE_VERSION}", header.version)));
    }
    Ok(None)
}

/// Looks behind a bad entry for a whole one that can only be there if the bad one was durable once: one of
/// a later batch, or one without a mark. A batch is written only after the one before it was synced, so a
/// crash cannot leave such a pair. Returns its distance from the front of `bytes`.
fn promised_behind(bytes: &[u8], last_zxid: i64) -> Option<usize> {
    // The bad entry is at least this; batches that start later than it were written after its sync.
    let bad_zxid = last_zxid.saturating_add(1);
    (1..bytes.len()).find(|&at| {
        let rest = &bytes[at..];
        if !plausible(rest, last_zxid) {
            return false;
        }
        let Entry::Whole { record, .. } = entry_at(rest) else { return false };
        let Ok(record) = TxnRecord::decode(record) else { return false };
        match record.digest {
            Some(digest) if digest.version == BATCH_MARK_VERSION => digest.value > bad_zxid,
            _ => true,
        }
    })
}

/// The cheap tests: almost no place that holds no entry passes them.
fn plausible(rest: &[u8], last_zxid: i64) -> bool {
    const LEAST: usize = ENTRY_PREFIX_LEN + TXN_HEADER_LEN + 1;
    if rest.len() < LEAST || rest[..4] != [0; 4] || rest[4..8] == [0; 4] {
        return false;
    }
    let mut r = Reader::new(&rest[8..]);
    let Ok(length) = r.i32() else { return false };
    let Ok(length) = usize::try_from(length) else { return false };
    if length < TXN_HEADER_LEN || rest.get(ENTRY_PREFIX_LEN + length) != Some(&ENTRY_MARK) {
        return false;
    }
    let mut r = Reader::new(&rest[ENTRY_PREFIX_LEN + ZXID_AT..]);
    r.i64().is_ok_and(|zxid| zxid > last_zxid)
}
