//! Watches: who wants to be told what of which path. They belong to connections, not to sessions:
//! a client sets its watches again when it has reconnected.
//!
//! What they take is counted, because a path need not exist to be watched and so is counted nowhere else. The many
//! watches of a connection that is gone are taken out a few at a time: nobody is to wait for that.

use super::ConnId;
use super::chunked::Chunked;
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
    path: String,
    /// Sorted by connection, at most one watch each.
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    conn: ConnId,
    mode: Mode,
    /// Where in the list of the connection's places this one stands.
    at: u32,
}

/// What a watch counts besides its path, in bytes: about what its places in the tables take.
const WATCH_BYTES: u64 = 128;

/// A free place keeps so many bytes for its next path, and room for so many watchers. To give back hundreds of thousands of
/// little pieces would cost as much again at the next large allocation, when the allocator puts them together.
const KEPT_PATH: usize = 128;
const KEPT_WATCHERS: usize = 4;

/// The watches of one connection: their places, in no order, and what they count. A list, because a table of a hundred
/// thousand would grow in leaps that everyone waits for.
#[derive(Debug, Default)]
struct Owned {
    places: Vec<u32>,
    bytes: u64,
}

/// The watches of one kind (data, or children).
#[derive(Debug)]
pub(super) struct Watches {
    hashing: Hashing,
    /// A free place has no watchers.
    places: Chunked<Watched>,
    free: Vec<u32>,
    index: IdTable,
    by_conn: Map<ConnId, Owned>,
    /// Places of connections that are gone; their watchers are still to be taken out, and are told nothing.
    graves: Vec<(ConnId, Vec<u32>)>,
    recursive: usize,
    count: usize,
    bytes: u64,
}

impl Watches {
    pub(super) fn new(hashing: &Hashing) -> Watches {
        Watches {
            hashing: hashing.clone(),
            places: Chunked::default(),
            free: Vec::new(),
            index: IdTable::default(),
            by_conn: hashing.map(),
            graves: Vec::new(),
            recursive: 0,
            count: 0,
            bytes: 0,
        }
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What they count: paths, and a flat amount for each.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The paths, and who watches each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        let alive = |place: &Watched| place.watchers.iter().any(|w| self.by_conn.contains_key(&w.conn));
        let used = self.places.iter().filter(move |place| alive(place));
        used.map(|place| {
            let alive = place.watchers.iter().filter(|w| self.by_conn.contains_key(&w.conn));
            (&*place.path, alive.map(|w| w.conn))
        })
    }

    /// How many of them are a connection's.
    pub(super) fn len_of(&self, conn: ConnId) -> usize {
        self.by_conn.get(&conn).map_or(0, |owned| owned.places.len())
    }

    /// What those of a connection count.
    pub(super) fn bytes_of(&self, conn: ConnId) -> u64 {
        self.by_conn.get(&conn).map_or(0, |owned| owned.bytes)
    }

    /// What another watch on a path would count.
    pub(super) fn cost(path: &str) -> u64 {
        path.len() as u64 + WATCH_BYTES
    }

    /// The connections that have any.
    pub(super) fn watchers(&self) -> impl Iterator<Item = ConnId> {
        self.by_conn.keys().copied()
    }

    /// Sets a watch; a connection has one at most for each path, the last mode counts.
    pub(super) fn add(&mut self, path: &str, conn: ConnId, mode: Mode) {
        let place = self.find(path).unwrap_or_else(|| self.place(path));
        let watchers = &mut self.places[place as usize].watchers;
        match watchers.binary_search_by_key(&conn, |w| w.conn) {
            Ok(at) => {
                let old = std::mem::replace(&mut watchers[at].mode, mode);
                self.recursive -= usize::from(old == Mode::Recursive);
            }
            Err(before) => {
                let owned = self.by_conn.entry(conn).or_default();
                let at = owned.places.len() as u32;
                watchers.insert(before, Watcher { conn, mode, at });
                owned.places.push(place);
                owned.bytes += Self::cost(path);
                self.count += 1;
                self.bytes += Self::cost(path);
            }
        }
        self.recursive += usize::from(mode == Mode::Recursive);
    }

    /// Removes a connection's watch on a path; says whether there was one.
    pub(super) fn remove(&mut self, path: &str, conn: ConnId) -> bool {
        let Some(place) = self.find(path) else { return false };
        let watched = &mut self.places[place as usize];
        let Ok(found) = watched.watchers.binary_search_by_key(&conn, |w| w.conn) else { return false };
        if !self.by_conn.contains_key(&conn) {
            return false;
        }
        let watcher = watched.watchers.remove(found);
        let cost = Self::cost(&watched.path);
        self.disown(&watcher, cost);
        if self.len_of(conn) == 0 {
            self.by_conn.remove(&conn);
        }
        self.recursive -= usize::from(watcher.mode == Mode::Recursive);
        self.free_if_empty(place);
        true
    }

    /// Removes all of a connection's watches: they fire no more, and [`Watches::bury`] makes their places free.
    pub(super) fn remove_conn(&mut self, conn: ConnId) {
        let Some(owned) = self.by_conn.remove(&conn) else { return };
        self.count -= owned.places.len();
        self.bytes -= owned.bytes;
        self.graves.push((conn, owned.places));
    }

    /// Whether [`Watches::bury`] has something to do.
    pub(super) fn has_graves(&self) -> bool {
        !self.graves.is_empty()
    }

    /// Takes out at most so many of the watches of connections that are gone.
    pub(super) fn bury(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some((conn, places)) = self.graves.last_mut() else { return };
            let conn = *conn;
            match places.pop() {
                Some(place) => self.drop_watcher(place, conn),
                None => _ = self.graves.pop(),
            }
        }
    }

    /// Whether a connection has a watch on just this path.
    pub(super) fn has(&self, path: &str, conn: ConnId) -> bool {
        let watchers = self.find(path).map(|place| &self.places[place as usize].watchers);
        watchers.is_some_and(|watchers| watchers.binary_search_by_key(&conn, |w| w.conn).is_ok())
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
                told.extend(watchers.iter().filter(|w| w.mode == Mode::Recursive).map(|w| w.conn));
            }
            told.sort_unstable();
            told.dedup();
        }
    }

    fn fire_at(&mut self, place: u32, of_children: bool, told: &mut Vec<ConnId>) {
        let watched = &mut self.places[place as usize];
        let cost = Self::cost(&watched.path);
        let mut watchers = std::mem::take(&mut watched.watchers);
        watchers.retain(|watcher| {
            // One without an owner is only not buried yet.
            if !self.by_conn.contains_key(&watcher.conn) {
                return true;
            }
            if !(of_children && watcher.mode == Mode::Recursive) {
                told.push(watcher.conn);
            }
            if watcher.mode != Mode::OneShot {
                return true;
            }
            // A connection with a watch now and then keeps its little list.
            self.disown(watcher, cost);
            false
        });
        self.places[place as usize].watchers = watchers;
        self.free_if_empty(place);
    }

    fn find(&self, path: &str) -> Option<u32> {
        self.index.find(self.hashing.of(path), |place| &*self.places[place as usize].path == path)
    }

    fn place(&mut self, path: &str) -> u32 {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize].path.push_str(path);
                place
            }
            None => {
                self.places.push(Watched { path: path.into(), watchers: Vec::with_capacity(1) });
                (self.places.len() - 1) as u32
            }
        };
        self.index.insert(self.hashing.of(path), place);
        place
    }

    /// A watcher that has just been taken from its place is its connection's no more, and does not count.
    fn disown(&mut self, watcher: &Watcher, cost: u64) {
        let Some(owned) = self.by_conn.get_mut(&watcher.conn) else { return };
        owned.places.swap_remove(watcher.at as usize);
        owned.bytes -= cost;
        self.bytes -= cost;
        self.count -= 1;
        // The last of the list stands where this one stood.
        if let Some(&moved) = owned.places.get(watcher.at as usize) {
            let watchers = &mut self.places[moved as usize].watchers;
            if let Ok(found) = watchers.binary_search_by_key(&watcher.conn, |w| w.conn) {
                watchers[found].at = watcher.at;
            }
        }
    }

    fn drop_watcher(&mut self, place: u32, conn: ConnId) {
        let watchers = &mut self.places[place as usize].watchers;
        if let Ok(at) = watchers.binary_search_by_key(&conn, |w| w.conn) {
            let watcher = watchers.remove(at);
            self.recursive -= usize::from(watcher.mode == Mode::Recursive);
        }
        self.free_if_empty(place);
    }

    fn free_if_empty(&mut self, place: u32) {
        let watched = &mut self.places[place as usize];
        if watched.watchers.is_empty() {
            self.index.remove(self.hashing.of(watched.path.as_str()), place);
            watched.path.clear();
            watched.path.shrink_to(KEPT_PATH);
            watched.watchers.shrink_to(KEPT_WATCHERS);
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
    use std::collections::BTreeSet;

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
        assert_eq!((w.len(), w.len_of(A), w.free.len(), w.index.len(), w.bytes()), (0, 0, 1, 0, 0));
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
    fn watches_of_the_dead_fire_no_more_and_are_buried_a_few_at_a_time() {
        let mut w = Watches::new(&Hashing::new(1));
        for i in 0..10 {
            w.add(&format!("/a{i}"), A, Mode::OneShot);
        }
        w.add("/a0", B, Mode::OneShot);
        w.add("/a1", A, Mode::Recursive);
        assert_eq!((w.bytes(), w.bytes_of(B)), (11 * (3 + WATCH_BYTES), 3 + WATCH_BYTES));
        w.remove_conn(A);
        assert_eq!((w.len(), w.bytes(), w.bytes_of(A)), (1, 3 + WATCH_BYTES, 0));
        assert_eq!(w.iter().map(|(path, conns)| (path, conns.count())).collect::<Vec<_>>(), [("/a0", 1)]);
        assert!(fire(&mut w, "/a1", false).is_empty());
        assert_eq!(fire(&mut w, "/a0", false), [2]);
        w.bury(4);
        assert!(w.has_graves() && w.index.len() > 4);
        w.bury(20);
        assert!(!w.has_graves());
        assert_eq!((w.len(), w.bytes(), w.index.len(), w.recursive), (0, 0, 0, 0));
        assert_eq!(w.free.len(), w.places.len());
    }

    /// A connection's list of places is unordered, and each of its watches knows where in it it stands.
    #[test]
    fn whatever_is_set_removed_and_fired_the_lists_agree() {
        let (mut w, mut model) = (Watches::new(&Hashing::new(1)), BTreeSet::new());
        let mut state = 1_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) % n
        };
        for _ in 0..20_000 {
            let (path, conn) = (format!("/{}", below(12)), ConnId(below(5)));
            match below(16) {
                0..=8 => {
                    w.add(&path, conn, Mode::OneShot);
                    model.insert((path, conn));
                }
                9..=12 => assert_eq!(w.remove(&path, conn), model.remove(&(path, conn))),
                13 | 14 => {
                    let told = fire(&mut w, &path, below(2) == 0);
                    let due = model.iter().filter(|of| of.0 == path).map(|of| of.1.0);
                    assert_eq!(told, due.collect::<Vec<_>>());
                    model.retain(|of| of.0 != path);
                }
                _ => {
                    w.remove_conn(conn);
                    w.bury(100);
                    model.retain(|of| of.1 != conn);
                }
            }
            assert_eq!(w.len(), model.len());
            for conn in (0..5).map(ConnId) {
                let due: BTreeSet<_> = model.iter().filter(|of| of.1 == conn).map(|of| &*of.0).collect();
                let owned = w.by_conn.get(&conn).map_or(&[][..], |owned| &owned.places);
                let paths: BTreeSet<_> = owned.iter().map(|&place| &*w.places[place as usize].path).collect();
                assert_eq!((paths, owned.len()), (due.clone(), due.len()));
                assert_eq!(w.bytes_of(conn), due.iter().map(|path| Watches::cost(path)).sum());
            }
        }
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
