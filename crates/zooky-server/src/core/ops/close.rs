//! closeSession.

use zooky_wire::Response;

use crate::core::conn::Caller;
use crate::core::{Core, Output};

impl Core {
    /// Ends the caller's session: its ephemerals go, it is answered, its connection is closed.
    pub(in crate::core) fn close_session(&mut self, caller: &Caller, out: &mut Vec<Output>) {
        self.log_close(caller.session, caller.xid, out);
        self.answer(caller, &Ok(Response::Empty), out);
        self.close_conn(caller.conn, out);
    }
}
