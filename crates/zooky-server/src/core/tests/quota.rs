//! Quotas, and reconfiguration.

use super::*;

fn put(path: &str, data: &str) -> Request {
    let (acl, mode) = (Acl::open(), CreateMode::PERSISTENT);
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Request::Create(Create { kind: CreateKind::Create, path: path.into(), data, acl, mode })
}

fn set(path: &str, data: &str) -> Request {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Request::SetData { path: path.into(), data, version: -1 }
}

fn read(bench: &mut Bench, conn: ConnId, path: &str) -> String {
    match bench.ask(conn, &Request::GetData { path: path.into(), watch: false }) {
        Ok(Response::Data(data, _)) => String::from_utf8(data.unwrap().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A bench with `/a` (1 byte), `/a/b` (2 bytes) and limits on `/a`.
fn limited(enforce: bool, limits: &str) -> (Bench, ConnId) {
    let mut bench = Bench::with(CoreConfig { enforce_quota: enforce, ..config() });
    let conn = bench.client();
    for (path, data) in [
        ("/a", "1"),
        ("/a/b", "22"),
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/zookeeper_limits", limits),
        ("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0"),
    ] {
        bench.ask(conn, &put(path, data)).unwrap();
    }
    (bench, conn)
}

const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

#[test]
fn stats_are_kept_up() {
    let (mut bench, conn) = limited(false, "count=1,bytes=1");
    assert_eq!(read(&mut bench, conn, STATS), "count=2,bytes=3");
    bench.ask(conn, &put("/a/b/c", "333")).unwrap();
    bench.ask(conn, &set("/a", "4444")).unwrap();
    bench.ask(conn, &put("/ab", "other")).unwrap();
    assert_eq!(read(&mut bench, conn, STATS), "count=3,bytes=9");
    bench.delete(conn, "/a/b/c").unwrap();
    assert_eq!(read(&mut bench, conn, STATS), "count=2,bytes=6");
    // What a failed multi planned does not count.
    let Request::Create(part) = put("/a/d", "55555") else { panic!() };
    let check = zooky_wire::MultiOp::Check { path: "/none".into(), version: 0 };
    bench.ask(conn, &Request::Multi(vec![zooky_wire::MultiOp::Create(part), check])).unwrap();
    assert_eq!(read(&mut bench, conn, STATS), "count=2,bytes=6");
    bench.delete(conn, "/zookeeper/quota/a/zookeeper_limits").unwrap();
    bench.ask(conn, &put("/a/e", "1")).unwrap();
    assert_eq!(read(&mut bench, conn, STATS), "count=2,bytes=6");
}

#[test]
fn only_hard_limits_that_are_enforced_refuse() {
    let limits = "count=1,bytes=1=;byteHardLimit=5;countHardLimit=3";
    let (mut bench, conn) = limited(false, limits);
    bench.ask(conn, &put("/a/c", "333")).unwrap();
    let (mut bench, conn) = limited(true, limits);
    assert_eq!(bench.ask(conn, &put("/a/c", "333")), Err(ErrorCode::QUOTA_EXCEEDED));
    bench.ask(conn, &put("/a/c", "22")).unwrap();
    assert_eq!(bench.ask(conn, &set("/a/c", "333")), Err(ErrorCode::QUOTA_EXCEEDED));
    assert_eq!(bench.ask(conn, &put("/a/d", "")), Err(ErrorCode::QUOTA_EXCEEDED));
    bench.ask(conn, &put("/b", "elsewhere")).unwrap();
}

#[test]
fn a_replay_counts_the_same() {
    let (mut bench, conn) = limited(false, "count=1,bytes=1");
    bench.ask(conn, &put("/a/b/c", "333")).unwrap();
    let mut again = Core::new(config());
    for record in &bench.log {
        again.replay(record).unwrap();
    }
    assert_eq!(dump(&again), bench.dump());
    let image = bench.core.image();
    let nodes = image.nodes().map(|n| RestoredNode {
        path: n.path.into(),
        data: n.data.map(Bytes::copy_from_slice),
        acl: n.acl,
        stat: n.stat,
    });
    let acls = image.acls().into_iter().map(|(number, acl)| (number, acl.to_vec()));
    let mut restored = Core::restore(config(), image.last_zxid(), image.sessions(), acls, nodes).unwrap();
    assert_eq!(dump(&restored), bench.dump());
    let header = zooky_wire::TxnHeader {
        client_id: FIRST,
        cxid: 0,
        zxid: restored.last_zxid() + 1,
        time_ms: 0,
        kind: OpCode::DELETE,
    };
    let txn = zooky_wire::Txn::Delete { path: "/a/b/c".into() };
    restored.replay(&TxnRecord { header, txn, digest: None }).unwrap();
    assert!(dump(&restored).contains("zookeeper_stats Some([99, 111, 117, 110, 116, 61, 50,"), "count=2");
}

fn reconfig(joining: &str, leaving: &str, config_id: i64) -> Request {
    let (joining, leaving) = (joining.into(), leaving.into());
    Request::Reconfig { joining, leaving, new_members: String::new(), config_id }
}

#[test]
fn an_ensemble_of_one_can_list_observers() {
    let super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned());
    let mut bench = Bench::with(CoreConfig { super_digest, ..config() });
    let conn = bench.client();
    let observer = "server.9=10.0.0.9:1:2:observer;10.0.0.9:3";
    assert_eq!(read(&mut bench, conn, "/zookeeper/config"), "");
    assert_eq!(bench.ask(conn, &reconfig(observer, "", -1)), Err(ErrorCode::NO_AUTH));
    bench.login(conn, "super:test");
    for (request, error) in [
        (reconfig("some thing", "", -1), ErrorCode::BAD_ARGUMENTS),
        (reconfig(observer, "", 7), ErrorCode::BAD_VERSION),
        (reconfig("", "1", -1), ErrorCode::BAD_ARGUMENTS),
        (reconfig("server.2=10.0.0.9:1:2;3", "", -1), ErrorCode::NEW_CONFIG_NO_QUORUM),
    ] {
        assert_eq!(bench.ask(conn, &request), Err(error), "{request:?}");
    }
    let Ok(Response::Data(Some(data), stat)) = bench.ask(conn, &reconfig(observer, "", 0)) else { panic!() };
    let own = "server.1=0.0.0.0:2888:3888:participant;0.0.0.0:2181\n";
    let version = format!("version={:x}", stat.mzxid);
    assert_eq!(data, format!("{own}{observer}\n{version}"));
    assert_eq!(stat.version, -1);
    assert_eq!(read(&mut bench, conn, "/zookeeper/config"), format!("{own}{observer}\n{version}"));
    let Ok(Response::Data(Some(data), _)) = bench.ask(conn, &reconfig("", "9", stat.mzxid)) else { panic!() };
    assert!(data.starts_with(own.as_bytes()) && !data.windows(8).any(|w| w == b"server.9"));
    let mut again = Core::new(config());
    for record in &bench.log {
        again.replay(record).unwrap();
    }
    assert_eq!(dump(&again), bench.dump());
}
