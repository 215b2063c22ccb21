//! A reader becomes the writer, or a writer a reader, in its own place of the queue.
//!
//! Downgrade needs no decision: one multi deletes the writer's node and creates the reader's with the same number,
//! so that no queued writer finds a gap. Upgrade is the same swap the other way round, at a moment when nobody
//! else reads and nobody can begin to:
//!
//! - The upgrader adds a *mark*, a writer's node at the end of the queue that carries the same random bits as its
//!   reader's node. To every client, stock ones included, it is one more writer: later readers wait behind it.
//! - All readers before the first writer of the queue (the mark, or one that queued earlier) hold the lock, and no
//!   other; no new one can come before it. They are waited for. Queued writers are not: they wait for us.
//! - Once they are gone, one multi checks that this first writer is still there, deletes the reader's node,
//!   creates the writer's with the same number, and deletes the mark.
//! - Two who upgrade would wait for each other for ever. Whoever finds the mark of another reader before its own
//!   is refused.

use super::dialect::{Kind, Mode, classify};
use super::queue::{Place, Queue, Refusal};

/// What an upgrader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Create the mark, then list again.
    Mark,
    /// This reader must leave first: watch it, then list again.
    Wait(String),
    /// Swap the nodes, if `keeper` (a writer's node that keeps later readers out) still exists.
    Swap { keeper: Option<String> },
    /// Another reader upgrades; this is its mark.
    Conflict(String),
    /// The reader's node is not there.
    Gone,
    /// The directory is none that we may be in.
    Refuse(Refusal),
}

/// The labels between random bits and number, of reader and writer, in the dialects that have both.
const LABELS: [(Kind, Kind, &str, &str); 3] = [
    (Kind::KazooReader, Kind::KazooLock, "__rlock__", "__lock__"),
    (Kind::CuratorReader, Kind::CuratorWriter, "-__READ__", "-__WRIT__"),
    (Kind::ZkReader, Kind::ZkWriter, "-read--", "-write--"),
];

/// A node's name taken apart.
struct Name<'a> {
    unique: &'a str,
    number: &'a str,
    /// The other side's label.
    other: &'static str,
}

fn take_apart(name: &str) -> Option<Name<'_>> {
    let kind = classify(name)?.kind;
    let (stem, number) = name.split_at_checked(name.len().checked_sub(10)?)?;
    LABELS.iter().find_map(|(reader, writer, read, write)| {
        let (label, other) = match kind {
            _ if kind == *reader => (read, write),
            _ if kind == *writer => (write, read),
            _ => return None,
        };
        Some(Name { unique: stem.strip_suffix(label)?, number, other })
    })
}

/// The name that a reader's node gets as a writer's, or the other way round.
pub(crate) fn counterpart(name: &str) -> Option<String> {
    let Name { unique, number, other } = take_apart(name)?;
    Some(format!("{unique}{other}{number}"))
}

/// The random part of a name.
pub(crate) fn unique(name: &str) -> Option<&str> {
    take_apart(name).map(|name| name.unique)
}

/// The token after a swap, as its two numbers; `count` is one more than before. After an upgrade it begins with
/// the last transaction before the writer that kept later readers out: so it is larger than the tokens of all
/// readers who have had the lock, some of which came after this one, and smaller than those of all writers who
/// come after.
pub(crate) fn token_of_swapped(czxid: i64, count: u64, keeper_czxid: Option<i64>) -> (i64, u64) {
    match keeper_czxid.map(|keeper| keeper - 1) {
        // A reader's node that was made by that very transaction has a small count.
        Some(before) if before > czxid => (before, count | 1 << 63),
        _ => (czxid, count),
    }
}

/// Whom the upgrader with this mark waits for, if `name` is one: the other readers that hold the lock, and nobody
/// who queues before the mark.
pub(crate) fn upgrader_waits_for<'a>(queue: &'a Queue, name: &str) -> Option<Vec<&'a Place>> {
    let id = unique(name);
    let reads = |place: &&Place| place.what.mode == Mode::Shared;
    let own = |place: &&Place| place.name != name && unique(&place.name) == id;
    id?;
    queue.places().iter().find(|place| reads(place) && own(place))?;
    let holders = queue.places().iter().take_while(reads);
    Some(holders.filter(|place| !own(place)).collect())
}

/// A reader that means to become the writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Upgrade {
    reader: String,
    kind: Kind,
    allow_foreign: bool,
    mark: Option<String>,
}

impl Upgrade {
    /// `None` if `reader` is no reader's name in a dialect of ours.
    pub(crate) fn new(reader: &str, allow_foreign: bool) -> Option<Upgrade> {
        let kind = classify(reader)?.kind;
        LABELS.iter().any(|(side, ..)| *side == kind).then_some(())?;
        Some(Upgrade { reader: reader.to_owned(), kind, allow_foreign, mark: None })
    }

    /// The name of the mark, up to the server's number.
    pub(crate) fn mark_prefix(&self) -> String {
        take_apart(&self.reader).map_or_else(String::new, |name| format!("{}{}", name.unique, name.other))
    }

    pub(crate) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// The mark was made.
    pub(crate) fn marked(&mut self, name: String) {
        self.mark = Some(name);
    }

    /// Another reader that has the lock now, by a listing made before the mark.
    pub(crate) fn in_the_way(&self, children: &[String]) -> Option<String> {
        let queue = Queue::of(self.kind, children, self.allow_foreign).ok()?;
        self.holders(&queue).last().map(|place| place.name.clone())
    }

    /// The other readers before the first writer.
    fn holders<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = &'a Place> {
        let readers = queue.places().iter().take_while(|place| place.what.mode == Mode::Shared);
        readers.filter(|place| place.name != self.reader)
    }

    /// What to do, by a listing that was made after the mark.
    pub(crate) fn listed(&mut self, children: &[String]) -> Step {
        let queue = match Queue::of(self.kind, children, self.allow_foreign) {
            Ok(queue) => queue,
            Err(refusal) => return Step::Refuse(refusal),
        };
        if !queue.contains(&self.reader) {
            return Step::Gone;
        }
        // Somebody may have removed it.
        self.mark = self.mark.take().filter(|mark| queue.contains(mark));
        if let Some(other) = self.rival(&queue) {
            return Step::Conflict(other);
        }
        let Some(mark) = &self.mark else { return Step::Mark };
        if let Some(reader) = self.holders(&queue).last() {
            return Step::Wait(reader.name.clone());
        }
        let first = queue.places().iter().find(|place| place.what.mode == Mode::Exclusive);
        Step::Swap { keeper: first.map(|place| place.name.clone()).filter(|first| first != mark) }
    }

    /// The mark of another reader, if it is before ours.
    fn rival(&self, queue: &Queue) -> Option<String> {
        let own = unique(&self.reader);
        let places = queue.places();
        let end = self.mark.as_ref().and_then(|mark| places.iter().position(|place| place.name == *mark));
        let before = &places[..end.unwrap_or(places.len())];
        let is_mark = |name: &str| {
            let id = unique(name).filter(|id| Some(*id) != own);
            let reads = |place: &Place| place.what.mode == Mode::Shared && unique(&place.name) == id;
            id.is_some() && places.iter().any(reads)
        };
        let writers = before.iter().filter(|place| place.what.mode == Mode::Exclusive);
        writers.map(|place| &place.name).find(|name| is_mark(name)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: u128, kind: Kind, n: u32) -> String {
        format!("{}{n:010}", kind.prefix(id << 100))
    }

    #[test]
    fn each_side_becomes_the_other_with_the_same_number() {
        for (reader, writer, ..) in LABELS {
            let (a, b) = (name(1, reader, 7), name(1, writer, 7));
            assert_eq!((counterpart(&a), counterpart(&b)), (Some(b.clone()), Some(a.clone())));
            assert_eq!(format!("{}0000000007", Upgrade::new(&a, false).unwrap().mark_prefix()), b);
            assert!(Upgrade::new(&b, false).is_none());
            assert_eq!(unique(&a), unique(&b));
        }
        assert_eq!(counterpart(&name(1, Kind::CuratorMutex, 7)), None);
        assert_eq!(counterpart(&name(1, Kind::ZkLock, 7)), None);
    }

    #[test]
    fn it_waits_for_readers_that_hold_and_for_no_writer() {
        for (reader, writer, ..) in LABELS {
            let before = name(1, reader, 1);
            let own = name(2, reader, 2);
            let after = name(3, reader, 3);
            let queued = name(4, writer, 4);
            let waiting = name(5, reader, 5);
            let mark = name(2, writer, 6);
            let mut upgrade = Upgrade::new(&own, false).unwrap();
            let mut children = vec![before.clone(), own.clone(), after.clone(), queued.clone(), waiting];
            assert_eq!(upgrade.listed(&children), Step::Mark);
            upgrade.marked(mark.clone());
            children.push(mark.clone());
            assert_eq!(upgrade.listed(&children), Step::Wait(after.clone()));
            let queue = Queue::of_any(&children);
            let names = |waits: Vec<&Place>| waits.into_iter().map(|place| place.name.clone()).collect();
            let waits: Option<Vec<String>> = upgrader_waits_for(&queue, &mark).map(names);
            assert_eq!(waits, Some(vec![before.clone(), after.clone()]));
            assert_eq!(upgrader_waits_for(&queue, &queued), None);
            children.retain(|child| *child != after);
            assert_eq!(upgrade.listed(&children), Step::Wait(before.clone()));
            children.retain(|child| *child != before);
            assert_eq!(upgrade.listed(&children), Step::Swap { keeper: Some(queued.clone()) });
            // The writer gives up: the reader behind it now holds the lock, too.
            children.retain(|child| *child != queued);
            assert_eq!(upgrade.listed(&children), Step::Wait(name(5, reader, 5)));
            children.retain(|child| *child != name(5, reader, 5));
            assert_eq!(upgrade.listed(&children), Step::Swap { keeper: None });
            assert_eq!(upgrade.listed(&[]), Step::Gone);
        }
    }

    #[test]
    fn of_two_who_upgrade_the_later_mark_is_refused() {
        for (reader, writer, ..) in LABELS {
            let (one, two) = (name(1, reader, 1), name(2, reader, 2));
            let (first, second) = (name(2, writer, 3), name(1, writer, 4));
            let (mut late, mut early) =
                (Upgrade::new(&one, false).unwrap(), Upgrade::new(&two, false).unwrap());
            let mut children = vec![one.clone(), two, first.clone()];
            assert_eq!(late.listed(&children), Step::Conflict(first.clone()), "it need not mark to know");
            late.marked(second.clone());
            early.marked(first.clone());
            children.push(second);
            assert_eq!(late.listed(&children), Step::Conflict(first));
            assert_eq!(early.listed(&children), Step::Wait(one));
        }
    }
}
