//! The shared file that the workers write while they hold the lock: a line for every entry, number and exit. Each
//! write is made under the file's own lock, so that the order of lines is the order of events; a token smaller
//! than one already there is refused, as every resource behind a lock should do.

use crate::exit::Failure;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
}

/// What the file tells in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Entries that were followed by their own exit.
    pub(crate) turns: usize,
    /// Lines written by one worker while another was inside.
    pub(crate) overlaps: usize,
    /// Writes refused for their stale token.
    pub(crate) refused: usize,
    /// Numbers counted.
    pub(crate) counted: usize,
}

impl Ledger {
    /// A new one in the temporary directory.
    pub(crate) fn create() -> Result<Ledger, Failure> {
        let name = format!("zooky-demo-{}-{}", std::process::id(), crate::time::boot_now_ns());
        let path = std::env::temp_dir().join(name);
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let file =
            file.map_err(|error| Failure::os(format_args!("cannot make {}", path.display()), error))?;
        Ok(Ledger { path, file })
    }

    /// The one that the demo has made.
    pub(crate) fn open(path: &Path) -> Result<Ledger, Failure> {
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file =
            file.map_err(|error| Failure::os(format_args!("cannot open {}", path.display()), error))?;
        Ok(Ledger { path: path.to_path_buf(), file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `what` in the name of `pid`, unless a newer token is there; then a refusal is written instead, and
    /// the answer is false.
    pub(crate) fn write(&mut self, token: u128, pid: u32, what: &str) -> Result<bool, Failure> {
        let failed = |error| Failure::os("cannot write the shared file", error);
        self.file.lock().map_err(failed)?;
        let newest = self.read()?.lines().filter_map(token_of).max().unwrap_or(0);
        let fresh = token >= newest;
        let what = if fresh { what } else { "refused" };
        self.file.write_all(format!("{token:032x} {pid} {what}\n").as_bytes()).map_err(failed)?;
        self.file.unlock().map_err(failed)?;
        Ok(fresh)
    }

    /// Reads it all and judges it.
    pub(crate) fn check(&self) -> Result<Report, Failure> {
        Ok(Report::of(&self.read()?))
    }

    /// Removes the file.
    pub(crate) fn remove(self) {
        let _ = std::fs::remove_file(self.path);
    }

    fn read(&self) -> Result<String, Failure> {
        let failed = |error| Failure::os("cannot read the shared file", error);
        let mut text = String::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    }
}

impl Report {
    fn of(text: &str) -> Report {
        let mut report = Report::default();
        let mut inside: Option<&str> = None;
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(pid), Some(what)) = (words.nth(1), words.next()) else { continue };
            if what != "refused" && inside.is_some_and(|one| one != pid) {
                report.overlaps += 1;
            }
            match what {
                "enter" => inside = Some(pid),
                "leave" if inside == Some(pid) => {
                    inside = None;
                    report.turns += 1;
                }
                "refused" => report.refused += 1,
                _ => report.counted += usize::from(inside == Some(pid)),
            }
        }
        report
    }
}

fn token_of(line: &str) -> Option<u128> {
    u128::from_str_radix(line.split(' ').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_tokens_are_refused() {
        let mut ledger = Ledger::create().unwrap();
        assert!(ledger.write(7, 1, "enter").unwrap());
        assert!(ledger.write(7, 1, "leave").unwrap());
        assert!(ledger.write(9, 2, "enter").unwrap());
        assert!(!ledger.write(8, 1, "1").unwrap());
        assert!(ledger.write(9, 2, "1").unwrap());
        let report = ledger.check().unwrap();
        ledger.remove();
        assert_eq!(report, Report { turns: 1, overlaps: 0, refused: 1, counted: 1 });
    }

    #[test]
    fn overlaps_are_seen() {
        let report = Report::of("01 1 enter\n02 2 enter\n01 1 leave\n02 2 leave\n");
        assert!(report.overlaps > 0, "{report:?}");
        let clean = Report::of("01 1 enter\n01 1 1\n01 1 leave\n02 2 enter\n02 2 leave\n");
        assert_eq!(clean, Report { turns: 2, overlaps: 0, refused: 0, counted: 1 });
    }
}
