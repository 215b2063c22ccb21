//! The state directory: where the embedded server's data, log and whereabouts are, and which foreign servers
//! were seen. All of it is the user's alone (mode 0700).

use crate::exit::{self, Failure};
use crate::srvr::{PATIENCE, Srvr, reached_at};
use crate::{proc, time, xdg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirEntryExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zooky_server::make_durable_dir;

/// How long a server may take to stop: it finishes its syncs first.
const STOP_SECONDS: i64 = 30;
/// How long it may take to write a snapshot, which leaves half of the disk's time to the log.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before looking for it again.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// An open state directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

/// The embedded server as it wrote itself down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its process number.
    pub(crate) pid: i32,
    /// When that process began, in ticks since boot: the number alone may be another's by now.
    pub(crate) started: u64,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// Where its data is.
    pub(crate) data_dir: PathBuf,
}

fn place() -> Option<PathBuf> {
    xdg::base("XDG_STATE_HOME", ".local/state").map(|base| base.join("zooky"))
}

impl StateDir {
    /// `$XDG_STATE_HOME/zooky`, else `~/.local/state/zooky`; made if it is not there.
    ///
    /// # Errors
    /// When neither variable names an absolute path, or the directory cannot be made.
    pub(crate) fn open() -> Result<StateDir, Failure> {
        let Some(path) = place() else {
            return Err(Failure::new(
                exit::CONFIG,
                "neither XDG_STATE_HOME nor HOME is set, so there is no place for the embedded server's data; \
                 set one of them or name servers with --servers",
            ));
        };
        // What lies in it is the server's data: it must not go with a loss of power. A server that is started syncs it again.
        let made = if path.is_dir() { Ok(()) } else { make_durable_dir(&path) };
        made.map_err(|error| Failure::new(exit::CONFIG, format!("cannot make {}: {error}", path.display())))?;
        Ok(StateDir(path))
    }

    /// The one that is there already; nothing is made.
    pub(crate) fn look() -> Option<StateDir> {
        place().filter(|path| path.is_dir()).map(StateDir)
    }

    /// The one at `path`, which exists.
    pub(crate) fn at(path: PathBuf) -> StateDir {
        StateDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded server's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// What the embedded server writes to standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    pub(crate) fn log_for_append(&self) -> Result<File, Failure> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log())
            .map_err(|error| Failure::os(format_args!("cannot open {}", self.log().display()), error))
    }

    /// Waits until no other command is starting or stopping the server; dropping the file lets the next one in.
    pub(crate) fn lock(&self) -> Result<File, Failure> {
        let path = self.0.join("server.lock");
        let failed = |error| Failure::os(format_args!("cannot lock {}", path.display()), error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// The embedded server, if it lives.
    pub(crate) fn running(&self) -> Option<Running> {
        let running: Running = serde_json::from_slice(&fs::read(self.whereabouts()).ok()?).ok()?;
        (running.process().and_then(proc::started) == Some(running.started)).then_some(running)
    }

    /// Writes down that this process is the server.
    pub(crate) fn write_running(&self, listen: SocketAddr, data_dir: PathBuf) -> std::io::Result<()> {
        let me = rustix::process::getpid();
        let running = Running {
            pid: me.as_raw_nonzero().get(),
            started: proc::started(me).unwrap_or(0),
            listen,
            since_ms: time::wall_now_ms(),
            data_dir,
        };
        // Written aside and renamed: a reader sees all of it or none.
        let aside = self.0.join("server.json.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec(&running)?)?;
        fs::rename(aside, self.whereabouts())
    }

    /// The server has stopped.
    pub(crate) fn forget_running(&self) {
        // A stale file does no harm: the process it names is gone.
        let _ = fs::remove_file(self.whereabouts());
    }

    /// When a server that is not ours was first seen at `address`.
    pub(crate) fn foreign_since(&self, address: &str) -> Option<String> {
        let seen = fs::read_to_string(self.foreign()).ok()?;
        let mut lines = seen.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(one, _)| *one == address).map(|(_, when)| when.to_string())
    }

    /// Remembers one.
    pub(crate) fn note_foreign(&self, address: &str) -> std::io::Result<()> {
        if self.foreign_since(address).is_some() {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.foreign())?;
        file.write_all(format!("{address} {}\n", time::utc(time::wall_now_ms())).as_bytes())
    }

    /// Forgets them all; how many there were.
    pub(crate) fn forget_foreign(&self) -> Result<usize, Failure> {
        let count = fs::read_to_string(self.foreign()).map_or(0, |seen| seen.lines().count());
        match fs::remove_file(self.foreign()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::os(format_args!("cannot remove {}", self.foreign().display()), error))
            }
            _ => Ok(count),
        }
    }

    fn whereabouts(&self) -> PathBuf {
        self.0.join("server.json")
    }

    fn foreign(&self) -> PathBuf {
        self.0.join("foreign")
    }
}

impl Running {
    /// Whether it is what answers at one of `addresses`.
    pub(crate) fn is_at(&self, addresses: &[SocketAddr]) -> bool {
        addresses.contains(&self.listen)
    }

    fn process(&self) -> Option<Pid> {
        Pid::from_raw(self.pid).filter(|_| self.pid > 0)
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it is not ours to stop, or does not stop in half a minute.
    pub(crate) fn stop(&self) -> Result<(), Failure> {
        let Some(handle) = self.signal(Signal::TERM)? else { return Ok(()) };
        let patience = Timespec { tv_sec: STOP_SECONDS, tv_nsec: 0 };
        match has_ended(&handle, patience) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed(format_args!("it has not ended after {STOP_SECONDS} s"))),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Asks it for a snapshot and waits until there is one that shows everything there is now; its file. One that was
    /// under way already may not.
    ///
    /// # Errors
    /// When it is not ours to ask, does not say how far it is, ends meanwhile, or there is no new snapshot after a minute.
    pub(crate) fn snapshot(&self) -> Result<PathBuf, Failure> {
        let newest = self.zxid()?;
        let dir = self.data_dir.join("version-2");
        let unreadable = |error| Failure::os(format_args!("cannot look into {}", dir.display()), error);
        let before = snapshots(&dir).map_err(unreadable)?;
        let ended = || self.failed("it has ended");
        let handle = self.signal(Signal::USR1)?.ok_or_else(ended)?;
        let began = Instant::now();
        while began.elapsed() < SNAPSHOT_PATIENCE {
            let now = snapshots(&dir).map_err(unreadable)?;
            // One of the same state takes the place of the last: the same name, another file.
            let shows = |name: &OsString| zxid_of(name).is_some_and(|zxid| zxid >= newest);
            if let Some((name, _)) = now.difference(&before).find(|(name, _)| shows(name)) {
                return Ok(dir.join(name));
            }
            if has_ended(&handle, LOOK_AGAIN).map_err(|error| self.failed(error))? {
                return Err(ended());
            }
        }
        Err(self.failed(format_args!("no new snapshot in {} after a minute; see its log", dir.display())))
    }

    /// Its newest transaction.
    fn zxid(&self) -> Result<u64, Failure> {
        let at = reached_at(self.listen);
        let answer = TcpStream::connect_timeout(&at, PATIENCE).and_then(Srvr::ask);
        let answer = answer.map_err(|error| self.failed(format_args!("srvr at {at}: {error}")))?;
        answer
            .zxid()
            .ok_or_else(|| self.failed("`srvr` is not among the words that it answers (--four-letter-words)"))
    }

    /// Sends it a signal; `None`: it has ended.
    fn signal(&self, signal: Signal) -> Result<Option<OwnedFd>, Failure> {
        let process = self.process().ok_or_else(|| self.failed("there is no such process"))?;
        // Bound to the process first and checked then: the number cannot change hands in between.
        let handle = pidfd_open(process, PidfdFlags::empty()).map_err(|error| self.failed(error))?;
        if proc::started(process) != Some(self.started) {
            return Ok(None);
        }
        pidfd_send_signal(&handle, signal).map_err(|error| self.failed(error))?;
        Ok(Some(handle))
    }

    fn failed(&self, why: impl std::fmt::Display) -> Failure {
        Failure::os(format_args!("the server, process {}, does not do what it was asked", self.pid), why)
    }
}

/// Whether the process ends within this time.
fn has_ended(handle: &OwnedFd, patience: Timespec) -> rustix::io::Result<bool> {
    poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&patience)).map(|events| events > 0)
}

/// The transaction up to which the snapshot of this name shows everything.
fn zxid_of(snapshot: &OsString) -> Option<u64> {
    u64::from_str_radix(snapshot.to_str()?.strip_prefix("snapshot.")?, 16).ok()
}

/// The snapshots there, each by its name and its inode.
fn snapshots(dir: &Path) -> std::io::Result<BTreeSet<(OsString, u64)>> {
    let entries = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    let is_snapshot = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("snapshot.");
    Ok(entries
        .iter()
        .filter(|entry| is_snapshot(entry))
        .map(|entry| (entry.file_name(), entry.ino()))
        .collect())
}
