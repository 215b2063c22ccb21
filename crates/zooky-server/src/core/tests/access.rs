//! Who may do what.

use zooky_wire::{ClientInfo, MultiOp, MultiResult, perms};

use super::*;

/// A node that a digest user owns alone.
fn owned(b: &mut Bench) -> (ConnId, ConnId) {
    let owner = b.client();
    b.login(owner, "u:p");
    b.ask(owner, &create("/own", CreateMode::PERSISTENT, Acl::creator_all())).unwrap();
    (owner, b.client())
}

#[test]
fn every_operation_asks() {
    let mut b = Bench::new();
    let (owner, other) = owned(&mut b);
    b.make(owner, "/own/child");
    let path = || "/own".to_owned();
    let before = b.dump();
    for request in [
        Request::Exists { path: path(), watch: true },
        Request::GetData { path: path(), watch: true },
        Request::GetChildren { path: path(), watch: true },
        Request::GetChildren2 { path: path(), watch: true },
        Request::GetAcl { path: path() },
        Request::GetAllChildrenNumber { path: path() },
        Request::SetData { path: path(), data: None, version: -1 },
        Request::SetAcl { path: path(), acl: Acl::open(), version: -1 },
        create("/own/x", CreateMode::PERSISTENT, Acl::open()),
        Request::Delete { path: "/own/child".into(), version: -1 },
    ] {
        assert_eq!(b.ask(other, &request), Err(ErrorCode::NO_AUTH), "{request:?}");
    }
    assert_eq!(b.core.stats().watches, 0);
    assert_eq!(b.dump(), before);
    b.login(other, "u:p");
    assert!(b.delete(other, "/own/child").is_ok());
}

#[test]
fn every_part_of_a_multi_asks() {
    let mut b = Bench::new();
    let (owner, other) = owned(&mut b);
    b.make(owner, "/own/child");
    let path = || "/own".to_owned();
    let made = |kind: CreateKind, mode: CreateMode| {
        let create = Create { kind, path: "/own/x".into(), data: None, acl: Acl::open(), mode };
        MultiOp::Create(create)
    };
    let before = b.dump();
    for part in [
        made(CreateKind::Create, CreateMode::PERSISTENT),
        made(CreateKind::Create2, CreateMode::EPHEMERAL_SEQUENTIAL),
        made(CreateKind::Container, CreateMode::CONTAINER),
        made(CreateKind::Ttl(1_000), CreateMode::PERSISTENT_WITH_TTL),
        MultiOp::SetData { path: path(), data: None, version: -1 },
        MultiOp::Delete { path: "/own/child".into(), version: -1 },
        MultiOp::Check { path: path(), version: -1 },
    ] {
        let good = MultiOp::Check { path: "/".into(), version: -1 };
        let results = b.ask(other, &Request::Multi(vec![good, part.clone()]));
        let expected = [ErrorCode::OK, ErrorCode::NO_AUTH].map(MultiResult::Error);
        assert_eq!(results, Ok(Response::Multi(expected.into())), "{part:?}");
    }
    let reads = vec![
        Request::GetData { path: path(), watch: false },
        Request::GetChildren { path: path(), watch: false },
    ];
    let expected = vec![MultiResult::Error(ErrorCode::NO_AUTH); 2];
    assert_eq!(b.ask(other, &Request::MultiRead(reads)), Ok(Response::Multi(expected)));
    assert_eq!(b.dump(), before);
}

/// CVE-2023-44981 was an authority that took a missing identity for a good one.
#[test]
fn a_missing_identity_is_a_denial() {
    let mut b = Bench::new();
    let (owner, nobody) = (b.client(), b.client());
    for (number, id) in [("digest", "u:hash"), ("x509", "CN=u"), ("ip", "10.0.0.8")].iter().enumerate() {
        let path = format!("/only{number}");
        let acl = vec![Acl::new(perms::ALL, id.0, id.1)];
        if b.ask(owner, &create(&path, CreateMode::PERSISTENT, acl)).is_err() {
            assert_eq!(id.0, "x509", "without a certificate nobody knows how to read its names");
            continue;
        }
        assert_eq!(b.stat(nobody, &path), Err(ErrorCode::NO_AUTH), "{id:?}");
    }
    // Credentials that name nobody do not become an identity that is in an ACL.
    for credential in ["", ":", "u", "u:", ":p"] {
        let conn = b.client();
        b.login(conn, credential);
        assert_eq!(b.stat(conn, "/only0"), Err(ErrorCode::NO_AUTH), "{credential:?}");
    }
    // `auth` stands for the identities of the caller, and an address is none.
    let mine = create("/mine", CreateMode::PERSISTENT, Acl::creator_all());
    assert_eq!(b.ask(nobody, &mine), Err(ErrorCode::INVALID_ACL));
}

#[test]
fn unknown_schemes_are_refused_and_closed() {
    for scheme in ["kerberos", "sasl", "x509", "super", "auth", "world", "Digest", ""] {
        let mut b = Bench::new();
        let conn = b.client();
        let out = b.send(conn, &Request::Auth { kind: 0, scheme: scheme.into(), auth: b"u:p".to_vec() });
        assert_eq!(reply(&out, conn, OpCode::AUTH), Err(ErrorCode::AUTH_FAILED), "{scheme}");
        assert!(closes(&out, conn), "{scheme}");
    }
}

#[test]
fn sasl_makes_nobody_of_a_client_and_keeps_it() {
    let mut b = Bench::new();
    let (_, other) = owned(&mut b);
    let out = b.send(other, &Request::Sasl { token: b"u:p".to_vec() });
    let [Got::Reply(header, token)] = &gets(&out, other)[..] else { panic!("{out:?}") };
    assert_eq!((header.err, &token[..]), (ErrorCode::OK, &[0xff; 4][..]));
    assert!(!closes(&out, other));
    assert_eq!(b.stat(other, "/own"), Err(ErrorCode::NO_AUTH));
}

#[test]
fn super_may_do_everything() {
    let mut config = config();
    config.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
    let mut b = Bench::with(config);
    let (_, other) = owned(&mut b);
    b.login(other, "super:wrong");
    assert_eq!(b.stat(other, "/own"), Err(ErrorCode::NO_AUTH));
    b.login(other, "super:test");
    assert!(b.stat(other, "/own").is_ok());
}

#[test]
fn acls_are_shown_masked() {
    let mut b = Bench::new();
    let (owner, other) = owned(&mut b);
    let id = crate::core::auth::digest_id(b"u:p");
    let acl = vec![Acl::new(perms::READ, "world", "anyone"), Acl::new(perms::ALL, "digest", &*id)];
    b.ask(owner, &Request::SetAcl { path: "/own".into(), acl: acl.clone(), version: -1 }).unwrap();
    let get = Request::GetAcl { path: "/own".into() };
    assert!(matches!(b.ask(owner, &get), Ok(Response::Acl(shown, _)) if shown == acl));
    match b.ask(other, &get) {
        Ok(Response::Acl(shown, _)) => assert_eq!(shown[1].id.id, "u:x"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_acls_and_bad_credentials_are_refused() {
    let mut b = Bench::new();
    let conn = b.client();
    for acl in [vec![], Acl::creator_all(), vec![Acl::new(31, "x509", "cn")]] {
        assert_eq!(b.ask(conn, &create("/a", CreateMode::PERSISTENT, acl)), Err(ErrorCode::INVALID_ACL));
    }
    let bad = Request::Auth { kind: 0, scheme: "world".into(), auth: b"anyone".to_vec() };
    let out = b.send(conn, &bad);
    assert_eq!(reply(&out, conn, OpCode::AUTH), Err(ErrorCode::AUTH_FAILED));
    assert!(closes(&out, conn));
}

#[test]
fn who_am_i_lists_names() {
    let mut b = Bench::new();
    let conn = b.client();
    b.login(conn, "u:p");
    b.login(conn, "u:p");
    let info = |scheme: &str, user: &str| ClientInfo { scheme: scheme.into(), user: user.into() };
    let expected = vec![info("ip", "10.0.0.7"), info("digest", "u")];
    assert_eq!(b.ask(conn, &Request::WhoAmI), Ok(Response::WhoAmI(expected)));
}

#[test]
fn a_watch_tells_nothing_of_what_may_not_be_read() {
    let mut b = Bench::new();
    let (owner, other) = owned(&mut b);
    b.delete(owner, "/own").unwrap();
    b.ask(other, &Request::Exists { path: "/own".into(), watch: true }).unwrap_err();
    b.ask(owner, &Request::Exists { path: "/own".into(), watch: true }).unwrap_err();
    b.ask(other, &Request::AddWatch { path: "/".into(), mode: 1 }).unwrap();
    b.send(owner, &create("/own", CreateMode::PERSISTENT, Acl::creator_all()));
    let out = b.last.clone();
    assert!(events(&out, other).is_empty(), "{out:?}");
    assert_eq!(events(&out, owner), [(EventType::CREATED, "/own".to_owned())]);
    b.send(owner, &Request::Delete { path: "/own".into(), version: -1 });
    assert!(events(&b.last, other).is_empty());
    let missed =
        Request::SetWatches { relative_zxid: 0, data: vec![], exist: vec!["/own".into()], child: vec![] };
    b.ask(owner, &create("/own", CreateMode::PERSISTENT, Acl::creator_all())).unwrap();
    let out = b.send(other, &missed);
    assert!(events(&out, other).is_empty());
}

/// Paths that are too long to be copied for nothing get the answers that others get, from another place in the code.
#[test]
fn a_path_longer_than_any_leads_nowhere() {
    let mut b = Bench::new();
    let conn = b.client();
    let long = format!("/{}", "x".repeat(20_000));
    let reads = |path: &str, watch: bool| {
        let path = || path.to_owned();
        [
            Request::Exists { path: path(), watch },
            Request::GetData { path: path(), watch },
            Request::GetChildren { path: path(), watch },
            Request::GetChildren2 { path: path(), watch },
        ]
    };
    for request in reads(&long, false) {
        assert_eq!(b.ask(conn, &request), Err(ErrorCode::NO_NODE));
    }
    let [exists, others @ ..] = reads(&format!("{long}\0"), false);
    assert_eq!(b.ask(conn, &exists), Err(ErrorCode::BAD_ARGUMENTS));
    for request in others {
        assert_eq!(b.ask(conn, &request), Err(ErrorCode::NO_NODE));
    }
    // As with a short one.
    for path in ["/x", &long] {
        let [exists, ..] = reads(path, false);
        let mut w = Writer::new();
        exists.encode(7, &mut w);
        let mut frame = w.into_buf();
        frame[13] = 0xff;
        let out = b.step(Input::Frame { conn, frame: frame.freeze() });
        assert_eq!(reply(&out, conn, OpCode::EXISTS), Err(ErrorCode::MARSHALLING));
    }
    for request in reads(&long, true) {
        let refused = if matches!(request, Request::Exists { .. }) {
            ErrorCode::INVALID_CALLBACK
        } else {
            ErrorCode::NO_NODE
        };
        assert_eq!(b.ask(conn, &request), Err(refused), "a watch that would have no room");
    }
    b.make(conn, &long);
    for request in reads(&long, false) {
        assert!(b.ask(conn, &request).is_ok());
    }
}
