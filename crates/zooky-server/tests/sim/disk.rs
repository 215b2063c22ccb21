//! A simulated disk behind the log's `Storage`.
//!
//! What is written is in the cache until it is synced. When power fails, each sector of 512 bytes that was
//! not synced is there or not, each for itself; the same for names of which the directory was not synced.
//! A failed sync leaves some sectors unwritten and forgets that they are: what the kernel does, and why a
//! second sync proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use zooky_server::log::{Storage, StorageFile};
use zooky_testkit::Rng;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct File {
    /// What a reader sees.
    cache: Vec<u8>,
    /// What survives for sure.
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

/// What the disk is to do to the operation that comes after so many others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power fails: from here on nothing is done.
    PowerOff,
    /// The operation fails, perhaps half done.
    Error,
    /// Writes fail until the space is freed.
    Full,
    /// The power fails under the next sync that has a file's new length or names to write, and the sync says all the
    /// same that it is done. What had its place on the disk has been written, the rest has not. ext4 does so when it
    /// is shut down under a sync.
    Lie,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    fault: Option<(usize, Fault)>,
    off: bool,
    full: bool,
    operations: u64,
}

/// A handle on the disk; clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn new(rng: Rng) -> Disk {
        Disk(Arc::new(Mutex::new(State {
            rng,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            fault: None,
            off: false,
            full: false,
            operations: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// The fault comes with the operation after the next `after`.
    pub(crate) fn plan(&self, after: usize, fault: Fault) {
        self.state().fault = Some((after, fault));
    }

    /// How many operations changed anything, or tried to.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().off
    }

    /// The process dies and starts again; faults are mended, the cache stays.
    pub(crate) fn process_died(&self) {
        let mut state = self.state();
        (state.fault, state.full) = (None, false);
    }

    /// The power fails, if it has not yet, and comes back.
    pub(crate) fn power_cycle(&self) {
        let mut state = self.state();
        state.lose_power();
        (state.fault, state.full, state.off) = (None, false, false);
    }

    /// Another disk with the same bytes, all of them durable.
    pub(crate) fn copy(&self) -> Disk {
        let state = self.state();
        let copy = Disk::new(state.rng.clone());
        let mut to = copy.state();
        to.files.clone_from(&state.files);
        for file in &mut to.files {
            file.dirty.clear();
            file.durable.clone_from(&file.cache);
        }
        to.names.clone_from(&state.names);
        to.durable_names.clone_from(&state.names);
        drop(to);
        copy
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].cache.clone()
    }

    pub(crate) fn flip(&self, name: &str, bit: usize) {
        let mut state = self.state();
        let id = state.names[name];
        let file = &mut state.files[id];
        file.cache[bit / 8] ^= 1 << (bit % 8);
        file.durable.clone_from(&file.cache);
    }
}

fn no_such_file() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl State {
    /// Counts an operation; `Err` if it fails.
    fn operation(&mut self, is_write: bool) -> io::Result<()> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        if let Some((after, fault)) = self.fault {
            if after > 0 {
                self.fault = Some((after - 1, fault));
            } else if fault != Fault::Lie {
                self.fault = None;
                match fault {
                    Fault::PowerOff => {
                        self.off = true;
                        return Err(io::Error::other("the power is off"));
                    }
                    Fault::Error => return Err(io::Error::other("input/output error")),
                    Fault::Full => self.full = true,
                    Fault::Lie => {}
                }
            }
        }
        if self.full && is_write {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Whether a sync of a new length or of names is to be a lie. Then the power is off.
    fn lies(&mut self) -> bool {
        let lies = self.fault == Some((0, Fault::Lie));
        self.off |= lies;
        lies
    }

    fn lose_power(&mut self) {
        self.off = true;
        // Nothing of what was not synced, all of it, or each part by itself.
        let mode = self.rng.below(4);
        let mut names = self.durable_names.clone();
        let mut changes = std::mem::take(&mut self.changes);
        match mode {
            0 => changes.clear(),
            1 => {}
            _ => changes.retain(|_| self.rng.one_in(2)),
        }
        for change in changes {
            match change {
                NameChange::Create(name, id) => {
                    names.insert(name, id);
                }
                NameChange::Rename(from, to, id) => {
                    if names.get(&from) == Some(&id) {
                        names.remove(&from);
                    }
                    names.insert(to, id);
                }
                NameChange::Remove(name) => {
                    names.remove(&name);
                }
            }
        }
        self.durable_names.clone_from(&names);
        self.names = names;
        for file in &mut self.files {
            file.lose_power(mode, &mut self.rng);
        }
    }
}

impl File {
    fn lose_power(&mut self, mode: usize, rng: &mut Rng) {
        let dirty = std::mem::take(&mut self.dirty);
        if mode == 1 {
            self.durable.clone_from(&self.cache);
        } else if mode > 1 {
            // The length is a matter of its own.
            if self.durable.len() != self.cache.len() && rng.one_in(2) {
                let (a, b) = (self.durable.len(), self.cache.len());
                let between = a.min(b) + rng.below(a.max(b) - a.min(b) + 1);
                let len = if rng.one_in(2) { b } else { between };
                self.durable.resize(len, 0);
            }
            for sector in dirty {
                if rng.one_in(2) {
                    self.persist(sector);
                }
            }
        }
        self.cache.clone_from(&self.durable);
    }

    fn persist(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.cache.len());
        if from >= to {
            return;
        }
        if self.durable.len() < to {
            self.durable.resize(to, 0);
        }
        self.durable[from..to].copy_from_slice(&self.cache[from..to]);
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    /// What the disk has a place for already; the rest stays dirty.
    fn sync_in_place(&mut self) {
        let place = self.durable.len();
        for sector in std::mem::take(&mut self.dirty) {
            let (from, to) = (sector * SECTOR, (sector * SECTOR + SECTOR).min(self.cache.len()));
            if from < place.min(to) {
                let both = from..place.min(to);
                self.durable[both.clone()].copy_from_slice(&self.cache[both]);
            }
            if to > place {
                self.dirty.insert(sector);
            }
        }
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector);
        }
        self.durable.resize(self.cache.len(), 0);
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.operation(false)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.operation(false)?;
        let id = *state.names.get(name).ok_or_else(no_such_file)?;
        Ok(Box::new(OpenFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.operation(true)?;
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let id = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), id);
        state.changes.push(NameChange::Create(name.to_owned(), id));
        Ok(Box::new(OpenFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(false)?;
        let id = state.names.remove(from).ok_or_else(no_such_file)?;
        state.names.insert(to.to_owned(), id);
        state.changes.push(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation(false)?;
        state.names.remove(name).ok_or_else(no_such_file)?;
        state.changes.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation(false)?;
        if state.changes.is_empty() || !state.lies() {
            state.changes.clear();
            state.durable_names = state.names.clone();
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/sim").join(name)
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: Disk,
    id: usize,
}

impl StorageFile for OpenFile {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut state = self.disk.state();
        state.operation(false)?;
        Ok(state.files[self.id].cache.clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.off {
            return state.operation(true);
        }
        let result = state.operation(true);
        // What fails may be half done.
        let done = if result.is_ok() { bytes.len() } else { state.rng.below(bytes.len() + 1) };
        state.files[self.id].write(offset as usize, &bytes[..done]);
        result
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(false)?;
        let file = &mut state.files[self.id];
        file.cache.resize(len as usize, 0);
        // What is behind the cut now is zeros when it is used again.
        let last = (len as usize) / SECTOR;
        file.dirty.insert(last);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.operation(false);
        let state = &mut *state;
        let grows = state.files[self.id].cache.len() != state.files[self.id].durable.len();
        let lies = result.is_ok() && grows && state.lies();
        let file = &mut state.files[self.id];
        match &result {
            Ok(()) if lies => file.sync_in_place(),
            Ok(()) => file.sync(),
            Err(_) if state.off => {}
            Err(_) => {
                // Some sectors are written, some are not, and none is known as dirty any more.
                for sector in std::mem::take(&mut file.dirty) {
                    if state.rng.one_in(2) {
                        file.persist(sector);
                    }
                }
            }
        }
        result
    }
}
