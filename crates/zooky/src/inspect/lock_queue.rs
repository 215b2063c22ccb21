//! The queue of one lock, for those who follow its directory by events instead of listing it again and again.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::core::dialect::{Classified, Kind, classify};
use crate::core::respect::{Sees, sees};
use crate::{Dialect, Mode};

/// What the name of a contender's node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seat {
    /// Whether it wants to be alone.
    pub mode: Mode,
    /// Whose way of naming it is.
    pub dialect: Dialect,
    /// The server's number; `None` where the dialect has none.
    pub sequence: Option<i64>,
}

/// The contenders of one lock by their names, in order, and who of them holds it. Nothing is asked of a server: the
/// caller tells which children come and go.
///
/// A change costs time that grows with the logarithm of the queue's length; [`holders`](LockQueue::holders) looks at the
/// front of the queue only.
///
/// ```
/// # use zooky::inspect::LockQueue;
/// let id = "0123456789abcdef0123456789abcdef";
/// let [first, second] = [1, 2].map(|n| format!("{id}__lock__{n:010}"));
/// let mut queue = LockQueue::default();
/// assert!(queue.insert(&second).is_some() && queue.insert(&first).is_some());
/// assert_eq!(queue.insert("config"), None);
/// assert_eq!(queue.holders(), [first.as_str()]);
/// queue.remove(&first);
/// assert_eq!(queue.holders(), [second.as_str()]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct LockQueue {
    places: BTreeMap<(Option<i64>, String), Classified>,
    /// How many there are of each kind: once all kinds are blocked, nobody further behind holds the lock.
    kinds: HashMap<(Kind, bool), usize>,
}

impl LockQueue {
    /// Takes a child in; `None` if it is no contender in any known dialect. One that is there already stays.
    pub fn insert(&mut self, name: &str) -> Option<Seat> {
        let what = seat(name)?;
        if self.places.insert((what.sequence, name.to_owned()), what).is_none() {
            *self.kinds.entry((what.kind, what.ours)).or_default() += 1;
        }
        Some(Seat { mode: what.mode, dialect: what.dialect, sequence: what.sequence })
    }

    /// Takes a child out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(what) = seat(name) else { return false };
        if self.places.remove(&(what.sequence, name.to_owned())).is_none() {
            return false;
        }
        let kind = (what.kind, what.ours);
        match self.kinds.get_mut(&kind) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.kinds.remove(&kind)),
        }
        true
    }

    /// Those that hold the lock, by the rules of their dialects, in order.
    pub fn holders(&self) -> Vec<&str> {
        let mut holders = Vec::new();
        // Whoever has the same number does not block: a reader that was made of a writer has the writer's.
        let mut before: HashMap<(Kind, bool), (Classified, Option<i64>)> = HashMap::new();
        let mut blocked = HashSet::new();
        for ((sequence, name), what) in &self.places {
            let kind = (what.kind, what.ours);
            let in_the_way =
                before.values().any(|(other, first)| first < sequence && sees(what, other) != Sees::No);
            if in_the_way {
                blocked.insert(kind);
                // Blocked once, blocked for the rest of the queue.
                if blocked.len() == self.kinds.len() {
                    break;
                }
            } else {
                holders.push(name.as_str());
            }
            before.entry(kind).or_insert((*what, *sequence));
        }
        holders
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(|(_, name)| name.as_str())
    }

    /// How many contend.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody contends.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

pub(super) fn seat(name: &str) -> Option<Classified> {
    classify(name).filter(|what| what.kind.contends())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::queue::Queue;
    use proptest::prelude::*;

    const KINDS: [Kind; 6] = [
        Kind::KazooLock,
        Kind::KazooReader,
        Kind::CuratorWriter,
        Kind::CuratorReader,
        Kind::ZkWriter,
        Kind::ZkReader,
    ];

    proptest! {
        /// Whatever comes and goes, the holders are those that a fresh look at the names shows.
        #[test]
        fn holders_are_those_of_a_fresh_look(
            steps in proptest::collection::vec((0_usize..6, 0_i64..12, any::<bool>()), 0..60),
        ) {
            let mut queue = LockQueue::default();
            let mut names: Vec<String> = Vec::new();
            for (kind, number, comes) in steps {
                let name = format!("{}{number:010}", KINDS[kind].prefix(7));
                if comes {
                    prop_assert!(queue.insert(&name).is_some());
                    if !names.contains(&name) {
                        names.push(name);
                    }
                } else {
                    prop_assert_eq!(queue.remove(&name), names.contains(&name));
                    names.retain(|other| *other != name);
                }
                let fresh = Queue::of_any(&names);
                let holders: Vec<&str> = fresh
                    .places()
                    .iter()
                    .filter(|place| fresh.blocker_of(&place.name).is_none())
                    .map(|place| place.name.as_str())
                    .collect();
                prop_assert_eq!(queue.holders(), holders);
                prop_assert_eq!(queue.len(), names.len());
            }
        }
    }
}
