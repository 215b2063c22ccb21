//! The queue of one lock: its children in order, and who blocks whom.

use super::dialect::{Classified, Kind, classify, is_note};
use super::respect::{Sees, excludes, sees};
use super::strangers::{Others, Strangers};

/// How near the end of the counter a directory may come before it is refused.
const SEQUENCE_RESERVE: i64 = 1 << 20;

/// A child that takes part, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) what: Classified,
}

/// Why a directory is no queue that we may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A contender that would not respect ours, or that others of our kind would not respect.
    Foreign { child: String, kind: Kind, others: Others },
    /// A child that nobody known writes.
    Unknown { child: String, others: Others },
    /// The counter is negative or close to its end.
    Exhausted { child: String },
}

/// The contenders of a directory, first come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    places: Vec<Place>,
}

impl Queue {
    /// Sorts the children of a lock for a contender of ours of the kind `own`.
    pub(crate) fn of(own: Kind, children: &[String], allow_foreign: bool) -> Result<Queue, Refusal> {
        let mut places = Vec::with_capacity(children.len());
        let (mut strangers, mut reserve) = (Strangers::default(), Ok(()));
        for child in children {
            match classify(child) {
                Some(what) if excludes(own, &what) => {
                    reserve = reserve.and_then(|()| check_reserve(child, what.sequence));
                    places.push(Place { name: child.clone(), what });
                }
                _ if allow_foreign || is_note(child) => {}
                what => strangers.add(child, what),
            }
        }
        if let Some(refusal) = strangers.refusal() {
            return Err(refusal);
        }
        reserve.map(|()| Queue::sorted(places))
    }

    /// Everything that contends, of whatever dialect, for looking only.
    pub(crate) fn of_any(children: &[String]) -> Queue {
        let known = |name: &String| {
            let what = classify(name).filter(|what| what.kind.contends())?;
            Some(Place { name: name.clone(), what })
        };
        Queue::sorted(children.iter().filter_map(known).collect())
    }

    fn sorted(mut places: Vec<Place>) -> Queue {
        places.sort_by(|a, b| (a.what.sequence, &a.name).cmp(&(b.what.sequence, &b.name)));
        Queue { places }
    }

    /// The contenders in order.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether it holds `name`.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.iter().any(|place| place.name == name)
    }

    /// The last of those that `name`, which is in the queue, has to wait for; `None` if it may go
    /// ahead. Only smaller numbers block: a reader that Curator made of a writer has the writer's.
    pub(crate) fn blocker_of(&self, name: &str) -> Option<&Place> {
        let me = &self.places.iter().find(|place| place.name == name)?.what;
        let mut smaller = self.places.iter().rev().filter(|place| place.what.sequence < me.sequence);
        smaller.find(|place| sees(me, &place.what) != Sees::No)
    }

    /// Those that the one at the place `me` has to wait for, first those nearest to it, without those that one of them
    /// already waits for in its turn.
    pub(crate) fn nearest_blockers_at(&self, me: usize) -> Vec<&Place> {
        let before = &self.places[..me];
        // Behind one of the same kind that it waits for: that one waits for all the others. (In a long queue it is nearly
        // always so, and the rest of this would look at all of them.)
        if let [.., second, first] = before
            && first.what.kind == self.places[me].what.kind
            && first.what.ours == self.places[me].what.ours
            && second.what.sequence < first.what.sequence
            && must_wait(&self.places[me], first)
        {
            return vec![first];
        }
        let (mut nearest, mut reached): (Vec<&Place>, Vec<&Place>) = Default::default();
        for place in before.iter().rev() {
            let covered = reached.iter().any(|nearer| must_wait(nearer, place));
            if !covered && must_wait(&self.places[me], place) {
                nearest.push(place);
            } else if !covered {
                continue;
            }
            reached.push(place);
        }
        nearest
    }

    /// All whom `name`, which is in the queue, has to wait for, in order.
    pub(crate) fn blockers_of<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let Some(me) = self.places.iter().find(|place| place.name == name) else { return Vec::new() };
        let smaller = self.places.iter().filter(|place| place.what.sequence < me.what.sequence);
        smaller
            .filter(|place| sees(&me.what, &place.what) != Sees::No)
            .map(|place| place.name.as_str())
            .collect()
    }

    /// The last of those that one of ours of the kind `own`, joining now, would have to wait for.
    pub(crate) fn blocker_of_next(&self, own: Kind) -> Option<&Place> {
        let me = Classified::new(own, true, None);
        self.places.iter().rev().find(|place| sees(&me, &place.what) != Sees::No)
    }
}

/// Whether it waits for certain: a stock kazoo Lock behind a reader only may.
fn must_wait(later: &Place, earlier: &Place) -> bool {
    earlier.what.sequence < later.what.sequence && sees(&later.what, &earlier.what) == Sees::Yes
}

/// Refuses a directory whose counter is negative or near its end: there the order breaks down.
pub(crate) fn check_reserve(child: &str, sequence: Option<i64>) -> Result<(), Refusal> {
    let usable = 0..i64::from(i32::MAX) - SEQUENCE_RESERVE;
    match sequence {
        Some(n) if !usable.contains(&n) => Err(Refusal::Exhausted { child: child.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: u128, kind: Kind, n: i64) -> String {
        format!("{}{n:010}", kind.prefix(id))
    }

    fn blocker(queue: &Queue, name: &str) -> Option<i64> {
        queue.blocker_of(name).and_then(|place| place.what.sequence)
    }

    const FAMILIES: [(Kind, Kind); 3] = [
        (Kind::KazooLock, Kind::KazooReader),
        (Kind::CuratorWriter, Kind::CuratorReader),
        (Kind::ZkWriter, Kind::ZkReader),
    ];

    #[test]
    fn order_is_by_number_not_by_name() {
        for (kind, _) in FAMILIES {
            let (a, b) = (name(9 << 100, kind, 1), name(1 << 100, kind, 2));
            let queue = Queue::of(kind, &[b.clone(), a.clone()], false).unwrap();
            assert_eq!((blocker(&queue, &b), blocker(&queue, &a)), (Some(1), None));
        }
    }

    #[test]
    fn readers_wait_for_writers_only() {
        for (writer, reader) in FAMILIES {
            let kinds = [writer, reader, reader, writer, reader];
            let names: Vec<String> = (1..).zip(kinds).map(|(n, kind)| name(n as u128, kind, n)).collect();
            let queue = Queue::of(reader, &names, false).unwrap();
            let blockers: Vec<_> = names.iter().map(|name| blocker(&queue, name)).collect();
            assert_eq!(blockers, [None, Some(1), Some(1), Some(3), Some(4)]);
            assert_eq!(queue.blocker_of_next(reader).and_then(|place| place.what.sequence), Some(4));
            assert_eq!(queue.blocker_of_next(writer).and_then(|place| place.what.sequence), Some(5));
        }
    }

    #[test]
    fn the_nearest_blockers_are_those_nobody_else_waits_for() {
        use Kind::{KazooLock as Writer, KazooReader as Reader};
        let kinds = [Writer, Reader, Reader, Writer, Reader, Writer];
        let names: Vec<String> = (1..).zip(kinds).map(|(n, kind)| name(n as u128, kind, n)).collect();
        let queue = Queue::of_any(&names);
        let nearest: Vec<Vec<i64>> = (0..names.len())
            .map(|at| queue.nearest_blockers_at(at).iter().filter_map(|place| place.what.sequence).collect())
            .collect();
        assert_eq!(nearest, [vec![], vec![1], vec![1], vec![3, 2], vec![4], vec![5]]);
    }

    #[test]
    fn strangers_are_refused_unless_allowed() {
        let ours = name(1, Kind::KazooLock, 1);
        let curator = name(2, Kind::CuratorMutex, 2);
        let children = [ours, curator.clone()];
        let others = Others::default();
        let refusal = Refusal::Foreign { child: curator, kind: Kind::CuratorMutex, others };
        assert_eq!(Queue::of(Kind::KazooLock, &children, false), Err(refusal));
        let unknown = Queue::of(Kind::KazooLock, &["b".into()], false);
        assert!(matches!(unknown, Err(Refusal::Unknown { .. })));
        assert_eq!(Queue::of(Kind::KazooLock, &children, true).unwrap().places().len(), 1);
    }

    #[test]
    fn curators_two_locks_are_two_families() {
        let (mutex, reader) = (name(1, Kind::CuratorMutex, 1), name(2, Kind::CuratorReader, 2));
        assert!(Queue::of(Kind::CuratorMutex, std::slice::from_ref(&reader), false).is_err());
        assert!(Queue::of(Kind::CuratorReader, std::slice::from_ref(&mutex), false).is_err());
        assert!(Queue::of(Kind::CuratorWriter, std::slice::from_ref(&mutex), false).is_err());
        assert!(Queue::of(Kind::CuratorWriter, &[reader], false).is_ok());
    }

    /// A downgrade leaves writer and reader with one number for a moment: the reader is in.
    #[test]
    fn a_downgraded_reader_does_not_wait_for_the_writer_it_was() {
        let (writer, reader) = (name(1, Kind::CuratorWriter, 4), name(2, Kind::CuratorReader, 4));
        let (next_writer, next_reader) = (name(3, Kind::CuratorWriter, 5), name(4, Kind::CuratorReader, 6));
        let children = [&writer, &reader, &next_writer, &next_reader].map(String::clone);
        let queue = Queue::of(Kind::CuratorReader, &children, false).unwrap();
        assert_eq!((blocker(&queue, &writer), blocker(&queue, &reader)), (None, None));
        assert_eq!((blocker(&queue, &next_writer), blocker(&queue, &next_reader)), (Some(4), Some(5)));
        // The writer's node is gone: the next writer still waits for the reader.
        let queue = Queue::of(Kind::CuratorReader, &children[1..], false).unwrap();
        assert_eq!((blocker(&queue, &reader), blocker(&queue, &next_writer)), (None, Some(4)));
    }

    #[test]
    fn notes_of_ours_stand_in_no_queue() {
        let children = ["zooky.delay.x".to_owned(), name(1, Kind::KazooLock, 1)];
        assert_eq!(Queue::of(Kind::KazooLock, &children, false).unwrap().places().len(), 1);
        assert_eq!(Queue::of_any(&children).places().len(), 1);
    }

    #[test]
    fn the_end_of_the_counter_is_refused_in_time() {
        let max = i64::from(i32::MAX);
        for (kind, _) in FAMILIES {
            for n in [max, max - 100, max - (1 << 20)] {
                let refused = Queue::of(kind, &[name(1, kind, n)], false);
                assert!(matches!(refused, Err(Refusal::Exhausted { .. })), "{n}");
            }
            let wrapped = format!("{}-2147483648", kind.prefix(1));
            assert!(Queue::of(kind, &[wrapped], false).is_err());
            assert!(Queue::of(kind, &[name(1, kind, max - (1 << 21))], false).is_ok());
        }
    }
}
