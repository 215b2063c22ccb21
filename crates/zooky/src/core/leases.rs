//! A semaphore's leases: how many there may be, how many there are. Pure.

use super::dialect::{Kind, classify, is_note};
use super::queue::Refusal;

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

/// The leases that are out, by their names. Every child counts, as with kazoo; but one that is no lease means that
/// somebody uses the path for something else.
pub(crate) fn leases(children: &[String], allow_foreign: bool) -> Result<Vec<&String>, Refusal> {
    if !allow_foreign {
        for child in children {
            match classify(child) {
                Some(what) if what.kind == Kind::KazooLease => {}
                Some(what) => return Err(Refusal::Foreign { child: child.clone(), kind: what.kind }),
                None if is_note(child) => {}
                None => return Err(Refusal::Unknown { child: child.clone() }),
            }
        }
    }
    let mut leases: Vec<_> = children.iter().collect();
    leases.sort();
    Ok(leases)
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
        let (one, two) = (format!("{:032x}", 1), format!("{:032x}", 2));
        let children = [two.clone(), one.clone()];
        assert_eq!(leases(&children, false), Ok(vec![&one, &two]));
        let mixed = [one.clone(), format!("{:032x}__lock__0000000000", 3)];
        assert!(matches!(leases(&mixed, false), Err(Refusal::Foreign { .. })));
        assert_eq!(leases(&mixed, true).map(|all| all.len()), Ok(2));
        assert!(matches!(leases(&["x".into()], false), Err(Refusal::Unknown { .. })));
    }
}
