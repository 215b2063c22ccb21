//! The resource that a lock protects, as it should be: a register that refuses stale fencing tokens and
//! notices when two holders are inside at once.
//!
//! The register is one append-only text file, shared by any number of processes; each operation holds the
//! file's lock, reads what the others have appended, decides, and appends. A writer is let in if its token is
//! at least every token seen, a reader if its token is at least every writer's.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A shared file that holds the newest tokens and everything that was let in. Clones share one handle.
#[derive(Debug, Clone)]
pub struct FencedRegister {
    shared: Arc<Mutex<Shared>>,
}

/// Whether a holder excludes every other one or only writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody else may be inside.
    Write,
    /// Other readers may be inside.
    Read,
}

/// A token was refused: a newer holder has been here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// The token that was refused.
    pub token: u128,
    /// The newest one that it had to match.
    pub newest: u128,
}

/// What a line of the register's log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A holder came in.
    Enter,
    /// A holder went out.
    Leave,
    /// A holder's process was found dead; its lock ended with it.
    Gone,
    /// A value was written.
    Write,
}

/// One line of the register's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub kind: RecordKind,
    /// As a writer or a reader.
    pub mode: Mode,
    /// With this token.
    pub token: u128,
    /// By this one, as the caller named it.
    pub who: String,
    id: String,
}

/// Two holders that were inside at once although one of them was a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The one that was inside.
    pub inside: Record,
    /// The one that came in beside it.
    pub entering: Record,
}

/// A holder inside the register; dropping it is leaving.
#[derive(Debug)]
#[must_use = "dropping an entry is leaving at once"]
pub struct Entry {
    register: FencedRegister,
    record: Record,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: File,
    read_to: u64,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    history: Vec<Record>,
    inside: Vec<Record>,
    overlaps: Vec<Overlap>,
    newest: u128,
    newest_write: u128,
}

impl FencedRegister {
    /// Opens the register at `path`, which is made if it is not there.
    ///
    /// # Panics
    /// When the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> FencedRegister {
        let path = path.as_ref().to_path_buf();
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file =
            file.unwrap_or_else(|error| panic!("cannot open the register {}: {error}", path.display()));
        let shared = Shared { path, file, read_to: 0, state: State::default() };
        FencedRegister { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Writes in the name of `writer`.
    ///
    /// # Errors
    /// When a newer token has been seen; nothing is written then.
    pub fn write(&self, token: u128, writer: &str) -> Result<(), Stale> {
        let record = Record::new(RecordKind::Write, Mode::Write, token, writer);
        self.with(|shared| {
            shared.state.admit(Mode::Write, token)?;
            shared.append(record);
            Ok(())
        })
    }

    /// Goes inside. Whoever else is inside by the file's account, in this process or another, is an
    /// [overlap](FencedRegister::overlaps) unless both are readers; a holder whose process has died is not inside.
    ///
    /// # Errors
    /// When a newer token has been seen.
    pub fn enter(&self, token: u128, mode: Mode, who: &str) -> Result<Entry, Stale> {
        let record = Record::new(RecordKind::Enter, mode, token, who);
        self.with(|shared| {
            shared.state.admit(mode, token)?;
            let dead: Vec<Record> =
                shared.state.inside.iter().filter(|one| !one.is_alive()).cloned().collect();
            for one in dead {
                shared.append(Record { kind: RecordKind::Gone, ..one });
            }
            shared.append(record.clone());
            Ok(())
        })?;
        Ok(Entry { register: self.clone(), record })
    }

    /// Every case so far of two inside at once.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.with(|shared| shared.state.overlaps.clone())
    }

    /// Everything that was let in so far, in order.
    pub fn history(&self) -> Vec<Record> {
        self.with(|shared| shared.state.history.clone())
    }

    /// Runs `action` while nobody is at the register: a process that is frozen by it does not keep others away
    /// from the file.
    pub fn undisturbed<T>(&self, action: impl FnOnce() -> T) -> T {
        self.with(|_| action())
    }

    /// Runs `action` alone, on the newest state of the file.
    fn with<T>(&self, action: impl FnOnce(&mut Shared) -> T) -> T {
        let mut shared = lock(&self.shared);
        shared.file.lock().expect("a local file can be locked");
        shared.catch_up();
        let result = action(&mut shared);
        shared.file.unlock().expect("a local file can be unlocked");
        result
    }
}

/// A test that failed while it held the mutex left the state as the file has it, so it stays usable.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// The token it came in with.
    pub fn token(&self) -> u128 {
        self.record.token
    }

    /// Writes while inside.
    ///
    /// # Errors
    /// When a newer holder has been here meanwhile.
    pub fn write(&self) -> Result<(), Stale> {
        self.register.write(self.record.token, &self.record.who)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let record = Record { kind: RecordKind::Leave, ..self.record.clone() };
        self.register.with(|shared| shared.append(record));
    }
}

impl Shared {
    fn catch_up(&mut self) {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(self.read_to)).expect("the register can be read");
        self.file.read_to_string(&mut text).expect("the register is text");
        for line in text.lines() {
            let record = Record::parse(line)
                .unwrap_or_else(|| panic!("{} is no register: {line:?}", self.path.display()));
            self.state.apply(record);
        }
        self.read_to += text.len() as u64;
    }

    fn append(&mut self, record: Record) {
        let line = format!("{record}\n");
        self.file.write_all(line.as_bytes()).expect("the register can be written");
        self.read_to += line.len() as u64;
        self.state.apply(record);
    }
}

impl State {
    fn admit(&self, mode: Mode, token: u128) -> Result<(), Stale> {
        let newest = match mode {
            Mode::Write => self.newest,
            Mode::Read => self.newest_write,
        };
        if token < newest { Err(Stale { token, newest }) } else { Ok(()) }
    }

    fn apply(&mut self, record: Record) {
        self.newest = self.newest.max(record.token);
        if record.mode == Mode::Write {
            self.newest_write = self.newest_write.max(record.token);
        }
        match record.kind {
            RecordKind::Enter => {
                let conflicting = |one: &&Record| one.mode == Mode::Write || record.mode == Mode::Write;
                for inside in self.inside.iter().filter(conflicting) {
                    self.overlaps.push(Overlap { inside: inside.clone(), entering: record.clone() });
                }
                self.inside.push(record.clone());
            }
            RecordKind::Leave | RecordKind::Gone => self.inside.retain(|one| one.id != record.id),
            RecordKind::Write => {}
        }
        self.history.push(record);
    }
}

impl Record {
    fn new(kind: RecordKind, mode: Mode, token: u128, who: &str) -> Record {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let started = started(pid).expect("this process runs");
        let id = format!("{pid}.{started}.{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Record { kind, mode, token, who: who.replace(['\n', '\r'], " "), id }
    }

    /// Whether the process that wrote it still runs: the same number, started at the same moment.
    fn is_alive(&self) -> bool {
        let mut parts = self.id.split('.');
        let pid = parts.next().and_then(|part| part.parse().ok());
        pid.and_then(started).is_some_and(|now| Some(now.as_str()) == parts.next())
    }

    fn parse(line: &str) -> Option<Record> {
        let mut words = line.splitn(5, ' ');
        let kind = match words.next()? {
            "enter" => RecordKind::Enter,
            "leave" => RecordKind::Leave,
            "gone" => RecordKind::Gone,
            "write" => RecordKind::Write,
            _ => return None,
        };
        let mode = match words.next()? {
            "writer" => Mode::Write,
            "reader" => Mode::Read,
            _ => return None,
        };
        let token = u128::from_str_radix(words.next()?, 16).ok()?;
        let id = words.next()?.to_string();
        Some(Record { kind, mode, token, id, who: words.next()?.to_string() })
    }
}

/// When the process began, in the kernel's ticks; none if it has ended.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    // The 22nd field, counted from the state, which is the third.
    let started = words.nth(18)?;
    (state != "Z" && state != "X").then(|| started.to_string())
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RecordKind::Enter => "enter",
            RecordKind::Leave => "leave",
            RecordKind::Gone => "gone",
            RecordKind::Write => "write",
        };
        let mode = match self.mode {
            Mode::Write => "writer",
            Mode::Read => "reader",
        };
        write!(out, "{kind} {mode} {:032x} {} {}", self.token, self.id, self.who)
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "token {:x} is stale: {:x} has been seen", self.token, self.newest)
    }
}

impl std::error::Error for Stale {}
