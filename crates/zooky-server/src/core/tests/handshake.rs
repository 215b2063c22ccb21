//! New sessions, old ones, and those that are none.

use super::*;

#[test]
fn a_new_session_is_logged_before_it_is_answered() {
    let mut b = Bench::new();
    let conn = b.open();
    let out = b.connect_as(conn, &fresh());
    assert!(matches!(&out[0], Output::Append(r) if r.txn == Txn::CreateSession { timeout_ms: 4_000 }));
    let answer = connected(&out[1..]).unwrap();
    assert_eq!((answer.session_id, answer.timeout_ms, answer.read_only), (FIRST, 4_000, Some(false)));
    assert_eq!(answer.password.len(), 16);
    assert_eq!(b.core.last_zxid(), 1);
}

#[test]
fn timeouts_are_clamped_and_the_read_only_byte_is_answered_if_it_was_sent() {
    for (asked, given) in [(-1, 4_000), (0, 4_000), (10_000, 10_000), (i32::MAX, 40_000)] {
        let mut b = Bench::new();
        let conn = b.open();
        let request = ConnectRequest { timeout_ms: asked, read_only: None, password: vec![], ..fresh() };
        let answer = connected(&b.connect_as(conn, &request)).unwrap();
        assert_eq!((answer.timeout_ms, answer.read_only), (given, None));
    }
}

#[test]
fn an_old_session_moves_to_its_new_connection() {
    let mut b = Bench::new();
    let (old, session) = b.session();
    let new = b.open();
    let again = ConnectRequest {
        session_id: session.session_id,
        password: session.password.clone(),
        timeout_ms: 4_000,
        ..fresh()
    };
    let out = b.connect_as(new, &again);
    assert!(closes(&out, old));
    assert_eq!(connected(&out).unwrap(), session);
    assert_eq!(b.log.len(), 1, "nothing new to log");
    assert!(b.send(old, &Request::Ping).is_empty(), "the old connection is forgotten");
    assert_eq!(b.ask(new, &Request::Ping), Ok(Response::Empty));
    b.step(Input::Closed { conn: old });
    b.step(Input::Closed { conn: new });
    assert_eq!(b.core.stats().connections, 0);
    assert_eq!(b.core.stats().sessions, 1);
}

#[test]
fn a_new_timeout_is_logged() {
    let mut b = Bench::new();
    let (_, session) = b.session();
    let conn = b.open();
    let (session_id, password) = (session.session_id, session.password);
    b.connect_as(conn, &ConnectRequest { session_id, password, timeout_ms: 30_000, ..fresh() });
    assert_eq!(b.log[1].txn, Txn::CreateSession { timeout_ms: 30_000 });
    assert_eq!(b.core.image().sessions(), [(FIRST, 30_000)]);
    b.pass(30_000);
    assert_eq!(b.core.stats().sessions, 1);
}

#[test]
fn wrong_passwords_and_unknown_sessions_look_alike() {
    let mut b = Bench::new();
    let (old, session) = b.session();
    let mut wrong = session.password.clone();
    wrong[3] ^= 1;
    let (gone, closed) = b.session();
    b.send(gone, &Request::CloseSession);
    for (session_id, password) in [
        (session.session_id, wrong),
        (session.session_id, vec![]),
        (77, session.password.clone()),
        (closed.session_id, closed.password),
    ] {
        let conn = b.open();
        let out = b.connect_as(conn, &ConnectRequest { session_id, password, ..fresh() });
        let answer = connected(&out).unwrap();
        assert_eq!((answer.timeout_ms, answer.session_id), (0, 0));
        assert_eq!(answer.password, [0; 16]);
        assert!(closes(&out, conn) && !closes(&out, old));
    }
    assert_eq!(b.ask(old, &Request::Ping), Ok(Response::Empty), "the owner does not notice");
}

#[test]
fn a_client_that_is_ahead_and_one_that_talks_nonsense_are_closed() {
    let mut b = Bench::new();
    let conn = b.open();
    assert_eq!(
        b.connect_as(conn, &ConnectRequest { last_zxid_seen: 1, ..fresh() }),
        [Output::Close { conn }]
    );
    let conn = b.open();
    let frame = Bytes::from_static(b"GET / HTTP/1.1");
    assert_eq!(b.step(Input::Frame { conn, frame }), [Output::Close { conn }]);
    assert_eq!(b.core.last_zxid(), 0);
}

#[test]
fn sessions_have_a_limit() {
    let mut config = config();
    config.limits.max_sessions = 1;
    let mut b = Bench::with(config);
    b.session();
    let conn = b.open();
    assert_eq!(b.connect_as(conn, &fresh()), [Output::Close { conn }]);
}

#[test]
fn ids_keep_out_of_what_marks_containers_and_ttl_nodes() {
    let mut config = config();
    config.first_session_id = 0x7fff_ffff_ffff_ffff;
    let mut b = Bench::with(config.clone());
    assert_eq!(b.session().1.session_id, i64::MAX);
    config.first_session_id = -1;
    let mut b = Bench::with(config);
    assert_eq!(b.session().1.session_id, 1);
    assert_eq!(first_session_id(3, 0x1234) as u64 >> 56, 3);
    assert!(first_session_id(3, 2_000) > first_session_id(3, 1_999));
}

#[test]
fn unknown_requests_get_their_error() {
    let mut b = Bench::new();
    for op in [20, 99, -10, -1, 0] {
        let conn = b.client();
        let mut w = Writer::new();
        w.i32(5);
        w.i32(op);
        let out = b.step(Input::Frame { conn, frame: w.into_bytes() });
        assert_eq!(reply(&out, conn, OpCode(op)), Err(ErrorCode::UNIMPLEMENTED), "{op}");
        assert!(closes(&out, conn));
    }
    let conn = b.client();
    for op in [OpCode::CREATE, OpCode::GET_DATA, OpCode::CHECK, OpCode::MULTI, OpCode::SET_WATCHES] {
        let mut w = Writer::new();
        w.i32(5);
        w.i32(op.0);
        w.i32(-7);
        let out = b.step(Input::Frame { conn, frame: w.into_bytes() });
        assert_eq!(reply(&out, conn, op), Err(ErrorCode::MARSHALLING), "{op:?}");
    }
    let frame = Bytes::from_static(b"abc");
    assert_eq!(b.step(Input::Frame { conn, frame }), [Output::Close { conn }]);
}
