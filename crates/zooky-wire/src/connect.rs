//! The handshake that opens or re-attaches a session.

use crate::{DecodeError, Reader, Writer};

/// The length of the password that a server answers.
pub const PASSWORD_LEN: usize = 16;

/// The first frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// 0.
    pub protocol_version: i32,
    /// The newest zxid the client has seen; a server behind it must not serve it.
    pub last_zxid_seen: i64,
    /// The session timeout asked for, in milliseconds.
    pub timeout_ms: i32,
    /// 0 for a new session.
    pub session_id: i64,
    /// The password of the session to re-attach to.
    pub password: Vec<u8>,
    /// Whether a read-only server would do; `None` if the client did not send the byte.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Reads a frame's body.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: r.i32()?,
            last_zxid_seen: r.i64()?,
            timeout_ms: r.i32()?,
            session_id: r.i64()?,
            password: r.buffer()?.unwrap_or_default().to_vec(),
            read_only: if r.is_empty() { None } else { Some(r.bool()?) },
        })
    }

    /// Writes a frame's body.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.protocol_version);
        w.i64(self.last_zxid_seen);
        w.i32(self.timeout_ms);
        w.i64(self.session_id);
        w.buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            w.bool(read_only);
        }
    }
}

/// The server's answer. A timeout of 0 means: no such session (any more).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResponse {
    /// 0.
    pub protocol_version: i32,
    /// The negotiated session timeout in milliseconds, or 0.
    pub timeout_ms: i32,
    /// The session.
    pub session_id: i64,
    /// Its password, [`PASSWORD_LEN`] bytes.
    pub password: Vec<u8>,
    /// Whether the server is read-only; sent only to clients that sent theirs.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// Reads a frame's body.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ConnectResponse {
            protocol_version: r.i32()?,
            timeout_ms: r.i32()?,
            session_id: r.i64()?,
            password: r.buffer()?.unwrap_or_default().to_vec(),
            read_only: if r.is_empty() { None } else { Some(r.bool()?) },
        })
    }

    /// Writes a frame's body.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.protocol_version);
        w.i32(self.timeout_ms);
        w.i64(self.session_id);
        w.buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            w.bool(read_only);
        }
    }
}
