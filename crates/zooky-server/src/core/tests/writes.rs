//! Writes: what they leave, what they show, what they log.

use super::*;

#[test]
fn the_empty_tree_is_the_originals() {
    let mut b = Bench::new();
    let stats = b.core.stats();
    assert_eq!((stats.znodes, stats.approximate_data_size), (5, 44));
    let conn = b.client();
    let root = b.stat(conn, "/").unwrap();
    assert_eq!((root.cversion, root.num_children, root.czxid), (-1, 1, 0));
    assert_eq!(b.ask(conn, &Request::GetAllChildrenNumber { path: "/".into() }), Ok(Response::Count(3)));
}

#[test]
fn stats_are_exact() {
    let mut b = Bench::new();
    let conn = b.client();
    let made = b.make(conn, "/a");
    let wall = b.now.wall_ms;
    let expected = Stat {
        czxid: 2,
        mzxid: 2,
        pzxid: 2,
        ctime_ms: wall,
        mtime_ms: wall,
        data_length: 1,
        ..Stat::default()
    };
    assert_eq!(made, expected);
    b.now.wall_ms += 5;
    let set = Request::SetData { path: "/a".into(), data: Some(Bytes::from_static(b"xyz")), version: 0 };
    let expected = Stat { mzxid: 3, mtime_ms: wall + 5, version: 1, data_length: 3, ..expected };
    assert_eq!(b.ask(conn, &set), Ok(Response::Stat(expected)));
    assert_eq!(b.ask(conn, &set), Err(ErrorCode::BAD_VERSION));
    b.make(conn, "/a/b");
    let expected = Stat { pzxid: 4, cversion: 1, num_children: 1, ..expected };
    assert_eq!(b.stat(conn, "/a"), Ok(expected));
    b.delete(conn, "/a/b").unwrap();
    let expected = Stat { pzxid: 5, cversion: 2, num_children: 0, ..expected };
    assert_eq!(b.stat(conn, "/a"), Ok(expected));
    let acl = Request::SetAcl { path: "/a".into(), acl: Acl::open(), version: 0 };
    assert_eq!(b.ask(conn, &acl), Ok(Response::Stat(Stat { aversion: 1, ..expected })));
    assert_eq!(b.ask(conn, &acl), Err(ErrorCode::BAD_VERSION));
}

#[test]
fn sequence_numbers_are_never_given_twice() {
    let mut b = Bench::new();
    let conn = b.client();
    b.make(conn, "/q");
    let mut seen = Vec::new();
    for i in 0..5 {
        let (path, stat) = b.create(conn, "/q/n-", CreateMode::EPHEMERAL_SEQUENTIAL).unwrap();
        assert_eq!(path, format!("/q/n-{i:010}"));
        assert_eq!(stat.ephemeral_owner, FIRST);
        b.delete(conn, &path).unwrap();
        seen.push(path);
    }
    assert_eq!(b.create(conn, "/q/", CreateMode::PERSISTENT_SEQUENTIAL).unwrap().0, "/q/0000000005");
}

#[test]
fn refusals_are_the_originals_and_change_nothing() {
    use CreateMode as M;
    let mut b = Bench::new();
    let conn = b.client();
    b.make(conn, "/a");
    b.make(conn, "/a/b");
    b.create(conn, "/e", M::EPHEMERAL).unwrap();
    let (before, logged) = (b.dump(), b.log.len());
    for (path, mode, err) in [
        ("/a", M::PERSISTENT, ErrorCode::NODE_EXISTS),
        ("/", M::PERSISTENT, ErrorCode::NODE_EXISTS),
        ("/x/y", M::PERSISTENT, ErrorCode::NO_NODE),
        ("/a/", M::PERSISTENT, ErrorCode::BAD_ARGUMENTS),
        ("a", M::PERSISTENT, ErrorCode::BAD_ARGUMENTS),
        ("", M::PERSISTENT, ErrorCode::BAD_ARGUMENTS),
        ("/a/..", M::PERSISTENT, ErrorCode::BAD_ARGUMENTS),
        ("/a/\u{0}", M::PERSISTENT, ErrorCode::BAD_ARGUMENTS),
        ("/e/c", M::PERSISTENT, ErrorCode::NO_CHILDREN_FOR_EPHEMERALS),
        ("/n", M(7), ErrorCode::BAD_ARGUMENTS),
        ("/n", M::PERSISTENT_WITH_TTL, ErrorCode::BAD_ARGUMENTS),
    ] {
        assert_eq!(b.create(conn, path, mode).unwrap_err(), err, "{path:?} {mode:?}");
    }
    for (path, err) in [
        ("/a", ErrorCode::NOT_EMPTY),
        ("/x", ErrorCode::NO_NODE),
        ("/", ErrorCode::BAD_ARGUMENTS),
        ("", ErrorCode::BAD_ARGUMENTS),
        ("/zookeeper", ErrorCode::BAD_ARGUMENTS),
        ("/zookeeper/quota", ErrorCode::BAD_ARGUMENTS),
    ] {
        assert_eq!(b.delete(conn, path).unwrap_err(), err, "{path:?}");
    }
    let old = Request::Delete { path: "/a/b".into(), version: 3 };
    assert_eq!(b.ask(conn, &old), Err(ErrorCode::BAD_VERSION));
    let get = Request::GetData { path: "/x".into(), watch: true };
    assert_eq!(b.ask(conn, &get), Err(ErrorCode::NO_NODE));
    assert_eq!(b.core.stats().watches, 0);
    assert_eq!((b.dump(), b.log.len()), (before, logged));
}

#[test]
fn null_data_is_not_empty_data() {
    let mut b = Bench::new();
    let conn = b.client();
    for (path, data) in [("/null", None), ("/empty", Some(Bytes::new()))] {
        let kind = CreateKind::Create;
        let (acl, mode) = (Acl::open(), CreateMode::PERSISTENT);
        let create = Create { kind, path: path.into(), data: data.clone(), acl, mode };
        assert_eq!(b.ask(conn, &Request::Create(create)), Ok(Response::Path(path.into())));
        match b.ask(conn, &Request::GetData { path: path.into(), watch: false }) {
            Ok(Response::Data(got, _)) => assert_eq!(got, data),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_write_is_put_out_before_its_reply() {
    let mut b = Bench::new();
    let conn = b.client();
    let out = b.send(conn, &create("/a", CreateMode::PERSISTENT, Acl::open()));
    assert!(matches!(&out[..], [Output::Append(_), Output::Send { .. }]));
    let record = b.log.last().unwrap();
    assert_eq!((record.header.zxid, record.header.kind), (2, OpCode::CREATE2));
    assert_eq!((record.header.client_id, record.digest), (FIRST, None));
    let mut w = Writer::new();
    record.encode(&mut w);
    assert_eq!(&TxnRecord::decode(w.as_slice()).unwrap(), record);
    match &gets(&out, conn)[0] {
        Got::Reply(header, _) => assert_eq!((header.xid, header.zxid), (record.header.cxid, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sync_ping_and_listings() {
    let mut b = Bench::new();
    let conn = b.client();
    assert_eq!(b.ask(conn, &Request::Sync { path: "/x".into() }), Ok(Response::Path("/x".into())));
    let out = b.send(conn, &Request::Ping);
    assert!(matches!(&gets(&out, conn)[0], Got::Reply(h, _) if h.xid == xid::PING && h.zxid == 1));
    for path in ["/a", "/a/b", "/a/c"] {
        b.create(conn, path, CreateMode::PERSISTENT).unwrap();
    }
    b.create(conn, "/a/e", CreateMode::EPHEMERAL).unwrap();
    match b.ask(conn, &Request::GetChildren2 { path: "/a".into(), watch: false }).unwrap() {
        Response::NamesStat(mut names, stat) => {
            names.sort();
            assert_eq!((names, stat.num_children), (vec!["b".into(), "c".into(), "e".into()], 3));
        }
        other => panic!("{other:?}"),
    }
    let own = |prefix: &str| Request::GetEphemerals { prefix: prefix.into() };
    assert_eq!(b.ask(conn, &own("/")), Ok(Response::Names(vec!["/a/e".into()])));
    assert_eq!(b.ask(conn, &own("/b")), Ok(Response::Names(vec![])));
}
