//! ZooKeeper's protocol and file records as bytes, and back.
//!
//! This crate knows how things look on the wire and on disk, and nothing else: no sockets, no
//! sessions, no tree. The records follow the definitions in Apache ZooKeeper 3.8 and 3.9
//! (`zookeeper.jute` and the classes that write its files).
//!
//! Decoding never panics and never allocates more than the input could hold: every length is
//! checked against the bytes that are there before anything is reserved.
//!
//! ```
//! use zooky_wire::{Reader, Request, Writer};
//!
//! let request = Request::Sync { path: "/a".into() };
//! let mut writer = Writer::new();
//! request.encode(7, &mut writer);
//! let bytes = writer.into_bytes();
//!
//! let mut reader = Reader::new(&bytes);
//! let (header, back) = Request::decode(&mut reader).unwrap();
//! assert_eq!((header.xid, back), (7, request));
//! ```

mod acl;
mod codes;
mod connect;
pub mod file;
mod frame;
mod jute;
mod path;
mod reply;
mod request;
mod stat;
mod txn;

pub use acl::{Acl, Id, perms};
pub use codes::{CreateMode, ErrorCode, EventType, KeeperState, OpCode, xid};
pub use connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
pub use frame::{FrameError, MAX_FRAME_DEFAULT, frame_end, take_frame};
pub use jute::{DecodeError, Reader, Writer};
pub use path::{PathError, parent, validate_path};
pub use reply::{ClientInfo, MultiResult, ReplyHeader, Response, WatcherEvent};
pub use request::{Create, CreateKind, MultiOp, Request, RequestHeader};
pub use stat::{Stat, StatPersisted};
pub use txn::{Txn, TxnDigest, TxnHeader, TxnRecord, txn_type};
