//! Replay and snapshots.

use super::*;

/// Sessions, ACLs, nodes.
type Parts = (Vec<(i64, i32)>, Vec<(i64, Vec<Acl>)>, Vec<RestoredNode>);

fn image(core: &Core) -> Parts {
    let image = core.image();
    let acls = image.acls().into_iter().map(|(id, acl)| (id, acl.to_vec())).collect();
    let nodes = image.nodes().map(|n| RestoredNode {
        path: n.path.to_owned(),
        data: n.data.map(Bytes::copy_from_slice),
        acl: n.acl,
        stat: n.stat,
    });
    (image.sessions(), acls, nodes.collect())
}

/// A core with a bit of everything.
fn busy() -> Bench {
    let mut b = Bench::new();
    let conn = b.client();
    b.login(conn, "u:p");
    for path in ["/a", "/a/b", "/a/b/c", "/d"] {
        b.make(conn, path);
    }
    b.ask(conn, &create("/own", CreateMode::PERSISTENT, Acl::creator_all())).unwrap();
    b.create(conn, "/a/e", CreateMode::EPHEMERAL_SEQUENTIAL).unwrap();
    b.delete(conn, "/a/b/c").unwrap();
    let gone = b.client();
    b.create(gone, "/gone", CreateMode::EPHEMERAL).unwrap();
    b.send(gone, &Request::CloseSession);
    b
}

#[test]
fn the_log_gives_the_state_back() {
    let b = busy();
    let mut again = Core::new(config());
    for record in &b.log {
        again.replay(record).unwrap();
    }
    assert_eq!(dump(&again), b.dump());
    let zxid = b.log[0].header.zxid;
    let last = again.last_zxid();
    assert_eq!(again.replay(&b.log[0]), Err(ReplayError::OutOfOrder { zxid, last }));
}

#[test]
fn a_fuzzy_snapshot_and_the_log_over_it_give_the_state_back() {
    let b = busy();
    let (sessions, acls, nodes) = image(&b.core);
    for start in 0..b.log.len() {
        // A snapshot that shows everything already, although its name says less. Its sessions are
        // of its beginning.
        let mut before = Core::new(config());
        for record in &b.log[..start] {
            before.replay(record).unwrap();
        }
        let zxid = before.last_zxid();
        let old = before.image().sessions();
        let mut again = Core::restore(config(), zxid, old, acls.clone(), nodes.clone()).unwrap();
        for record in &b.log[start..] {
            again.replay(record).unwrap();
        }
        assert_eq!(again.image().sessions(), sessions);
        let paths = |core: &Core| {
            let mut all: Vec<_> = core
                .image()
                .nodes()
                .map(|n| (n.path.to_owned(), n.stat.cversion, n.stat.pzxid, n.stat.ephemeral_owner))
                .collect();
            all.sort();
            all
        };
        assert_eq!(paths(&again), paths(&b.core), "from {start}");
    }
}

#[test]
fn snapshots_that_make_no_sense_are_named() {
    let b = busy();
    let (sessions, acls, nodes) = image(&b.core);
    let restore = |acls: &[(i64, Vec<Acl>)], nodes: &[RestoredNode]| {
        Core::restore(config(), 50, sessions.clone(), acls.to_vec(), nodes.to_vec())
    };
    let whole = restore(&acls, &nodes).unwrap();
    assert_eq!(dump(&whole).split_once('\n').unwrap().1, b.dump().split_once('\n').unwrap().1);
    let unknown = restore(&[], &nodes).unwrap().check_restored();
    assert!(matches!(unknown, Err(RestoreError::UnknownAcl { .. })));
    let mut lost = nodes.clone();
    lost.retain(|n| n.path != "/a");
    assert!(
        matches!(restore(&acls, &lost), Err(RestoreError::Misplaced { path }) if path == "/a/b" || path == "/a/e0000000001")
    );
    let mut twice = nodes.clone();
    twice.extend(nodes.last().cloned());
    assert!(matches!(restore(&acls, &twice), Err(RestoreError::Misplaced { .. })));
}

#[test]
fn sessions_survive_with_their_whole_timeout_and_their_password() {
    let mut b = Bench::new();
    let (conn, session) = b.session();
    b.create(conn, "/e", CreateMode::EPHEMERAL).unwrap();
    b.pass(3_999);
    let mut core = Core::new(CoreConfig { first_session_id: FIRST + 1_000, ..config() });
    b.log.iter().for_each(|record| core.replay(record).unwrap());
    b.core = core;
    b.core.begin(b.now);
    assert!(b.pass(4_000).is_empty());
    let conn = b.open();
    let again = ConnectRequest {
        session_id: session.session_id,
        password: session.password,
        timeout_ms: 4_000,
        ..fresh()
    };
    assert_eq!(connected(&b.connect_as(conn, &again)).unwrap().session_id, FIRST);
    assert!(b.stat(conn, "/e").is_ok());
}

#[test]
fn ephemerals_without_a_session_go_by_a_logged_transaction() {
    let b = busy();
    let (_, acls, nodes) = image(&b.core);
    let mut core = Core::restore(config(), 99, [], acls, nodes).unwrap();
    core.begin(b.now);
    assert_eq!(core.next_tick(), Some(b.now.mono_ms));
    let mut out = Vec::new();
    core.step(b.now, Input::Tick, &mut out);
    assert!(matches!(&out[..], [Output::Append(r)] if r.header.client_id == FIRST && r.header.zxid == 100));
    assert_eq!(core.stats().ephemerals, 0);
}
