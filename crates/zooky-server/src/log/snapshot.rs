//! Snapshots: the whole state in one file.

use bytes::Bytes;
use zooky_wire::file::{Checksum, FILE_VERSION, FileHeader, SNAPSHOT_MAGIC, checksum};
use zooky_wire::{Acl, DecodeError, Reader, StatPersisted, Writer};

use super::scan::Damage;
use crate::core::{Captured, Core, Image, ImageNode, Piece, RestoredNode};

/// What stands behind each checksum, as a string.
const SEAL: &str = "/";
/// What stands in place of a path behind the last node.
const LAST: &str = "/";

/// A snapshot whose bytes have been checked, to be read from them.
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    sessions: Reader<'a>,
    acls: Reader<'a>,
    nodes: Reader<'a>,
}

impl<'a> Snapshot<'a> {
    /// Checks a snapshot of Apache ZooKeeper's or of ours to its last byte. What newer versions put behind the first
    /// seal (digest, last zxid) is checked, but not used.
    pub(super) fn check(bytes: &'a [u8]) -> Result<Snapshot<'a>, Damage> {
        let mut r = Reader::new(bytes);
        let result = Snapshot::skim(&mut r);
        let offset = bytes.len() - r.remaining();
        let damage = |offset: usize, why: &str| Damage { offset: offset as u64, why: why.to_owned() };
        let snapshot = result.map_err(|e| damage(offset, &e.to_string()))?;
        check_seal(&mut r, &bytes[..offset]).map_err(|why| damage(offset, why))?;
        // More parts may follow; each ends in a seal over everything before it, so the last one tells.
        if !r.is_empty() {
            let rest = bytes.len() - r.remaining();
            let last = bytes.len().saturating_sub(SEAL_LEN).max(rest);
            check_seal(&mut Reader::new(&bytes[last..]), &bytes[..last]).map_err(|why| damage(last, why))?;
        }
        Ok(snapshot)
    }

    /// Finds the parts and the end of the nodes; everything can be read.
    fn skim(r: &mut Reader<'a>) -> Result<Snapshot<'a>, DecodeError> {
        let header = FileHeader::decode(r)?;
        if header.magic != SNAPSHOT_MAGIC {
            return Err(DecodeError::Unknown { what: "file type", value: header.magic.into() });
        }
        if header.version != FILE_VERSION {
            return Err(DecodeError::Unknown { what: "snapshot version", value: header.version.into() });
        }
        let sessions = r.clone();
        r.vector(12, session)?;
        let acls = r.clone();
        r.vector(12, acl)?;
        let nodes = r.clone();
        while r.str()? != LAST {
            r.buffer()?;
            r.i64()?;
            StatPersisted::decode(r)?;
        }
        Ok(Snapshot { sessions, acls, nodes })
    }

    /// Sessions and their timeouts in milliseconds.
    pub fn sessions(&self) -> Vec<(i64, i32)> {
        self.sessions.clone().vector(12, session).unwrap_or_default()
    }

    /// The ACLs by number.
    pub fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        self.acls.clone().vector(12, acl).unwrap_or_default()
    }

    /// The nodes, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = RestoredNode> {
        let mut r = self.nodes.clone();
        std::iter::from_fn(move || {
            let path = r.string().ok().filter(|path| path != LAST)?;
            let (data, acl) = (r.data().ok()?, r.i64().ok()?);
            Some(RestoredNode { path, data, acl, stat: StatPersisted::decode(&mut r).ok()? })
        })
    }
}

/// The bytes of a checksum and its seal.
const SEAL_LEN: usize = 8 + 4 + SEAL.len();

fn check_seal(r: &mut Reader<'_>, before: &[u8]) -> Result<(), &'static str> {
    match (r.i64(), r.str()) {
        (Ok(sum), Ok(SEAL)) if sum == checksum(before) => Ok(()),
        (Ok(_), Ok(SEAL)) => Err("its checksum is wrong"),
        _ => Err("its seal is missing"),
    }
}

fn session(r: &mut Reader<'_>) -> Result<(i64, i32), DecodeError> {
    Ok((r.i64()?, r.i32()?))
}

fn acl(r: &mut Reader<'_>) -> Result<(i64, Vec<Acl>), DecodeError> {
    Ok((r.i64()?, Acl::decode_list(r)?))
}

/// Encodes a snapshot piece by piece.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    w: Writer,
    acls_left: usize,
}

impl Encoder {
    /// An encoder that has written everything before the ACLs.
    pub(super) fn new(head: &Captured) -> Encoder {
        let mut w = Writer::new();
        FileHeader::SNAPSHOT.encode(&mut w);
        w.vector(&head.sessions, |w, (id, timeout_ms)| {
            w.i64(*id);
            w.i32(*timeout_ms);
        });
        w.i32(head.acls as i32);
        Encoder { w, acls_left: head.acls }
    }

    pub(super) fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Acl(number, acl) => {
                debug_assert!(self.acls_left > 0, "more ACLs than were announced");
                self.acls_left -= 1;
                self.w.i64(number);
                Acl::encode_list(acl, &mut self.w);
            }
            Piece::Node(ImageNode { path, data, acl, stat }) => {
                debug_assert!(self.acls_left == 0, "fewer ACLs than were announced");
                self.w.string(path);
                self.w.buffer(data);
                self.w.i64(acl);
                stat.encode(&mut self.w);
            }
        }
    }

    /// Takes pieces of the core's capture until there are `bytes` or there is none; says whether there may be more.
    pub(super) fn fill(&mut self, core: &mut Core, bytes: usize) -> bool {
        while self.w.len() < bytes {
            if !core.capture_next(|piece| self.piece(piece)) {
                self.w.string(LAST);
                return false;
            }
        }
        true
    }

    /// What has been encoded since this was asked last.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.w).into_bytes()
    }
}

/// The last bytes of a snapshot whose bytes before have this checksum.
pub(super) fn seal(sum: &Checksum) -> Bytes {
    let mut w = Writer::new();
    w.i64(sum.value());
    w.string(SEAL);
    w.into_bytes()
}

/// The bytes of a snapshot of `image`.
pub fn encode_snapshot(image: Image<'_>) -> Bytes {
    let acls = image.acls();
    let mut encoder =
        Encoder::new(&Captured { zxid: image.last_zxid(), sessions: image.sessions(), acls: acls.len() });
    acls.into_iter().for_each(|(number, acl)| encoder.piece(Piece::Acl(number, acl)));
    image.nodes().for_each(|node| encoder.piece(Piece::Node(node)));
    encoder.w.string(LAST);
    let mut sum = Checksum::default();
    sum.add(encoder.w.as_slice());
    encoder.w.raw(&seal(&sum));
    encoder.take()
}
