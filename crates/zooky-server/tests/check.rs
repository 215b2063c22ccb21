//! Checking a directory: it says what a start does, finds what no start would, and changes nothing.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use support::{Raw, start};
use tempfile::TempDir;
use zooky_server::core::{CoreConfig, PasswordRule};
use zooky_server::log::{Checked, FileStorage, LogError, Storage, Verdict, recover};
use zooky_server::{StartError, check};
use zooky_testkit::{Apache, eventually};
use zooky_wire::CreateMode;

/// A directory with snapshot.0, and then as many times as wanted: some writes and a snapshot. Some writes stand behind the
/// last one.
fn history(rounds: usize) -> TempDir {
    let dir = temp_dir();
    let server = start(dir.path());
    let mut client = Raw::connect(server.addr());
    for round in 0..=rounds {
        for node in 0..5 {
            client.create(&format!("/n{round}-{node}"), CreateMode::PERSISTENT, &[7; 30]).unwrap();
        }
        if round < rounds {
            let path = version_2(dir.path()).join(format!("snapshot.{:x}", client.zxid));
            server.stopper().take_snapshot();
            eventually(Duration::from_secs(30), "the snapshot", || path.exists().then_some(()));
        }
    }
    server.stop().unwrap();
    dir
}

/// In memory where the system has that: hundreds of syncs, and none of them matters here.
fn temp_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn version_2(dir: &Path) -> PathBuf {
    dir.join("version-2")
}

/// The files that begin so, ascending by their number.
fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let number =
        |path: &PathBuf| i64::from_str_radix(path.file_name()?.to_str()?.strip_prefix(prefix)?, 16).ok();
    let mut found: Vec<PathBuf> =
        fs::read_dir(version_2(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| number(path).is_some());
    found.sort_by_key(number);
    found
}

/// All that a check could change.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let listed = [dir.to_path_buf(), version_2(dir)].into_iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let file = |path: PathBuf| {
        let stat = fs::metadata(&path).unwrap();
        let bytes = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path, (bytes, stat.mtime(), stat.mtime_nsec()))
    };
    listed.map(|entry| file(entry.unwrap().path())).collect()
}

/// Checks a directory, sees to it that nothing has changed, and that a recovery of it (which may change it) ends as the check says.
#[track_caller]
fn checked(dir: &Path) -> Checked {
    let before = everything(dir);
    let checked = check(dir).unwrap();
    assert!(everything(dir) == before, "the check has changed something");
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(version_2(dir)));
    match (&checked.start, recover(&storage, CoreConfig::new(1, PasswordRule::Original))) {
        (Ok(told), Ok(done)) => {
            let stats = done.core.stats();
            let content = (told.content.nodes + 1, told.content.ephemerals, told.content.sessions);
            assert_eq!((told.zxid, told.replayed), (done.core.last_zxid(), done.replayed));
            assert_eq!(content, (stats.znodes, stats.ephemerals, stats.sessions));
            assert_eq!(told.torn, done.torn);
        }
        (Err(told), Err(done)) => assert_eq!(told.to_string(), done.to_string()),
        (told, done) => panic!("told {told:?}, and a start {done:?}"),
    }
    checked
}

fn copy(dir: &Path) -> TempDir {
    let copy = temp_dir();
    fs::create_dir(version_2(copy.path())).unwrap();
    for path in files(dir, "log.").into_iter().chain(files(dir, "snapshot.")) {
        fs::copy(&path, version_2(copy.path()).join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_a_server_leaves_is_sound() {
    let dir = history(2);
    let checked = checked(dir.path());
    assert_eq!(checked.verdict(), Verdict::Sound, "{checked:?}");
    assert_eq!((checked.snapshots.len(), checked.logs.len()), (3, 3), "{checked:?}");
    let start = checked.start.as_ref().unwrap();
    assert_eq!(start.snapshot.as_deref(), Some(checked.snapshots[2].name.as_str()));
    // The session's beginning, 15 nodes; its end is not asked for. The root and the server's own are there as well.
    assert_eq!(start.zxid, 16);
    assert_eq!(checked.logs.iter().map(|log| log.transactions).sum::<u64>(), 16);
    let of_clients = start.content.nodes - checked.snapshots[0].content.as_ref().unwrap().nodes;
    assert_eq!((of_clients, start.content.sessions), (15, 1));
    // The directory inside will do.
    assert_eq!(check(&version_2(dir.path())).unwrap().verdict(), Verdict::Sound);
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let dir = history(2);
    let all = files(dir.path(), "log.").into_iter().chain(files(dir.path(), "snapshot."));
    for path in all {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Behind the header's unused half; zeros behind the entries are no entry's.
        let bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        for byte in (16..end).step_by(47) {
            let broken = copy(dir.path());
            flip(&version_2(broken.path()).join(name), byte);
            let checked = checked(broken.path());
            let torn = checked.logs.last().unwrap().torn.is_some();
            let at = format!("{name} at {byte}: {checked:?}");
            assert!(checked.verdict() != Verdict::Sound || torn, "{at}");
            // What the newest snapshot covers is not needed.
            let newest = path == *files(dir.path(), "log.").last().unwrap();
            if !newest {
                assert_eq!(checked.verdict(), Verdict::Damaged, "{at}");
            }
        }
    }
}

#[test]
fn a_torn_end_is_sound_and_told() {
    let dir = history(1);
    let log = files(dir.path(), "log.").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    fs::write(&log, &bytes[..end - 10]).unwrap();
    let checked = checked(dir.path());
    assert_eq!(checked.verdict(), Verdict::Sound, "{checked:?}");
    let start = checked.start.unwrap();
    let torn = checked.logs.last().unwrap().torn;
    assert!(torn.is_some());
    assert_eq!((start.zxid, start.torn.map(|torn| torn.offset)), (10, torn));
}

#[test]
fn a_log_that_is_missing() {
    let dir = history(2);
    let logs = files(dir.path(), "log.");
    // What the newest snapshot shows has not gone, and the check says why.
    fs::remove_file(&logs[1]).unwrap();
    let bridged = checked(dir.path());
    assert_eq!(bridged.verdict(), Verdict::Sound, "{bridged:?}");
    let gap = &bridged.logs[1].gaps[0];
    assert_eq!((gap.last, gap.next, gap.bridged_by.as_deref()), (6, 12, Some("snapshot.b")));
    // Without that snapshot it has.
    fs::remove_file(version_2(dir.path()).join("snapshot.b")).unwrap();
    let missing = checked(dir.path());
    assert_eq!(missing.verdict(), Verdict::Unusable);
    assert_eq!(missing.logs[1].gaps[0].bridged_by, None);
    assert!(matches!(missing.start, Err(LogError::Missing { last: 6, zxid: 12, .. })), "{missing:?}");
}

#[test]
fn a_directory_in_use_and_one_that_is_none() {
    let dir = history(0);
    let server = start(dir.path());
    assert!(matches!(check(dir.path()), Err(StartError::Locked { .. })));
    server.stop().unwrap();
    assert_eq!(checked(dir.path()).verdict(), Verdict::Sound);
    let other = TempDir::new().unwrap();
    fs::write(other.path().join("thesis.tex"), "years of work").unwrap();
    assert!(matches!(check(other.path()), Err(StartError::NoData { .. })));
    assert!(matches!(check(&other.path().join("gone")), Err(StartError::DataDir { .. })));
}

#[test]
fn what_no_start_reads_is_named() {
    let dir = history(0);
    for name in ["unfinished-snapshot", "log.01", "currentEpoch"] {
        fs::write(version_2(dir.path()).join(name), "1").unwrap();
    }
    assert_eq!(check(dir.path()).unwrap().ignored, ["currentEpoch", "log.01", "unfinished-snapshot"]);
}

#[test]
fn apaches_directory_after_a_kill() {
    let dir = temp_dir();
    let mut apache =
        Apache::builder().data_dir(dir.path()).extra("snapCount=20").extra("preAllocSize=64").start();
    let mut client = Raw::connect(apache.addr());
    for node in 0..50 {
        client.create(&format!("/n{node:02}"), CreateMode::PERSISTENT, b"x").unwrap();
    }
    apache.kill();
    let intact = copy(dir.path());
    let sound = checked(dir.path());
    assert_eq!(sound.verdict(), Verdict::Sound, "{sound:?}");
    assert_eq!(sound.start.unwrap().zxid, client.zxid);
    assert!(sound.logs.len() > 1 && sound.snapshots.len() > 1, "{:?}", sound.logs);
    // In the first entry of the oldest log, which the newest snapshot covers.
    flip(&files(intact.path(), "log.")[0], 30);
    assert_ne!(checked(intact.path()).verdict(), Verdict::Sound);
}
