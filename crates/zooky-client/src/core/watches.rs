//! Who waits for which node to change, and what must be set again on a new connection.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use zooky_wire::{ErrorCode, EventType, OpCode, Request};

use super::Watcher;

/// Servers take frames of up to 1 MiB; the original client cuts here too.
const CHUNK_BYTES: usize = 128 * 1024;

/// What a watcher asked to be told of, by which the server removes watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The node: its creation, its deletion, its data.
    Node,
    /// Its children.
    Children,
    /// The node and everything below it, until further notice.
    Tree,
}

impl Target {
    /// What a request with a watcher sets.
    pub(crate) fn of(op: OpCode) -> Target {
        match op {
            OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => Target::Children,
            OpCode::ADD_WATCH => Target::Tree,
            _ => Target::Node,
        }
    }

    /// ZooKeeper's `WatcherType`.
    pub(super) fn wire(self) -> i32 {
        match self {
            Target::Children => 1,
            Target::Node => 2,
            // It is kept with both.
            Target::Tree => 3,
        }
    }
}

/// What the server watches a node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The data of a node that exists, or its deletion.
    Data,
    /// The creation of a node that does not exist.
    Exist,
    /// The children, or the node's deletion.
    Child,
}

impl Kind {
    /// What a watching request's answer has set, if anything.
    pub(super) fn set_by(op: OpCode, err: ErrorCode) -> Option<Kind> {
        match (op, err) {
            (OpCode::EXISTS | OpCode::GET_DATA, ErrorCode::OK) => Some(Kind::Data),
            (OpCode::EXISTS, ErrorCode::NO_NODE) => Some(Kind::Exist),
            (OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2, ErrorCode::OK) => Some(Kind::Child),
            _ => None,
        }
    }
}

/// All one-shot watches of a session, by the paths that the server knows.
#[derive(Debug)]
pub(super) struct Watches<W> {
    /// In the order of the paths: the same story is told in the same order.
    tables: [BTreeMap<String, Vec<W>>; 3],
    /// Those who stay, by the top of what they watch. They end with the connection: what was missed could not be
    /// told.
    trees: BTreeMap<String, Vec<W>>,
    /// No top is shorter or longer, in bytes: most of what lies above an event need not be looked up.
    tops: RangeInclusive<usize>,
    /// How many watchers there may be before those who are gone are looked for.
    sweep_at: usize,
    count: usize,
}

impl<W: Watcher> Watches<W> {
    pub(super) fn new() -> Self {
        Watches { tables: Default::default(), trees: BTreeMap::new(), tops: 0..=0, sweep_at: 64, count: 0 }
    }

    /// The server has set a watch.
    pub(super) fn add(&mut self, kind: Kind, path: String, watcher: W) {
        self.tables[kind as usize].entry(path).or_default().push(watcher);
        self.count += 1;
        if self.count >= self.sweep_at {
            self.sweep();
            self.sweep_at = (2 * self.count).max(64);
        }
    }

    /// Those whom an event concerns; they are no longer in the registry.
    pub(super) fn fire(&mut self, event: EventType, path: &str) -> Vec<W> {
        let kinds: &[Kind] = match event {
            EventType::CREATED | EventType::DATA_CHANGED => &[Kind::Data, Kind::Exist],
            EventType::DELETED => &[Kind::Data, Kind::Exist, Kind::Child],
            EventType::CHILDREN_CHANGED => &[Kind::Child],
            _ => &[],
        };
        let fired: Vec<W> =
            kinds.iter().filter_map(|kind| self.tables[*kind as usize].remove(path)).flatten().collect();
        self.count -= fired.len();
        fired
    }

    /// Somebody watches the node and everything below it.
    pub(super) fn add_tree(&mut self, path: String, watcher: W) {
        let length = path.len();
        self.tops = match self.trees.is_empty() {
            true => length..=length,
            false => length.min(*self.tops.start())..=length.max(*self.tops.end()),
        };
        let watchers = self.trees.entry(path).or_default();
        watchers.retain(|watcher| !watcher.is_gone());
        watchers.push(watcher);
    }

    /// Those whom an event at `path` concerns and who stay.
    pub(super) fn below(&self, path: &str) -> Vec<W> {
        if self.trees.is_empty() {
            return Vec::new();
        }
        let is_above =
            |&length: &usize| length <= 1 || path.as_bytes().get(length).is_none_or(|byte| *byte == b'/');
        let lengths = *self.tops.start()..=path.len().min(*self.tops.end());
        let tops = lengths.filter(is_above).filter_map(|length| path.get(..length));
        let found = tops.filter_map(|top| self.trees.get(top));
        found.flatten().filter_map(W::again).collect()
    }

    /// Takes out those who watch from this node downwards.
    pub(super) fn take_tree(&mut self, path: &str) -> Vec<W> {
        self.trees.remove(path).unwrap_or_default()
    }

    /// Takes out all of those who stay, with the path of each.
    pub(super) fn take_trees(&mut self) -> Vec<(String, W)> {
        let trees = std::mem::take(&mut self.trees);
        trees
            .into_iter()
            .flat_map(|(path, all)| all.into_iter().map(move |one| (path.clone(), one)))
            .collect()
    }

    /// Whether somebody still waits for this; those who do not are forgotten.
    pub(super) fn is_wanted(&mut self, path: &str, target: Target) -> bool {
        let tables = match target {
            Target::Node => &mut self.tables[..2],
            Target::Children => &mut self.tables[2..],
            Target::Tree => return prune(&mut self.trees, path).1 > 0,
        };
        let (gone, left) = tables
            .iter_mut()
            .map(|table| prune(table, path))
            .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        self.count -= gone;
        left > 0
    }

    /// The requests that set every watch again, with what happened since `relative_zxid` told at once.
    pub(super) fn set_again(&mut self, relative_zxid: i64) -> Vec<Request> {
        self.sweep();
        let mut requests = Vec::new();
        let mut lists: [Vec<String>; 3] = Default::default();
        let mut bytes = 0;
        for (table, kind) in self.tables.iter().zip(0..) {
            for path in table.keys() {
                if bytes > 0 && bytes + path.len() + 4 > CHUNK_BYTES {
                    requests.push(set_watches(relative_zxid, std::mem::take(&mut lists)));
                    bytes = 0;
                }
                bytes += path.len() + 4;
                lists[kind as usize].push(path.clone());
            }
        }
        if bytes > 0 {
            requests.push(set_watches(relative_zxid, lists));
        }
        requests
    }

    /// Takes everybody out.
    pub(super) fn take(&mut self) -> Vec<W> {
        self.count = 0;
        let tables = self.tables.iter_mut().chain([&mut self.trees]);
        tables.flat_map(|table| std::mem::take(table).into_values().flatten()).collect()
    }

    fn sweep(&mut self) {
        self.count = 0;
        for table in &mut self.tables {
            table.retain(|_, watchers| {
                watchers.retain(|watcher| !watcher.is_gone());
                self.count += watchers.len();
                !watchers.is_empty()
            });
        }
    }
}

/// Takes out those who do not wait any more; how many those were, and how many are left.
fn prune<W: Watcher>(table: &mut BTreeMap<String, Vec<W>>, path: &str) -> (usize, usize) {
    let Some(watchers) = table.get_mut(path) else { return (0, 0) };
    let before = watchers.len();
    watchers.retain(|watcher| !watcher.is_gone());
    let left = watchers.len();
    if left == 0 {
        table.remove(path);
    }
    (before - left, left)
}

fn set_watches(relative_zxid: i64, [data, exist, child]: [Vec<String>; 3]) -> Request {
    Request::SetWatches { relative_zxid, data, exist, child }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    impl Watcher for Rc<str> {
        fn is_gone(&self) -> bool {
            Rc::strong_count(self) == 1
        }

        fn again(&self) -> Option<Self> {
            Some(self.clone())
        }
    }

    fn names(watchers: &[Rc<str>]) -> Vec<&str> {
        let mut names: Vec<_> = watchers.iter().map(|one| &**one).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_event_reaches_those_it_concerns_once() {
        let (data, exist, child) =
            (Rc::<str>::from("data"), Rc::<str>::from("exist"), Rc::<str>::from("child"));
        let mut watches = Watches::new();
        let fill = |watches: &mut Watches<_>| {
            watches.take();
            watches.add(Kind::Data, "/a".into(), data.clone());
            watches.add(Kind::Exist, "/a".into(), exist.clone());
            watches.add(Kind::Child, "/a".into(), child.clone());
        };
        for (event, expected) in [
            (EventType::DATA_CHANGED, &["data", "exist"][..]),
            (EventType::CREATED, &["data", "exist"]),
            (EventType::DELETED, &["child", "data", "exist"]),
            (EventType::CHILDREN_CHANGED, &["child"]),
            (EventType::NONE, &[]),
        ] {
            fill(&mut watches);
            assert!(watches.fire(event, "/b").is_empty());
            assert_eq!(names(&watches.fire(event, "/a")), expected);
            assert!(watches.fire(event, "/a").is_empty());
        }
    }

    #[test]
    fn an_event_reaches_those_who_watch_above_it() {
        let mut watches = Watches::new();
        let all = ["/a/b", "/", "/a/b/c", "/a"].map(Rc::<str>::from);
        let expected: [(&str, &[&str]); 5] = [
            ("/", &["/"]),
            ("/a", &["/", "/a"]),
            ("/a/b/c", &["/", "/a", "/a/b", "/a/b/c"]),
            ("/a/b/c/d", &["/", "/a", "/a/b", "/a/b/c"]),
            ("/a/bb", &["/", "/a"]),
        ];
        for (number, top) in all.iter().enumerate() {
            watches.add_tree(top.to_string(), top.clone());
            for (path, tops) in expected {
                let here = |top: &&&str| all[..=number].iter().any(|one| **one == ***top);
                let tops: Vec<_> = tops.iter().filter(here).copied().collect();
                assert_eq!(names(&watches.below(path)), tops, "{path}");
            }
        }
        watches.take_trees();
        assert!(watches.below("/a").is_empty());
        watches.add_tree("/a".into(), all[3].clone());
        assert_eq!(names(&watches.below("/a/b")), ["/a"]);
        assert!(watches.below("/").is_empty());
    }

    #[test]
    fn what_nobody_waits_for_is_not_set_again() {
        let (stays, goes) = (Rc::<str>::from("stays"), Rc::<str>::from("goes"));
        let mut watches = Watches::new();
        watches.add(Kind::Child, "/a".into(), stays.clone());
        watches.add(Kind::Data, "/b".into(), goes.clone());
        drop(goes);
        let expected = Request::SetWatches {
            relative_zxid: 7,
            data: vec![],
            exist: vec![],
            child: vec!["/a".to_owned()],
        };
        assert_eq!(watches.set_again(7), [expected]);
        drop(stays);
        assert!(watches.set_again(7).is_empty());
    }

    #[test]
    fn many_are_set_again_in_pieces() {
        let one = Rc::<str>::from("one");
        let mut watches = Watches::new();
        for i in 0..5_000 {
            watches.add(Kind::Exist, format!("/{i:0100}"), one.clone());
        }
        let mut seen = 0;
        let requests = watches.set_again(1);
        assert_eq!(requests.len(), 5);
        for request in requests {
            let Request::SetWatches { exist, .. } = request else { panic!("{request:?}") };
            assert!(exist.iter().map(|path| path.len() + 4).sum::<usize>() <= CHUNK_BYTES);
            seen += exist.len();
        }
        assert_eq!(seen, 5_000);
    }

    #[test]
    fn watchers_who_are_gone_do_not_pile_up() {
        let mut watches = Watches::new();
        for i in 0..10_000 {
            let goes = Rc::<str>::from("goes");
            watches.add(Kind::Data, format!("/{i}"), goes.clone());
        }
        assert!(watches.count <= 64);
    }
}
