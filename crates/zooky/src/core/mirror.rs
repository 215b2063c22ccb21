//! A lock's queue, kept up to date by the events of one recursive watch instead of listing again and again.
//!
//! It answers what a listing answers (whom somebody waits for, who must be refused) by the same rules, in the time of
//! a few look-ups however long the queue is. And it knows when it must not answer: the server numbers all creations in
//! a directory, so a number that is skipped tells of a contender whose creation was not told (its ACL hides it, an
//! event was lost); and a mirror that does not hold our own node is behind. One that holds it and has skipped nobody
//! has seen everyone before us come; those it does not hold any more it has seen go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::dialect::{Classified, Kind, classify, is_note};
use super::queue::{Refusal, check_reserve};
use super::respect::{Sees, danger, excludes, sees};
use super::strangers::Strangers;

/// What was told cannot be the whole truth: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt;

/// A place in the order of the queue: by number, then by name.
type Place = (Option<i64>, String);

/// The contenders of one kind, in order. `true`: the mirror was told when it came.
#[derive(Debug, Clone)]
struct OfKind {
    kind: Kind,
    /// Whether zooky wrote them; with the kind this is all that the rules ask for.
    ours: bool,
    places: BTreeMap<Place, bool>,
}

/// The children of one lock.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    kinds: Vec<OfKind>,
    /// Children that nobody known writes.
    unknown: BTreeSet<String>,
    /// Contenders whose numbers are near the end of the counter, or beyond.
    exhausted: BTreeSet<String>,
    /// How many contenders each client of ours has in the queue, by the part of the name that is the client's own.
    clients: HashMap<String, usize>,
    /// The number that the server gives to the next child.
    next: i64,
    len: usize,
}

impl Mirror {
    /// From a listing that was made after the watch was set. `creations` is how many children the directory has ever
    /// had.
    pub(crate) fn new(children: &[String], creations: i64) -> Mirror {
        let mut mirror = Mirror {
            kinds: Vec::new(),
            unknown: BTreeSet::new(),
            exhausted: BTreeSet::new(),
            clients: HashMap::new(),
            next: creations,
            len: 0,
        };
        children.iter().for_each(|child| mirror.insert(child, classify(child), false));
        mirror
    }

    /// A child was created, by an event that came before the listing was read: it may be older than that or newer.
    ///
    /// # Errors
    /// It cannot be told which.
    pub(crate) fn created_meanwhile(&mut self, name: &str) -> Result<(), Doubt> {
        if self.contains(name) {
            return Ok(());
        }
        match classify(name).and_then(|what| what.sequence) {
            Some(number) if number >= self.next => self.created(name),
            _ => Err(Doubt),
        }
    }

    /// A child was created.
    ///
    /// # Errors
    /// The numbers between were somebody's who was not told of.
    pub(crate) fn created(&mut self, name: &str) -> Result<(), Doubt> {
        let what = classify(name);
        // Children without a number count, too, as does a reader that was given its writer's.
        if what.and_then(|what| what.sequence).is_some_and(|number| number > self.next) {
            return Err(Doubt);
        }
        self.next += 1;
        self.insert(name, what, true);
        Ok(())
    }

    /// A child was deleted.
    pub(crate) fn deleted(&mut self, name: &str) {
        let Some(what) = classify(name) else {
            self.unknown.remove(name);
            return;
        };
        self.exhausted.remove(name);
        let place = (what.sequence, name.to_owned());
        if self.of_kind_mut(what).places.remove(&place).is_none() {
            return;
        }
        self.len -= 1;
        if let Some(client) = client_of(name, what)
            && let Some(count) = self.clients.get_mut(client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(client);
            }
        }
    }

    fn insert(&mut self, name: &str, what: Option<Classified>, told: bool) {
        let Some(what) = what else {
            if !is_note(name) {
                self.unknown.insert(name.to_owned());
            }
            return;
        };
        if check_reserve(name, what.sequence).is_err() {
            self.exhausted.insert(name.to_owned());
        }
        if self.of_kind_mut(what).places.insert((what.sequence, name.to_owned()), told).is_some() {
            return;
        }
        self.len += 1;
        if let Some(client) = client_of(name, what) {
            match self.clients.get_mut(client) {
                Some(count) => *count += 1,
                None => _ = self.clients.insert(client.to_owned(), 1),
            }
        }
    }

    fn of_kind_mut(&mut self, what: Classified) -> &mut OfKind {
        let at = self.kinds.iter().position(|of| of.kind == what.kind && of.ours == what.ours);
        let at = at.unwrap_or_else(|| {
            self.kinds.push(OfKind { kind: what.kind, ours: what.ours, places: BTreeMap::new() });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    /// Whether it holds this contender and, if so, whether it was told when that came.
    fn find(&self, name: &str) -> Option<bool> {
        let what = classify(name)?;
        let of = self.kinds.iter().find(|of| of.kind == what.kind && of.ours == what.ours)?;
        of.places.get(&(what.sequence, name.to_owned())).copied()
    }

    /// Whether it holds this child.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some() || self.unknown.contains(name)
    }

    /// Whether the mirror was told when this child came, and so will be when it goes. Of one that was there before,
    /// this session may not be allowed to hear.
    pub(crate) fn was_told_of(&self, name: &str) -> bool {
        self.find(name) == Some(true)
    }

    /// Why one of ours of the kind `own` may not be in this directory, by the rules of
    /// [`Queue::of`](super::queue::Queue::of).
    pub(crate) fn refusal(&self, own: Kind, allow_foreign: bool) -> Option<Refusal> {
        let mut strangers = Strangers::default();
        if !allow_foreign {
            let excluded = |of: &&OfKind| excludes(own, &Classified::new(of.kind, of.ours, None));
            for of in self.kinds.iter().filter(|of| !excluded(of)) {
                for (number, name) in of.places.keys() {
                    strangers.add(name, Some(Classified::new(of.kind, of.ours, *number)));
                }
            }
            self.unknown.iter().for_each(|child| strangers.add(child, None));
        }
        if let Some(refusal) = strangers.refusal() {
            return Some(refusal);
        }
        let counts = |child: &&String| classify(child).is_some_and(|what| excludes(own, &what));
        self.exhausted.iter().find(counts).map(|child| Refusal::Exhausted { child: child.clone() })
    }

    /// The last of those that `name`, which is ours and in the queue, has to wait for.
    pub(crate) fn blocker_of(&self, name: &str) -> Option<&str> {
        let me = classify(name)?;
        // Of those with our own number nobody blocks us: the empty name is before them all.
        let smaller = || (Bound::Unbounded, Bound::Excluded((me.sequence, String::new())));
        let seen = self.kinds.iter().filter(|of| {
            let what = Classified::new(of.kind, of.ours, None);
            excludes(me.kind, &what) && sees(&me, &what) != Sees::No
        });
        let last = seen.filter_map(|of| of.places.range(smaller()).next_back());
        last.map(|(place, _)| place).max().map(|place| place.1.as_str())
    }

    /// Those children that may not respect a lock that one of ours of the kind `own` holds.
    pub(crate) fn strangers(&self, own: Kind) -> Vec<String> {
        let of_kinds = self.kinds.iter().filter(|of| {
            let mut names = of.places.keys().map(|place| &place.1);
            names.next().is_some_and(|name| danger(own, name).is_some())
        });
        let names = of_kinds.flat_map(|of| of.places.keys()).map(|place| &place.1);
        names.chain(&self.unknown).cloned().collect()
    }

    /// How many contenders there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many clients of ours contend. Others keep no mirror.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }
}

/// The part of a name that a client of ours puts into all of its names: its first 64 bits.
fn client_of(name: &str, what: Classified) -> Option<&str> {
    let id = name.strip_prefix("_c_");
    // Written as Curator does, there are two dashes in it.
    let digits = id.map_or_else(|| name.get(..16), |id| id.get(..18));
    digits.filter(|_| what.ours)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::queue::Queue;
    use super::*;

    fn name(kind: Kind, client: u64, n: i64) -> String {
        let unique = u128::from(client) << 80 | u128::from(n.unsigned_abs());
        format!("{}{n:010}", kind.prefix(unique))
    }

    fn lock(n: i64) -> String {
        name(Kind::KazooLock, 1, n)
    }

    #[test]
    fn a_creation_that_was_not_told_is_noticed_with_the_next() {
        let mut mirror = Mirror::new(&[lock(4)], 5);
        assert_eq!(mirror.created(&lock(5)), Ok(()));
        assert_eq!(mirror.created(&lock(7)), Err(Doubt));
    }

    #[test]
    fn children_without_a_number_count_too() {
        let mut mirror = Mirror::new(&[], 0);
        for child in ["config".to_owned(), "zooky.delay.x".to_owned(), lock(2)] {
            assert_eq!(mirror.created(&child), Ok(()));
        }
        // A reader that Curator made of a writer has the writer's number, and takes one all the same.
        assert_eq!(mirror.created(&name(Kind::CuratorReader, 1, 2)), Ok(()));
        assert_eq!(mirror.created(&lock(4)), Ok(()));
    }

    #[test]
    fn what_came_before_the_listing_was_read_is_older_or_newer() {
        let mut mirror = Mirror::new(&[lock(3), "config".to_owned()], 5);
        for older in [lock(3), "config".to_owned()] {
            assert_eq!(mirror.created_meanwhile(&older), Ok(()));
        }
        assert_eq!(mirror.created_meanwhile(&lock(5)), Ok(()));
        assert_eq!(mirror.created_meanwhile(&lock(6)), Ok(()));
        assert_eq!(mirror.blocker_of(&lock(6)), Some(&*lock(5)));
        assert_eq!(mirror.created_meanwhile(&lock(4)), Err(Doubt), "it may have gone before the listing");
        assert_eq!(mirror.created_meanwhile("other"), Err(Doubt));
    }

    #[test]
    fn it_knows_of_whom_it_will_hear() {
        let mut mirror = Mirror::new(&[lock(0)], 1);
        mirror.created(&lock(1)).unwrap();
        assert_eq!([0, 1, 2].map(|n| mirror.was_told_of(&lock(n))), [false, true, false]);
        mirror.deleted(&lock(1));
        assert!(!mirror.was_told_of(&lock(1)));
    }

    #[test]
    fn clients_of_ours_are_counted_once() {
        let kinds = [Kind::KazooLock, Kind::KazooReader, Kind::CuratorMutex];
        let mut mirror = Mirror::new(&[], 0);
        for n in 0..9 {
            mirror.created(&name(kinds[n as usize % 3], n as u64 / 3 + 1, n)).unwrap();
        }
        mirror.created("9f1c2d3e4b5a4c7d8e9f0a1b2c3d4e5f__lock__0000000009").unwrap();
        // As Curator writes it, a client's number has dashes in it; nobody writes two dialects in one directory.
        assert_eq!((mirror.len(), mirror.clients()), (10, 6));
        for n in 0..3 {
            mirror.deleted(&name(kinds[n as usize % 3], 1, n));
        }
        assert_eq!((mirror.len(), mirror.clients()), (7, 4));
    }

    const KINDS: [Kind; 6] = [
        Kind::KazooLock,
        Kind::KazooReader,
        Kind::CuratorMutex,
        Kind::CuratorWriter,
        Kind::CuratorReader,
        Kind::ZkReader,
    ];

    proptest! {
        /// Whatever comes and goes, the mirror says what a listing at that moment says.
        #[test]
        fn it_says_what_a_listing_says(
            steps in prop::collection::vec((0usize..12, any::<bool>(), any::<prop::sample::Index>()), 1..60),
            start in prop_oneof![Just(0i64), Just(i64::from(i32::MAX) - (1 << 20) - 5)],
        ) {
            let mut children: Vec<String> = Vec::new();
            let mut mirror = Mirror::new(&[], start);
            for (next, (kind, creates, which)) in (start..).zip(steps) {
                if creates || children.is_empty() {
                    // Mostly one family, as directories are.
                    let child = match kind {
                        0..4 => name(KINDS[kind % 2], 1, next),
                        4..9 => name(KINDS[kind % 6], 2, next),
                        9 => format!("{:032x}__lock__{next:010}", next),
                        10 => format!("stranger-{next}"),
                        _ => format!("zooky.note-{next}"),
                    };
                    prop_assert_eq!(mirror.created(&child), Ok(()));
                    children.push(child);
                } else {
                    mirror.deleted(&children.swap_remove(which.index(children.len())));
                    // The next number stays: what was deleted is made up for by a child nobody minds.
                    prop_assert_eq!(mirror.created("zooky.filler"), Ok(()));
                    mirror.deleted("zooky.filler");
                }
                for own in KINDS {
                    let mut strangers = mirror.strangers(own);
                    let mut listed: Vec<_> =
                        children.iter().filter(|child| danger(own, child).is_some()).cloned().collect();
                    strangers.sort();
                    listed.sort();
                    prop_assert_eq!(strangers, listed);
                    for allow in [false, true] {
                        let queue = Queue::of(own, &children, allow);
                        let refusal = mirror.refusal(own, allow);
                        prop_assert_eq!(queue.is_err(), refusal.is_some(), "{:?} {:?} {:?}", own, queue, refusal);
                        if let (Err(listed @ (Refusal::Foreign { .. } | Refusal::Unknown { .. })), Some(mirrored)) = (&queue, &refusal) {
                            prop_assert_eq!(listed, mirrored);
                        }
                        let Ok(queue) = queue else { continue };
                        for child in children.iter().filter(|child| classify(child).is_some_and(|what| what.kind == own)) {
                            let listed = queue.blocker_of(child).map(|place| place.name.as_str());
                            prop_assert_eq!(mirror.blocker_of(child), listed);
                            prop_assert!(mirror.contains(child));
                        }
                    }
                }
            }
        }
    }
}
