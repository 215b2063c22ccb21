//! Watches: who wants to be told what of which path. They belong to connections, not to sessions:
//! a client sets its watches again when it has reconnected.

use super::ConnId;
use super::hash::{Hashing, IdTable, Map};

/// How long a watch lives and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Gone with its first event.
    OneShot,
    /// Stays.
    Persistent,
    /// Stays, and covers everything below its path.
    Recursive,
}

#[derive(Debug)]
struct Watched {
    path: Box<str>,
    /// Sorted by connection, at most one watch each.
    watchers: Vec<(ConnId, Mode)>,
}

/// The watches of one kind (data, or children).
#[derive(Debug)]
pub(super) struct Watches {
    hashing: Hashing,
    /// A free place has no watchers.
    places: Vec<Watched>,
    free: Vec<u32>,
    index: IdTable,
    by_conn: Map<ConnId, Map<u32, ()>>,
    recursive: usize,
    count: usize,
}

impl Watches {
    pub(super) fn new(hashing: &Hashing) -> Watches {
        Watches {
            hashing: hashing.clone(),
            places: Vec::new(),
            free: Vec::new(),
            index: IdTable::default(),
            by_conn: hashing.map(),
            recursive: 0,
            count: 0,
        }
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The paths, and who watches each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        let used = self.places.iter().filter(|place| !place.watchers.is_empty());
        used.map(|place| (&*place.path, place.watchers.iter().map(|w| w.0)))
    }

    /// How many of them are a connection's.
    pub(super) fn len_of(&self, conn: ConnId) -> usize {
        self.by_conn.get(&conn).map_or(0, Map::len)
    }

    /// Sets a watch; a connection has one at most for each path, the last mode counts.
    pub(super) fn add(&mut self, path: &str, conn: ConnId, mode: Mode) {
        let place = self.find(path).unwrap_or_else(|| self.place(path));
        let watchers = &mut self.places[place as usize].watchers;
        match watchers.binary_search_by_key(&conn, |w| w.0) {
            Ok(at) => {
                let old = std::mem::replace(&mut watchers[at].1, mode);
                self.recursive -= usize::from(old == Mode::Recursive);
            }
            Err(at) => {
                watchers.insert(at, (conn, mode));
                self.count += 1;
                let hashing = &self.hashing;
                self.by_conn.entry(conn).or_insert_with(|| hashing.map()).insert(place, ());
            }
        }
        self.recursive += usize::from(mode == Mode::Recursive);
    }

    /// Removes a connection's watch on a path; says whether there was one.
    pub(super) fn remove(&mut self, path: &str, conn: ConnId) -> bool {
        let Some(place) = self.find(path) else { return false };
        let Some(paths) = self.by_conn.get_mut(&conn) else { return false };
        if paths.remove(&place).is_none() {
            return false;
        }
        if paths.is_empty() {
            self.by_conn.remove(&conn);
        }
        self.drop_watcher(place, conn);
        true
    }

    /// Removes all of a connection's watches.
    pub(super) fn remove_conn(&mut self, conn: ConnId) {
        for place in self.by_conn.remove(&conn).into_iter().flat_map(Map::into_keys) {
            self.drop_watcher(place, conn);
        }
    }

    /// Whether a connection has a watch on just this path.
    pub(super) fn has(&self, path: &str, conn: ConnId) -> bool {
        let watchers = self.find(path).map(|place| &self.places[place as usize].watchers);
        watchers.is_some_and(|watchers| watchers.binary_search_by_key(&conn, |w| w.0).is_ok())
    }

    /// Who is to be told of an event at `path`, sorted; their one-shot watches are gone then.
    /// Recursive watches are not told of changes of children (`of_children`).
    pub(super) fn fire(&mut self, path: &str, of_children: bool, told: &mut Vec<ConnId>) {
        told.clear();
        if self.count == 0 {
            return;
        }
        if let Some(place) = self.find(path) {
            self.fire_at(place, of_children, told);
        }
        if self.recursive > 0 && !of_children {
            for above in ancestors(path) {
                let Some(place) = self.find(above) else { continue };
                let watchers = &self.places[place as usize].watchers;
                told.extend(watchers.iter().filter(|w| w.1 == Mode::Recursive).map(|w| w.0));
            }
            told.sort_unstable();
            told.dedup();
        }
    }

    fn fire_at(&mut self, place: u32, of_children: bool, told: &mut Vec<ConnId>) {
        let Self { places, by_conn, count, .. } = self;
        let watched = &mut places[place as usize];
        watched.watchers.retain(|&(conn, mode)| {
            if !(of_children && mode == Mode::Recursive) {
                told.push(conn);
            }
            if mode != Mode::OneShot {
                return true;
            }
            *count -= 1;
            if let Some(paths) = by_conn.get_mut(&conn) {
                paths.remove(&place);
                // A connection with a watch now and then keeps its little map.
            }
            false
        });
        self.free_if_empty(place);
    }

    fn find(&self, path: &str) -> Option<u32> {
        self.index.find(self.hashing.of(path), |place| &*self.places[place as usize].path == path)
    }

    fn place(&mut self, path: &str) -> u32 {
        let watched = Watched { path: path.into(), watchers: Vec::with_capacity(1) };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = watched;
                place
            }
            None => {
                self.places.push(watched);
                (self.places.len() - 1) as u32
            }
        };
        self.index.insert(self.hashing.of(path), place);
        place
    }

    fn drop_watcher(&mut self, place: u32, conn: ConnId) {
        let watchers = &mut self.places[place as usize].watchers;
        if let Ok(at) = watchers.binary_search_by_key(&conn, |w| w.0) {
            let (_, mode) = watchers.remove(at);
            self.count -= 1;
            self.recursive -= usize::from(mode == Mode::Recursive);
        }
        self.free_if_empty(place);
    }

    fn free_if_empty(&mut self, place: u32) {
        let watched = &mut self.places[place as usize];
        if watched.watchers.is_empty() {
            let path = std::mem::take(&mut watched.path);
            watched.watchers = Vec::new();
            self.index.remove(self.hashing.of(&*path), place);
            self.free.push(place);
        }
    }
}

/// The paths above a path, the nearest first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(zooky_wire::parent(path), |p| zooky_wire::parent(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn fire(watches: &mut Watches, path: &str, of_children: bool) -> Vec<u64> {
        let mut told = Vec::new();
        watches.fire(path, of_children, &mut told);
        told.into_iter().map(|c| c.0).collect()
    }

    #[test]
    fn one_shot_watches_fire_once() {
        let mut w = Watches::new(&Hashing::new(1));
        w.add("/a", B, Mode::OneShot);
        w.add("/a", A, Mode::OneShot);
        w.add("/a", A, Mode::OneShot);
        assert_eq!((w.len(), w.len_of(A)), (2, 1));
        assert_eq!(fire(&mut w, "/a", false), [1, 2]);
        assert!(fire(&mut w, "/a", false).is_empty());
        assert_eq!((w.len(), w.len_of(A), w.free.len(), w.index.len()), (0, 0, 1, 0));
    }

    #[test]
    fn persistent_watches_stay_and_recursive_ones_reach_down() {
        let mut w = Watches::new(&Hashing::new(1));
        w.add("/a", A, Mode::Persistent);
        w.add("/", B, Mode::Recursive);
        assert_eq!(fire(&mut w, "/a", false), [1, 2]);
        assert_eq!(fire(&mut w, "/a", true), [1]);
        assert_eq!(fire(&mut w, "/a/b/c", false), [2]);
        assert!(w.has("/", B) && !w.has("/x/y", B) && !w.has("/", A) && w.has("/a", A));
        assert!(w.remove("/", B));
        assert!(!w.remove("/", B));
        assert_eq!((w.recursive, w.len()), (0, 1));
        w.remove_conn(A);
        assert_eq!((w.len(), w.by_conn.len()), (0, 0));
    }

    #[test]
    fn the_last_mode_counts() {
        let mut w = Watches::new(&Hashing::new(1));
        w.add("/a", A, Mode::Recursive);
        w.add("/a", A, Mode::OneShot);
        assert_eq!(w.recursive, 0);
        assert_eq!(fire(&mut w, "/a", false), [1]);
        assert_eq!(w.len(), 0);
    }
}
