//! What servers answer.

use bytes::Bytes;

use crate::request::{decode_multi_header, encode_multi_header};
use crate::{Acl, DecodeError, ErrorCode, EventType, KeeperState, OpCode, Reader, Stat, Writer};

/// What stands before each reply and each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The xid of the request, or one of [`crate::xid`].
    pub xid: i32,
    /// The newest transaction that the server had applied.
    pub zxid: i64,
    /// Zero, or why there is no body.
    pub err: ErrorCode,
}

impl ReplyHeader {
    /// Reads a header.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(ReplyHeader { xid: r.i32()?, zxid: r.i64()?, err: ErrorCode(r.i32()?) })
    }

    /// Writes it.
    pub fn encode(&self, w: &mut Writer) {
        w.i32(self.xid);
        w.i64(self.zxid);
        w.i32(self.err.0);
    }
}

/// A watch that fired; it stands behind a header with [`crate::xid::EVENT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherEvent {
    /// What happened.
    pub kind: EventType,
    /// Always [`KeeperState::SYNC_CONNECTED`] from a server.
    pub state: KeeperState,
    /// To which node.
    pub path: String,
}

impl WatcherEvent {
    /// Reads an event.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(WatcherEvent { kind: EventType(r.i32()?), state: KeeperState(r.i32()?), path: r.string()? })
    }

    /// Writes it.
    pub fn encode(&self, w: &mut Writer) {
        Self::encode_of(self.kind, self.state, &self.path, w);
    }

    /// Writes one of a path that is somebody else's.
    pub fn encode_of(kind: EventType, state: KeeperState, path: &str, w: &mut Writer) {
        w.i32(kind.0);
        w.i32(state.0);
        w.string(path);
    }
}

/// An identity of the session, as `whoAmI` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// The authentication scheme.
    pub scheme: String,
    /// The name in that scheme.
    pub user: String,
}

/// The result of one part of a multi or multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult {
    /// From create: the path, sequence number included.
    Create(String),
    /// From the other creates; 3.8 sends an empty stat here.
    Create2(String, Stat, OpCode),
    /// Deleted.
    Delete,
    /// The stat after the set.
    SetData(Stat),
    /// The version was right.
    Check,
    /// multiRead: data and stat.
    GetData(Option<Bytes>, Stat),
    /// multiRead: the children.
    GetChildren(Vec<String>),
    /// It failed, or was not tried.
    Error(ErrorCode),
}

impl MultiResult {
    /// Writes it with its header.
    pub fn encode(&self, w: &mut Writer) {
        let op = match self {
            MultiResult::Create(_) => OpCode::CREATE,
            MultiResult::Create2(_, _, op) => *op,
            MultiResult::Delete => OpCode::DELETE,
            MultiResult::SetData(_) => OpCode::SET_DATA,
            MultiResult::Check => OpCode::CHECK,
            MultiResult::GetData(..) => OpCode::GET_DATA,
            MultiResult::GetChildren(_) => OpCode::GET_CHILDREN,
            MultiResult::Error(_) => OpCode::ERROR,
        };
        let err = if let MultiResult::Error(code) = self { code.0 } else { 0 };
        encode_multi_header(op, false, err, w);
        match self {
            MultiResult::Create(path) => w.string(path),
            MultiResult::Create2(path, stat, _) => {
                w.string(path);
                stat.encode(w);
            }
            MultiResult::SetData(stat) => stat.encode(w),
            MultiResult::GetData(data, stat) => encode_data(data.as_deref(), stat, w),
            MultiResult::GetChildren(children) => w.strings(children),
            MultiResult::Error(code) => w.i32(code.0),
            MultiResult::Delete | MultiResult::Check => {}
        }
    }

    /// Writes a [`MultiResult::GetData`] of data that are somebody else's.
    pub fn encode_data(data: Option<&[u8]>, stat: &Stat, w: &mut Writer) {
        encode_multi_header(OpCode::GET_DATA, false, 0, w);
        encode_data(data, stat, w);
    }

    /// Writes what stands behind the last one.
    pub fn encode_end(w: &mut Writer) {
        encode_multi_header(OpCode::ERROR, true, -1, w);
    }

    fn decode(op: OpCode, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::CREATE => MultiResult::Create(r.string()?),
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                MultiResult::Create2(r.string()?, Stat::decode(r)?, op)
            }
            OpCode::DELETE => MultiResult::Delete,
            OpCode::SET_DATA => MultiResult::SetData(Stat::decode(r)?),
            OpCode::CHECK => MultiResult::Check,
            OpCode::GET_DATA => MultiResult::GetData(r.data()?, Stat::decode(r)?),
            OpCode::GET_CHILDREN => MultiResult::GetChildren(r.strings()?),
            OpCode::ERROR => MultiResult::Error(ErrorCode(r.i32()?)),
            other => return Err(DecodeError::Unknown { what: "multi result", value: other.0.into() }),
        })
    }
}

fn encode_data(data: Option<&[u8]>, stat: &Stat, w: &mut Writer) {
    w.buffer(data);
    stat.encode(w);
}

/// The body of a reply without error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// delete, ping, auth, setWatches, closeSession, watch calls: nothing.
    Empty,
    /// create: the path.
    Path(String),
    /// create2 and the like: path and stat.
    PathStat(String, Stat),
    /// exists, setData, setACL: the stat.
    Stat(Stat),
    /// getData and reconfig: data and stat.
    Data(Option<Bytes>, Stat),
    /// getACL: ACL and stat.
    Acl(Vec<Acl>, Stat),
    /// getChildren, getEphemerals: names or paths.
    Names(Vec<String>),
    /// getChildren2: names and stat.
    NamesStat(Vec<String>, Stat),
    /// multi and multiRead: each part's result.
    Multi(Vec<MultiResult>),
    /// getAllChildrenNumber: the count.
    Count(i32),
    /// whoAmI: the identities.
    WhoAmI(Vec<ClientInfo>),
}

impl Response {
    /// Writes the body.
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Response::Empty => {}
            Response::Path(path) => w.string(path),
            Response::PathStat(path, stat) => {
                w.string(path);
                stat.encode(w);
            }
            Response::Stat(stat) => stat.encode(w),
            Response::Data(data, stat) => encode_data(data.as_deref(), stat, w),
            Response::Acl(acl, stat) => {
                Acl::encode_list(acl, w);
                stat.encode(w);
            }
            Response::Names(names) => w.strings(names),
            Response::NamesStat(names, stat) => {
                w.strings(names);
                stat.encode(w);
            }
            Response::Multi(results) => {
                for result in results {
                    result.encode(w);
                }
                MultiResult::encode_end(w);
            }
            Response::Count(n) => w.i32(*n),
            Response::WhoAmI(infos) => w.vector(infos, |w, info| {
                w.string(&info.scheme);
                w.string(&info.user);
            }),
        }
    }

    /// Reads the body of the reply to a request of type `op`.
    ///
    /// # Errors
    /// The bytes are no such reply.
    pub fn decode(op: OpCode, r: &mut Reader<'_>) -> Result<Response, DecodeError> {
        Ok(match op {
            OpCode::CREATE | OpCode::SYNC => Response::Path(r.string()?),
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Response::PathStat(r.string()?, Stat::decode(r)?)
            }
            OpCode::EXISTS | OpCode::SET_DATA | OpCode::SET_ACL => Response::Stat(Stat::decode(r)?),
            OpCode::GET_DATA | OpCode::RECONFIG => Response::Data(r.data()?, Stat::decode(r)?),
            OpCode::GET_ACL => Response::Acl(Acl::decode_list(r)?, Stat::decode(r)?),
            OpCode::GET_CHILDREN | OpCode::GET_EPHEMERALS => Response::Names(r.strings()?),
            OpCode::GET_CHILDREN2 => Response::NamesStat(r.strings()?, Stat::decode(r)?),
            OpCode::MULTI | OpCode::MULTI_READ => {
                let mut results = Vec::new();
                loop {
                    let (op, done, _) = decode_multi_header(r)?;
                    if done {
                        break Response::Multi(results);
                    }
                    results.push(MultiResult::decode(op, r)?);
                }
            }
            OpCode::GET_ALL_CHILDREN_NUMBER => Response::Count(r.i32()?),
            OpCode::WHO_AM_I => {
                Response::WhoAmI(r.vector(8, |r| Ok(ClientInfo { scheme: r.string()?, user: r.string()? }))?)
            }
            _ => Response::Empty,
        })
    }
}
