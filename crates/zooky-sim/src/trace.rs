//! What happened, hashed; told in words if a seed is run alone or fails.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

#[derive(Debug)]
pub(crate) struct Trace {
    hash: DefaultHasher,
    lines: VecDeque<String>,
    all: bool,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        // A seed that is run alone tells all of its story.
        let all = std::env::var_os("ZOOKY_SIM_SEED").is_some();
        Trace { hash: DefaultHasher::new(), lines: VecDeque::new(), all }
    }

    /// Something that is told, too.
    pub(crate) fn note(&mut self, at_ms: u64, line: &str) {
        (at_ms, line).hash(&mut self.hash);
        self.lines.push_back(format!("{at_ms:>7} ms  {line}"));
        if self.lines.len() > 80 && !self.all {
            self.lines.pop_front();
        }
    }

    /// Something that only counts for the hash, unless the seed is run alone.
    pub(crate) fn detail(&mut self, at_ms: u64, what: impl Hash, tell: impl FnOnce() -> String) {
        (at_ms, what).hash(&mut self.hash);
        if self.all {
            self.lines.push_back(format!("{at_ms:>7} ms      {}", tell()));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lines.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}
