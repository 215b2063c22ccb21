//! How each client library names the children of a lock's znode.
//!
//! A lock handle of ours writes one dialect, but it classifies every child that it finds in all
//! the dialects known: a contender that our neighbours would overlook, or that nobody knows, means
//! that two could hold the lock at once. The layouts were read off kazoo 2.11, Curator 5.4,
//! zktools 0.2.1 and 0.3, ZooKeeper's own Java and C recipes, go-zookeeper, aiozk and the Rust crate
//! `zookeeper-client`. Who of them sees whom is in `respect.rs`.

use std::fmt::{self, Write};

/// Whose way of naming a contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// kazoo's Lock, ReadLock and WriteLock; what zooky writes unless it is told otherwise.
    Kazoo,
    /// kazoo's Semaphore (its leases are not numbered).
    KazooSemaphore,
    /// Apache Curator's InterProcessMutex and InterProcessReadWriteLock.
    Curator,
    /// zktools' locks, and its asynchronous lock.
    Zktools,
    /// The recipes that come with ZooKeeper, in Java and C.
    ZooKeeper,
    /// go-zookeeper's lock.
    Go,
    /// The Rust crate `zookeeper-client`.
    RustClient,
    /// aiozk.
    Aiozk,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Kazoo => "kazoo",
            Dialect::KazooSemaphore => "kazoo's semaphore",
            Dialect::Curator => "Curator",
            Dialect::Zktools => "zktools",
            Dialect::ZooKeeper => "ZooKeeper's own recipe",
            Dialect::Go => "go-zookeeper",
            Dialect::RustClient => "zookeeper-client",
            Dialect::Aiozk => "aiozk",
        })
    }
}

/// What a contender wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// To be alone. In kazoo's dialect a Lock and a WriteLock look the same.
    Exclusive,
    /// To share with other readers.
    Shared,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        })
    }
}

/// A dialect that our handles can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Kazoo,
    Curator,
    Zktools,
}

impl Written {
    pub(crate) fn of(dialect: Dialect) -> Option<Written> {
        match dialect {
            Dialect::Kazoo => Some(Written::Kazoo),
            Dialect::Curator => Some(Written::Curator),
            Dialect::Zktools => Some(Written::Zktools),
            _ => None,
        }
    }
}

impl From<Written> for Dialect {
    fn from(written: Written) -> Dialect {
        match written {
            Written::Kazoo => Dialect::Kazoo,
            Written::Curator => Dialect::Curator,
            Written::Zktools => Dialect::Zktools,
        }
    }
}

/// What a handle of ours contends as; which kind of node that is, its dialect says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The plain lock: kazoo's Lock, Curator's mutex, zktools' ZkLock.
    Lock,
    /// The writer of a read/write lock.
    Writer,
    /// A reader of a read/write lock.
    Reader,
    /// The asynchronous lock: zktools' ZkAsyncLock; the plain lock in the other dialects.
    Async,
}

impl Role {
    pub(crate) fn mode(self) -> Mode {
        if self == Role::Reader { Mode::Shared } else { Mode::Exclusive }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// The kinds of nodes in the field, one for each shape of name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        #[cfg(test)]
        impl Kind {
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind,)*];
        }
    };
}

kinds! {
    /// `<32 hex>__lock__N`: kazoo's Lock and WriteLock.
    KazooLock,
    /// `<32 hex>__rlock__N`.
    KazooReader,
    /// `<32 hex>`: a lease of kazoo's semaphore.
    KazooLease,
    /// `_c_<uuid>-lock-N`.
    CuratorMutex,
    /// `_c_<uuid>-__WRIT__N`.
    CuratorWriter,
    /// `_c_<uuid>-__READ__N`.
    CuratorReader,
    /// `_c_<uuid>-lease-N`: a lease of Curator's semaphore.
    CuratorLease,
    /// `locks` and `leases`: the directories of Curator's semaphore.
    CuratorSemaphore,
    /// `<32 hex>-lock--N`: ZkLock of zktools 0.3.
    ZkLock,
    /// `<32 hex>-write--N`: ZkWriteLock of zktools 0.3.
    ZkWriter,
    /// `<32 hex>-read--N`: ZkReadLock of zktools 0.3.
    ZkReader,
    /// `<32 hex>-lock-N`: ZkAsyncLock.
    ZkAsync,
    /// `lock-N` of zktools 0.2.1.
    OldZkLock,
    /// `write-N` of zktools 0.2.1.
    OldZkWriter,
    /// `read-N` of zktools 0.2.1.
    OldZkReader,
    /// `x-<session>-N`: ZooKeeper's own recipes.
    Recipe,
    /// `_c_<32 hex>-lock-N`.
    Go,
    /// `_c_<uuid>-<name>N`, whatever the name.
    RustClient,
    /// `lock-<32 hex>-N`.
    AiozkLock,
    /// `write-<32 hex>-N`.
    AiozkWriter,
    /// `read-<32 hex>-N`.
    AiozkReader,
}

impl Kind {
    /// What one of ours writes.
    pub(crate) fn written(dialect: Written, role: Role) -> Kind {
        match (dialect, role) {
            (Written::Kazoo, Role::Reader) => Kind::KazooReader,
            (Written::Kazoo, _) => Kind::KazooLock,
            (Written::Curator, Role::Lock | Role::Async) => Kind::CuratorMutex,
            (Written::Curator, Role::Writer) => Kind::CuratorWriter,
            (Written::Curator, Role::Reader) => Kind::CuratorReader,
            (Written::Zktools, Role::Lock) => Kind::ZkLock,
            (Written::Zktools, Role::Writer) => Kind::ZkWriter,
            (Written::Zktools, Role::Reader) => Kind::ZkReader,
            (Written::Zktools, Role::Async) => Kind::ZkAsync,
        }
    }

    /// What such a node is called, up to the server's number.
    pub(crate) fn prefix(self, unique: u128) -> String {
        // With room for what follows: a name is made for each contender.
        let mut hex = String::with_capacity(48);
        // Writing to a string does not fail.
        let _ = write!(hex, "{:032x}", marked(unique));
        let curator = |label: &str| {
            format!(
                "_c_{}-{}-{}-{}-{}{label}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            )
        };
        match self {
            Kind::KazooReader => hex + "__rlock__",
            Kind::CuratorMutex => curator("-lock-"),
            Kind::CuratorWriter => curator("-__WRIT__"),
            Kind::CuratorReader => curator("-__READ__"),
            Kind::CuratorLease => curator("-lease-"),
            Kind::ZkLock => hex + "-lock--",
            Kind::ZkWriter => hex + "-write--",
            Kind::ZkReader => hex + "-read--",
            Kind::ZkAsync => hex + "-lock-",
            Kind::KazooLease => hex,
            // All that zooky writes is above; kazoo's lock is the rest of it.
            _ => hex + "__lock__",
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Kind::KazooLock | Kind::KazooReader => Dialect::Kazoo,
            Kind::KazooLease => Dialect::KazooSemaphore,
            Kind::CuratorMutex
            | Kind::CuratorWriter
            | Kind::CuratorReader
            | Kind::CuratorLease
            | Kind::CuratorSemaphore => Dialect::Curator,
            Kind::ZkLock | Kind::ZkWriter | Kind::ZkReader | Kind::ZkAsync => Dialect::Zktools,
            Kind::OldZkLock | Kind::OldZkWriter | Kind::OldZkReader => Dialect::Zktools,
            Kind::Recipe => Dialect::ZooKeeper,
            Kind::Go => Dialect::Go,
            Kind::RustClient => Dialect::RustClient,
            Kind::AiozkLock | Kind::AiozkWriter | Kind::AiozkReader => Dialect::Aiozk,
        }
    }

    pub(crate) fn mode(self) -> Mode {
        match self {
            Kind::KazooReader
            | Kind::CuratorReader
            | Kind::ZkReader
            | Kind::OldZkReader
            | Kind::AiozkReader => Mode::Shared,
            _ => Mode::Exclusive,
        }
    }

    /// Whether such a node stands in the queue of the directory it is in.
    pub(crate) fn contends(self) -> bool {
        self != Kind::CuratorSemaphore
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::KazooLock => "kazoo's Lock or WriteLock",
            Kind::KazooReader => "kazoo's ReadLock",
            Kind::KazooLease => "kazoo's Semaphore",
            Kind::CuratorMutex => "Curator's InterProcessMutex",
            Kind::CuratorWriter => "Curator's InterProcessReadWriteLock (a writer)",
            Kind::CuratorReader => "Curator's InterProcessReadWriteLock (a reader)",
            Kind::CuratorLease | Kind::CuratorSemaphore => "Curator's InterProcessSemaphoreV2",
            Kind::ZkLock => "zktools' ZkLock",
            Kind::ZkWriter => "zktools' ZkWriteLock",
            Kind::ZkReader => "zktools' ZkReadLock",
            Kind::ZkAsync => "zktools' ZkAsyncLock",
            Kind::OldZkLock | Kind::OldZkWriter | Kind::OldZkReader => "zktools 0.2",
            Kind::Recipe => "ZooKeeper's own WriteLock",
            Kind::Go => "go-zookeeper's Lock",
            Kind::RustClient => "the Rust crate zookeeper-client",
            Kind::AiozkLock | Kind::AiozkWriter | Kind::AiozkReader => "aiozk",
        }
    }
}

/// What the name of a child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) kind: Kind,
    pub(crate) dialect: Dialect,
    pub(crate) mode: Mode,
    /// Written by zooky, whatever the dialect: its random part is marked.
    pub(crate) ours: bool,
    /// The server's number; `None` where the dialect has none.
    pub(crate) sequence: Option<i64>,
}

impl Classified {
    pub(crate) fn new(kind: Kind, ours: bool, sequence: Option<i64>) -> Classified {
        Classified { kind, dialect: kind.dialect(), mode: kind.mode(), ours, sequence }
    }
}

/// Whether a child is one of zooky's own notes beside the contenders, which stand in no queue.
///
/// Such a name starts with `zooky.`, has no dash in it and does not end in ten digits: no client in
/// `respect.rs` takes it for a contender before its own (go-zookeeper's fails on it, as on most names).
pub(crate) fn is_note(name: &str) -> bool {
    name.starts_with("zooky.")
}

/// Marks 128 random bits as ours, as a UUID of version 8 (RFC 9562: left to the application). The
/// clients of others write random bits or UUIDs of version 4, so that ours can be told from theirs
/// by name where that matters: our zktools reader waits for a ZkLock, the stock one does not.
fn marked(unique: u128) -> u128 {
    unique & !(0xf << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62
}

/// Whether an id, with or without dashes, is marked as ours.
fn is_marked(id: &str) -> bool {
    let mut digits = id.bytes().filter(|&b| b != b'-');
    digits.nth(12) == Some(b'8') && matches!(digits.nth(3), Some(b'8' | b'9' | b'a' | b'b'))
}

/// Reads a child's name in all known dialects; `None` means nobody known writes such names.
pub(crate) fn classify(name: &str) -> Option<Classified> {
    if is_hex(name, 32) {
        return Some(Classified::new(Kind::KazooLease, is_marked(name), None));
    }
    if matches!(name, "locks" | "leases") {
        return Some(Classified::new(Kind::CuratorSemaphore, false, None));
    }
    let (stem, number) = split_sequence(name)?;
    match classify_stem(stem) {
        Some((kind, ours)) if kind != Kind::RustClient => Some(Classified::new(kind, ours, Some(number))),
        other => {
            // Behind its largest value the server's counter turns negative: `%010d` then writes a sign.
            let wrapped = stem.strip_suffix('-').filter(|_| number >= WIDEST).and_then(classify_stem);
            let (kind, ours) = wrapped.or(other)?;
            Some(Classified::new(kind, ours, Some(if wrapped.is_some() { -number } else { number })))
        }
    }
}

/// The smallest number of ten digits without a zero in front: only such a one stands behind a sign.
const WIDEST: i64 = 1_000_000_000;

fn classify_stem(stem: &str) -> Option<(Kind, bool)> {
    if let Some((id, rest)) = split_id(stem, |s| is_hex(s, 32), 32) {
        let kind = match rest {
            "__lock__" => Kind::KazooLock,
            "__rlock__" => Kind::KazooReader,
            "-lock--" => Kind::ZkLock,
            "-write--" => Kind::ZkWriter,
            "-read--" => Kind::ZkReader,
            "-lock-" => Kind::ZkAsync,
            _ => return None,
        };
        return Some((kind, is_marked(id)));
    }
    if let Some(rest) = stem.strip_prefix("_c_") {
        if let Some((_, rest)) = split_id(rest, |s| is_hex(s, 32), 32) {
            return (rest == "-lock-").then_some((Kind::Go, false));
        }
        let (id, rest) = split_id(rest, is_uuid, 36)?;
        let kind = match rest {
            "-lock-" => Kind::CuratorMutex,
            "-__WRIT__" => Kind::CuratorWriter,
            "-__READ__" => Kind::CuratorReader,
            "-lease-" => Kind::CuratorLease,
            rest if rest.starts_with('-') => Kind::RustClient,
            _ => return None,
        };
        return Some((kind, is_marked(id)));
    }
    if let Some(session) = stem.strip_prefix("x-").and_then(|rest| rest.strip_suffix('-')) {
        let digits = session.strip_prefix('-').unwrap_or(session);
        let known = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return known.then_some((Kind::Recipe, false));
    }
    let (label, id) = stem.split_once('-')?;
    let id = id.strip_suffix('-');
    if !(stem.len() == label.len() + 1 || id.is_some_and(|id| is_hex(id, 32))) {
        return None;
    }
    let kind = match (label, id) {
        ("lock", None) => Kind::OldZkLock,
        ("write", None) => Kind::OldZkWriter,
        ("read", None) => Kind::OldZkReader,
        ("lock", Some(_)) => Kind::AiozkLock,
        ("write", Some(_)) => Kind::AiozkWriter,
        ("read", Some(_)) => Kind::AiozkReader,
        _ => return None,
    };
    Some((kind, false))
}

/// Splits the server's number off: the last ten digits.
fn split_sequence(name: &str) -> Option<(&str, i64)> {
    let (stem, digits) = name.split_at_checked(name.len().checked_sub(10)?)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((stem, digits.parse().ok()?))
}

fn split_id(s: &str, is_id: impl Fn(&str) -> bool, len: usize) -> Option<(&str, &str)> {
    s.split_at_checked(len).filter(|(id, _)| is_id(id))
}

/// Looks at all bytes, for that goes many at a time: it is asked of each child of each listing, and of each event.
fn is_hex(s: &str, len: usize) -> bool {
    s.len() == len && s.bytes().fold(true, |hex, b| hex & b.is_ascii_hexdigit())
}

fn is_uuid(s: &str) -> bool {
    s.len() == 36
        && s.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn every_layout_of_the_field_is_known() {
        use Kind::*;
        let cases = [
            (format!("{HEX}__lock__"), KazooLock),
            (format!("{HEX}__rlock__"), KazooReader),
            (format!("_c_{UUID}-lock-"), CuratorMutex),
            (format!("_c_{UUID}-__READ__"), CuratorReader),
            (format!("_c_{UUID}-__WRIT__"), CuratorWriter),
            (format!("_c_{UUID}-lease-"), CuratorLease),
            (format!("{HEX}-lock--"), ZkLock),
            (format!("{HEX}-read--"), ZkReader),
            (format!("{HEX}-write--"), ZkWriter),
            (format!("{HEX}-lock-"), ZkAsync),
            ("lock-".into(), OldZkLock),
            ("write-".into(), OldZkWriter),
            ("read-".into(), OldZkReader),
            ("x-86927055090548768-".into(), Recipe),
            ("x--86927055090548768-".into(), Recipe),
            ("x-0134f8a9b2c30001-".into(), Recipe),
            (format!("_c_{HEX}-lock-"), Go),
            (format!("_c_{UUID}-leader"), RustClient),
            (format!("lock-{HEX}-"), AiozkLock),
            (format!("write-{HEX}-"), AiozkWriter),
            (format!("read-{HEX}-"), AiozkReader),
        ];
        for (stem, kind) in cases {
            let expected = Some(Classified::new(kind, false, Some(42)));
            assert_eq!(classify(&format!("{stem}0000000042")), expected, "{stem}");
        }
        assert_eq!(classify(HEX).map(|c| (c.kind, c.sequence)), Some((KazooLease, None)));
        assert_eq!(classify("leases").map(|c| c.kind), Some(CuratorSemaphore));
    }

    #[test]
    fn what_we_write_is_read_back_as_ours() {
        let roles = [Role::Lock, Role::Writer, Role::Reader, Role::Async];
        for dialect in [Written::Kazoo, Written::Curator, Written::Zktools] {
            for role in roles {
                for unique in [0, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
                    let kind = Kind::written(dialect, role);
                    let name = format!("{}0000000007", kind.prefix(unique));
                    assert_eq!(classify(&name), Some(Classified::new(kind, true, Some(7))), "{name}");
                    assert_eq!(Written::of(kind.dialect()), Some(dialect));
                    assert_eq!(kind.mode() == Mode::Shared, role == Role::Reader);
                }
            }
        }
    }

    #[test]
    fn a_uuid_of_version_four_is_not_ours() {
        let python = classify("9f1c2d3e4b5a4c7d8e9f0a1b2c3d4e5f__lock__0000000001");
        assert_eq!(python.map(|c| c.ours), Some(false));
        let java = classify("_c_9f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f-lock-0000000001");
        assert_eq!(java.map(|c| c.ours), Some(false));
    }

    #[test]
    fn strangers_are_strangers() {
        for name in
            ["", "b", "config", "lock-1", "0000000042", "ü0000000001", "__lock__0000000001", "-0000000001"]
        {
            assert_eq!(classify(name), None, "{name}");
        }
    }

    #[test]
    fn a_wrapped_counter_is_negative() {
        for stem in [format!("{HEX}__lock__"), format!("_c_{UUID}-__READ__"), "write-".into()] {
            let plain = classify(&format!("{stem}0000000001")).unwrap();
            let wrapped = classify(&format!("{stem}-2147483600"));
            assert_eq!(wrapped, Some(Classified { sequence: Some(-2_147_483_600), ..plain }), "{stem}");
        }
    }
}
