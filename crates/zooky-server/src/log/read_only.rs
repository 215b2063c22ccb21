//! A directory that is only looked at: recovery runs on it as on any other, and what it would change is dropped.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use super::{Storage, StorageFile};

/// The files in a directory, which stays as it is. Nothing that was written can be read again: recovery never does.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    dir: PathBuf,
}

impl ReadOnly {
    /// The files in `dir`, which must exist.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> ReadOnly {
        ReadOnly { dir: dir.into() }
    }
}

impl Storage for ReadOnly {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(Unchanged(Some(File::open(self.path(name))?))))
    }

    fn create(&self, _name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(Unchanged(None)))
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A file that is there, or one that would have been made.
#[derive(Debug)]
struct Unchanged(Option<File>);

impl StorageFile for Unchanged {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.0 {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}
