//! multiRead: several reads in one request; each fails by itself.

use zooky_wire::{ErrorCode, MultiResult, Request, Response};

use crate::core::Core;
use crate::core::conn::Caller;

/// How much one request may read, in bytes; the parts behind that are not read. Without a bound, a frame of many small
/// parts could ask for the same large node a hundred thousand times; and with a larger one, clients with the usual
/// bound on what they take in would not take the answer.
const MAX_BYTES: usize = 1 << 20;

impl Core {
    pub(super) fn multi_read(&mut self, caller: &Caller, parts: Vec<Request>) -> Response {
        let mut bytes = 0;
        let one = |part| match part {
            _ if bytes > MAX_BYTES => Err(ErrorCode::RUNTIME_INCONSISTENCY),
            Request::GetData { path, watch } => self.get_data(caller, &path, watch).map(|(data, stat)| {
                bytes += data.as_ref().map_or(0, |data| data.len());
                MultiResult::GetData(data, stat)
            }),
            Request::GetChildren { path, watch } => self.children(caller, &path, watch).map(|(names, _)| {
                bytes += names.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>();
                MultiResult::GetChildren(names)
            }),
            _ => Err(ErrorCode::UNIMPLEMENTED),
        };
        let results = parts.into_iter().map(one);
        Response::Multi(results.map(|result| result.unwrap_or_else(MultiResult::Error)).collect())
    }
}
