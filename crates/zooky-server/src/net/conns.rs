//! All connections, by number, and the bounds on how many there may be.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::Conn;
use crate::config::Limits;

/// The slot's part of a key, in bits.
const SLOT_BITS: u32 = 32;

/// A table of connections. A connection's key has its slot in its lower half, so it is found at once; the
/// upper half counts up, so that no key is used twice.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Option<Conn>>,
    free: Vec<usize>,
    opened: u64,
    per_address: HashMap<IpAddr, usize>,
    count: usize,
    buffer_bytes: usize,
}

impl Conns {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether one more from this address is within the bounds.
    pub(crate) fn has_room(&self, peer: IpAddr, limits: &Limits) -> bool {
        let most =
            if peer.is_loopback() { limits.connections_per_loopback } else { limits.connections_per_address };
        self.count < limits.connections && self.per_address.get(&peer).is_none_or(|&n| n < most)
    }

    /// What the buffers of all connections took when they were measured last, and what has come in front of them since.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Measures a connection's buffers.
    pub(crate) fn measure(&mut self, key: u64) {
        let Some(conn) = self.get(key) else { return };
        let bytes = conn.buffer_bytes();
        let before = std::mem::replace(&mut conn.measured, bytes);
        self.buffer_bytes = self.buffer_bytes - before + bytes;
    }

    /// So many bytes more wait for a connection.
    pub(crate) fn note_more(&mut self, key: u64, bytes: usize) {
        let Some(conn) = self.get(key) else { return };
        conn.measured += bytes;
        self.buffer_bytes += bytes;
    }

    /// The connection with the largest buffers.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.iter().max_by_key(|conn| conn.measured).map(|conn| conn.key)
    }

    /// Adds a connection, registered under its slot plus `first_token`. Returns its key.
    pub(crate) fn add(
        &mut self,
        mut socket: TcpStream,
        peer: IpAddr,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<u64> {
        let slot = self.free.last().copied().unwrap_or(self.slots.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, Token(slot + first_token), both)?;
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.opened += 1;
        let key = (self.opened << SLOT_BITS) | slot as u64;
        self.slots[slot] = Some(Conn::new(key, socket, peer));
        *self.per_address.entry(peer).or_default() += 1;
        self.count += 1;
        Ok(key)
    }

    /// The connection in a slot.
    pub(crate) fn at(&mut self, slot: usize) -> Option<&mut Conn> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The connection with this key, unless it is gone.
    pub(crate) fn get(&mut self, key: u64) -> Option<&mut Conn> {
        self.at(Self::slot(key)).filter(|conn| conn.key == key)
    }

    /// Takes a connection out; dropping it closes the socket, which takes it out of the poll, too.
    pub(crate) fn remove(&mut self, key: u64) -> Option<Conn> {
        self.get(key)?;
        let slot = Self::slot(key);
        let conn = self.slots[slot].take()?;
        self.free.push(slot);
        self.count -= 1;
        self.buffer_bytes -= conn.measured;
        if let Some(n) = self.per_address.get_mut(&conn.peer) {
            *n -= 1;
            if *n == 0 {
                self.per_address.remove(&conn.peer);
            }
        }
        Some(conn)
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().flatten()
    }

    /// All connections.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conn> {
        self.slots.iter_mut().flatten()
    }

    /// The keys of all connections.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.slots.iter().flatten().map(|conn| conn.key).collect()
    }

    fn slot(key: u64) -> usize {
        (key & ((1 << SLOT_BITS) - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_loopback_another() {
        let limits = Limits {
            connections: 6,
            connections_per_address: 2,
            connections_per_loopback: 3,
            ..Limits::default()
        };
        let [far, near, v6]: [IpAddr; 3] =
            ["192.0.2.1", "127.0.0.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        let mut conns = Conns::default();
        assert!([far, near, v6].iter().all(|&peer| conns.has_room(peer, &limits)));
        conns.per_address = HashMap::from([(far, 2), (near, 2), (v6, 1)]);
        assert_eq!([far, near, v6].map(|peer| conns.has_room(peer, &limits)), [false, true, true]);
        conns.per_address.insert(near, 3);
        assert!(!conns.has_room(near, &limits));
        conns.count = 6;
        assert!(!conns.has_room(v6, &limits), "the places in all are taken");
    }
}
