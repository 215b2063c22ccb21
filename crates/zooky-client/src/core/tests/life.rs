//! How a session lives, is lost and ends.

use super::*;

#[test]
fn a_quiet_session_syncs_and_lives() {
    let mut play = Play::open(settings());
    for beat in 1..100 {
        play.pass(2_000);
        let written = play.written();
        assert!(matches!(written[..], [(_, Request::Sync { .. })]), "beat {beat}: {written:?}");
        play.reply(written[0].0, 1, ErrorCode::OK, &Response::Path("/".into()));
        let (deadline, _) = play.core.deadline().unwrap();
        assert!(deadline >= play.now + Duration::from_millis(5_400));
    }
    assert!(!play.said("State") && !play.said("Disconnect"));
}

#[test]
fn pings_and_refused_syncs_prove_nothing() {
    let mut play = Play::open(settings());
    for _ in 0..5 {
        play.pass(2_000);
        for (number, _) in play.written() {
            play.reply(number, 1, ErrorCode::SYSTEM, &Response::Empty);
        }
        play.reply(xid::PING, 1, ErrorCode::OK, &Response::Empty);
    }
    assert!(!play.said("State"));
    play.pass(1_399);
    assert!(!play.said("State"));
    play.pass(1);
    assert!(play.said("State(Lost)"));
}

#[test]
fn a_silent_connection_is_given_up_in_time_to_reattach() {
    let mut play = Play::open(settings());
    for _ in 0..10 {
        play.pass(2_000);
        play.serve(1);
    }
    play.out.clear();
    play.pass(3_999);
    assert!(!play.said("Disconnect"));
    play.pass(1);
    assert!(play.said("Disconnect") && play.said("State(Suspended)"));
    let (deadline, _) = play.core.deadline().unwrap();
    let left = deadline.saturating_since(play.now);
    assert!(left >= Duration::from_millis(u64::try_from(T_MS).unwrap() / 4), "{left:?}");
}

#[test]
fn our_own_standstill_is_not_the_servers_silence() {
    let mut play = Play::open(settings());
    play.now = play.now + Duration::from_millis(9_000);
    play.core.tick(play.now, &mut play.out);
    assert!(!play.said("Disconnect"));
    play.serve(1);
    play.pass(1_999);
    assert!(!play.said("Disconnect"));
}

#[test]
fn past_the_deadline_everything_fails_and_only_the_close_leaves() {
    let mut play = Play::open(settings());
    play.exists("watch", "/a");
    play.serve(1);
    play.get("sent");
    play.written();
    play.now = play.now + Duration::from_millis(11_400);
    play.out.clear();
    // The answer is there, but so is the deadline: the clock is looked at first.
    play.reply(2, 2, ErrorCode::OK, &Response::Data(None, Stat::default()));
    assert_eq!(play.failure("sent"), Some(Error::SessionLost));
    assert!(play.said("State(Lost)") && play.said("Event(Waiter(\"watch\""));
    play.get("late");
    assert_eq!(play.failure("late"), Some(Error::SessionLost));
    let written = play.written();
    assert!(matches!(written[..], [(_, Request::CloseSession)]), "{written:?}");
    play.reply(written[0].0, 3, ErrorCode::OK, &Response::Empty);
    assert!(play.said("Over(Ok"));
}

#[test]
fn requests_that_have_not_left_at_the_deadline_never_leave() {
    let mut play = Play::open(settings());
    play.get("stuck");
    play.now = play.now + Duration::from_millis(11_400);
    play.core.tick(play.now, &mut play.out);
    assert_eq!(play.failure("stuck"), Some(Error::SessionLost));
    assert!(play.said("Disconnect") && play.core.wire.is_empty());
    play.out.clear();
    play.attach();
    play.welcome(7, T_MS);
    let written = play.written();
    assert!(matches!(written[..], [(_, Request::CloseSession)]), "{written:?}");
}

#[test]
fn an_expired_session_is_lost_and_over() {
    let mut play = Play::open(settings());
    play.lose_connection();
    play.get("waits");
    play.attach();
    play.welcome(0, 0);
    assert!(play.said("State(Lost)") && play.said("Over(Ok"));
    assert_eq!(play.failure("waits"), Some(Error::SessionLost));
    assert_eq!(play.core.next_at(), BootInstant::NEVER);
}

/// While there is no quorum nothing expires: who is back after it frees what it held.
#[test]
fn a_lost_session_is_tried_to_be_closed_for_two_minutes() {
    let mut play = Play::open(settings());
    play.lose_connection();
    play.pass(11_400);
    assert!(play.said("State(Lost)"));
    play.out.clear();
    play.pass(119_000);
    assert!(!play.said("Over") && play.said("Connect"));
    play.pass(1_100);
    assert!(play.said("Over(Err"));
}

#[test]
fn who_waits_for_the_end_of_a_lost_session_waits_for_its_timeout() {
    let mut play = Play::open(settings());
    play.lose_connection();
    play.pass(11_400);
    play.core.close(play.now, &mut play.out);
    play.core.hurry(play.now);
    play.out.clear();
    play.pass(11_000);
    assert!(!play.said("Over") && play.said("Connect"));
    play.pass(1_100);
    assert!(play.said("Over(Err"));
}

#[test]
fn a_reattachment_alone_moves_no_deadline() {
    let mut play = Play::open(settings());
    let (before, _) = play.core.deadline().unwrap();
    play.pass(1_000);
    play.lose_connection();
    play.attach();
    play.welcome(7, T_MS);
    assert_eq!(play.core.deadline().unwrap().0, before);
    play.lose_connection();
    play.attach();
    play.welcome(7, 6_000);
    assert_eq!(play.core.deadline().unwrap().0, before - Duration::from_millis(6_000 - 300));
}

#[test]
fn closing_answers_what_was_asked_before() {
    let mut play = Play::open(settings());
    play.get("before");
    play.core.close(play.now, &mut play.out);
    assert!(play.said("State(Lost)"));
    play.get("after");
    assert_eq!(play.failure("after"), Some(Error::Closed));
    play.serve(1);
    assert!(play.said("Reply(\"before\", Ok") && play.said("Over(Ok"));
}

#[test]
fn refused_credentials_end_it_before_it_begins() {
    let mut settings = settings();
    settings.auth.push(("digest".into(), b"a:b".to_vec()));
    let mut play = Play::new(settings);
    play.attach();
    play.welcome(7, T_MS);
    assert!(!play.said("State(Connected)"));
    let written = play.written();
    assert_eq!(written[0].0, xid::AUTH);
    play.reply(xid::AUTH, 0, ErrorCode::AUTH_FAILED, &Response::Empty);
    assert!(play.said("State(Lost)"));
    assert_eq!(play.core.end(), Some(&Error::AuthFailed));
}
