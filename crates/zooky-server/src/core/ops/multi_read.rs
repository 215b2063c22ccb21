//! multiRead: several reads in one request; each fails by itself.

use zooky_wire::{ErrorCode, MultiResult, Request, Writer, perms};

use crate::core::Core;
use crate::core::conn::Caller;

/// How much one request may read, in bytes; what would go beyond is not read. Without a bound, a frame of many small
/// parts could ask for the same large node a hundred thousand times; and with a larger one, clients with the usual
/// bound on what they take in would not take the answer.
const MAX_BYTES: usize = 1 << 20;

/// Data of so many bytes have room made for them.
const LONG_DATA: usize = 16 << 10;
/// What an answer's part takes that fails; one that does not may take more.
const PART_BYTES: usize = 16;
/// What stands around the data of a part, and behind the last part.
const LEAST_BYTES: usize = 128;

impl Core {
    /// Reads, and writes what was read; data go from the tree into the answer without another copy.
    pub(in crate::core) fn multi_read(&mut self, caller: &Caller, parts: Vec<Request>, w: &mut Writer) {
        let mut left = MAX_BYTES;
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let behind = parts.len();
            if let Err(error) = self.read_part(caller, part, behind, &mut left, w) {
                MultiResult::Error(error).encode(w);
            }
        }
        MultiResult::encode_end(w);
    }

    fn read_part(
        &mut self,
        caller: &Caller,
        part: Request,
        behind: usize,
        left: &mut usize,
        w: &mut Writer,
    ) -> Result<(), ErrorCode> {
        if *left == 0 {
            return Err(ErrorCode::RUNTIME_INCONSISTENCY);
        }
        match part {
            Request::GetData { path, watch } => {
                let id = self.permitted(caller, &path, perms::READ)?;
                spend(left, self.tree.node(id).data.as_deref().map_or(0, <[u8]>::len))?;
                if watch {
                    self.watch_data(caller.conn, &path)?;
                }
                let node = self.tree.node(id);
                let long = node.data.as_deref().map_or(0, <[u8]>::len);
                if long >= LONG_DATA {
                    // With room for what follows, too: to grow behind this would be to copy it again.
                    w.reserve(LEAST_BYTES + long + PART_BYTES * behind);
                }
                MultiResult::encode_data(node.data.as_deref(), &node.client_stat(), w);
            }
            Request::GetChildren { path, watch } => {
                let (names, _) = self.children(caller, &path, false)?;
                spend(left, names.iter().map(|name| name.len() + size_of::<String>()).sum())?;
                if watch {
                    self.watch_children(caller.conn, &path)?;
                }
                MultiResult::GetChildren(names).encode(w);
            }
            _ => return Err(ErrorCode::UNIMPLEMENTED),
        }
        Ok(())
    }
}

/// Takes so much off what is left. The first part may be of any size: it could be asked for by itself.
fn spend(left: &mut usize, bytes: usize) -> Result<(), ErrorCode> {
    let fits = bytes <= *left || *left == MAX_BYTES;
    *left = left.saturating_sub(bytes);
    if fits { Ok(()) } else { Err(ErrorCode::RUNTIME_INCONSISTENCY) }
}
