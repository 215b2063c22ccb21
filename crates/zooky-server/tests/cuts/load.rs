//! What one session does until the power fails, and what it was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use zooky_wire::{CreateMode, ErrorCode, OpCode, Reader, ReplyHeader, Request, Response, take_frame};

use crate::support::{Raw, answer, create};

/// A session's work, over all cuts.
#[derive(Debug)]
pub(crate) struct Load {
    number: usize,
    sent: u64,
    /// Nodes that are known to be there, to be deleted.
    pub(crate) doomed: Vec<String>,
    /// Nodes that must be gone.
    pub(crate) gone: Vec<String>,
}

/// What one life of the server has acknowledged.
#[derive(Debug)]
pub(crate) struct Done {
    /// Sequential nodes, with their data, that nobody has asked to delete.
    pub(crate) created: BTreeMap<String, Vec<u8>>,
    pub(crate) ephemerals: BTreeSet<String>,
    pub(crate) deleted: BTreeSet<String>,
    pub(crate) set_acknowledged: u64,
    pub(crate) set_sent: u64,
    pub(crate) acknowledged: usize,
    /// The newest transaction that was shown.
    pub(crate) zxid: i64,
    /// The session.
    pub(crate) client: Raw,
}

impl Load {
    pub(crate) fn new(number: usize) -> Load {
        Load { number, sent: 0, doomed: Vec::new(), gone: Vec::new() }
    }

    pub(crate) fn set_path(&self) -> String {
        format!("/sets/{}", self.number)
    }

    /// For the next life: what is there now is deleted then.
    pub(crate) fn after(mut self, done: Done) -> Load {
        self.doomed.extend(done.created.into_keys());
        // Of those deletes that were not acknowledged, nothing is known.
        self
    }

    fn request(&mut self) -> Request {
        self.sent += 1;
        let data = format!("{}.{}", self.number, self.sent);
        match self.sent % 5 {
            0 => Request::SetData {
                path: self.set_path(),
                data: Some(self.sent.to_string().into_bytes().into()),
                version: -1,
            },
            1 => create("/ephemerals/e", CreateMode::EPHEMERAL_SEQUENTIAL, data.as_bytes()),
            2 | 3 if !self.doomed.is_empty() => {
                Request::Delete { path: self.doomed.pop().unwrap(), version: -1 }
            }
            _ => create("/nodes/n", CreateMode::PERSISTENT_SEQUENTIAL, data.as_bytes()),
        }
    }

    /// Keeps `depth` requests under way until the server is gone, or stands still (`over`) and all it has said is
    /// read.
    pub(crate) fn run(mut self, client: Raw, depth: usize, over: &AtomicBool) -> (Load, Done) {
        let mut done = Done {
            created: BTreeMap::new(),
            ephemerals: BTreeSet::new(),
            deleted: BTreeSet::new(),
            set_acknowledged: 0,
            set_sent: self.sent,
            acknowledged: 0,
            zxid: 0,
            client,
        };
        done.client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut under_way: VecDeque<Request> = VecDeque::new();
        let (mut input, mut chunk) = (BytesMut::new(), vec![0; 64 << 10]);
        loop {
            let mut requests = Vec::new();
            while under_way.len() < depth && !over.load(Ordering::SeqCst) {
                let request = self.request();
                requests.push(request.clone());
                under_way.push_back(request);
            }
            done.set_sent = self.sent;
            if done.client.send(&requests).is_err() {
                // What it has said before is read all the same.
                over.store(true, Ordering::SeqCst);
            }
            match done.client.stream.read(&mut chunk) {
                Ok(0) => return (self, done),
                Ok(n) => input.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if over.load(Ordering::SeqCst) {
                        return (self, done);
                    }
                }
                Err(_) => return (self, done),
            }
            while let Some(frame) = take_frame(&mut input, 1 << 20).unwrap() {
                let mut reader = Reader::new(&frame);
                let header = ReplyHeader::decode(&mut reader).unwrap();
                let body = &frame[frame.len() - reader.remaining()..];
                done.acknowledge(under_way.pop_front().unwrap(), header, body);
            }
        }
    }
}

impl Done {
    fn acknowledge(&mut self, request: Request, header: ReplyHeader, body: &[u8]) {
        assert!(header.zxid >= self.zxid, "the zxid went back");
        self.zxid = header.zxid;
        self.acknowledged += 1;
        match request {
            Request::Create(create) => {
                let Ok(Response::Path(path)) = answer(OpCode::CREATE, header, body) else {
                    panic!("{header:?}")
                };
                let is_new = if create.mode == CreateMode::EPHEMERAL_SEQUENTIAL {
                    self.ephemerals.insert(path)
                } else {
                    self.created.insert(path, create.data.unwrap().to_vec()).is_none()
                };
                assert!(is_new, "a sequence number came twice");
            }
            // One that was sent before the last cut may have been done.
            Request::Delete { path, .. } => {
                assert!([ErrorCode::OK, ErrorCode::NO_NODE].contains(&header.err), "{path}: {header:?}");
                self.deleted.insert(path);
            }
            Request::SetData { data, .. } => {
                assert_eq!(header.err, ErrorCode::OK);
                self.set_acknowledged = String::from_utf8(data.unwrap().to_vec()).unwrap().parse().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}
