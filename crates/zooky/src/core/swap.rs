//! Transactions that put another node into a contender's place of the queue, as the parts of a multi, in their order.
//!
//! A multi is one moment to whoever lists the directory. But who mirrors the queue is told of its parts one by one, and may
//! decide between two of them: so whatever part has been told of last, nobody is let in who has to wait once all is done. The
//! new node comes before the old one goes; where both have one name, a third one stands in for them.

/// A part of a multi, in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// This node must be there, or nothing is done.
    Check(String),
    Create(String),
    /// The node whose place is taken, if its data are those that were read.
    Replace(String),
    Delete(String),
}

/// A reader's node becomes a writer's, or the other way round: `old` goes, `new` comes with the same number. `keeper` is a
/// writer that keeps later readers out, if it is not the `mark`, which goes when all is done.
pub(crate) fn of_sides(old: &str, new: &str, keeper: Option<&str>, mark: Option<&str>) -> Vec<Part> {
    let mut parts = Vec::with_capacity(4);
    parts.extend(keeper.map(|keeper| Part::Check(keeper.to_owned())));
    parts.push(Part::Create(new.to_owned()));
    parts.push(Part::Replace(old.to_owned()));
    parts.extend(mark.map(|mark| Part::Delete(mark.to_owned())));
    parts
}

/// The node `name` goes, and comes again as one of another kind (persistent, say).
pub(crate) fn in_place(name: &str) -> Vec<Part> {
    let stand_in = stand_in(name);
    vec![
        Part::Create(stand_in.clone()),
        Part::Replace(name.to_owned()),
        Part::Create(name.to_owned()),
        Part::Delete(stand_in),
    ]
}

/// Another name in the same place of the queue.
fn stand_in(name: &str) -> String {
    // The first of the random digits, which Curator's names have behind a prefix.
    let at = if name.starts_with("_c_") { 3 } else { 0 };
    let other = if name[at..].starts_with('0') { "1" } else { "0" };
    let mut name = name.to_owned();
    name.replace_range(at..=at, other);
    name
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Kind, classify};
    use super::super::mirror::Mirror;
    use super::super::queue::Queue;
    use super::super::upgrade::counterpart;
    use super::*;

    const SIDES: [(Kind, Kind); 3] = [
        (Kind::KazooReader, Kind::KazooLock),
        (Kind::CuratorReader, Kind::CuratorWriter),
        (Kind::ZkReader, Kind::ZkWriter),
    ];

    /// A directory, and how many children it has had.
    #[derive(Debug, Clone, Default)]
    struct Directory {
        children: Vec<String>,
        creations: i64,
    }

    impl Directory {
        fn join(&mut self, kind: Kind) -> String {
            let client = u128::try_from(self.creations + 1).unwrap() << 100;
            self.join_as(&kind.prefix(client))
        }

        fn join_as(&mut self, prefix: &str) -> String {
            let name = format!("{prefix}{:010}", self.creations);
            self.create(&name);
            name
        }

        fn create(&mut self, name: &str) {
            assert!(!self.children.iter().any(|child| child == name), "{name} is there");
            self.children.push(name.to_owned());
            self.creations += 1;
        }

        fn delete(&mut self, name: &str) {
            let at = self.children.iter().position(|child| child == name);
            self.children.remove(at.unwrap_or_else(|| panic!("{name} is not there")));
        }

        fn carry_out(&mut self, part: &Part) {
            match part {
                Part::Check(name) => assert!(self.children.contains(name), "{name} is not there"),
                Part::Create(name) => self.create(name),
                Part::Replace(name) | Part::Delete(name) => self.delete(name),
            }
        }

        fn blocks(&self, name: &str) -> bool {
            let own = classify(name).unwrap().kind;
            Queue::of(own, &self.children, false).unwrap().blocker_of(name).is_some()
        }
    }

    /// A mirror that was listed before the transaction, after each of its events; then one that was listed after it, while all
    /// its events had come already. Those that doubt what they are told end, and grant nothing.
    fn mirrors(before: &Directory, after: &Directory, parts: &[Part]) -> Vec<(usize, Mirror)> {
        let mut mirror = Mirror::new(&before.children, before.creations);
        let mut states = vec![(0, mirror.clone())];
        for (n, part) in parts.iter().enumerate() {
            match part {
                Part::Check(_) => continue,
                Part::Create(name) if mirror.created(name).is_err() => break,
                Part::Create(_) => {}
                Part::Replace(name) | Part::Delete(name) => mirror.deleted(name),
            }
            states.push((n + 1, mirror.clone()));
        }
        let mut late = Mirror::new(&after.children, after.creations);
        let sure = parts.iter().all(|part| match part {
            Part::Check(_) => true,
            Part::Create(name) => late.created_meanwhile(name).is_ok(),
            Part::Replace(name) | Part::Delete(name) => {
                late.deleted(name);
                true
            }
        });
        states.extend(sure.then_some((parts.len(), late)));
        states
    }

    /// Whoever has to wait when all is done is let in by none of the mirrors. How many were asked.
    #[track_caller]
    fn nobody_is_let_in(before: &Directory, parts: &[Part]) -> usize {
        let mut after = before.clone();
        parts.iter().for_each(|part| after.carry_out(part));
        let mut asked = 0;
        for (told, mirror) in mirrors(before, &after, parts) {
            for waiter in after.children.iter().filter(|child| after.blocks(child) && mirror.contains(child))
            {
                assert!(
                    mirror.blocker_of(waiter).is_some(),
                    "{waiter} is let in after {told} of {parts:#?} in {before:#?}"
                );
                asked += 1;
            }
        }
        asked
    }

    /// All rows of up to `most` readers and writers.
    fn rows(most: usize, kinds: &[Kind]) -> Vec<Vec<Kind>> {
        let mut rows = vec![vec![]];
        let mut from = 0;
        for _ in 0..most {
            let to = rows.len();
            for at in from..to {
                for kind in kinds {
                    let longer = [&rows[at][..], &[*kind]].concat();
                    rows.push(longer);
                }
            }
            from = to;
        }
        rows
    }

    #[test]
    fn no_event_of_a_downgrade_lets_in_who_has_to_wait() {
        let mut asked = 0;
        for (reader, writer) in SIDES {
            for behind in rows(4, &[reader, writer]) {
                let mut directory = Directory::default();
                let old = directory.join(writer);
                behind.iter().for_each(|kind| _ = directory.join(*kind));
                asked +=
                    nobody_is_let_in(&directory, &of_sides(&old, &counterpart(&old).unwrap(), None, None));
            }
        }
        assert!(asked > 500, "{asked} are few");
    }

    #[test]
    fn no_event_of_an_upgrade_lets_in_who_has_to_wait() {
        let mut asked = 0;
        for (reader, writer) in SIDES {
            // Readers before the first writer would hold the lock, and are gone by then.
            let between = rows(3, &[reader, writer]).into_iter().filter(|row| row.first() != Some(&reader));
            for between in between {
                for behind in rows(3, &[reader, writer]) {
                    let mut directory = Directory::default();
                    let old = directory.join(reader);
                    let new = counterpart(&old).unwrap();
                    let keepers: Vec<_> = between.iter().map(|kind| directory.join(*kind)).collect();
                    let mark = directory.join_as(new.trim_end_matches(|c: char| c.is_ascii_digit()));
                    behind.iter().for_each(|kind| _ = directory.join(*kind));
                    let keeper = keepers.first().map(String::as_str);
                    asked += nobody_is_let_in(&directory, &of_sides(&old, &new, keeper, Some(&mark)));
                }
            }
        }
        assert!(asked > 1_000, "{asked} are few");
    }

    #[test]
    fn no_event_lets_anybody_in_behind_a_lock_that_becomes_persistent() {
        use Kind::{CuratorMutex, KazooLock, KazooReader, ZkAsync, ZkLock, ZkReader, ZkWriter};
        let families: [(Kind, &[Kind]); 3] = [
            (KazooLock, &[KazooLock, KazooReader]),
            (CuratorMutex, &[CuratorMutex]),
            (ZkLock, &[ZkLock, ZkWriter, ZkReader, ZkAsync]),
        ];
        let mut asked = 0;
        for (own, kinds) in families {
            for behind in rows(3, kinds) {
                let mut directory = Directory::default();
                let node = directory.join(own);
                behind.iter().for_each(|kind| _ = directory.join(*kind));
                asked += nobody_is_let_in(&directory, &in_place(&node));
            }
        }
        assert!(asked > 1_000, "{asked} are few");
    }

    #[test]
    fn who_stands_in_has_the_same_place() {
        for kind in [Kind::KazooLock, Kind::CuratorMutex, Kind::ZkLock] {
            for id in [0, 1, 0xf << 124] {
                let name = format!("{}0000000007", kind.prefix(id));
                let other = stand_in(&name);
                assert_ne!(other, name);
                assert_eq!(classify(&other), classify(&name), "it is of the same kind, and ours");
            }
        }
    }
}
