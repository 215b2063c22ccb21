//! Tables of numbers, found by what the numbers stand for. The key is kept once, where the thing
//! itself is; the table holds eight bytes for it.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;

/// A keyed hash: fast, the same in every run with the same seed, and not to be steered by clients
/// who do not know the seed.
#[derive(Debug, Clone)]
pub(super) struct Hashing(RandomState);

impl Hashing {
    pub(super) fn new(seed: u64) -> Hashing {
        Hashing(RandomState::with_seeds(seed, !seed, seed.rotate_left(17), 0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn of<T: Hash + ?Sized>(&self, key: &T) -> u64 {
        self.0.hash_one(key)
    }

    /// An empty map that hashes with this.
    pub(super) fn map<K, V>(&self) -> Map<K, V> {
        Map::with_hasher(self.0.clone())
    }
}

/// A map under a [`Hashing`].
pub(super) type Map<K, V> = hashbrown::HashMap<K, V, RandomState>;

/// A set of numbers, found by hash. Half of each number's hash is kept beside it: so a search seldom looks at a wrong
/// thing, and the table grows without looking at any. It is many small tables, which grow one after another: to move
/// hundreds of thousands of numbers at once would be a pause of milliseconds for everyone.
#[derive(Debug)]
pub(super) struct IdTable([HashTable<(u32, u32)>; SHARDS]);

/// How many small tables there are.
const SHARDS: usize = 64;

impl Default for IdTable {
    fn default() -> IdTable {
        IdTable([const { HashTable::new() }; SHARDS])
    }
}

impl IdTable {
    /// The number under `hash` for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let half = half(hash);
        self.0[shard(half)].find(whole(half), |&(h, id)| h == half && is_it(id)).map(|&(_, id)| id)
    }

    /// Adds a number that is not in yet.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        let half = half(hash);
        self.0[shard(half)].insert_unique(whole(half), (half, id), |&(h, _)| whole(h));
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        let half = half(hash);
        if let Ok(found) = self.0[shard(half)].find_entry(whole(half), |&(_, other)| other == id) {
            found.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(HashTable::len).sum()
    }
}

/// The table of a half.
fn shard(half: u32) -> usize {
    half as usize % SHARDS
}

/// The half that is kept.
fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash for the table, which uses the lowest and the highest bits.
fn whole(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
