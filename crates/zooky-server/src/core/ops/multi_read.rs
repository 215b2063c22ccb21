//! multiRead: several reads in one request; each fails by itself.

use zooky_wire::{ErrorCode, MultiResult, Request, Response};

use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    pub(super) fn multi_read(&mut self, caller: &Caller, parts: Vec<Request>) -> Response {
        let one = |part| match part {
            Request::GetData { path, watch } => {
                self.get_data(caller, &path, watch).map(|(data, stat)| MultiResult::GetData(data, stat))
            }
            Request::GetChildren { path, watch } => {
                self.children(caller, &path, watch).map(|(names, _)| MultiResult::GetChildren(names))
            }
            _ => Err(ErrorCode::UNIMPLEMENTED),
        };
        let results = parts.into_iter().map(one);
        Response::Multi(results.map(|result| result.unwrap_or_else(MultiResult::Error)).collect())
    }
}
