//! How each client library names the children of a lock's znode.
//!
//! A lock handle of ours writes one dialect, but it classifies every child that it finds in all
//! the dialects known: a contender that our neighbours would overlook, or that nobody knows, means
//! that two could hold the lock at once. The layouts were read off kazoo 2.11, Curator 5.4,
//! zktools 0.2.1 and 0.3, ZooKeeper's own Java and C recipes, go-zookeeper, aiozk and the Rust crate
//! `zookeeper-client`.

use std::fmt;

/// Whose way of naming a contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// kazoo's Lock, ReadLock and WriteLock; also what zooky writes.
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

/// What the name of a child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) dialect: Dialect,
    pub(crate) mode: Mode,
    /// The server's number; `None` where the dialect has none.
    pub(crate) sequence: Option<i64>,
}

/// What stands between the unique part and the number in kazoo's dialect, which is the one we write.
pub(crate) fn infix(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "__lock__",
        Mode::Shared => "__rlock__",
    }
}

/// Reads a child's name in all known dialects; `None` means nobody known writes such names.
pub(crate) fn classify(name: &str) -> Option<Classified> {
    if is_hex(name, 32) {
        let (dialect, mode) = (Dialect::KazooSemaphore, Mode::Exclusive);
        return Some(Classified { dialect, mode, sequence: None });
    }
    let (stem, number) = split_sequence(name)?;
    let (dialect, mode) = classify_stem(stem)?;
    // Behind its largest value the server's counter turns negative: `%010d` then writes a sign.
    let sequence = if stem.ends_with("lock__-") { -number } else { number };
    Some(Classified { dialect, mode, sequence: Some(sequence) })
}

fn classify_stem(stem: &str) -> Option<(Dialect, Mode)> {
    use Dialect::*;
    use Mode::*;
    if let Some((_, rest)) = split_id(stem, |s| is_hex(s, 32), 32) {
        return match rest {
            "__lock__" | "__lock__-" => Some((Kazoo, Exclusive)),
            "__rlock__" | "__rlock__-" => Some((Kazoo, Shared)),
            "-lock--" | "-write--" | "-lock-" => Some((Zktools, Exclusive)),
            "-read--" => Some((Zktools, Shared)),
            _ => None,
        };
    }
    if let Some(rest) = stem.strip_prefix("_c_") {
        if let Some((_, rest)) = split_id(rest, |s| is_hex(s, 32), 32) {
            return (rest == "-lock-").then_some((Go, Exclusive));
        }
        return match split_id(rest, is_uuid, 36)?.1 {
            "-lock-" | "-__WRIT__" | "-lease-" => Some((Curator, Exclusive)),
            "-__READ__" => Some((Curator, Shared)),
            rest if rest.starts_with('-') => Some((RustClient, Exclusive)),
            _ => None,
        };
    }
    if let Some(session) = stem.strip_prefix("x-").and_then(|rest| rest.strip_suffix('-')) {
        let digits = session.strip_prefix('-').unwrap_or(session);
        let known = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return known.then_some((ZooKeeper, Exclusive));
    }
    if let Some(id) = stem.strip_prefix("lock-").and_then(|rest| rest.strip_suffix('-')) {
        return is_hex(id, 32).then_some((Aiozk, Exclusive));
    }
    match stem {
        "lock-" | "write-" => Some((Zktools, Exclusive)),
        "read-" => Some((Zktools, Shared)),
        _ => None,
    }
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

fn is_hex(s: &str, len: usize) -> bool {
    s.len() == len && s.bytes().all(|b| b.is_ascii_hexdigit())
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
        use Dialect::*;
        use Mode::*;
        let cases = [
            (format!("{HEX}__lock__"), Kazoo, Exclusive),
            (format!("{HEX}__rlock__"), Kazoo, Shared),
            (format!("_c_{UUID}-lock-"), Curator, Exclusive),
            (format!("_c_{UUID}-__READ__"), Curator, Shared),
            (format!("_c_{UUID}-__WRIT__"), Curator, Exclusive),
            (format!("_c_{UUID}-lease-"), Curator, Exclusive),
            (format!("{HEX}-lock--"), Zktools, Exclusive),
            (format!("{HEX}-read--"), Zktools, Shared),
            (format!("{HEX}-write--"), Zktools, Exclusive),
            (format!("{HEX}-lock-"), Zktools, Exclusive),
            ("lock-".into(), Zktools, Exclusive),
            ("read-".into(), Zktools, Shared),
            ("x-86927055090548768-".into(), ZooKeeper, Exclusive),
            ("x--86927055090548768-".into(), ZooKeeper, Exclusive),
            ("x-0134f8a9b2c30001-".into(), ZooKeeper, Exclusive),
            (format!("_c_{HEX}-lock-"), Go, Exclusive),
            (format!("_c_{UUID}-leader"), RustClient, Exclusive),
            (format!("lock-{HEX}-"), Aiozk, Exclusive),
        ];
        for (stem, dialect, mode) in cases {
            let expected = Some(Classified { dialect, mode, sequence: Some(42) });
            assert_eq!(classify(&format!("{stem}0000000042")), expected, "{stem}");
        }
        assert_eq!(classify(HEX).map(|c| (c.dialect, c.sequence)), Some((KazooSemaphore, None)));
    }

    #[test]
    fn strangers_are_strangers() {
        for name in ["", "b", "config", "lock-1", "0000000042", "ü0000000001", "__lock__0000000001"] {
            assert_eq!(classify(name), None, "{name}");
        }
    }

    #[test]
    fn a_wrapped_counter_is_negative() {
        let wrapped = classify(&format!("{HEX}__lock__-2147483648"));
        assert_eq!(wrapped.and_then(|c| c.sequence), Some(-2_147_483_648));
    }
}
