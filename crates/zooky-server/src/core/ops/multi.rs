//! multi: several writes as one, or none of them.

use zooky_wire::{
    Create, CreateKind, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Response, Stat, Txn, TxnHeader,
};

use super::{Reply, check, create, delete, set_data};
use crate::core::apply::{Applied, mutate};
use crate::core::conn::Caller;
use crate::core::tree::Tree;
use crate::core::{Core, Output};

impl Core {
    /// Plans each part on the tree as the parts before it leave it, then takes all back and, if
    /// every part is fine, commits them as one transaction on the way that every write goes.
    pub(super) fn multi(&mut self, caller: &Caller, parts: Vec<MultiOp>, out: &mut Vec<Output>) -> Reply {
        let header = TxnHeader {
            client_id: caller.session,
            cxid: caller.xid,
            zxid: self.last_zxid + 1,
            time_ms: self.now.wall_ms,
            kind: OpCode::MULTI,
        };
        let total = parts.len();
        let mut done = Vec::with_capacity(total);
        let mut planned = Vec::with_capacity(total);
        let mut failed = None;
        let mut unreadable = false;
        for part in parts {
            let Some(part) = as_the_original_reads(part) else {
                unreadable = true;
                break;
            };
            let kind = part.op();
            match plan(&self.tree, caller, part) {
                Ok(txn) => {
                    if let Ok(Some(change)) = mutate(&mut self.tree, &header, &txn) {
                        done.push(change);
                    }
                    planned.push((kind, txn));
                }
                Err(err) => {
                    failed = Some(err);
                    break;
                }
            }
        }
        while let Some(change) = done.pop() {
            self.tree.undo(change);
        }
        if unreadable {
            return Err(ErrorCode::MARSHALLING);
        }
        if let Some(err) = failed {
            return Ok(Response::Multi(refusal(planned.len(), err, total)));
        }
        let answers: Vec<_> = planned.iter().map(|(kind, txn)| (*kind, created_path(txn))).collect();
        let stats = match self.write(caller, OpCode::MULTI, Txn::Multi(planned), out) {
            Applied::Parts(stats) => stats,
            Applied::One(stat) => vec![stat],
        };
        let results = answers.into_iter().zip(stats).map(|((kind, path), stat)| result(kind, path, stat));
        Ok(Response::Multi(results.collect()))
    }
}

/// In a multi the mode says what kind of create it is, whatever the part calls itself. `None`: it would
/// need a time to live and has none; then the whole request counts as unreadable.
fn as_the_original_reads(part: MultiOp) -> Option<MultiOp> {
    let MultiOp::Create(create) = part else { return Some(part) };
    let kind = match (create.mode, create.kind) {
        (CreateMode::CONTAINER, _) => CreateKind::Container,
        (
            CreateMode::PERSISTENT_WITH_TTL | CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL,
            kind @ CreateKind::Ttl(_),
        ) => kind,
        (CreateMode::PERSISTENT_WITH_TTL | CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL, _) => return None,
        (_, CreateKind::Create2) => CreateKind::Create2,
        _ => CreateKind::Create,
    };
    Some(MultiOp::Create(Create { kind, ..create }))
}

fn plan(tree: &Tree, caller: &Caller, part: MultiOp) -> Result<Txn, ErrorCode> {
    match part {
        MultiOp::Create(create) => create::plan(tree, caller, create).map(|(_, txn)| txn),
        MultiOp::Delete { path, version } => delete::plan(tree, caller, path, version),
        MultiOp::SetData { path, data, version } => set_data::plan(tree, caller, path, data, version),
        MultiOp::Check { path, version } => check::plan(tree, caller, path, version),
    }
}

/// The answer to a multi whose part `bad` failed: ok before it, "not tried" behind it.
fn refusal(bad: usize, err: ErrorCode, total: usize) -> Vec<MultiResult> {
    let code = |i: usize| match i.cmp(&bad) {
        std::cmp::Ordering::Less => ErrorCode::OK,
        std::cmp::Ordering::Equal => err,
        std::cmp::Ordering::Greater => ErrorCode::RUNTIME_INCONSISTENCY,
    };
    (0..total).map(|i| MultiResult::Error(code(i))).collect()
}

fn created_path(txn: &Txn) -> String {
    match txn {
        Txn::Create { path, .. } | Txn::CreateContainer { path, .. } | Txn::CreateTtl { path, .. } => {
            path.clone()
        }
        _ => String::new(),
    }
}

fn result(kind: OpCode, path: String, stat: Stat) -> MultiResult {
    match kind {
        OpCode::CREATE => MultiResult::Create(path),
        OpCode::DELETE => MultiResult::Delete,
        OpCode::SET_DATA => MultiResult::SetData(stat),
        OpCode::CHECK => MultiResult::Check,
        // Containers and TTL nodes answer as create2, too.
        _ => MultiResult::Create2(path, stat, OpCode::CREATE2),
    }
}
