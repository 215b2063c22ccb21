//! What clients ask.

use bytes::Bytes;

use crate::{Acl, CreateMode, DecodeError, OpCode, Reader, Writer, xid};

/// What stands before each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request; the reply carries it again.
    pub xid: i32,
    /// What is asked.
    pub op: OpCode,
}

impl RequestHeader {
    /// Reads a header.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(RequestHeader { xid: r.i32()?, op: OpCode(r.i32()?) })
    }

    /// Writes it.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.xid);
        w.i32(self.op.0);
    }
}

/// Which of the four create requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// Answered with the path alone.
    Create,
    /// Answered with path and stat.
    Create2,
    /// Of a container; answered like `Create2`.
    Container,
    /// With a time to live in milliseconds; answered like `Create2`.
    Ttl(i64),
}

/// A request to create a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Which request it is.
    pub kind: CreateKind,
    /// The node's path; a sequence number is put behind it if the mode says so.
    pub path: String,
    /// Its data; null and empty are different.
    pub data: Option<Bytes>,
    /// Its ACL.
    pub acl: Vec<Acl>,
    /// How long it lives.
    pub mode: CreateMode,
}

impl Create {
    /// The opcode.
    pub fn op(&self) -> OpCode {
        match self.kind {
            CreateKind::Create => OpCode::CREATE,
            CreateKind::Create2 => OpCode::CREATE2,
            CreateKind::Container => OpCode::CREATE_CONTAINER,
            CreateKind::Ttl(_) => OpCode::CREATE_TTL,
        }
    }

    fn encode(&self, w: &mut Writer) {
        w.string(&self.path);
        w.buffer(self.data.as_deref());
        Acl::encode_list(&self.acl, w);
        w.i32(self.mode.0);
        if let CreateKind::Ttl(ttl_ms) = self.kind {
            w.i64(ttl_ms);
        }
    }

    fn decode(op: OpCode, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (path, data, acl) = (r.string()?, r.data()?, Acl::decode_list(r)?);
        let mode = CreateMode(r.i32()?);
        let kind = match op {
            OpCode::CREATE => CreateKind::Create,
            OpCode::CREATE_CONTAINER => CreateKind::Container,
            OpCode::CREATE_TTL => CreateKind::Ttl(r.i64()?),
            _ => CreateKind::Create2,
        };
        Ok(Create { kind, path, data, acl, mode })
    }
}

/// One part of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp {
    /// Create a node.
    Create(Create),
    /// Delete a node.
    Delete {
        /// Which.
        path: String,
        /// Its version, or -1.
        version: i32,
    },
    /// Set a node's data.
    SetData {
        /// Which.
        path: String,
        /// The data.
        data: Option<Bytes>,
        /// The version expected, or -1.
        version: i32,
    },
    /// Go on only if the node's version is this.
    Check {
        /// Which.
        path: String,
        /// The version expected, or -1.
        version: i32,
    },
}

impl MultiOp {
    /// The opcode.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create(create) => create.op(),
            MultiOp::Delete { .. } => OpCode::DELETE,
            MultiOp::SetData { .. } => OpCode::SET_DATA,
            MultiOp::Check { .. } => OpCode::CHECK,
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            MultiOp::Create(create) => create.encode(w),
            MultiOp::Delete { path, version } | MultiOp::Check { path, version } => {
                w.string(path);
                w.i32(*version);
            }
            MultiOp::SetData { path, data, version } => {
                w.string(path);
                w.buffer(data.as_deref());
                w.i32(*version);
            }
        }
    }

    fn decode(op: OpCode, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                MultiOp::Create(Create::decode(op, r)?)
            }
            OpCode::DELETE => MultiOp::Delete { path: r.string()?, version: r.i32()? },
            OpCode::SET_DATA => MultiOp::SetData { path: r.string()?, data: r.data()?, version: r.i32()? },
            OpCode::CHECK => MultiOp::Check { path: r.string()?, version: r.i32()? },
            other => return Err(DecodeError::Unknown { what: "part of a multi", value: other.0.into() }),
        })
    }
}

/// A request, without its xid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named as in the protocol
pub enum Request {
    /// The four kinds of create.
    Create(Create),
    /// Delete a childless node.
    Delete { path: String, version: i32 },
    /// The node's stat.
    Exists { path: String, watch: bool },
    /// The node's data and stat.
    GetData { path: String, watch: bool },
    /// Set the node's data.
    SetData { path: String, data: Option<Bytes>, version: i32 },
    /// The node's ACL.
    GetAcl { path: String },
    /// Set the node's ACL.
    SetAcl { path: String, acl: Vec<Acl>, version: i32 },
    /// The children's names.
    GetChildren { path: String, watch: bool },
    /// The children's names and the stat.
    GetChildren2 { path: String, watch: bool },
    /// Catch up with the leader.
    Sync { path: String },
    /// Still here.
    Ping,
    /// Outside multi no server knows it, but it can be asked.
    Check { path: String, version: i32 },
    /// Several writes as one.
    Multi(Vec<MultiOp>),
    /// Several reads; each is `GetData` or `GetChildren`.
    MultiRead(Vec<Request>),
    /// Change the ensemble.
    Reconfig { joining: String, leaving: String, new_members: String, config_id: i64 },
    /// Add an identity.
    Auth { kind: i32, scheme: String, auth: Vec<u8> },
    /// Set watches again.
    SetWatches { relative_zxid: i64, data: Vec<String>, exist: Vec<String>, child: Vec<String> },
    /// Set watches again, persistent ones too.
    SetWatches2 {
        relative_zxid: i64,
        data: Vec<String>,
        exist: Vec<String>,
        child: Vec<String>,
        persistent: Vec<String>,
        recursive: Vec<String>,
    },
    /// Add a persistent (0) or persistent recursive (1) watch.
    AddWatch { path: String, mode: i32 },
    /// Remove watches: 1 children, 2 data, 3 any.
    RemoveWatches { path: String, kind: i32 },
    /// Is there such a watch?
    CheckWatches { path: String, kind: i32 },
    /// The session's ephemerals below a prefix.
    GetEphemerals { prefix: String },
    /// How many nodes there are below a node.
    GetAllChildrenNumber { path: String },
    /// The session's identities.
    WhoAmI,
    /// SASL, which zooky's server does not have: it answers with no token.
    Sasl { token: Vec<u8> },
    /// Close the session.
    CloseSession,
}

impl Request {
    /// The opcode.
    pub fn op(&self) -> OpCode {
        match self {
            Request::Create(create) => create.op(),
            Request::Delete { .. } => OpCode::DELETE,
            Request::Exists { .. } => OpCode::EXISTS,
            Request::GetData { .. } => OpCode::GET_DATA,
            Request::SetData { .. } => OpCode::SET_DATA,
            Request::GetAcl { .. } => OpCode::GET_ACL,
            Request::SetAcl { .. } => OpCode::SET_ACL,
            Request::GetChildren { .. } => OpCode::GET_CHILDREN,
            Request::GetChildren2 { .. } => OpCode::GET_CHILDREN2,
            Request::Sync { .. } => OpCode::SYNC,
            Request::Ping => OpCode::PING,
            Request::Check { .. } => OpCode::CHECK,
            Request::Multi(_) => OpCode::MULTI,
            Request::MultiRead(_) => OpCode::MULTI_READ,
            Request::Reconfig { .. } => OpCode::RECONFIG,
            Request::Auth { .. } => OpCode::AUTH,
            Request::SetWatches { .. } => OpCode::SET_WATCHES,
            Request::SetWatches2 { .. } => OpCode::SET_WATCHES2,
            Request::AddWatch { .. } => OpCode::ADD_WATCH,
            Request::RemoveWatches { .. } => OpCode::REMOVE_WATCHES,
            Request::CheckWatches { .. } => OpCode::CHECK_WATCHES,
            Request::GetEphemerals { .. } => OpCode::GET_EPHEMERALS,
            Request::GetAllChildrenNumber { .. } => OpCode::GET_ALL_CHILDREN_NUMBER,
            Request::WhoAmI => OpCode::WHO_AM_I,
            Request::Sasl { .. } => OpCode::SASL,
            Request::CloseSession => OpCode::CLOSE_SESSION,
        }
    }

    /// Whether the request changes something, so that an acknowledgement of it came from the quorum.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Request::Create(_)
                | Request::Delete { .. }
                | Request::SetData { .. }
                | Request::SetAcl { .. }
                | Request::Multi(_)
                | Request::Reconfig { .. }
                | Request::CloseSession
        )
    }

    /// The xid that such a request must carry, if it is not numbered like the others.
    pub fn fixed_xid(&self) -> Option<i32> {
        match self {
            Request::Ping => Some(xid::PING),
            Request::Auth { .. } => Some(xid::AUTH),
            Request::SetWatches { .. } | Request::SetWatches2 { .. } => Some(xid::SET_WATCHES),
            _ => None,
        }
    }

    /// Writes header and body (without the frame's length).
    pub fn encode(&self, xid: i32, w: &mut Writer) {
        RequestHeader { xid, op: self.op() }.encode(w);
        self.encode_body(w);
    }

    fn encode_body(&self, w: &mut Writer) {
        match self {
            Request::Create(create) => create.encode(w),
            Request::Delete { path, version } | Request::Check { path, version } => {
                w.string(path);
                w.i32(*version);
            }
            Request::Exists { path, watch }
            | Request::GetData { path, watch }
            | Request::GetChildren { path, watch }
            | Request::GetChildren2 { path, watch } => {
                w.string(path);
                w.bool(*watch);
            }
            Request::SetData { path, data, version } => {
                w.string(path);
                w.buffer(data.as_deref());
                w.i32(*version);
            }
            Request::GetAcl { path } | Request::Sync { path } | Request::GetAllChildrenNumber { path } => {
                w.string(path);
            }
            Request::SetAcl { path, acl, version } => {
                w.string(path);
                Acl::encode_list(acl, w);
                w.i32(*version);
            }
            Request::Multi(ops) => {
                for op in ops {
                    encode_multi_header(op.op(), false, -1, w);
                    op.encode(w);
                }
                encode_multi_header(OpCode::ERROR, true, -1, w);
            }
            Request::MultiRead(ops) => {
                for op in ops {
                    encode_multi_header(op.op(), false, -1, w);
                    op.encode_body(w);
                }
                encode_multi_header(OpCode::ERROR, true, -1, w);
            }
            Request::Reconfig { joining, leaving, new_members, config_id } => {
                w.string(joining);
                w.string(leaving);
                w.string(new_members);
                w.i64(*config_id);
            }
            Request::Auth { kind, scheme, auth } => {
                w.i32(*kind);
                w.string(scheme);
                w.buffer(Some(auth));
            }
            Request::SetWatches { relative_zxid, data, exist, child } => {
                w.i64(*relative_zxid);
                [data, exist, child].into_iter().for_each(|paths| w.strings(paths));
            }
            Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive } => {
                w.i64(*relative_zxid);
                [data, exist, child, persistent, recursive].into_iter().for_each(|paths| w.strings(paths));
            }
            Request::AddWatch { path, mode: number }
            | Request::RemoveWatches { path, kind: number }
            | Request::CheckWatches { path, kind: number } => {
                w.string(path);
                w.i32(*number);
            }
            Request::GetEphemerals { prefix } => w.string(prefix),
            Request::Sasl { token } => w.buffer(Some(token)),
            Request::Ping | Request::WhoAmI | Request::CloseSession => {}
        }
    }

    /// Reads header and body.
    ///
    /// # Errors
    /// The bytes are no such request; an unknown opcode is [`DecodeError::Unknown`].
    pub fn decode(r: &mut Reader<'_>) -> Result<(RequestHeader, Request), DecodeError> {
        let header = RequestHeader::decode(r)?;
        Ok((header, Request::decode_body(header.op, r)?))
    }

    /// Reads the body of a request of type `op`.
    ///
    /// # Errors
    /// As [`Request::decode`].
    pub fn decode_body(op: OpCode, r: &mut Reader<'_>) -> Result<Request, DecodeError> {
        // Where the original stumbles over a null path before it has looked at it.
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Request::Create(Create::decode(op, r)?)
            }
            OpCode::DELETE => Request::Delete { path: r.some_string()?, version: r.i32()? },
            OpCode::EXISTS => Request::Exists { path: r.some_string()?, watch: r.bool()? },
            OpCode::GET_DATA => Request::GetData { path: r.some_string()?, watch: r.bool()? },
            OpCode::SET_DATA => Request::SetData { path: r.string()?, data: r.data()?, version: r.i32()? },
            OpCode::GET_ACL => Request::GetAcl { path: r.some_string()? },
            OpCode::SET_ACL => {
                Request::SetAcl { path: r.string()?, acl: Acl::decode_list(r)?, version: r.i32()? }
            }
            OpCode::GET_CHILDREN => Request::GetChildren { path: r.some_string()?, watch: r.bool()? },
            OpCode::GET_CHILDREN2 => Request::GetChildren2 { path: r.some_string()?, watch: r.bool()? },
            OpCode::SYNC => Request::Sync { path: r.string()? },
            OpCode::PING => Request::Ping,
            OpCode::CHECK => Request::Check { path: r.string()?, version: r.i32()? },
            OpCode::MULTI => Request::Multi(decode_multi(r, MultiOp::decode)?),
            OpCode::MULTI_READ => Request::MultiRead(decode_multi(r, |op, r| match op {
                OpCode::GET_DATA | OpCode::GET_CHILDREN => Request::decode_body(op, r),
                _ => Err(DecodeError::Unknown { what: "part of a multiRead", value: op.0.into() }),
            })?),
            OpCode::RECONFIG => Request::Reconfig {
                joining: r.string()?,
                leaving: r.string()?,
                new_members: r.string()?,
                config_id: r.i64()?,
            },
            OpCode::AUTH => Request::Auth {
                kind: r.i32()?,
                scheme: r.string()?,
                auth: r.buffer()?.unwrap_or_default().to_vec(),
            },
            OpCode::SET_WATCHES => Request::SetWatches {
                relative_zxid: r.i64()?,
                data: r.strings()?,
                exist: r.strings()?,
                child: r.strings()?,
            },
            OpCode::SET_WATCHES2 => Request::SetWatches2 {
                relative_zxid: r.i64()?,
                data: r.strings()?,
                exist: r.strings()?,
                child: r.strings()?,
                persistent: r.strings()?,
                recursive: r.strings()?,
            },
            OpCode::ADD_WATCH => Request::AddWatch { path: r.string()?, mode: r.i32()? },
            OpCode::REMOVE_WATCHES => Request::RemoveWatches { path: r.string()?, kind: r.i32()? },
            OpCode::CHECK_WATCHES => Request::CheckWatches { path: r.string()?, kind: r.i32()? },
            OpCode::GET_EPHEMERALS => Request::GetEphemerals { prefix: r.string()? },
            OpCode::GET_ALL_CHILDREN_NUMBER => Request::GetAllChildrenNumber { path: r.some_string()? },
            OpCode::WHO_AM_I => Request::WhoAmI,
            OpCode::SASL => Request::Sasl { token: r.buffer()?.unwrap_or_default().to_vec() },
            OpCode::CLOSE_SESSION => Request::CloseSession,
            other => return Err(DecodeError::Unknown { what: "opcode", value: other.0.into() }),
        })
    }
}

pub(crate) fn encode_multi_header(op: OpCode, done: bool, err: i32, w: &mut Writer) {
    w.i32(op.0);
    w.bool(done);
    w.i32(err);
}

pub(crate) fn decode_multi_header(r: &mut Reader<'_>) -> Result<(OpCode, bool, i32), DecodeError> {
    Ok((OpCode(r.i32()?), r.bool()?, r.i32()?))
}

fn decode_multi<T>(
    r: &mut Reader<'_>,
    mut part: impl FnMut(OpCode, &mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut parts = Vec::new();
    loop {
        let (op, done, _) = decode_multi_header(r)?;
        if done {
            return Ok(parts);
        }
        parts.push(part(op, r)?);
    }
}
