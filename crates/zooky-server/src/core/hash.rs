//! Tables of numbers, found by what the numbers stand for. The key is kept once, where the thing
//! itself is; the table holds four bytes for it.

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

/// A set of numbers, found by hash.
#[derive(Debug, Default)]
pub(super) struct IdTable(HashTable<u32>);

impl IdTable {
    /// The number under `hash` for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.0.find(hash, |&id| is_it(id)).copied()
    }

    /// Adds a number that is not in yet; `rehash` gives the hash of any number in the table.
    pub(super) fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        self.0.insert_unique(hash, id, |&id| rehash(id));
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        if let Ok(found) = self.0.find_entry(hash, |&other| other == id) {
            found.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
