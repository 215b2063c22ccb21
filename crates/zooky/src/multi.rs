//! Several changes as one: the parts of a transaction, and which of them failed.

use zooky_client::{Create, ErrorCode, MultiOp, MultiResult};

use crate::core::swap::Part;

/// The transaction that `parts` name, in this directory; `version` is that of the node whose place is taken.
pub(crate) fn swap(
    directory: &str,
    parts: Vec<Part>,
    version: i32,
    create: impl Fn(String) -> Create,
) -> Vec<MultiOp> {
    let path = |name: String| format!("{directory}/{name}");
    let op = |part| match part {
        Part::Check(name) => MultiOp::Check { path: path(name), version: -1 },
        Part::Create(name) => MultiOp::Create(create(path(name))),
        Part::Replace(name) => MultiOp::Delete { path: path(name), version },
        Part::Delete(name) => MultiOp::Delete { path: path(name), version: -1 },
    };
    parts.into_iter().map(op).collect()
}

/// The first part that failed, so that nothing was done.
pub(crate) fn first_error(results: &[MultiResult]) -> Option<(usize, ErrorCode)> {
    // Those before the one that failed are told as 0, those after it as -2.
    let errors = results.iter().enumerate().filter_map(|(at, result)| match result {
        MultiResult::Error(code) if *code != ErrorCode::OK => Some((at, *code)),
        _ => None,
    });
    errors.min_by_key(|(at, _)| *at)
}
