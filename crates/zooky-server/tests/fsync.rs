//! No answer leaves before the sync of what it says: seen from below, in the system calls.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support {
    pub(crate) mod child;
    #[path = "client.rs"]
    mod client;
    pub(crate) use client::*;
}

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use support::child::{OUTSTANDING, ServerChild, serve_if_child};
use support::{Raw, create};
use tempfile::TempDir;
use zooky_wire::file::{Entry, FileHeader, entry_at};
use zooky_wire::{CreateMode, ErrorCode, Request, TxnRecord};

const TRACED: &str = "trace=pwrite64,write,fdatasync,fsync,sendto,sendmsg,writev,mkdir,mkdirat";

#[test]
fn serve_as_child() {
    serve_if_child();
}

fn strace(trace: &Path, more: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> =
        ["strace", "-f", "-q", "-yy", "-s", "0", "-e", TRACED].map(Into::into).into();
    line.extend(more.iter().map(Into::into));
    line.extend([OsString::from("-o"), trace.into()]);
    line
}

/// A moment of a call in a trace, with what is told of the call by then.
enum Moment {
    Began(String),
    Returned(String),
}

/// The moments of a trace's calls in their order; a call that others interrupt stands there in two parts.
fn moments(trace: &Path) -> Vec<Moment> {
    let text = fs::read_to_string(trace).unwrap();
    let mut begun = std::collections::HashMap::new();
    let mut moments = Vec::new();
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix("<unfinished ...>") {
            begun.insert(pid, begin);
            moments.push(Moment::Began(begin.to_owned()));
        } else if call.starts_with("<... ") {
            let begin = begun.remove(pid).unwrap_or_default();
            moments.push(Moment::Returned(format!("{begin}{call}")));
        } else {
            moments.extend([Moment::Began(call.to_owned()), Moment::Returned(call.to_owned())]);
        }
    }
    moments
}

/// What the calls of a trace did, in the order in which they returned.
fn returned(trace: &Path) -> Vec<String> {
    let returned = |moment| match moment {
        Moment::Returned(call) => Some(call),
        Moment::Began(_) => None,
    };
    moments(trace).into_iter().filter_map(returned).collect()
}

/// What a call did for the answers.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    LogWritten,
    LogSynced,
    SyncFailed,
    Answered,
}

/// A write counts from its beginning, all else only at its end.
fn calls(trace: &Path) -> Vec<Call> {
    let call = |moment: Moment| {
        let (Moment::Began(call) | Moment::Returned(call)) = &moment;
        let (name, failed) = (call.split('(').next()?, call.contains(" = -1 "));
        let (log, socket) = (call.contains("/version-2/log."), call.contains("<TCP:"));
        match (&moment, name) {
            (Moment::Began(_), "pwrite64" | "write" | "writev") if log => Some(Call::LogWritten),
            (Moment::Returned(_), "fdatasync" | "fsync") if log && failed => Some(Call::SyncFailed),
            (Moment::Returned(_), "fdatasync" | "fsync") if log => Some(Call::LogSynced),
            (Moment::Returned(_), "sendto" | "sendmsg" | "write" | "writev") if socket && !failed => {
                Some(Call::Answered)
            }
            _ => None,
        }
    };
    moments(trace).into_iter().filter_map(call).collect()
}

#[test]
fn a_new_data_directory_and_all_above_it_are_synced_before_the_first_answer() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let top = fs::canonicalize(dir.path()).unwrap();
    let trace = out.path().join("trace");
    let server = ServerChild::start_under(&strace(&trace, &[]), &top.join("a/b/c"));
    Raw::connect(server.addr).create("/n", CreateMode::PERSISTENT, b"x").unwrap();
    drop(server);
    let calls = returned(&trace);
    let answered = calls.iter().position(|call| call.contains("<TCP:")).unwrap();
    let mut durable = 0;
    for (above, name) in [("", "a"), ("/a", "b"), ("/a/b", "c"), ("/a/b/c", "version-2")] {
        let above = format!("{}{above}", top.display());
        let first = |from: usize, what: &str, of: &str| {
            let is_it = |call: &String| call.starts_with(what) && call.contains(of) && call.ends_with("= 0");
            calls[from..].iter().position(is_it).map(|at| from + at)
        };
        let made = first(durable, "mkdir", &format!("\"{above}/{name}\""));
        let made = made.unwrap_or_else(|| panic!("{name} is not made behind the sync of what is above it"));
        // Its entry is in the one above it.
        let synced = first(made, "fsync", &format!("<{above}>"));
        durable = synced.unwrap_or_else(|| panic!("{above} is not synced when {name} has been made"));
        assert!(durable < answered, "{above} is synced behind the first answer");
    }
}

#[test]
fn each_answer_follows_the_sync_of_its_write() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let trace = out.path().join("trace");
    let server = ServerChild::start_under(&strace(&trace, &[]), dir.path());
    let mut client = Raw::connect(server.addr);
    for number in 0..100 {
        client.create(&format!("/n{number}"), CreateMode::PERSISTENT, b"x").unwrap();
    }
    drop(server);
    let (mut unsynced, mut answers, mut syncs) = (false, 0, 0);
    for call in calls(&trace) {
        match call {
            Call::LogWritten => unsynced = true,
            Call::LogSynced => {
                unsynced = false;
                syncs += 1;
            }
            Call::Answered => {
                answers += 1;
                assert!(!unsynced, "answer {answers} left before the sync of its write");
            }
            Call::SyncFailed => panic!("a sync failed"),
        }
    }
    assert!(answers >= 101 && syncs >= 101, "{answers} answers, {syncs} syncs");
}

/// Seen by how few share a sync.
#[test]
fn no_more_of_ones_writes_wait_for_the_disk_than_may() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let trace = out.path().join("trace");
    let outstanding = format!("--env={OUTSTANDING}=2");
    let server = ServerChild::start_under(&strace(&trace, &[&outstanding]), dir.path());
    let mut client = Raw::connect(server.addr);
    let creates: Vec<_> = (0..100).map(|n| create(&format!("/n{n}"), CreateMode::PERSISTENT, b"x")).collect();
    client.send(&creates).unwrap();
    for _ in &creates {
        assert_eq!(client.reply().unwrap().0.err, ErrorCode::OK);
    }
    drop(server);
    let syncs = calls(&trace).into_iter().filter(|call| *call == Call::LogSynced).count();
    assert!(syncs >= creates.len() / 2, "{syncs} syncs for {} writes, two at a time", creates.len());
}

/// The first long sync is waited for on the loop's own thread; from then on the log's thread has them.
#[test]
fn others_are_served_while_the_disk_takes_long() {
    const ROUNDS: usize = 5;
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let inject = ["-e", "inject=fdatasync:delay_exit=300000"];
    let server = ServerChild::start_under(&strace(&out.path().join("trace"), &inject), dir.path());
    let (mut writer, mut reader) =
        (Raw::connect_for(server.addr, 40_000), Raw::connect_for(server.addr, 40_000));
    // Nobody writes to it, so that it shows nothing that waits for the disk.
    reader.create("/read", CreateMode::PERSISTENT, b"x").unwrap();
    let mut served = Vec::new();
    for number in 0..ROUNDS {
        writer.send(&[create(&format!("/n{number}"), CreateMode::PERSISTENT, b"x")]).unwrap();
        let mut reads = 0;
        while !has_come(&writer) {
            assert!(reader.exists("/read", false).is_some());
            reads += 1;
        }
        assert_eq!(writer.reply().unwrap().0.err, ErrorCode::OK);
        served.push(reads);
    }
    println!("reads answered during each sync: {served:?}");
    // One that waits for the sync, or two, would be answered in each round all the same.
    assert!(served.iter().sum::<usize>() >= 5 * ROUNDS, "reads answered during each sync: {served:?}");
}

/// It stands still between its look at what has come in and its look at the clock: by that clock sessions are over whose clients
/// have asked meanwhile.
#[test]
fn a_standstill_behind_the_poll_ends_no_session_whose_client_asks() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    // Longer than the timeout and the time that the server rounds it up by, once, after some turns of its loop.
    let (polls, delay) =
        ("trace=epoll_wait,epoll_pwait", "inject=epoll_wait,epoll_pwait:delay_exit=7000000:when=100");
    let inject = ["-e", polls, "-e", delay];
    let server = ServerChild::start_under(&strace(&out.path().join("trace"), &inject), dir.path());
    let (mut first, mut second) =
        (Raw::connect_for(server.addr, 40_000), Raw::connect_for(server.addr, 4_000));
    let exists = Request::Exists { path: "/".into(), watch: false };
    let is_answered_soon = |client: &mut Raw| {
        client.send(slice::from_ref(&exists)).unwrap();
        client.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let answered = client.stream.peek(&mut [0]).is_ok();
        client.stream.set_read_timeout(None).unwrap();
        answered
    };
    let mut asked = 0;
    while is_answered_soon(&mut first) {
        first.reply().unwrap();
        asked += 1;
        assert!(asked < 1_000, "it never stands still");
    }
    second.send(&[exists]).unwrap();
    assert_eq!(second.reply().unwrap().0.err, ErrorCode::OK);
    second.create("/alive", CreateMode::EPHEMERAL, b"").unwrap();
}

fn has_come(raw: &Raw) -> bool {
    raw.stream.set_nonblocking(true).unwrap();
    let peeked = raw.stream.peek(&mut [0]);
    raw.stream.set_nonblocking(false).unwrap();
    !matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Writes with so many in flight until the server is gone; the paths that were acknowledged.
fn write_until_closed(client: &mut Raw, depth: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut next = 0;
    let mut more = |n: usize| -> Vec<_> {
        let paths = (next..next + n).map(|number| format!("/n{number}"));
        next += n;
        paths.map(|path| create(&path, CreateMode::PERSISTENT, b"x")).collect()
    };
    let mut sent = client.send(&more(depth));
    while sent.is_ok() {
        let Ok((header, _)) = client.reply() else { break };
        assert_eq!(header.err, ErrorCode::OK);
        acknowledged.push(format!("/n{}", acknowledged.len()));
        sent = client.send(&more(1));
    }
    acknowledged
}

/// The zxid with which the last batch in the newest log begins.
fn first_of_last_batch(dir: &Path) -> i64 {
    let logs = fs::read_dir(dir.join("version-2")).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix("log.").map(|zxid| i64::from_str_radix(zxid, 16).unwrap())
    };
    let newest = logs.filter(|path| number(path).is_some()).max_by_key(number).unwrap();
    let bytes = fs::read(newest).unwrap();
    let (mut at, mut mark) = (FileHeader::LEN, 0);
    while let Entry::Whole { record, len } = entry_at(&bytes[at..]) {
        mark = TxnRecord::decode(record).unwrap().digest.unwrap().value;
        at += len;
    }
    mark
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_the_server_says_why() {
    for depth in [1, 64] {
        let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let trace = out.path().join("trace");
        // Early enough that it is a batch's sync, not that of zeros ahead.
        let inject = ["-e", "inject=fdatasync:error=EIO:when=6+"];
        let server = ServerChild::start_under(&strace(&trace, &inject), dir.path());
        let mut client = Raw::connect(server.addr);
        let acknowledged = write_until_closed(&mut client, depth);
        let (said, status) = server.ended();
        assert_eq!(status.code(), Some(3), "{said}");
        assert!(said.contains("failed: the server stopped") && said.contains("cannot sync"), "{said}");

        let calls = calls(&trace);
        let failures: Vec<_> = (0..calls.len()).filter(|&at| calls[at] == Call::SyncFailed).collect();
        assert_eq!(failures.len(), 1, "the sync is not tried again");
        // With one in flight everything happens on one thread, and the failure is the last thing. Else answers
        // to the batch before, which is durable, may still be on their way while the log's thread fails.
        if depth == 1 {
            assert!(!calls[failures[0]..].contains(&Call::Answered), "an answer left after the failure");
        }
        let failed = first_of_last_batch(dir.path());
        assert!(client.zxid < failed, "{:#x} was shown; the batch from {failed:#x} on failed", client.zxid);
        assert!(!calls[failures[0]..].contains(&Call::LogWritten), "something was written after the failure");

        let server = ServerChild::start(dir.path());
        let mut client = Raw::connect(server.addr);
        assert!(!acknowledged.is_empty());
        for path in acknowledged {
            assert!(client.exists(&path, false).is_some(), "{path} was acknowledged and is gone");
        }
    }
}
