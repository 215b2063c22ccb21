//! What pages are told: only what has changed, in JSON. A page that is new, or has fallen behind, is told everything as one
//! update that begins with `reset`.
//!
//! Times are milliseconds since 1970 on this machine's clock. Sessions and transactions are hexadecimal text: they do not
//! fit into a double.

use serde::Serialize;

use super::tally::Sample;

/// One update; lists that are empty are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Update {
    /// The present time here: pages count ages from it.
    pub(crate) now_ms: i64,
    /// Everything known before is void.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) reset: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) locks: Vec<LockLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) locks_gone: Vec<u64>,
    /// New, or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) contenders: Vec<ContenderLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<u64>,
    /// Holds that have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) spans: Vec<Span>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) graph: Option<Graph>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<Vec<super::health::Health>>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A lock.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LockLine {
    pub(crate) id: u64,
    pub(crate) path: String,
}

/// A contender.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ContenderLine {
    pub(crate) id: u64,
    /// Its lock.
    pub(crate) lock: u64,
    /// The name of its node.
    pub(crate) node: String,
    pub(crate) mode: &'static str,
    pub(crate) dialect: String,
    pub(crate) sequence: Option<i64>,
    /// Since when it contends.
    pub(crate) since_ms: i64,
    /// Since when it holds the lock, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_ms: Option<i64>,
    /// Whether the grant was seen; else `held_ms` is the earliest moment possible.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) seen: bool,
    /// Who it says it is; absent until its node has been read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<Who>,
}

/// Who a contender is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The node's data, shortened, where it is no owner of zooky's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    pub(crate) session: String,
    pub(crate) czxid: String,
    /// Whether it was asked to let go.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) asked: bool,
}

/// A hold that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Span {
    pub(crate) lock: u64,
    pub(crate) contender: u64,
    pub(crate) name: String,
    pub(crate) mode: &'static str,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// Whether its beginning was seen.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) seen: bool,
}

/// Who waits for whom: owners, and the locks between them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) edges: Vec<GraphEdge>,
    /// Each deadlock in words.
    pub(crate) cycles: Vec<String>,
    /// How many edges there are in all; the rest is left out.
    pub(crate) all_edges: usize,
}

/// An owner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct GraphNode {
    pub(crate) name: String,
    pub(crate) stuck: bool,
}

/// One waits for another; both by their places in the list of nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct GraphEdge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) lock: String,
    pub(crate) stuck: bool,
}

/// How the picture comes about, and whether it is of now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Link {
    /// Whether the picture follows the server at this time.
    pub(crate) live: bool,
    /// `watch` or `poll`.
    pub(crate) how: &'static str,
    /// Why it is not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    pub(crate) session: String,
    pub(crate) timeout_ms: u64,
    /// How long the session is certain to live on, heard from or not.
    pub(crate) left_ms: u64,
    pub(crate) roots: Vec<String>,
}
