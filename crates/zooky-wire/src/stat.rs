//! What a server tells of a znode besides its data.

use crate::{DecodeError, Reader, Writer};

/// The stat of a znode, as clients see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: i64,
    /// The transaction that last changed its data.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970 on the server's clock.
    pub ctime_ms: i64,
    /// When its data last changed, in milliseconds since 1970 on the server's clock.
    pub mtime_ms: i64,
    /// How often its data changed.
    pub version: i32,
    /// How often its children changed.
    pub cversion: i32,
    /// How often its ACL changed.
    pub aversion: i32,
    /// The session that owns it if it is ephemeral, else 0.
    pub ephemeral_owner: i64,
    /// The length of its data in bytes.
    pub data_length: i32,
    /// How many children it has.
    pub num_children: i32,
    /// The transaction that last changed its children.
    pub pzxid: i64,
}

impl Stat {
    /// The number of bytes of a stat.
    pub const LEN: usize = 68;

    /// Reads a stat.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Stat {
            czxid: r.i64()?,
            mzxid: r.i64()?,
            ctime_ms: r.i64()?,
            mtime_ms: r.i64()?,
            version: r.i32()?,
            cversion: r.i32()?,
            aversion: r.i32()?,
            ephemeral_owner: r.i64()?,
            data_length: r.i32()?,
            num_children: r.i32()?,
            pzxid: r.i64()?,
        })
    }

    /// Writes the stat.
    pub fn encode(&self, w: &mut Writer) {
        w.i64(self.czxid);
        w.i64(self.mzxid);
        w.i64(self.ctime_ms);
        w.i64(self.mtime_ms);
        w.i32(self.version);
        w.i32(self.cversion);
        w.i32(self.aversion);
        w.i64(self.ephemeral_owner);
        w.i32(self.data_length);
        w.i32(self.num_children);
        w.i64(self.pzxid);
    }
}

/// The part of a stat that a snapshot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatPersisted {
    /// The transaction that created the node.
    pub czxid: i64,
    /// The transaction that last changed its data.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970.
    pub ctime_ms: i64,
    /// When its data last changed, in milliseconds since 1970.
    pub mtime_ms: i64,
    /// How often its data changed.
    pub version: i32,
    /// As the original stores it: twice the number of creations, less the number of children.
    pub cversion: i32,
    /// How often its ACL changed.
    pub aversion: i32,
    /// The owning session; also how containers and TTL nodes are marked.
    pub ephemeral_owner: i64,
    /// The transaction that last changed its children.
    pub pzxid: i64,
}

impl StatPersisted {
    /// Reads one.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StatPersisted {
            czxid: r.i64()?,
            mzxid: r.i64()?,
            ctime_ms: r.i64()?,
            mtime_ms: r.i64()?,
            version: r.i32()?,
            cversion: r.i32()?,
            aversion: r.i32()?,
            ephemeral_owner: r.i64()?,
            pzxid: r.i64()?,
        })
    }

    /// Writes it.
    pub fn encode(&self, w: &mut Writer) {
        w.i64(self.czxid);
        w.i64(self.mzxid);
        w.i64(self.ctime_ms);
        w.i64(self.mtime_ms);
        w.i32(self.version);
        w.i32(self.cversion);
        w.i32(self.aversion);
        w.i64(self.ephemeral_owner);
        w.i64(self.pzxid);
    }
}
