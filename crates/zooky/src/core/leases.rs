//! A semaphore's leases: how many there may be, how many there are. Pure.

use super::dialect::{Kind, classify, is_note};
use super::queue::Refusal;
use super::strangers::Strangers;

/// From the path of a semaphore in kazoo's layout to that of its mutex.
pub(crate) const KAZOO_MUTEX: &str = "-__lock__";

/// What stands in a semaphore's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Nothing yet: a client is about to write it, or died before it did.
    Nothing,
    /// The number of leases.
    Limit(u64),
    /// No number.
    Other(String),
}

/// Reads the number as kazoo does, which takes whatever Python's `int()` takes.
pub(crate) fn stored(data: &[u8]) -> Stored {
    let text = String::from_utf8_lossy(data);
    let number = text.trim();
    if number.is_empty() {
        return Stored::Nothing;
    }
    let digits = number.strip_prefix('+').unwrap_or(number);
    match digits.replace('_', "").parse() {
        Ok(limit) if digits.starts_with(|c: char| c.is_ascii_digit()) => Stored::Limit(limit),
        _ => Stored::Other(text.chars().take(64).collect()),
    }
}

/// The children, by their names. Every child counts, as with stock clients; but one that is not of this kind means that
/// somebody uses the path for something else.
pub(crate) fn only(kind: Kind, children: &[String], allow_foreign: bool) -> Result<Vec<&String>, Refusal> {
    let mut strangers = Strangers::default();
    for child in children {
        match classify(child) {
            Some(what) if what.kind == kind => {}
            None if is_note(child) => {}
            _ if allow_foreign => {}
            what => strangers.add(child, what),
        }
    }
    if let Some(refusal) = strangers.refusal() {
        return Err(refusal);
    }
    let mut found: Vec<_> = children.iter().collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_kazoo_reads_it() {
        for (data, limit) in [("3", 3), (" 12\n", 12), ("+4", 4), ("1_000", 1000), ("0", 0)] {
            assert_eq!(stored(data.as_bytes()), Stored::Limit(limit), "{data:?}");
        }
        assert_eq!(stored(b""), Stored::Nothing);
        assert_eq!(stored(b"  "), Stored::Nothing);
        for other in [&b"-1"[..], b"3.5", b"three", b"\xff", b"+", b"_3", b"++3"] {
            assert!(matches!(stored(other), Stored::Other(_)), "{other:?}");
        }
    }

    #[test]
    fn only_leases_are_taken_for_leases() {
        for lease in [Kind::KazooLease, Kind::CuratorLease] {
            let number = if lease == Kind::CuratorLease { "0000000001" } else { "" };
            let name = |id: u128| format!("{}{number}", lease.prefix(id << 100));
            let children = [name(2), name(1)];
            assert_eq!(only(lease, &children, false), Ok(vec![&children[1], &children[0]]));
            let mixed = [name(1), format!("{:032x}__lock__0000000000", 3)];
            assert!(matches!(only(lease, &mixed, false), Err(Refusal::Foreign { .. })));
            assert_eq!(only(lease, &mixed, true).map(|all| all.len()), Ok(2));
            assert!(matches!(only(lease, &["x".into()], false), Err(Refusal::Unknown { .. })));
        }
        let both = ["locks", "leases"].map(str::to_owned);
        assert_eq!(only(Kind::CuratorSemaphore, &both, false).map(|all| all.len()), Ok(2));
        assert!(matches!(only(Kind::KazooLease, &both, false), Err(Refusal::Foreign { .. })));
    }
}
