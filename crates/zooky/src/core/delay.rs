//! The markers of the lock-delay: which of them a dead holder left behind. Pure.
//!
//! A marker is a child of the lock's directory called `zooky.N.write.delay` or `zooky.N.read.delay`, where N is the number
//! of its holder's node. Such a name is a note ([`is_note`](super::dialect::is_note)): it stands in no client's queue.

use super::dialect::{Mode, classify};

/// The name of the marker of the contender called `own`.
pub(crate) fn marker(own: &str) -> Option<String> {
    let what = classify(own)?;
    let mode = if what.mode == Mode::Shared { "read" } else { "write" };
    Some(format!("zooky.{:010}.{mode}.delay", what.sequence?))
}

/// The markers that have no contender any more and that somebody who wants the lock in `mode` must wait out: all
/// for a writer, those of writers for a reader.
pub(crate) fn stale(children: &[String], mode: Mode) -> Vec<&String> {
    let alive: Vec<i64> = children.iter().filter_map(|child| classify(child)?.sequence).collect();
    let stale = |child: &&String| {
        let Some((number, of)) = read(child) else { return false };
        !alive.contains(&number) && (mode == Mode::Exclusive || of == Mode::Exclusive)
    };
    children.iter().filter(stale).collect()
}

fn read(child: &str) -> Option<(i64, Mode)> {
    let (number, mode) = child.strip_prefix("zooky.")?.strip_suffix(".delay")?.split_once('.')?;
    let mode = match mode {
        "write" => Mode::Exclusive,
        "read" => Mode::Shared,
        _ => return None,
    };
    Some((number.parse().ok()?, mode))
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Kind, is_note};
    use super::*;

    #[test]
    fn a_marker_is_a_note_and_is_read_back() {
        for (kind, mode) in [(Kind::KazooLock, Mode::Exclusive), (Kind::CuratorReader, Mode::Shared)] {
            let name = marker(&format!("{}{:010}", kind.prefix(7), 42)).unwrap();
            assert!(is_note(&name) && classify(&name).is_none(), "{name}");
            assert_eq!(read(&name), Some((42, mode)));
        }
        assert_eq!(marker("x"), None);
        for other in ["zooky.x.write.delay", "zooky.1.other.delay", "zooky.1.write", "1.write.delay"] {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn stale_is_what_has_no_contender() {
        let node = |kind: Kind, n: i64| format!("{}{n:010}", kind.prefix(9));
        let writer = marker(&node(Kind::KazooLock, 1)).unwrap();
        let reader = marker(&node(Kind::KazooReader, 2)).unwrap();
        let mut children = vec![writer.clone(), reader.clone(), node(Kind::KazooLock, 3)];
        assert_eq!(stale(&children, Mode::Exclusive), [&writer, &reader]);
        assert_eq!(stale(&children, Mode::Shared), [&writer]);
        // A downgrade keeps the number.
        children.push(node(Kind::KazooReader, 1));
        assert_eq!(stale(&children, Mode::Exclusive), [&reader]);
    }
}
