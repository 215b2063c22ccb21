//! reconfig, as an ensemble of one member answers it: observers may be listed, but every vote has to be ours.

use bytes::Bytes;
use zooky_wire::{ErrorCode, OpCode, Response, Txn, perms};

use super::Reply;
use crate::core::conn::Caller;
use crate::core::members::{Malformed, Members, OWN_NUMBER};
use crate::core::{Core, Output, acl};

const CONFIG: &str = "/zookeeper/config";

/// What the client wants; the new members or the other two.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) joining: String,
    pub(super) leaving: String,
    pub(super) new_members: String,
    pub(super) config_id: i64,
}

impl Core {
    /// Writes the new configuration to `/zookeeper/config`. Until the first time that node is empty, as on
    /// a standalone server: clients that follow it would be led to an address that may not be ours.
    pub(super) fn reconfig(&mut self, caller: &Caller, wanted: &Wanted, out: &mut Vec<Output>) -> Reply {
        let id = self.tree.need(CONFIG)?;
        let present = self.tree.node(id).data.as_deref().unwrap_or_default();
        let present = std::str::from_utf8(present).ok().and_then(|text| Members::parse(text).ok());
        let known = present.filter(|members| !members.voters().is_empty());
        let mut members = known.unwrap_or_else(|| Members::alone(&self.config.client_addr));
        if wanted.config_id != -1 && wanted.config_id != members.version {
            return Err(ErrorCode::BAD_VERSION);
        }
        change(&mut members, wanted).map_err(|Malformed| ErrorCode::BAD_ARGUMENTS)?;
        match members.voters()[..] {
            [] => return Err(ErrorCode::BAD_ARGUMENTS),
            [OWN_NUMBER] => {}
            _ => return Err(ErrorCode::NEW_CONFIG_NO_QUORUM),
        }
        acl::check(self.tree.acl(id), perms::WRITE, &caller.ids)?;
        members.version = self.last_zxid + 1;
        let data = Bytes::from(members.to_string());
        let txn = Txn::SetData { path: CONFIG.into(), data: Some(data.clone()), version: -1 };
        let stat = self.write(caller, OpCode::RECONFIG, txn, out).stat();
        Ok(Response::Data(Some(data), stat))
    }
}

fn change(members: &mut Members, wanted: &Wanted) -> Result<(), Malformed> {
    if !wanted.new_members.is_empty() {
        *members = Members::parse(&wanted.new_members)?;
        return Ok(());
    }
    for number in wanted.leaving.split(',').filter(|number| !number.is_empty()) {
        members.leave(number)?;
    }
    for line in wanted.joining.split(',').filter(|line| !line.is_empty()) {
        members.join(line)?;
    }
    Ok(())
}
