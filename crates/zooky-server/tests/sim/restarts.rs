//! Crashes, and what is there afterwards.

use std::collections::BTreeMap;
use std::path::Path;

use zooky_server::core::{CoreConfig, PasswordRule};
use zooky_server::log::{Batch, LogError, recover};
use zooky_wire::file::{Entry, FileHeader, entry_at};
use zooky_wire::{Acl, OpCode, StatPersisted, Txn, TxnHeader, TxnRecord};

use super::Sim;
use super::disk::{Disk, Fault};
use super::passing::LOOK_MS;
use super::server::Server;

/// Log files are this long, so that there are several.
const ROLL_BYTES: [u64; 3] = [700, 5_000, 64 << 20];

fn config(starts: i64) -> CoreConfig {
    let mut config = CoreConfig::new(0x0100_0000_0000_0001 + (starts << 24), PasswordRule::Keyed([5; 32]));
    config.container_check_ms = LOOK_MS;
    config
}

impl Sim {
    /// The process or the whole machine stops.
    pub(super) fn crash(&mut self) {
        // A start whose last sync was a lie leaves the power off.
        if self.disk.is_off() || self.rng.one_in(2) {
            self.power_cut();
        } else {
            self.trace.note("kill -9".into());
            self.process_dies();
        }
        self.restart();
    }

    pub(super) fn power_cut(&mut self) {
        self.trace.note("the power fails".into());
        self.process_dies();
        self.disk.power_cycle();
    }

    /// A fault has cut the power in the middle of something.
    pub(super) fn mind_the_power(&mut self) {
        if self.disk.is_off() {
            self.power_cut();
            self.restart();
        }
    }

    fn process_dies(&mut self) {
        self.server = None;
        self.disk.process_died();
        self.links.clear();
        self.attached.clear();
        self.clients.iter_mut().for_each(super::Client::cut_off);
    }

    /// The log could not write: it does nothing ever again, and the server ends.
    pub(super) fn log_failed(&mut self, error: &str) {
        self.trace.note(format!("the log fails: {error}"));
        if let Some(server) = &mut self.server {
            let mut batch = Batch::new();
            let header =
                TxnHeader { client_id: 1, cxid: 1, zxid: 1 << 40, time_ms: 0, kind: OpCode::CLOSE_SESSION };
            batch.push(TxnRecord { header, txn: Txn::CloseSession { ephemerals: None }, digest: None });
            let operations = self.disk.operations();
            assert!(server.writer.append(&batch).is_err() && server.writer.make_room().is_err());
            assert_eq!(self.disk.operations(), operations, "a failed log goes on");
        }
        self.process_dies();
        if self.disk.is_off() || self.rng.one_in(3) {
            self.power_cut();
        }
        self.restart();
    }

    /// Starts the server until it runs, with faults on the way.
    pub(super) fn restart(&mut self) {
        loop {
            let faulty = self.rng.one_in(4);
            if faulty {
                let fault = *self.rng.pick(&[Fault::PowerOff, Fault::Lie, Fault::Error, Fault::Full]);
                self.disk.plan(self.rng.below(14), fault);
            }
            self.starts += 1;
            match recover(&self.disk.storage(), config(self.starts)) {
                Ok(recovered) => {
                    let mut server = Server::new(recovered.core, recovered.log);
                    server.writer.set_roll_bytes(*self.rng.pick(&ROLL_BYTES));
                    server.core.begin(self.now);
                    return self.started(server);
                }
                Err(error @ LogError::Io { .. }) if faulty => {
                    self.trace.note(format!("start fails: {error}"));
                    self.disk.process_died();
                    if self.disk.is_off() || self.rng.one_in(2) {
                        self.disk.power_cycle();
                    }
                }
                Err(error) => panic!("the server does not start: {error}"),
            }
        }
    }

    fn started(&mut self, server: Server) {
        let zxid = server.core.last_zxid();
        self.trace.note(format!("start {} at {zxid:#x}, {:#x} was shown", self.starts, self.shown));
        assert!(zxid >= self.shown, "lost: {:#x} was shown, {zxid:#x} is there", self.shown);
        assert!(zxid <= self.world.model.zxid, "something was made up");
        self.history.truncate(zxid as usize + 1);
        self.world = self.history[zxid as usize].clone();
        for (id, (number, _)) in &self.world.sessions {
            self.world.model.forget_watches(*number);
            // Each has its whole timeout again.
            self.heard_ms.insert(*id, self.now.mono_ms);
        }
        self.next_look_ms = self.now.mono_ms + LOOK_MS;
        self.world.model.events.clear();
        self.compare(&server);
        self.nothing_stands_behind_the_end();
        self.server = Some(server);
    }

    /// What a crash has left behind the last whole entry is gone for good: else it could come back behind what is
    /// written next.
    fn nothing_stands_behind_the_end(&self) {
        let Some(name) = logs(&self.disk).pop() else { return };
        let bytes = self.disk.bytes(&name);
        let end = entries(&bytes).last().map_or(FileHeader::LEN, |(start, len, _)| start + len);
        let behind = bytes.get(end..).unwrap_or_default();
        let stale = behind.iter().position(|&byte| byte != 0);
        assert!(stale.is_none(), "{name} ends at {end}, and something stands {stale:?} behind that");
    }

    /// The state is the model's, to the last bit that a snapshot holds.
    fn compare(&self, server: &Server) {
        let image = server.core.image();
        let sessions = self.world.sessions.iter().map(|(&id, &(_, ms))| (id, ms as i32));
        assert_eq!(image.sessions(), sessions.collect::<Vec<_>>());
        let acls: BTreeMap<i64, &[Acl]> = image.acls().into_iter().collect();
        let mut paths = self.world.model.paths();
        for node in image.nodes() {
            assert!(paths.remove(node.path), "{} should not be there", node.path);
            let path = if node.path.is_empty() { "/" } else { node.path };
            let (data, stat) = self.world.model.node(path).unwrap();
            assert_eq!(node.data, data, "{path}");
            let expected = StatPersisted {
                czxid: stat.czxid,
                mzxid: stat.mzxid,
                pzxid: stat.pzxid,
                ctime_ms: stat.ctime_ms,
                mtime_ms: stat.mtime_ms,
                version: stat.version,
                cversion: stat.cversion,
                aversion: stat.aversion,
                ephemeral_owner: self.world.model.stored_owner(path).unwrap(),
            };
            assert_eq!(node.stat, expected, "{path}");
            let acl = acls.get(&node.acl).map_or(Acl::open(), |acl| acl.to_vec());
            assert_eq!(Some(&acl[..]), self.world.model.acl(path), "{path}");
        }
        assert!(paths.is_empty(), "missing: {paths:?}");
    }

    /// A snapshot of the present moment, if nothing is under way.
    pub(super) fn take_snapshot(&mut self) {
        let Some(server) = &self.server else { return };
        let taken = server.take_snapshot(&self.disk, |name| self.trace.note(format!("take {name}")));
        if taken.is_some_and(|taken| taken.is_err()) {
            self.process_dies();
            if self.disk.is_off() {
                self.power_cut();
            }
            self.restart();
        }
    }

    /// One bit of a copy of the disk goes wrong: recovery names it, or only the last batch is gone.
    pub(super) fn flip_a_bit(&mut self) {
        if !self.server.as_ref().is_some_and(Server::is_idle) {
            return;
        }
        if self.rng.one_in(4) {
            return self.flip_a_bit_of_a_snapshot();
        }
        let copy = self.disk.copy();
        let logs = logs(&copy);
        let snapshots = copy
            .names()
            .into_iter()
            .filter_map(|name| i64::from_str_radix(name.strip_prefix("snapshot.")?, 16).ok());
        let snapshot = snapshots.max().unwrap_or(0);
        // Logs that the snapshot covers are not read.
        let numbers: Vec<i64> =
            logs.iter().map(|name| i64::from_str_radix(&name[4..], 16).unwrap()).collect();
        let behind = numbers.partition_point(|&zxid| zxid <= snapshot);
        let goes_on = numbers.get(behind) == Some(&(snapshot + 1));
        let first = if goes_on { behind } else { behind.saturating_sub(1) };
        let Some(name) = logs.get(first..).filter(|logs| !logs.is_empty()).map(|l| self.rng.pick(l).clone())
        else {
            return;
        };
        let entries = entries(&copy.bytes(&name));
        let Some(&(start, len, _)) = (!entries.is_empty()).then(|| self.rng.pick(&entries)) else { return };
        copy.flip(&name, start * 8 + self.rng.below(len * 8));
        self.trace.note(format!("a bit of {name} at {start} is wrong"));
        let is_newest = logs.last() == Some(&name);
        let last_batch = entries.last().map(|e| e.2);
        let in_last = entries.iter().any(|e| e.0 == start && Some(e.2) == last_batch);
        let result = recover(&copy.storage(), config(self.starts));
        if is_newest && in_last {
            let zxid = result.expect("it looks like a torn tail").core.last_zxid();
            let before = last_batch.unwrap_or(0) - 1;
            return assert!(zxid >= before.max(snapshot), "more than the last batch is gone");
        }
        match result {
            Err(LogError::Corrupt { path, offset, .. }) => {
                assert_eq!((path.as_path(), offset), (Path::new("/sim").join(&name).as_path(), start as u64));
                assert_same_bytes(&copy, &self.disk, &name, start);
            }
            other => panic!("the wrong bit is not named: {:?}", other.map(|r| r.core.last_zxid())),
        }
    }
}

impl Sim {
    /// One bit of the newest snapshot goes wrong, on a copy of the disk: it is named, and the one before it and the
    /// logs make up for it; if there is none before it, nothing is made up.
    fn flip_a_bit_of_a_snapshot(&mut self) {
        let copy = self.disk.copy();
        let names = copy.names();
        let number = |name: &String| i64::from_str_radix(name.strip_prefix("snapshot.")?, 16).ok();
        let mut snapshots: Vec<i64> = names.iter().filter_map(number).collect();
        snapshots.sort_unstable();
        let Some(&newest) = snapshots.last() else { return };
        let name = format!("snapshot.{newest:x}");
        copy.flip(&name, self.rng.below(copy.bytes(&name).len() * 8));
        self.trace.note(format!("a bit of {name} is wrong"));
        match recover(&copy.storage(), config(self.starts)) {
            Ok(recovered) => {
                assert_eq!(recovered.invalid.first().map(|one| one.0), Some(newest), "{name} is not named");
                assert_eq!(recovered.core.last_zxid(), self.world.model.zxid, "without {name}");
                self.compare(&Server::new(recovered.core, recovered.log));
            }
            Err(LogError::Corrupt { path, .. } | LogError::Restore { path, .. }) => {
                assert_eq!(path, Path::new("/sim").join(&name));
                assert_eq!(snapshots.len(), 1, "an older snapshot is there");
            }
            Err(other) => panic!("the wrong bit of {name} is not named: {other}"),
        }
    }
}

/// On an error nothing is changed: the copy differs in no more than one byte.
fn assert_same_bytes(copy: &Disk, disk: &Disk, name: &str, near: usize) {
    let (a, b) = (copy.bytes(name), disk.bytes(name));
    assert_eq!(a.len(), b.len());
    assert_eq!(a.iter().zip(&b).filter(|(a, b)| a != b).count(), 1, "{name} near {near}");
}

/// The logs, the oldest first.
fn logs(disk: &Disk) -> Vec<String> {
    let mut logs: Vec<String> = disk.names().into_iter().filter(|name| name.starts_with("log.")).collect();
    logs.sort_by_key(|name| i64::from_str_radix(&name[4..], 16).unwrap());
    logs
}

/// Start, length and batch of each entry.
fn entries(bytes: &[u8]) -> Vec<(usize, usize, i64)> {
    let (mut at, mut found) = (FileHeader::LEN, Vec::new());
    while let Some(Entry::Whole { record, len }) = bytes.get(at..).map(entry_at) {
        let record = TxnRecord::decode(record).unwrap();
        found.push((at, len, record.digest.map_or(0, |digest| digest.value)));
        at += len;
    }
    found
}
