//! Snapshots: the whole state in one file.

use bytes::Bytes;
use zooky_wire::file::{FILE_VERSION, FileHeader, SNAPSHOT_MAGIC, checksum};
use zooky_wire::{Acl, DecodeError, Reader, StatPersisted, Writer};

use super::scan::Damage;
use crate::core::{Image, RestoredNode};

/// What stands behind each checksum, as a string.
const SEAL: &str = "/";
/// What stands in place of a path behind the last node.
const LAST: &str = "/";

/// The parts of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Sessions and their timeouts in milliseconds.
    pub sessions: Vec<(i64, i32)>,
    /// The ACLs by number.
    pub acls: Vec<(i64, Vec<Acl>)>,
    /// The nodes, parents before children.
    pub nodes: Vec<RestoredNode>,
}

impl Snapshot {
    /// Reads a snapshot of Apache ZooKeeper's or of ours. What newer versions put behind the first seal
    /// (digest, last zxid) is not looked at.
    pub(super) fn decode(bytes: &[u8]) -> Result<Snapshot, Damage> {
        let mut r = Reader::new(bytes);
        let result = Snapshot::decode_parts(&mut r);
        let offset = bytes.len() - r.remaining();
        let damage = |why: String| Damage { offset: offset as u64, why };
        let snapshot = result.map_err(|e| damage(e.to_string()))?;
        let expected = checksum(&bytes[..offset]);
        match (r.i64(), r.str()) {
            (Ok(sum), Ok(SEAL)) if sum == expected => Ok(snapshot),
            (Ok(_), Ok(SEAL)) => Err(damage("its checksum is wrong".into())),
            _ => Err(damage("its seal is missing".into())),
        }
    }

    fn decode_parts(r: &mut Reader<'_>) -> Result<Snapshot, DecodeError> {
        let header = FileHeader::decode(r)?;
        if header.magic != SNAPSHOT_MAGIC {
            return Err(DecodeError::Unknown { what: "file type", value: header.magic.into() });
        }
        if header.version != FILE_VERSION {
            return Err(DecodeError::Unknown { what: "snapshot version", value: header.version.into() });
        }
        let sessions = r.vector(12, |r| Ok((r.i64()?, r.i32()?)))?;
        let acls = r.vector(12, |r| Ok((r.i64()?, Acl::decode_list(r)?)))?;
        let mut nodes = Vec::new();
        loop {
            let path = r.string()?;
            if path == LAST {
                return Ok(Snapshot { sessions, acls, nodes });
            }
            let (data, acl) = (r.data()?, r.i64()?);
            nodes.push(RestoredNode { path, data, acl, stat: StatPersisted::decode(r)? });
        }
    }
}

/// The bytes of a snapshot of `image`.
pub fn encode_snapshot(image: Image<'_>) -> Bytes {
    let mut w = Writer::new();
    FileHeader::SNAPSHOT.encode(&mut w);
    w.vector(&image.sessions(), |w, (id, timeout_ms)| {
        w.i64(*id);
        w.i32(*timeout_ms);
    });
    w.vector(&image.acls(), |w, (number, acl)| {
        w.i64(*number);
        Acl::encode_list(acl, w);
    });
    for node in image.nodes() {
        w.string(if node.path == "/" { "" } else { node.path });
        w.buffer(node.data.map(|data| &data[..]));
        w.i64(node.acl);
        node.stat.encode(&mut w);
    }
    w.string(LAST);
    let sum = checksum(w.as_slice());
    w.i64(sum);
    w.string(SEAL);
    w.into_bytes()
}
