//! The queue of one lock: its children in order, and who blocks whom.

use super::dialect::{Classified, Dialect, Mode, classify};

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
    /// A contender of a client that would not respect ours.
    Foreign { child: String, dialect: Dialect },
    /// A child that nobody known writes.
    Unknown { child: String },
    /// The counter is negative or close to its end.
    Exhausted { child: String },
}

/// The contenders of a directory, first come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    places: Vec<Place>,
}

impl Queue {
    /// Sorts the children of a lock that is used in kazoo's dialect.
    pub(crate) fn of_kazoo(children: &[String], allow_foreign: bool) -> Result<Queue, Refusal> {
        let mut places = Vec::with_capacity(children.len());
        for child in children {
            match classify(child) {
                Some(what) if what.dialect == Dialect::Kazoo => {
                    check_reserve(child, what)?;
                    places.push(Place { name: child.clone(), what });
                }
                _ if allow_foreign => {}
                Some(what) => {
                    return Err(Refusal::Foreign { child: child.clone(), dialect: what.dialect });
                }
                None => return Err(Refusal::Unknown { child: child.clone() }),
            }
        }
        Ok(Queue::sorted(places))
    }

    /// Everything that can be classified, of whatever dialect, for looking only.
    pub(crate) fn of_any(children: &[String]) -> Queue {
        let known = |name: &String| Some(Place { name: name.clone(), what: classify(name)? });
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
    /// ahead. The rule is kazoo's: only lower numbers block, writers block everybody, readers block
    /// writers.
    pub(crate) fn blocker_of(&self, name: &str) -> Option<&Place> {
        let me = self.places.iter().position(|place| place.name == name)?;
        let mode = self.places[me].what.mode;
        self.places[..me].iter().rev().find(|place| blocks(place.what.mode, mode))
    }

    /// Those that `name` has to wait for, first those nearest to it, without those that one of them already waits
    /// for in its turn.
    pub(crate) fn nearest_blockers_of(&self, name: &str) -> Vec<&Place> {
        let Some(me) = self.places.iter().position(|place| place.name == name) else { return Vec::new() };
        let (mut nearest, mut reached): (Vec<&Place>, Vec<&Place>) = Default::default();
        for place in self.places[..me].iter().rev() {
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

    /// The last of those that somebody joining now with `mode` would have to wait for.
    pub(crate) fn blocker_of_next(&self, mode: Mode) -> Option<&Place> {
        self.places.iter().rev().find(|place| blocks(place.what.mode, mode))
    }
}

fn must_wait(later: &Place, earlier: &Place) -> bool {
    blocks(earlier.what.mode, later.what.mode)
}

fn blocks(earlier: Mode, later: Mode) -> bool {
    earlier == Mode::Exclusive || later == Mode::Exclusive
}

fn check_reserve(child: &str, what: Classified) -> Result<(), Refusal> {
    let usable = 0..i64::from(i32::MAX) - SEQUENCE_RESERVE;
    match what.sequence {
        Some(n) if !usable.contains(&n) => Err(Refusal::Exhausted { child: child.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: u32, mode: Mode, n: i64) -> String {
        format!("{id:032x}{}{n:010}", super::super::dialect::infix(mode))
    }

    #[test]
    fn order_is_by_number_not_by_name() {
        let (a, b) = (name(9, Mode::Exclusive, 1), name(1, Mode::Exclusive, 2));
        let queue = Queue::of_kazoo(&[b.clone(), a.clone()], false).unwrap();
        assert_eq!(queue.blocker_of(&b).map(|p| &p.name), Some(&a));
        assert_eq!(queue.blocker_of(&a), None);
    }

    #[test]
    fn readers_wait_for_writers_only() {
        let w1 = name(1, Mode::Exclusive, 1);
        let r2 = name(2, Mode::Shared, 2);
        let r3 = name(3, Mode::Shared, 3);
        let w4 = name(4, Mode::Exclusive, 4);
        let r5 = name(5, Mode::Shared, 5);
        let queue = Queue::of_kazoo(&[w1, r2, r3, w4, r5].map(String::from), false).unwrap();
        let blocker = |n: usize| queue.blocker_of(&queue.places()[n].name).and_then(|p| p.what.sequence);
        assert_eq!([0, 1, 2, 3, 4].map(blocker), [None, Some(1), Some(1), Some(3), Some(4)]);
        assert_eq!(queue.blocker_of_next(Mode::Shared).and_then(|p| p.what.sequence), Some(4));
    }

    #[test]
    fn the_nearest_blockers_are_those_nobody_else_waits_for() {
        let kinds =
            [Mode::Exclusive, Mode::Shared, Mode::Shared, Mode::Exclusive, Mode::Shared, Mode::Exclusive];
        let names: Vec<String> = (1..).zip(kinds).map(|(n, mode)| name(n, mode, n.into())).collect();
        let queue = Queue::of_any(&names);
        let nearest: Vec<Vec<i64>> = names
            .iter()
            .map(|name| {
                queue.nearest_blockers_of(name).iter().filter_map(|place| place.what.sequence).collect()
            })
            .collect();
        assert_eq!(nearest, [vec![], vec![1], vec![1], vec![3, 2], vec![4], vec![5]]);
    }

    #[test]
    fn strangers_are_refused_unless_allowed() {
        let ours = name(1, Mode::Exclusive, 1);
        let curator = String::from("_c_01234567-89ab-cdef-0123-456789abcdef-lock-0000000002");
        let children = [ours.clone(), curator];
        assert!(matches!(
            Queue::of_kazoo(&children, false),
            Err(Refusal::Foreign { dialect: Dialect::Curator, .. })
        ));
        assert!(matches!(Queue::of_kazoo(&["b".into()], false), Err(Refusal::Unknown { .. })));
        assert_eq!(Queue::of_kazoo(&children, true).unwrap().places().len(), 1);
    }

    #[test]
    fn the_end_of_the_counter_is_refused_in_time() {
        for n in [i64::from(i32::MAX), i64::from(i32::MAX) - 100] {
            let children = [name(1, Mode::Exclusive, n)];
            assert!(matches!(Queue::of_kazoo(&children, false), Err(Refusal::Exhausted { .. })));
        }
        let wrapped = format!("{:032x}__lock__-2147483648", 1);
        assert!(matches!(Queue::of_kazoo(&[wrapped], false), Err(Refusal::Exhausted { .. })));
        let fine = [name(1, Mode::Exclusive, i64::from(i32::MAX) - (1 << 21))];
        assert!(Queue::of_kazoo(&fine, false).is_ok());
    }
}
