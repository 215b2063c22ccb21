//! The transactions of the log: what a write did, as it is replayed.

use bytes::Bytes;

use crate::{Acl, DecodeError, ErrorCode, OpCode, Reader, Writer};

/// What stands before each transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked.
    pub client_id: i64,
    /// The xid it asked with.
    pub cxid: i32,
    /// The transaction's number.
    pub zxid: i64,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// An opcode, see [`txn_type`].
    pub kind: OpCode,
}

/// A running checksum behind a transaction (optional, since 3.6). The original skips it when the
/// version is not its own; zooky's server puts its batch marks there (see `docs/log-format.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// Whose rule it follows.
    pub version: i32,
    /// The value.
    pub value: i64,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named as in the protocol
pub enum Txn {
    /// A node was created (create and create2).
    Create { path: String, data: Option<Bytes>, acl: Vec<Acl>, ephemeral: bool, parent_cversion: i32 },
    /// A container was created.
    CreateContainer { path: String, data: Option<Bytes>, acl: Vec<Acl>, parent_cversion: i32 },
    /// A node with a time to live was created.
    CreateTtl { path: String, data: Option<Bytes>, acl: Vec<Acl>, parent_cversion: i32, ttl_ms: i64 },
    /// A node (or an empty container) was deleted.
    Delete { path: String },
    /// Data was set; `version` is the new one.
    SetData { path: String, data: Option<Bytes>, version: i32 },
    /// The ACL was set; `version` is the new one.
    SetAcl { path: String, acl: Vec<Acl>, version: i32 },
    /// Inside multi: a check that held.
    Check { path: String, version: i32 },
    /// A session began, with its timeout in milliseconds.
    CreateSession { timeout_ms: i32 },
    /// A session ended; its ephemerals if the log lists them (since 3.6).
    CloseSession { ephemerals: Option<Vec<String>> },
    /// A write was refused (the original logs these in ensembles and inside failed multis).
    Error { err: ErrorCode },
    /// Several as one, each with its type.
    Multi(Vec<(OpCode, Txn)>),
}

/// The opcode under which a transaction that is no create is logged.
pub fn txn_type(txn: &Txn) -> OpCode {
    match txn {
        Txn::Create { .. } => OpCode::CREATE,
        Txn::CreateContainer { .. } => OpCode::CREATE_CONTAINER,
        Txn::CreateTtl { .. } => OpCode::CREATE_TTL,
        Txn::Delete { .. } => OpCode::DELETE,
        Txn::SetData { .. } => OpCode::SET_DATA,
        Txn::SetAcl { .. } => OpCode::SET_ACL,
        Txn::Check { .. } => OpCode::CHECK,
        Txn::CreateSession { .. } => OpCode::CREATE_SESSION,
        Txn::CloseSession { .. } => OpCode::CLOSE_SESSION,
        Txn::Error { .. } => OpCode::ERROR,
        Txn::Multi(_) => OpCode::MULTI,
    }
}

impl Txn {
    /// Writes the body.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Txn::Create { path, data, acl, ephemeral, parent_cversion } => {
                encode_node(w, path, data, acl);
                w.bool(*ephemeral);
                w.i32(*parent_cversion);
            }
            Txn::CreateContainer { path, data, acl, parent_cversion } => {
                encode_node(w, path, data, acl);
                w.i32(*parent_cversion);
            }
            Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
                encode_node(w, path, data, acl);
                w.i32(*parent_cversion);
                w.i64(*ttl_ms);
            }
            Txn::Delete { path } => w.string(path),
            Txn::SetData { path, data, version } => {
                w.string(path);
                w.buffer(data.as_deref());
                w.i32(*version);
            }
            Txn::SetAcl { path, acl, version } => {
                w.string(path);
                Acl::encode_list(acl, w);
                w.i32(*version);
            }
            Txn::Check { path, version } => {
                w.string(path);
                w.i32(*version);
            }
            Txn::CreateSession { timeout_ms } => w.i32(*timeout_ms),
            Txn::CloseSession { ephemerals } => {
                if let Some(paths) = ephemerals {
                    w.strings(paths);
                }
            }
            Txn::Error { err } => w.i32(err.0),
            Txn::Multi(parts) => w.vector(parts, |w, (kind, txn)| {
                w.i32(kind.0);
                // A buffer, as a frame is: its length, and then so many bytes.
                let mark = w.begin_frame();
                txn.encode(w);
                w.end_frame(mark);
            }),
        }
    }

    /// Reads the body of a transaction of type `kind`.
    ///
    /// # Errors
    /// The bytes are no such transaction.
    pub fn decode(kind: OpCode, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            OpCode::CREATE | OpCode::CREATE2 => {
                let (path, data, acl, ephemeral) = (r.string()?, r.data()?, Acl::decode_list(r)?, r.bool()?);
                // Logs older than 3.4 have no parent version; -1 makes the replay count by itself.
                let parent_cversion = if r.is_empty() { -1 } else { r.i32()? };
                Txn::Create { path, data, acl, ephemeral, parent_cversion }
            }
            OpCode::CREATE_CONTAINER => Txn::CreateContainer {
                path: r.string()?,
                data: r.data()?,
                acl: Acl::decode_list(r)?,
                parent_cversion: r.i32()?,
            },
            OpCode::CREATE_TTL => Txn::CreateTtl {
                path: r.string()?,
                data: r.data()?,
                acl: Acl::decode_list(r)?,
                parent_cversion: r.i32()?,
                ttl_ms: r.i64()?,
            },
            OpCode::DELETE | OpCode::DELETE_CONTAINER => Txn::Delete { path: r.string()? },
            OpCode::SET_DATA | OpCode::RECONFIG => {
                Txn::SetData { path: r.string()?, data: r.data()?, version: r.i32()? }
            }
            OpCode::SET_ACL => {
                Txn::SetAcl { path: r.string()?, acl: Acl::decode_list(r)?, version: r.i32()? }
            }
            OpCode::CHECK => Txn::Check { path: r.string()?, version: r.i32()? },
            OpCode::CREATE_SESSION => Txn::CreateSession { timeout_ms: r.i32()? },
            OpCode::CLOSE_SESSION => {
                Txn::CloseSession { ephemerals: if r.is_empty() { None } else { Some(r.strings()?) } }
            }
            OpCode::ERROR => Txn::Error { err: ErrorCode(r.i32()?) },
            OpCode::MULTI => Txn::Multi(r.vector(8, |r| {
                let kind = OpCode(r.i32()?);
                let mut body = Reader::new(r.buffer()?.unwrap_or_default());
                if kind == OpCode::MULTI {
                    return Err(DecodeError::Unknown { what: "part of a multi", value: kind.0.into() });
                }
                Ok((kind, Txn::decode(kind, &mut body)?))
            })?),
            other => return Err(DecodeError::Unknown { what: "transaction type", value: other.0.into() }),
        })
    }
}

fn encode_node(w: &mut Writer, path: &str, data: &Option<Bytes>, acl: &[Acl]) {
    w.string(path);
    w.buffer(data.as_deref());
    Acl::encode_list(acl, w);
}

/// A transaction as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnRecord {
    /// Who, when, which.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
    /// The optional digest.
    pub digest: Option<TxnDigest>,
}

impl TxnRecord {
    /// Writes header, body and digest; the log's checksum, length and end mark are not among it
    /// (see [`crate::file`]).
    pub fn encode(&self, w: &mut Writer) {
        let TxnHeader { client_id, cxid, zxid, time_ms, kind } = self.header;
        w.i64(client_id);
        w.i32(cxid);
        w.i64(zxid);
        w.i64(time_ms);
        w.i32(kind.0);
        self.txn.encode(w);
        if let Some(digest) = self.digest {
            w.i32(digest.version);
            w.i64(digest.value);
        }
    }

    /// Reads what [`TxnRecord::encode`] writes, to the end of `bytes`.
    ///
    /// # Errors
    /// The bytes are no such record, or go on behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let header = TxnHeader {
            client_id: r.i64()?,
            cxid: r.i32()?,
            zxid: r.i64()?,
            time_ms: r.i64()?,
            kind: OpCode(r.i32()?),
        };
        let txn = Txn::decode(header.kind, r)?;
        let digest = match r.remaining() {
            0 => None,
            12 => Some(TxnDigest { version: r.i32()?, value: r.i64()? }),
            n => return Err(DecodeError::Length { what: "rest of a transaction", length: n as i64 }),
        };
        Ok(TxnRecord { header, txn, digest })
    }
}
