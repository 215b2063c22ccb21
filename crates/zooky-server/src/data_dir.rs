//! The data directory: ours alone, and locked while a server runs on it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::durable_dir::make_durable_dir;
use crate::error::StartError;
use crate::log::sync_directory;

/// The file that is locked; it also marks the directory as ours.
const LOCK: &str = "zooky.lock";
/// The directory that holds logs and snapshots, as Apache ZooKeeper names it.
const VERSION_2: &str = "version-2";
/// What may lie in an empty directory: a file system's own, and an Apache server's number.
const HARMLESS: [&str; 2] = ["lost+found", "myid"];

/// A data directory that this process has locked. The lock goes with the value, or with the process.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, checks that it is one of ours, and locks it.
    pub(crate) fn open(path: &Path) -> Result<DataDir, StartError> {
        let failed = |what, path: &Path, source| StartError::DataDir { what, path: path.into(), source };
        make_durable_dir(path).map_err(|e| failed("make", path, e))?;
        if let Some(found) = stranger(path).map_err(|e| failed("read", path, e))? {
            return Err(StartError::NotOurs { path: path.into(), found });
        }
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|e| failed("open", &lock_path, e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StartError::Locked { path: path.into() }),
            Err(e) => return Err(failed("lock", &lock_path, e.into())),
        }
        let dir = DataDir { path: path.into(), _lock: lock };
        let version_2 = dir.version_2();
        match DirBuilder::new().mode(0o700).create(&version_2) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(|e| failed("make", &version_2, e))?,
        }
        for private in [path, &version_2] {
            fs::set_permissions(private, Permissions::from_mode(0o700))
                .map_err(|e| failed("make private", private, e))?;
        }
        sync_directory(path).map_err(|e| failed("sync", path, e))?;
        Ok(dir)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where logs and snapshots are.
    pub(crate) fn version_2(&self) -> PathBuf {
        self.path.join(VERSION_2)
    }
}

/// Where the files of the data directory `path` are (`path` itself, if it is a `version-2`), and a lock that keeps servers
/// of ours off them. Changes nothing.
pub(crate) fn look(path: &Path) -> Result<(PathBuf, Option<File>), StartError> {
    let failed = |what, path: &Path, source| StartError::DataDir { what, path: path.into(), source };
    let version_2 = path.join(VERSION_2);
    let (version_2, parent) = if version_2.is_dir() {
        (version_2, path.to_path_buf())
    } else if path.file_name().is_some_and(|name| name == VERSION_2) {
        (path.to_path_buf(), path.join(".."))
    } else {
        fs::read_dir(path).map_err(|e| failed("read", path, e))?;
        return Err(StartError::NoData { path: path.into() });
    };
    let lock_path = parent.join(LOCK);
    let lock = match File::open(&lock_path) {
        Ok(lock) => lock,
        // One of Apache's, or one whose files were copied.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((version_2, None)),
        Err(e) => return Err(failed("open", &lock_path, e)),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok((version_2, Some(lock))),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked { path: path.into() }),
        Err(e) => Err(failed("lock", &lock_path, e.into())),
    }
}

/// A file that shows that the directory is somebody else's.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    let mut found = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == LOCK || name == VERSION_2 {
            return Ok(None);
        }
        if !HARMLESS.contains(&name.as_str()) {
            found = Some(name);
        }
    }
    Ok(found)
}
