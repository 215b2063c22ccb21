//! Every record survives the way to bytes and back; no bytes make the decoders panic.

use bytes::Bytes;
use proptest::prelude::*;
use zooky_wire::{
    Acl, Create, CreateKind, CreateMode, ErrorCode, MultiOp, MultiResult, OpCode, Reader, Request, Response,
    Stat, Txn, TxnDigest, TxnHeader, TxnRecord, Writer, txn_type,
};

fn create(kind: CreateKind) -> Create {
    let mode = match kind {
        CreateKind::Container => CreateMode::CONTAINER,
        CreateKind::Ttl(_) => CreateMode::PERSISTENT_WITH_TTL,
        _ => CreateMode::EPHEMERAL_SEQUENTIAL,
    };
    Create { kind, path: "/a/ü".into(), data: Some(Bytes::from_static(b"x")), acl: Acl::open(), mode }
}

fn requests() -> Vec<Request> {
    let path = || String::from("/a/b");
    let strings = || vec![path(), String::new()];
    vec![
        Request::Create(create(CreateKind::Create)),
        Request::Create(create(CreateKind::Create2)),
        Request::Create(create(CreateKind::Container)),
        Request::Create(create(CreateKind::Ttl(99))),
        Request::Delete { path: path(), version: -1 },
        Request::Exists { path: path(), watch: true },
        Request::GetData { path: path(), watch: false },
        Request::SetData { path: path(), data: None, version: 3 },
        Request::GetAcl { path: path() },
        Request::SetAcl { path: path(), acl: Acl::creator_all(), version: 1 },
        Request::GetChildren { path: path(), watch: true },
        Request::GetChildren2 { path: path(), watch: true },
        Request::Sync { path: path() },
        Request::Ping,
        Request::Check { path: path(), version: 4 },
        Request::Multi(vec![]),
        Request::Multi(vec![
            MultiOp::Create(create(CreateKind::Create2)),
            MultiOp::Delete { path: path(), version: 1 },
            MultiOp::SetData { path: path(), data: Some(Bytes::new()), version: 1 },
            MultiOp::Check { path: path(), version: 1 },
        ]),
        Request::MultiRead(vec![
            Request::GetData { path: path(), watch: false },
            Request::GetChildren { path: path(), watch: false },
        ]),
        Request::Reconfig { joining: path(), leaving: path(), new_members: path(), config_id: -1 },
        Request::Auth { kind: 0, scheme: "digest".into(), auth: b"a:b".to_vec() },
        Request::SetWatches { relative_zxid: 9, data: strings(), exist: vec![], child: strings() },
        Request::SetWatches2 {
            relative_zxid: 9,
            data: strings(),
            exist: vec![],
            child: strings(),
            persistent: vec![],
            recursive: strings(),
        },
        Request::AddWatch { path: path(), mode: 1 },
        Request::RemoveWatches { path: path(), kind: 3 },
        Request::CheckWatches { path: path(), kind: 1 },
        Request::GetEphemerals { prefix: path() },
        Request::GetAllChildrenNumber { path: path() },
        Request::WhoAmI,
        Request::Sasl { token: vec![1] },
        Request::CloseSession,
    ]
}

#[test]
fn requests_survive() {
    for request in requests() {
        let mut w = Writer::new();
        request.encode(42, &mut w);
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        let (header, back) = Request::decode(&mut r).unwrap();
        assert_eq!((header.xid, header.op, &back), (42, request.op(), &request));
        assert!(r.is_empty(), "{request:?}");
    }
}

#[test]
fn requests_cut_short_are_errors() {
    for request in requests() {
        let mut w = Writer::new();
        request.encode(1, &mut w);
        for n in 0..w.len() {
            assert!(Request::decode(&mut Reader::new(&w.as_slice()[..n])).is_err(), "{request:?} at {n}");
        }
    }
}

#[test]
fn responses_survive() {
    let stat = Stat { czxid: 1, mzxid: 2, data_length: 3, pzxid: -4, ..Stat::default() };
    let all = [
        (OpCode::DELETE, Response::Empty),
        (OpCode::CREATE, Response::Path("/a".into())),
        (OpCode::CREATE2, Response::PathStat("/a".into(), stat)),
        (OpCode::EXISTS, Response::Stat(stat)),
        (OpCode::GET_DATA, Response::Data(None, stat)),
        (OpCode::GET_ACL, Response::Acl(Acl::open(), stat)),
        (OpCode::GET_CHILDREN, Response::Names(vec!["a".into()])),
        (OpCode::GET_CHILDREN2, Response::NamesStat(vec![], stat)),
        (
            OpCode::MULTI,
            Response::Multi(vec![
                MultiResult::Create("/a".into()),
                MultiResult::Create2("/a".into(), stat, OpCode::CREATE_TTL),
                MultiResult::Delete,
                MultiResult::SetData(stat),
                MultiResult::Check,
                MultiResult::GetData(Some(Bytes::from_static(b"1")), stat),
                MultiResult::GetChildren(vec!["a".into()]),
                MultiResult::Error(ErrorCode::NO_NODE),
            ]),
        ),
        (OpCode::GET_ALL_CHILDREN_NUMBER, Response::Count(7)),
    ];
    for (op, response) in all {
        let mut w = Writer::new();
        response.encode(&mut w);
        let mut r = Reader::new(w.as_slice());
        assert_eq!(Response::decode(op, &mut r).unwrap(), response);
        assert!(r.is_empty());
    }
}

#[test]
fn transactions_survive_with_and_without_digest() {
    let (path, acl, data) = (String::from("/a"), Acl::open(), Some(Bytes::from_static(b"d")));
    let delete = Txn::Delete { path: path.clone() };
    let all = [
        Txn::Create { path: path.clone(), data: None, acl: acl.clone(), ephemeral: true, parent_cversion: 5 },
        Txn::CreateContainer { path: path.clone(), data: data.clone(), acl: acl.clone(), parent_cversion: 5 },
        Txn::CreateTtl {
            path: path.clone(),
            data: data.clone(),
            acl: acl.clone(),
            parent_cversion: 5,
            ttl_ms: 9,
        },
        delete.clone(),
        Txn::SetData { path: path.clone(), data, version: 2 },
        Txn::SetAcl { path: path.clone(), acl, version: 2 },
        Txn::CreateSession { timeout_ms: 4000 },
        Txn::CloseSession { ephemerals: Some(vec![path.clone()]) },
        Txn::Error { err: ErrorCode::BAD_VERSION },
        Txn::Multi(vec![(OpCode::DELETE, delete), (OpCode::CHECK, Txn::Check { path, version: 1 })]),
    ];
    for txn in all {
        for digest in [None, Some(TxnDigest { version: 2, value: -3 })] {
            let header = TxnHeader { client_id: -1, cxid: 2, zxid: 3, time_ms: 4, kind: txn_type(&txn) };
            let record = TxnRecord { header, txn: txn.clone(), digest };
            let mut w = Writer::new();
            record.encode(&mut w);
            assert_eq!(TxnRecord::decode(w.as_slice()).unwrap(), record);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), op in -12i32..110) {
        let _ = Request::decode_body(OpCode(op), &mut Reader::new(&bytes));
        let _ = Response::decode(OpCode(op), &mut Reader::new(&bytes));
        let _ = TxnRecord::decode(&bytes);
        let _ = zooky_wire::file::entry_at(&bytes);
    }
}
