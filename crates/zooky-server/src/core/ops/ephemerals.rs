//! getEphemerals.

use zooky_wire::Response;

use crate::core::Core;
use crate::core::conn::Caller;

impl Core {
    /// The session's ephemerals whose paths start with `prefix` (as text, as in the original).
    pub(super) fn ephemerals(&self, caller: &Caller, prefix: &str) -> Response {
        let prefix = if matches!(prefix.trim(), "" | "/") { "" } else { prefix };
        let own = self.tree.ephemerals(caller.session).iter();
        let paths = own.map(|&id| self.tree.node(id).path.to_string());
        Response::Names(paths.filter(|path| path.starts_with(prefix)).collect())
    }
}
