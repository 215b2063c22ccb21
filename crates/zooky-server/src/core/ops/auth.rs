//! auth, SASL and whoAmI.

use std::sync::Arc;

use zooky_wire::{ClientInfo, ErrorCode, Id, OpCode, Reader, ReplyHeader, Request, Response};

use crate::core::conn::{Caller, frame_of};
use crate::core::{Core, Output, auth};

/// How many identities a connection may have, and how long a name may be, in bytes.
const MAX_IDS: usize = 64;
const MAX_NAME: usize = 1024;

impl Core {
    /// Adds an identity to the connection. What is refused closes it, after the answer.
    pub(in crate::core) fn auth(&mut self, caller: &Caller, body: &mut Reader<'_>, out: &mut Vec<Output>) {
        let Ok(Request::Auth { scheme, auth, .. }) = Request::decode_body(OpCode::AUTH, body) else {
            return self.close_conn(caller.conn, out);
        };
        if auth.len() > MAX_NAME || caller.ids.len() >= MAX_IDS {
            return self.refuse(caller, 0, ErrorCode::AUTH_FAILED, out);
        }
        let mut ids = caller.ids.to_vec();
        match scheme.as_str() {
            "digest" => {
                let digest = auth::digest_id(&auth);
                if self.config.super_digest.as_ref() == Some(&digest) {
                    add(&mut ids, "super", String::new());
                }
                add(&mut ids, "digest", digest);
            }
            // The address is known already.
            "ip" => {}
            _ => return self.refuse(caller, 0, ErrorCode::AUTH_FAILED, out),
        }
        if let Some(open) = self.conns.get_mut(&caller.conn) {
            open.ids = Arc::from(ids);
        }
        let header = ReplyHeader { xid: caller.xid, zxid: 0, err: ErrorCode::OK };
        self.send(caller.conn, frame_of(|w| header.encode(w)), self.last_zxid, out);
    }

    /// There is no SASL here, and so the dialogue ends at once, as with the original where none is set up: with no token. The
    /// connection lives on, and has no more identities than before.
    pub(in crate::core) fn sasl(&mut self, caller: &Caller, body: &mut Reader<'_>, out: &mut Vec<Output>) {
        // Whoever sends no token is closed there, too.
        let Ok(Some(_)) = body.buffer() else { return self.close_conn(caller.conn, out) };
        let header = ReplyHeader { xid: caller.xid, zxid: 0, err: ErrorCode::OK };
        let frame = frame_of(|w| {
            header.encode(w);
            w.buffer(None);
        });
        self.send(caller.conn, frame, self.last_zxid, out);
    }
}

fn add(ids: &mut Vec<Id>, scheme: &str, id: String) {
    let id = Id { scheme: scheme.into(), id };
    if !ids.contains(&id) {
        ids.push(id);
    }
}

/// The caller's identities.
pub(super) fn who_am_i(caller: &Caller) -> Response {
    let info = |id: &Id| ClientInfo { scheme: id.scheme.clone(), user: auth::user_name(id).to_owned() };
    Response::WhoAmI(caller.ids.iter().map(info).collect())
}
