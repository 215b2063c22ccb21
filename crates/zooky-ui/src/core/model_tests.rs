//! The picture against plain definitions of what it must show.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use zooky::inspect::LockQueue;

use super::*;

fn node(mode: char, n: i64) -> String {
    let label = if mode == 'r' { "__rlock__" } else { "__lock__" };
    format!("0123456789abcdef0123456789abcdef{label}{n:010}")
}

const LOCK: &str = "/locks/a";

fn held(model: &Model, path: &str) -> Vec<String> {
    let rows = model.rows();
    let row = rows.iter().find(|row| row.path == path);
    row.map(|row| row.holders.iter().map(|holder| holder.name.clone()).collect()).unwrap_or_default()
}

#[test]
fn a_grant_is_seen_when_the_one_before_goes() {
    let mut model = Model::default();
    assert!(model.joined(LOCK, &node('w', 1), true, 1_000));
    assert!(!model.joined(LOCK, &node('w', 1), true, 1_001), "told twice");
    assert!(!model.joined(LOCK, "config", true, 1_001), "no contender");
    model.joined(LOCK, &node('w', 2), true, 1_500);
    assert_eq!((held(&model, LOCK), model.counts()), (vec![node('w', 1)], (1, 1)));
    model.left(LOCK, &node('w', 1), 3_000);
    assert_eq!((held(&model, LOCK), model.counts()), (vec![node('w', 2)], (1, 0)));
    let sample = model.tally.close(4_000, 1, 0);
    assert_eq!((sample.grants, sample.wait_max_ms, sample.hold_ms), (2, Some(1_500), Some(2_000)));
    assert_eq!(sample.turn_ms, Some(2_000), "from one grant to the next");
    let span = &model.news(4_000).unwrap().spans[0];
    assert_eq!((span.from_ms, span.to_ms, span.seen), (1_000, 3_000, true));
}

#[test]
fn what_was_there_before_us_is_not_timed() {
    let mut model = Model::default();
    model.listing();
    // The listing comes in no order; the first one of the queue is known at its end.
    for n in [3, 1, 2] {
        model.joined(LOCK, &node('w', n), false, 5_000);
    }
    assert_eq!(held(&model, LOCK), [""; 0]);
    model.listed(&HashSet::from([LOCK.to_owned()]), 5_000);
    assert_eq!(held(&model, LOCK), [node('w', 1)]);
    assert!(!model.rows()[0].holders[0].seen);
    model.left(LOCK, &node('w', 1), 6_000);
    let sample = model.tally.close(7_000, 0, 0);
    assert_eq!((sample.hold_ms, sample.wait_ms, sample.grants), (None, None, 1));
    assert!(model.rows()[0].holders[0].seen, "the second one was seen to be granted the lock");
}

#[test]
fn a_hold_of_no_time_is_told_all_the_same() {
    let mut model = Model::default();
    model.joined(LOCK, &node('w', 1), true, 1_000);
    model.left(LOCK, &node('w', 1), 1_000);
    let news = model.news(1_000).unwrap();
    assert_eq!((news.contenders.len(), news.left.len(), news.spans.len()), (0, 0, 1));
    assert!(model.news(1_000).is_none());
}

#[test]
fn directories_of_locks_are_none() {
    let mut model = Model::default();
    model.directory("/locks/team");
    model.no_lock("/locks/team");
    model.directory("/locks/team/a");
    assert_eq!(model.rows().iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["/locks/team/a"]);
    model.directory_gone("/locks/team/a", 0);
    assert_eq!(model.lock_counts(), (0, 0));
}

/// What a page knows, which gets updates only.
#[derive(Debug, Default, PartialEq)]
struct Replica {
    locks: BTreeMap<u64, String>,
    /// By id: lock, node, since when held.
    contenders: BTreeMap<u64, (u64, String, Option<i64>)>,
}

impl Replica {
    fn apply(&mut self, update: &Update) {
        if update.reset {
            *self = Replica::default();
        }
        self.locks.extend(update.locks.iter().map(|lock| (lock.id, lock.path.clone())));
        for line in &update.contenders {
            assert!(self.locks.contains_key(&line.lock), "told of a contender before its lock");
            self.contenders.insert(line.id, (line.lock, line.node.clone(), line.held_ms));
        }
        for id in &update.left {
            assert!(self.contenders.remove(id).is_some(), "told of the end of somebody unknown");
        }
        for id in &update.locks_gone {
            assert!(self.locks.remove(id).is_some());
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize, char, i64),
    Leave(usize, usize),
    /// All is listed; some have left unseen meanwhile.
    Relist(Vec<bool>),
    Tell,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..3, prop_oneof![Just('r'), Just('w')], 0_i64..30).prop_map(|(l, m, n)| Step::Join(l, m, n)),
        4 => (0_usize..3, 0_usize..30).prop_map(|(l, n)| Step::Leave(l, n)),
        1 => proptest::collection::vec(any::<bool>(), 40).prop_map(Step::Relist),
        2 => Just(Step::Tell),
    ]
}

proptest! {
    /// Whatever happens: those who hold are those that a look at the names shows, and a page that was told of changes
    /// knows what one knows that was told everything.
    #[test]
    fn pages_know_what_there_is(steps in proptest::collection::vec(step(), 0..80)) {
        let path = |lock: usize| format!("/locks/{lock}");
        let (mut model, mut page) = (Model::default(), Replica::default());
        let mut there: Vec<BTreeSet<String>> = vec![BTreeSet::new(); 3];
        for (now_ms, step) in (0..).zip(steps) {
            match step {
                Step::Join(lock, mode, n) => {
                    let name = node(mode, n);
                    let new = there[lock].insert(name.clone());
                    prop_assert_eq!(model.joined(&path(lock), &name, true, now_ms), new);
                }
                Step::Leave(lock, nth) => {
                    if let Some(name) = there[lock].iter().nth(nth).cloned() {
                        there[lock].remove(&name);
                        model.left(&path(lock), &name, now_ms);
                    }
                }
                Step::Relist(stay) => {
                    let mut stay = stay.into_iter().cycle();
                    for names in &mut there {
                        names.retain(|_| stay.next().unwrap_or(true));
                    }
                    model.listing();
                    for (lock, names) in there.iter().enumerate() {
                        for name in names {
                            model.joined(&path(lock), name, false, now_ms);
                        }
                    }
                    model.listed(&(0..3).map(path).collect(), now_ms);
                }
                Step::Tell => model.news(now_ms).iter().for_each(|news| page.apply(news)),
            }
            for (lock, names) in there.iter().enumerate() {
                let mut queue = LockQueue::default();
                names.iter().for_each(|name| { queue.insert(name); });
                prop_assert_eq!(held(&model, &path(lock)), queue.holders());
            }
            let all: usize = there.iter().map(BTreeSet::len).sum();
            prop_assert_eq!(model.counts().0 + model.counts().1, all);
        }
        model.news(1_000).iter().for_each(|news| page.apply(news));
        let mut fresh = Replica::default();
        model.everything(1_000, 7).iter().for_each(|update| fresh.apply(update));
        prop_assert_eq!(page, fresh);
    }
}
