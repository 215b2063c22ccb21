//! The state directory: where the embedded server's data, log and whereabouts are, and which foreign servers
//! were seen. All of it is the user's alone (mode 0700).

use crate::exit::{self, Failure};
use crate::{proc, time, xdg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How long a server may take to stop: it finishes its syncs first.
const STOP_SECONDS: i64 = 30;

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
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
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
    pub(crate) fn write_running(&self, listen: SocketAddr) -> std::io::Result<()> {
        let me = rustix::process::getpid();
        let running = Running {
            pid: me.as_raw_nonzero().get(),
            started: proc::started(me).unwrap_or(0),
            listen,
            since_ms: time::wall_now_ms(),
            data_dir: self.data(),
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
        let failed =
            |why: String| Failure::os(format_args!("cannot stop the server, process {}", self.pid), why);
        let process = self.process().ok_or_else(|| failed("there is no such process".to_string()))?;
        // Bound to the process first and checked then: the number cannot change hands in between.
        let handle = pidfd_open(process, PidfdFlags::empty()).map_err(|error| failed(error.to_string()))?;
        if proc::started(process) != Some(self.started) {
            return Ok(());
        }
        pidfd_send_signal(&handle, Signal::TERM).map_err(|error| failed(error.to_string()))?;
        let patience = Timespec { tv_sec: STOP_SECONDS, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience)) {
            Ok(1..) => Ok(()),
            Ok(_) => Err(failed(format!("it has not ended after {STOP_SECONDS} s"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
