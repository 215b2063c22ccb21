//! Which locks of others share a path with which of ours, and what happens where they do not: the one table, from which
//! the tests run and by which `docs/interop.md` is checked.

use zooky::Dialect;

/// One of our handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    Lock,
    Write,
    Read,
    Async,
}

/// The columns: what ours writes.
pub const OURS: [(Dialect, Handle); 10] = [
    (Dialect::Kazoo, Handle::Lock),
    (Dialect::Kazoo, Handle::Write),
    (Dialect::Kazoo, Handle::Read),
    (Dialect::Curator, Handle::Lock),
    (Dialect::Curator, Handle::Write),
    (Dialect::Curator, Handle::Read),
    (Dialect::Zktools, Handle::Lock),
    (Dialect::Zktools, Handle::Write),
    (Dialect::Zktools, Handle::Read),
    (Dialect::Zktools, Handle::Async),
];

/// What happens when they meet on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// Whoever comes second waits.
    Exclude,
    /// Both are readers of one lock.
    Share,
    /// Both are readers; but theirs comes as a writer first, and waits when it comes second.
    ShareOnceDowngraded,
    /// Ours, coming second, is refused; theirs, coming second, is blind, and our guard reports it.
    Blind,
    /// Ours, coming second, is refused; theirs, coming second, waits.
    OneWay,
    /// Ours, coming second, waits; theirs, coming second, gets in, and looks like one that would wait: our guard
    /// reports it as uncertain.
    Disguised,
}

impl Meeting {
    fn of(code: &str) -> Meeting {
        match code {
            "ex" => Meeting::Exclude,
            "sh" => Meeting::Share,
            "sw" => Meeting::ShareOnceDowngraded,
            "--" => Meeting::Blind,
            "rw" => Meeting::OneWay,
            "wp" => Meeting::Disguised,
            _ => panic!("{code:?} is no code of the table"),
        }
    }

    /// As `docs/interop.md` has it.
    pub fn in_words(self) -> &'static str {
        match self {
            Meeting::Exclude => "exclude",
            Meeting::Share => "share",
            Meeting::ShareOnceDowngraded => "share / waits",
            Meeting::Blind => "refused / reported",
            Meeting::OneWay => "refused / waits",
            Meeting::Disguised => "waits / perhaps",
        }
    }
}

/// Who steers the stock client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Java,
    Python,
}

/// A row: a stock client's lock.
pub struct Theirs {
    /// As the document calls it.
    pub name: &'static str,
    pub program: Program,
    /// As the program calls it.
    pub kind: &'static str,
    cells: &'static str,
}

impl Theirs {
    /// What happens with each of ours.
    pub fn meetings(&self) -> [Meeting; OURS.len()] {
        let cells: Vec<Meeting> =
            self.cells.split_whitespace().filter(|c| *c != "|").map(Meeting::of).collect();
        cells.try_into().expect("a cell for each of ours")
    }
}

const fn java(name: &'static str, kind: &'static str, cells: &'static str) -> Theirs {
    Theirs { name, program: Program::Java, kind, cells }
}

const fn python(name: &'static str, kind: &'static str, cells: &'static str) -> Theirs {
    Theirs { name, program: Program::Python, kind, cells }
}

pub const THEIRS: [Theirs; 22] = [
    // ours:                                               kazoo     | Curator  | zktools
    //                                                     L  W  R     L  W  R    L  W  R  A
    python("kazoo `Lock`", "Lock", "                       ex ex wp | -- -- -- | -- -- -- --"),
    python("kazoo `WriteLock`", "WriteLock", "             ex ex ex | -- -- -- | -- -- -- --"),
    python("kazoo `ReadLock`", "ReadLock", "               ex ex sh | -- -- -- | -- -- -- --"),
    python("kazoo `Semaphore`", "Semaphore", "             -- -- -- | -- -- -- | -- -- -- --"),
    java("Curator `InterProcessMutex`", "mutex", "         -- -- -- | ex -- -- | -- -- -- ex"),
    java("Curator read/write lock, writer", "writer", "    -- -- -- | -- ex ex | -- -- -- --"),
    java("Curator read/write lock, reader", "reader", "    -- -- -- | -- ex sh | -- -- -- --"),
    java("the same, downgraded from a writer", "downgraded", "-- -- -- | -- ex sw | -- -- -- --"),
    java("Curator `InterProcessSemaphoreV2`", "semaphore", " -- -- -- | -- -- -- | -- -- -- --"),
    python("zktools `ZkLock`", "ZkLock", "                 -- -- -- | rw -- -- | ex ex ex ex"),
    python("zktools `ZkWriteLock`", "ZkWriteLock", "       -- -- -- | rw -- -- | ex ex ex ex"),
    python("zktools `ZkReadLock`", "ZkReadLock", "         -- -- -- | -- -- -- | -- ex sh --"),
    python("zktools `ZkAsyncLock`", "ZkAsyncLock", "       -- -- -- | ex -- -- | ex ex ex ex"),
    python("zktools 0.2 `ZkLock`", "old-lock", "           -- -- -- | ex -- -- | ex ex rw ex"),
    python("zktools 0.2 `ZkWriteLock`", "old-write", "     -- -- -- | rw -- -- | ex ex rw ex"),
    python("zktools 0.2 `ZkReadLock`", "old-read", "       -- -- -- | -- -- -- | -- -- -- --"),
    java("ZooKeeper's `WriteLock` (Java)", "recipe", "     -- -- -- | rw -- -- | ex ex rw ex"),
    python("ZooKeeper's lock recipe (C)", "c-recipe", "    -- -- -- | rw -- -- | ex ex rw ex"),
    python("go-zookeeper `Lock`", "go", "                  rw rw rw | ex rw rw | -- -- -- ex"),
    python("aiozk `Lock`, writer", "aiozk-lock", "         rw rw rw | rw rw rw | ex ex rw ex"),
    python("`zookeeper-client` (Rust), not named `lock-`", "rust", "-- -- -- | -- -- -- | -- -- -- --"),
    python("aiozk reader", "aiozk-read", "                 -- -- -- | -- -- -- | -- -- -- --"),
];
