//! One file for each operation.
//!
//! A write is *planned* against the tree (checked in the order of the original, so that the same
//! request gets the same error) into a transaction; only then is anything changed. The plans of
//! create, delete, setData and check serve multi too.

mod acl;
mod auth;
mod check;
mod children;
mod close;
mod create;
mod delete;
mod ephemerals;
pub(super) mod exists;
mod get_data;
mod multi;
mod multi_read;
mod reconfig;
mod set_data;
pub(super) mod set_watches;
mod watch;

use zooky_wire::{ErrorCode, OpCode, Request, Response, Stat, Txn, TxnHeader, validate_path};

use super::conn::Caller;
use super::node::NodeId;
use super::{Core, Output};

type Reply = Result<Response, ErrorCode>;

impl Core {
    /// Serves a request of an attached session.
    pub(super) fn serve(&mut self, caller: &Caller, request: Request, out: &mut Vec<Output>) -> Reply {
        match request {
            Request::Create(create) => self.create(caller, create, out),
            Request::Delete { path, version } => self.delete(caller, path, version, out),
            Request::SetData { path, data, version } => self.set_data(caller, path, data, version, out),
            Request::SetAcl { path, acl, version } => self.set_acl(caller, path, acl, version, out),
            Request::Multi(parts) => self.multi(caller, parts, out),
            Request::Exists { path, watch } => self.exists(caller, &path, watch),
            Request::GetAcl { path } => self.get_acl(caller, &path),
            Request::GetChildren { path, watch } => {
                self.children(caller, &path, watch).map(|(names, _)| Response::Names(names))
            }
            Request::GetChildren2 { path, watch } => {
                self.children(caller, &path, watch).map(|(names, stat)| Response::NamesStat(names, stat))
            }
            Request::GetAllChildrenNumber { path } => self.all_children_number(caller, &path),
            Request::GetEphemerals { prefix } => Ok(self.ephemerals(caller, &prefix)),
            // Everything before it has been applied here: a single server is always caught up.
            Request::Sync { path } => Ok(Response::Path(path)),
            Request::AddWatch { path, mode } => self.add_watch(caller, &path, mode),
            Request::RemoveWatches { path, kind } => self.remove_watches(caller, &path, kind),
            Request::CheckWatches { path, kind } => self.check_watches(caller, &path, kind),
            Request::WhoAmI => Ok(auth::who_am_i(caller)),
            Request::Reconfig { joining, leaving, new_members, config_id } => {
                let wanted = reconfig::Wanted { joining, leaving, new_members, config_id };
                self.reconfig(caller, &wanted, out)
            }
            // Alone it has only refusals to answer with.
            Request::Check { path, version } => {
                check::plan(&self.tree, caller, path, version).and(Err(ErrorCode::UNIMPLEMENTED))
            }
            // These are served elsewhere, or are nothing to be asked.
            Request::GetData { .. }
            | Request::MultiRead(_)
            | Request::SetWatches { .. }
            | Request::SetWatches2 { .. }
            | Request::Ping
            | Request::Auth { .. }
            | Request::Sasl { .. }
            | Request::CloseSession => Err(ErrorCode::UNIMPLEMENTED),
        }
    }

    /// Commits a planned transaction of a session.
    fn write(
        &mut self,
        caller: &Caller,
        kind: OpCode,
        txn: Txn,
        out: &mut Vec<Output>,
    ) -> super::apply::Applied {
        let header = TxnHeader { client_id: caller.session, cxid: caller.xid, zxid: 0, time_ms: 0, kind };
        self.commit(header, txn, out)
    }

    /// The node at a path, if the caller has one of the permissions on it.
    fn permitted(&self, caller: &Caller, path: &str, wanted: i32) -> Result<NodeId, ErrorCode> {
        let id = self.tree.need(path)?;
        super::acl::check(self.tree.acl(id), wanted, &caller.ids)?;
        Ok(id)
    }

    fn stat(&self, id: NodeId) -> Stat {
        self.tree.node(id).client_stat()
    }
}

/// Refuses what is no path.
fn checked_path(path: &str) -> Result<(), ErrorCode> {
    validate_path(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)
}

/// The next version, if the present one is the one expected (-1: any).
fn next_version(present: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected == -1 || expected == present {
        Ok(present.wrapping_add(1))
    } else {
        Err(ErrorCode::BAD_VERSION)
    }
}

/// What stands before the last slash: the parent's path, "" for the root.
fn parent_of(path: &str) -> Result<&str, ErrorCode> {
    match path.rsplit_once('/') {
        Some((parent, _)) if !path.contains('\0') => Ok(parent),
        _ => Err(ErrorCode::BAD_ARGUMENTS),
    }
}
