//! What the fuzz targets do with their bytes. The targets in `fuzz/` and the test `fuzzing` share it.

#[allow(dead_code)]
#[path = "../sim/disk.rs"]
mod disk;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use bytes::{Bytes, BytesMut};
use zooky_server::core::{ConnId, Core, CoreConfig, Image, Input, Now, Output, PasswordRule};
use zooky_server::log::{LogError, encode_snapshot, recover};
use zooky_testkit::Rng;
use zooky_wire::file::{Entry, entry_at};
use zooky_wire::{
    Acl, ConnectRequest, ConnectResponse, OpCode, Reader, ReplyHeader, Request, RequestHeader, Response,
    StatPersisted, TxnRecord, Writer, frame_end, take_frame,
};

use disk::Disk;

fn config() -> CoreConfig {
    CoreConfig::new(0x0100_0000_0000_0001, PasswordRule::Keyed([1; 32]))
}

/// A connection with a session sends the bytes as a stream of frames; another one watches the root and must
/// not be harmed: nothing but events of its own comes to it, and it is answered afterwards.
pub fn requests(bytes: &[u8]) {
    let mut core = Core::new(config());
    let mut now = Now { mono_ms: 1, wall_ms: 1 };
    core.begin(now);
    let (good, bad) = (ConnId(1), ConnId(2));
    for conn in [good, bad] {
        step(&mut core, now, Input::Opened { conn, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) });
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 4_000,
            session_id: 0,
            password: vec![],
            read_only: None,
        };
        let mut w = Writer::new();
        request.encode(&mut w);
        step(&mut core, now, Input::Frame { conn, frame: w.into_bytes() });
    }
    ask(&mut core, now, good, &Request::GetChildren { path: "/".into(), watch: true });
    let mut stream = BytesMut::from(bytes);
    let mut log = Vec::new();
    while let Ok(Some(frame)) = take_frame(&mut stream, 1 << 20) {
        now.mono_ms += 1;
        for output in step(&mut core, now, Input::Frame { conn: bad, frame }) {
            match output {
                Output::Append(record) => log.push(record),
                Output::Close { conn } => assert_eq!(conn, bad),
                Output::Send { conn, frame, .. } => {
                    assert_eq!(frame_end(&frame, usize::MAX), Ok(Some(frame.len())));
                    let header = ReplyHeader::decode(&mut Reader::new(&frame[4..])).unwrap();
                    assert!(conn == bad || header.xid == zooky_wire::xid::EVENT);
                }
            }
        }
    }
    let out = ask(&mut core, now, good, &Request::Exists { path: "/".into(), watch: false });
    assert!(matches!(out[..], [Output::Send { conn, .. }] if conn == good), "{out:?}");
    // What was logged can be written, read and replayed, and gives the same state.
    let mut replayed = Core::new(config());
    replayed.replay_all(&log, core.last_zxid());
    let (a, b) = (encode_snapshot(core.image()), encode_snapshot(replayed.image()));
    assert_eq!(a.len(), b.len());
}

trait ReplayAll {
    fn replay_all(&mut self, log: &[TxnRecord], last: i64);
}

impl ReplayAll for Core {
    fn replay_all(&mut self, log: &[TxnRecord], last: i64) {
        // The two sessions of the beginning.
        for zxid in 1..=2 {
            let header = zooky_wire::TxnHeader {
                client_id: 0x0100_0000_0000_0000 + zxid,
                cxid: 0,
                zxid,
                time_ms: 1,
                kind: OpCode::CREATE_SESSION,
            };
            let txn = zooky_wire::Txn::CreateSession { timeout_ms: 4_000 };
            self.replay(&TxnRecord { header, txn, digest: None }).unwrap();
        }
        for record in log {
            let mut w = Writer::new();
            record.encode(&mut w);
            let read = TxnRecord::decode(w.as_slice()).unwrap();
            assert_eq!(&read, record);
            self.replay(&read).unwrap();
        }
        assert_eq!(self.last_zxid(), last);
    }
}

fn step(core: &mut Core, now: Now, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    core.step(now, input, &mut out);
    out
}

fn ask(core: &mut Core, now: Now, conn: ConnId, request: &Request) -> Vec<Output> {
    let mut w = Writer::new();
    request.encode(1, &mut w);
    step(core, now, Input::Frame { conn, frame: w.into_bytes() })
}

/// A directory with the empty snapshot and these bytes as the newest log: it is recovered or refused, and
/// what is recovered once is recovered again.
pub fn log(bytes: &[u8]) {
    let disk = Disk::new(Rng::new(0));
    let storage = disk.storage();
    recover(&storage, config()).unwrap();
    storage.create("log.1").unwrap().write_at(0, bytes).unwrap();
    match recover(&storage, config()) {
        Ok(first) => {
            let again = recover(&storage, config()).unwrap();
            assert_eq!((again.core.last_zxid(), again.torn), (first.core.last_zxid(), None));
        }
        Err(LogError::Corrupt { .. } | LogError::Replay { .. } | LogError::Missing { .. }) => {
            assert_eq!(disk.bytes("log.1"), bytes);
        }
        Err(error) => panic!("{error}"),
    }
}

/// A node's path, data, ACL and stat.
type Meant<'a> = (&'a str, Option<&'a [u8]>, Option<&'a [Acl]>, StatPersisted);

/// What a snapshot says. ACLs are numbered anew at each start, so their numbers are not part of it.
fn meaning(image: Image<'_>) -> (i64, Vec<(i64, i32)>, Vec<Meant<'_>>) {
    let acls: HashMap<i64, &[Acl]> = image.acls().into_iter().collect();
    let nodes = image.nodes().map(|node| {
        let acl = acls.get(&node.acl).copied();
        assert_eq!(acl.is_none(), node.acl == -1, "{:?} has an ACL that is not listed", node.path);
        (node.path, node.data, acl, node.stat)
    });
    (image.last_zxid(), image.sessions(), nodes.collect())
}

/// The bytes as a snapshot, whose checksum is put right if there is a seal: it is restored or refused, and
/// what is restored can be written again.
pub fn snapshot(bytes: &[u8]) {
    let disk = Disk::new(Rng::new(0));
    let storage = disk.storage();
    let mut bytes = bytes.to_vec();
    if let Some(body) = bytes.len().checked_sub(13) {
        let sum = zooky_wire::file::checksum(&bytes[..body]);
        bytes[body..body + 8].copy_from_slice(&sum.to_be_bytes());
    }
    storage.create("snapshot.5").unwrap().write_at(0, &bytes).unwrap();
    match recover(&storage, config()) {
        Ok(recovered) => {
            let written = encode_snapshot(recovered.core.image());
            let disk = Disk::new(Rng::new(0));
            disk.storage().create("snapshot.5").unwrap().write_at(0, &written).unwrap();
            let again = recover(&disk.storage(), config()).unwrap();
            assert_eq!(meaning(again.core.image()), meaning(recovered.core.image()));
        }
        Err(LogError::Corrupt { .. } | LogError::Restore { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Whatever can be read is written as bytes that are read as the same.
pub fn wire(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    if let Ok(header) = RequestHeader::decode(&mut r)
        && let Ok(request) = Request::decode_body(header.op, &mut r)
    {
        let mut w = Writer::new();
        request.encode(header.xid, &mut w);
        let mut again = Reader::new(w.as_slice());
        let op = RequestHeader::decode(&mut again).unwrap().op;
        assert_eq!(Request::decode_body(op, &mut again).as_ref(), Ok(&request));
        assert!(again.is_empty());
    }
    if let Ok(record) = TxnRecord::decode(bytes) {
        let mut w = Writer::new();
        record.encode(&mut w);
        assert_eq!(TxnRecord::decode(w.as_slice()).as_ref(), Ok(&record));
    }
    if let Ok(request) = ConnectRequest::decode(&mut Reader::new(bytes)) {
        let mut w = Writer::new();
        request.encode(&mut w);
        assert_eq!(ConnectRequest::decode(&mut Reader::new(w.as_slice())), Ok(request));
    }
    let _ = ConnectResponse::decode(&mut Reader::new(bytes));
    if let Entry::Whole { len, .. } = entry_at(bytes) {
        assert!(len <= bytes.len());
    }
    if let Some((&op, body)) = bytes.split_first() {
        let _ = Response::decode(OpCode(i32::from(op)), &mut Reader::new(body));
    }
}

/// A name and its body, for each target.
pub type Target = (&'static str, fn(&[u8]));
/// All of them.
pub const TARGETS: [Target; 4] =
    [("requests", requests), ("log", log), ("snapshot", snapshot), ("wire", wire)];

/// Good inputs to start from, by target.
pub fn seeds(target: &str) -> Vec<Bytes> {
    let mut out = Vec::new();
    let frame = |request: &Request, framed: bool| {
        let mut w = Writer::new();
        let mark = if framed { w.begin_frame() } else { 0 };
        request.encode(request.fixed_xid().unwrap_or(1), &mut w);
        if framed {
            w.end_frame(mark);
        }
        w.into_bytes()
    };
    match target {
        "log" => {
            let disk = Disk::new(Rng::new(0));
            let mut log = recover(&disk.storage(), config()).unwrap().log;
            for zxids in [1..3, 3..4, 4..7] {
                let mut batch = zooky_server::log::Batch::new();
                zxids.for_each(|zxid| batch.push(record(zxid)));
                log.append(&batch).unwrap();
            }
            let bytes = disk.bytes("log.1");
            let end = bytes.iter().rposition(|&b| b != 0).unwrap_or(0);
            out.push(Bytes::copy_from_slice(&bytes[..=end]));
            out.push(Bytes::copy_from_slice(&bytes[..end + 100]));
        }
        "snapshot" => {
            let mut core = Core::new(config());
            (1..7).for_each(|zxid| core.replay(&record(zxid)).unwrap());
            out.push(encode_snapshot(core.image()));
        }
        framed => {
            let all: Vec<Bytes> = some_requests().iter().map(|r| frame(r, framed == "requests")).collect();
            out.push(Bytes::from(all.concat()));
            out.extend(all);
        }
    }
    out
}

fn record(zxid: i64) -> TxnRecord {
    let path = format!("/n{zxid}");
    let acl = zooky_wire::Acl::open();
    let data = Some(Bytes::from_static(b"data"));
    let txn =
        zooky_wire::Txn::Create { path, data, acl, ephemeral: zxid % 2 == 0, parent_cversion: zxid as i32 };
    let header = zooky_wire::TxnHeader { client_id: 5, cxid: 1, zxid, time_ms: 7, kind: OpCode::CREATE };
    TxnRecord { header, txn, digest: None }
}

fn some_requests() -> Vec<Request> {
    use zooky_wire::{Acl, Create, CreateKind, CreateMode, MultiOp};
    let create = |path: &str, kind, mode| Create {
        kind,
        path: path.into(),
        data: Some(Bytes::from_static(b"x")),
        acl: Acl::open(),
        mode,
    };
    let path = || "/a".to_owned();
    vec![
        Request::Create(create("/a", CreateKind::Create, CreateMode::PERSISTENT)),
        Request::Create(create("/a/e-", CreateKind::Create2, CreateMode(3))),
        Request::Create(create("/c", CreateKind::Container, CreateMode(4))),
        Request::Create(create("/t", CreateKind::Ttl(1_000), CreateMode::PERSISTENT_WITH_TTL)),
        Request::Multi(vec![
            MultiOp::Check { path: path(), version: 0 },
            MultiOp::Create(create("/a/b", CreateKind::Create, CreateMode::PERSISTENT)),
            MultiOp::SetData { path: path(), data: None, version: -1 },
            MultiOp::Delete { path: "/a/b".into(), version: -1 },
        ]),
        Request::Exists { path: path(), watch: true },
        Request::GetData { path: path(), watch: true },
        Request::GetChildren2 { path: path(), watch: true },
        Request::GetAcl { path: path() },
        Request::SetData { path: path(), data: Some(Bytes::from_static(b"y")), version: 1 },
        Request::AddWatch { path: path(), mode: 1 },
        Request::SetWatches {
            relative_zxid: 0,
            data: vec![path()],
            exist: vec!["/x".into()],
            child: vec![path()],
        },
        Request::RemoveWatches { path: path(), kind: 3 },
        Request::Auth { kind: 0, scheme: "digest".into(), auth: b"user:password".to_vec() },
        Request::WhoAmI,
        Request::Sync { path: path() },
        Request::Ping,
        Request::Delete { path: path(), version: -1 },
        Request::CloseSession,
    ]
}
