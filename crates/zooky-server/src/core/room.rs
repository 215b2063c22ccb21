//! How much memory the tree may take, so that no client can fill the machine's.

use zooky_wire::{Acl, ErrorCode};

use super::tree::Tree;

/// What a node counts besides its path and data, in bytes: about what its links, stat and place in the
/// indexes take.
const NODE_BYTES: u64 = 256;
/// What an entry of an ACL counts besides its texts, in bytes.
const ACL_ENTRY_BYTES: u64 = 64;

impl Tree {
    /// What the tree takes, roughly: paths, data, a flat amount for each node, and each different ACL once.
    pub(super) fn held_bytes(&self) -> u64 {
        self.data_size() + self.len() as u64 * NODE_BYTES + self.acls.bytes()
    }

    /// Refuses a node that would not fit any more. Asked when a write is planned, never when a log is
    /// replayed: what was acknowledged stays, whatever the bound is today.
    pub(super) fn room_for_node(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
    ) -> Result<(), ErrorCode> {
        self.room_for(path.len() as u64 + length(data) + NODE_BYTES + acl_bytes(acl))
    }

    /// Refuses data that are longer than the present ones, and by more than fits.
    pub(super) fn room_for_data(&self, present: Option<&[u8]>, data: Option<&[u8]>) -> Result<(), ErrorCode> {
        self.room_for(length(data).saturating_sub(length(present)))
    }

    /// Refuses an ACL that would not fit any more.
    pub(super) fn room_for_acl(&self, acl: &[Acl]) -> Result<(), ErrorCode> {
        self.room_for(acl_bytes(acl))
    }

    fn room_for(&self, more: u64) -> Result<(), ErrorCode> {
        if more > 0 && self.held_bytes().saturating_add(more) > self.max_bytes {
            return Err(ErrorCode::QUOTA_EXCEEDED);
        }
        Ok(())
    }
}

/// What an ACL counts; the open one is there anyway.
pub(super) fn acl_bytes(acl: &[Acl]) -> u64 {
    if acl == Acl::open() {
        return 0;
    }
    acl.iter().map(|entry| (entry.id.scheme.len() + entry.id.id.len()) as u64 + ACL_ENTRY_BYTES).sum()
}

fn length(data: Option<&[u8]>) -> u64 {
    data.map_or(0, |data| data.len() as u64)
}
