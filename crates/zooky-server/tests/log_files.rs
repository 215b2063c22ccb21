//! The log's files, damaged in every way that a crash or a bad disk can.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use zooky_server::core::{CoreConfig, PasswordRule};
use zooky_server::log::{
    Batch, FileStorage, LogError, Recovered, Storage, StorageFile, encode_snapshot, recover,
};
use zooky_wire::file::{Entry, FileHeader, encode_entry, entry_at};
use zooky_wire::{Acl, OpCode, Txn, TxnHeader, TxnRecord, Writer};

fn config() -> CoreConfig {
    CoreConfig::new(0x0100_0000_0000_0000, PasswordRule::Keyed([7; 32]))
}

/// In memory where the system has that: thousands of syncs, and none of them matters here.
fn temp_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn record(zxid: i64) -> TxnRecord {
    let txn = Txn::Create {
        path: format!("/n{zxid:04}"),
        data: Some(vec![zxid as u8; 20].into()),
        acl: Acl::open(),
        ephemeral: false,
        parent_cversion: zxid as i32,
    };
    let header = TxnHeader { client_id: 5, cxid: 1, zxid, time_ms: 1_700_000_000_000, kind: OpCode::CREATE };
    TxnRecord { header, txn, digest: None }
}

fn batch(zxids: impl IntoIterator<Item = i64>) -> Batch {
    let mut batch = Batch::new();
    for zxid in zxids {
        batch.push(record(zxid));
    }
    batch
}

fn open(dir: &Path) -> Result<Recovered, LogError> {
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir));
    recover(&storage, config())
}

/// A directory with the empty snapshot and one log of three batches: 1 2, 3, 4 5 6.
struct Fixture {
    dir: TempDir,
    log: Vec<u8>,
    /// Where each entry starts, and where the last one ends.
    starts: Vec<usize>,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = temp_dir();
        let mut log = open(dir.path()).unwrap().log;
        for zxids in [1..3, 3..4, 4..7] {
            log.append(&batch(zxids)).unwrap();
        }
        let bytes = fs::read(dir.path().join("log.1")).unwrap();
        let mut starts = vec![FileHeader::LEN];
        while let Entry::Whole { len, .. } = entry_at(&bytes[starts[starts.len() - 1]..]) {
            starts.push(starts[starts.len() - 1] + len);
        }
        assert_eq!(starts.len(), 7);
        Fixture { dir, log: bytes, starts }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log.1")
    }

    fn reopen_with(&self, bytes: &[u8]) -> Result<Recovered, LogError> {
        fs::write(self.log_path(), bytes).unwrap();
        open(self.dir.path())
    }
}

#[test]
fn a_tail_torn_at_any_byte_costs_only_what_was_not_promised() {
    let fixture = Fixture::new();
    let end = fixture.starts[6];
    for cut in 0..=end {
        let whole = fixture.starts[1..].iter().filter(|&&start| start <= cut).count() as u64;
        let mut zeros = fixture.log[..cut].to_vec();
        zeros.resize(fixture.log.len(), 0);
        for bytes in [&fixture.log[..cut], &zeros] {
            let mut recovered = fixture.reopen_with(bytes).unwrap();
            assert_eq!(recovered.replayed, whole, "cut at {cut}");
            assert_eq!(recovered.core.last_zxid(), whole as i64);
            let next = whole as i64 + 1;
            recovered.log.append(&batch([next, next + 1])).unwrap();
            let again = open(fixture.dir.path()).unwrap();
            assert_eq!((again.replayed, again.torn), (whole + 2, None), "cut at {cut}, then gone on");
        }
    }
}

#[test]
fn a_flipped_bit_is_named_unless_it_is_in_the_last_batch() {
    let fixture = Fixture::new();
    let last_batch = fixture.starts[3];
    for byte in 0..fixture.starts[6] {
        let mut bytes = fixture.log.clone();
        bytes[byte] ^= 1 << (byte % 8);
        let result = fixture.reopen_with(&bytes);
        if byte >= last_batch {
            let entry = fixture.starts.iter().rposition(|&start| start <= byte).unwrap();
            assert_eq!(result.unwrap().replayed, entry as u64, "byte {byte} of the last batch");
            continue;
        }
        // The header's last field means nothing.
        if (8..16).contains(&byte) {
            result.unwrap();
            continue;
        }
        let start = fixture.starts.iter().rev().find(|&&start| start <= byte).copied().unwrap_or(0);
        match result {
            Err(LogError::Corrupt { path, offset, .. }) => {
                assert_eq!((path, offset), (fixture.log_path(), start as u64), "byte {byte}");
            }
            other => panic!("byte {byte}: {other:?}"),
        }
        assert_eq!(fs::read(fixture.log_path()).unwrap(), bytes, "a corrupt file is left as it is");
    }
}

#[test]
fn sectors_of_the_last_batch_may_arrive_in_any_order() {
    let fixture = Fixture::new();
    for lost in fixture.starts[3]..fixture.starts[6] {
        let mut bytes = fixture.log.clone();
        // Everything from the batch's start to here was not yet on the disk; the rest was.
        bytes[fixture.starts[3]..=lost].fill(0);
        if bytes == fixture.log {
            continue;
        }
        let recovered = fixture.reopen_with(&bytes).unwrap();
        assert_eq!(recovered.replayed, 3);
        let torn = recovered.torn.map(|torn| torn.offset);
        let nothing_left = bytes[fixture.starts[3]..].iter().all(|&b| b == 0);
        assert_eq!(torn, (!nothing_left).then_some(fixture.starts[3] as u64));
    }
}

#[test]
fn stale_records_behind_a_cut_do_not_come_back() {
    let fixture = Fixture::new();
    let mut bytes = fixture.log.clone();
    bytes[fixture.starts[4] + 20] ^= 1;
    let mut recovered = fixture.reopen_with(&bytes).unwrap();
    assert_eq!(recovered.core.last_zxid(), 4);
    // Just as long as the record that was cut off, so that the old number 6 would stand right behind it.
    recovered.log.append(&batch([5])).unwrap();
    let again = open(fixture.dir.path()).unwrap();
    assert_eq!((again.core.last_zxid(), again.replayed, again.torn), (5, 5, None));
}

#[test]
fn a_long_torn_tail_is_cut_off_to_its_end() {
    let dir = temp_dir();
    let mut log = open(dir.path()).unwrap().log;
    log.append(&batch([1])).unwrap();
    let whole = batch([1]).bytes().len();
    log.append(&batch(2..3_000)).unwrap();
    let path = dir.path().join("log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[FileHeader::LEN + 2 * whole + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open(dir.path()).unwrap().replayed, 2);
    let again = open(dir.path()).unwrap();
    assert_eq!((again.replayed, again.torn), (2, None), "something was left behind the cut");
}

#[test]
fn logs_are_rolled_and_read_in_order() {
    let dir = temp_dir();
    let mut log = open(dir.path()).unwrap().log;
    log.set_roll_bytes(500);
    for zxid in 1..=300 {
        log.append(&batch([zxid])).unwrap();
    }
    drop(log);
    let mut logs: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    logs.retain(|name| name.to_string_lossy().starts_with("log."));
    assert!(logs.len() > 40, "{} files", logs.len());
    let recovered = open(dir.path()).unwrap();
    assert_eq!((recovered.replayed, recovered.core.last_zxid()), (300, 300));

    // Damage at the end of any file but the newest is no torn tail.
    let first = dir.path().join("log.1");
    let bytes = fs::read(&first).unwrap();
    let last_entry = bytes.iter().rposition(|&b| b != 0).unwrap();
    fs::write(&first, &bytes[..last_entry]).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, LogError::Corrupt { path, .. } if *path == first), "{error}");
    assert!(error.to_string().contains("log.1 is corrupt at byte "), "{error}");
}

#[test]
fn a_log_of_apache_has_no_marks_and_much_padding() {
    let dir = temp_dir();
    drop(open(dir.path()).unwrap());
    let mut w = Writer::new();
    FileHeader::LOG.encode(&mut w);
    let mut starts = Vec::new();
    for zxid in 1..=3 {
        starts.push(w.len());
        let mut body = Writer::new();
        record(zxid).encode(&mut body);
        encode_entry(body.as_slice(), &mut w);
    }
    let mut bytes = w.as_slice().to_vec();
    bytes.resize(1 << 20, 0);
    let path = dir.path().join("log.1");
    fs::write(&path, &bytes).unwrap();
    let mut recovered = open(dir.path()).unwrap();
    assert_eq!((recovered.replayed, recovered.torn), (3, None));
    recovered.log.append(&batch([4])).unwrap();
    assert_eq!(open(dir.path()).unwrap().replayed, 4);

    // Without marks every whole entry behind is a promise.
    bytes[starts[1] + 30] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { offset, .. } if offset == starts[1] as u64), "{error}");
}

#[test]
fn zxids_only_grow() {
    let dir = temp_dir();
    let mut log = open(dir.path()).unwrap().log;
    log.append(&batch([1, 2])).unwrap();
    log.append(&batch([2])).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("transaction 0x2 stands behind 0x2"), "{error}");
}

#[test]
fn the_first_batch_of_the_only_log_may_be_torn() {
    let dir = temp_dir();
    let mut log = open(dir.path()).unwrap().log;
    // Older logs are gone: a snapshot has all of them.
    fs::rename(dir.path().join("snapshot.0"), dir.path().join("snapshot.9")).unwrap();
    log.append(&batch([10, 11, 12])).unwrap();
    let path = dir.path().join("log.a");
    let mut bytes = fs::read(&path).unwrap();
    bytes[FileHeader::LEN + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let recovered = open(dir.path()).unwrap();
    assert_eq!((recovered.core.last_zxid(), recovered.torn.map(|t| t.offset)), (9, Some(16)));
}

#[test]
fn logs_without_a_snapshot_are_refused() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.dir.path().join("snapshot.0")).unwrap();
    assert!(matches!(open(fixture.dir.path()), Err(LogError::NoSnapshot { .. })));
}

#[test]
fn a_damaged_snapshot_is_named() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("snapshot.0");
    let whole = fs::read(&path).unwrap();
    for byte in (0..8).chain(16..whole.len()) {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = open(fixture.dir.path()).unwrap_err();
        assert!(error.to_string().contains("snapshot.0"), "byte {byte}: {error}");
    }
}

/// Logs of one batch each, `log.1` to `log.4`, and snapshots with all before `log.3` and `log.4`.
fn with_snapshots() -> TempDir {
    let dir = temp_dir();
    let mut recovered = open(dir.path()).unwrap();
    for zxid in 1..=4 {
        if zxid > 2 {
            let bytes = encode_snapshot(recovered.core.image());
            fs::write(dir.path().join(format!("snapshot.{:x}", zxid - 1)), bytes).unwrap();
        }
        recovered.log.roll();
        recovered.log.append(&batch([zxid])).unwrap();
        recovered.core.replay(&record(zxid)).unwrap();
    }
    dir
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_invalid_snapshot_is_named_and_the_one_before_it_used() {
    let dir = with_snapshots();
    let expected = encode_snapshot(open(dir.path()).unwrap().core.image());
    let recovered = open(dir.path()).unwrap();
    assert_eq!((recovered.replayed, recovered.invalid.len()), (1, 0), "the newest is enough");
    for (zxid, replayed) in [(3, 2), (2, 4)] {
        flip(&dir.path().join(format!("snapshot.{zxid}")), 100);
        let recovered = open(dir.path()).unwrap();
        assert_eq!(recovered.replayed, replayed);
        let (newest, error) = &recovered.invalid[0];
        assert_eq!(*newest, 3);
        assert!(error.to_string().contains("snapshot.3 is corrupt"), "{error}");
        assert_eq!(recovered.invalid.last().unwrap().0, zxid);
        assert_eq!(encode_snapshot(recovered.core.image()), expected);
    }

    // Where the logs do not make up for it, nothing is given up silently.
    let (log_3, log_4) = (dir.path().join("log.3"), dir.path().join("log.4"));
    let (bytes_3, bytes_4) = (fs::read(&log_3).unwrap(), fs::read(&log_4).unwrap());
    fs::remove_file(&log_3).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, LogError::Missing { path, last: 2, zxid: 4, .. } if *path == log_4), "{error}");
    fs::remove_file(&log_4).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, LogError::NotMadeUp { reached: 2, .. }), "{error}");
    assert!(error.to_string().contains("snapshot.3 is corrupt"), "{error}");
    fs::write(&log_3, bytes_3).unwrap();
    fs::write(&log_4, bytes_4).unwrap();
    assert_eq!(open(dir.path()).unwrap().replayed, 4);
}

#[test]
fn a_log_that_is_missing_in_the_middle_is_noticed() {
    for missing in 1..4 {
        let dir = with_snapshots();
        let log = dir.path().join(format!("log.{missing}"));
        fs::remove_file(&log).unwrap();
        // The newest snapshot does not need it.
        assert_eq!(open(dir.path()).unwrap().core.last_zxid(), 4);
        fs::remove_file(dir.path().join("snapshot.3")).unwrap();
        fs::remove_file(dir.path().join("snapshot.2")).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(&error, LogError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(&format!("log.{} goes on", missing + 1)), "{error}");
    }
}

#[test]
fn what_stands_behind_a_snapshots_seal_is_checked_too() {
    let dir = with_snapshots();
    let path = dir.path().join("snapshot.3");
    let mut w = Writer::new();
    w.raw(&fs::read(&path).unwrap());
    // The digest of Apache's: a zxid, a version and a value, and a seal over everything before.
    w.i64(3);
    w.i32(2);
    w.i64(0x1234_5678);
    w.i64(zooky_wire::file::checksum(w.as_slice()));
    w.string("/");
    fs::write(&path, w.as_slice()).unwrap();
    assert_eq!(open(dir.path()).unwrap().replayed, 1);
    for byte in (0..8).chain(16..w.len()) {
        fs::write(&path, w.as_slice()).unwrap();
        flip(&path, byte);
        assert_eq!(open(dir.path()).unwrap().invalid.len(), 1, "byte {byte}");
    }
    fs::write(&path, &w.as_slice()[..w.len() - 1]).unwrap();
    assert_eq!(open(dir.path()).unwrap().invalid.len(), 1, "cut off");
}

#[test]
fn a_torn_log_before_another_is_accepted_only_if_the_next_goes_on_where_it_ends() {
    for epoch in [0, 7] {
        let at = |count: i64| (epoch << 32) + count;
        let dir = temp_dir();
        let mut log = open(dir.path()).unwrap().log;
        log.append(&batch([at(1), at(2), at(3)])).unwrap();
        let path = dir.path().join(format!("log.{:x}", at(1)));
        let whole = fs::read(&path).unwrap();
        let entry = (whole.iter().rposition(|&b| b != 0).unwrap() + 1 - FileHeader::LEN) / 3;
        let third = FileHeader::LEN + 2 * entry;
        // Killed in the middle of 3, started again: 3 is another transaction in another file.
        let mut torn = whole.clone();
        torn[third + 20..].fill(0);
        fs::write(&path, &torn).unwrap();
        let next_epoch = ((epoch + 1) << 32) + 1;
        for (next, accepted) in [(at(3), true), (at(4), false), (next_epoch, true), (next_epoch + 1, false)] {
            let next_path = dir.path().join(format!("log.{next:x}"));
            log.roll();
            log.append(&batch([next])).unwrap();
            match open(dir.path()) {
                Ok(recovered) if accepted => {
                    assert_eq!((recovered.replayed, recovered.core.last_zxid()), (3, next));
                    assert_eq!(recovered.torn, None);
                    assert_eq!(fs::read(&path).unwrap(), torn, "it is left as it is");
                }
                Err(LogError::Corrupt { path: named, offset, .. }) if !accepted => {
                    assert_eq!((named, offset), (path.clone(), third as u64));
                }
                other => panic!("followed by {next:#x}: {other:?}"),
            }
            fs::remove_file(next_path).unwrap();
        }
    }
}

/// Notes what is done to files, and fails a sync on demand.
#[derive(Debug)]
struct Traced {
    inner: FileStorage,
    trace: Trace,
}

type Trace = Arc<Mutex<(Vec<String>, bool)>>;

#[derive(Debug)]
struct TracedFile {
    inner: Box<dyn StorageFile>,
    name: String,
    trace: Trace,
}

fn note(trace: &Trace, what: String) {
    trace.lock().unwrap().0.push(what);
}

impl Storage for Traced {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.inner.open(name)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        note(&self.trace, format!("create {name}"));
        let (inner, trace) = (self.inner.create(name)?, Arc::clone(&self.trace));
        Ok(Box::new(TracedFile { inner, name: name.into(), trace }))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        note(&self.trace, format!("rename {from} {to}"));
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        note(&self.trace, "sync_dir".into());
        self.inner.sync_dir()
    }
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

impl StorageFile for TracedFile {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.inner.read_all()
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let what = if bytes.iter().all(|&b| b == 0) { "zeros" } else { "bytes" };
        note(&self.trace, format!("write {} {what}", self.name));
        self.inner.write_at(offset, bytes)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        note(&self.trace, format!("sync {}", self.name));
        if self.trace.lock().unwrap().1 { Err(io::Error::other("no")) } else { self.inner.sync_data() }
    }
}

#[test]
fn a_commit_is_in_order_and_a_failed_sync_is_final() {
    let dir = temp_dir();
    let trace = Trace::default();
    let storage: Arc<dyn Storage> =
        Arc::new(Traced { inner: FileStorage::new(dir.path()), trace: Arc::clone(&trace) });
    let mut log = recover(&storage, config()).unwrap().log;
    log.append(&batch([1, 2])).unwrap();
    log.append(&batch([3])).unwrap();
    let expected = "create unfinished-snapshot, write unfinished-snapshot bytes, write unfinished-snapshot bytes, \
         sync unfinished-snapshot, rename unfinished-snapshot snapshot.0, sync_dir, \
         create log.1, write log.1 bytes, write log.1 zeros, sync log.1, sync_dir, \
         write log.1 bytes, sync log.1, write log.1 bytes, sync log.1";
    assert_eq!(trace.lock().unwrap().0.join(", "), expected);

    // One that is longer than the zeros ahead waits for more of them: the sync that makes it durable has nothing to
    // write but the batch.
    *trace.lock().unwrap() = (Vec::new(), false);
    log.append(&batch(4..2_000)).unwrap();
    let expected = "write log.1 zeros, sync log.1, write log.1 bytes, sync log.1";
    assert_eq!(trace.lock().unwrap().0.join(", "), expected);

    trace.lock().unwrap().1 = true;
    assert!(matches!(log.append(&batch([2_000])), Err(LogError::Io { what: "sync", .. })));
    *trace.lock().unwrap() = (Vec::new(), false);
    assert!(matches!(log.append(&batch([2_001])), Err(LogError::Failed)));
    assert!(matches!(log.make_room(), Err(LogError::Failed)));
    assert!(trace.lock().unwrap().0.is_empty(), "nothing is tried again");
}
