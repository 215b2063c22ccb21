//! A session with three Apache ZooKeepers that fail one by one.

use std::time::Duration;

use zooky_client::{Acl, BootInstant, CreateMode, EventType, Session, SessionConfig, State};
use zooky_testkit::{Ensemble, eventually, four_letter};

fn config(hosts: &str) -> SessionConfig {
    SessionConfig::new(hosts.parse().unwrap())
}

/// The member that a session is connected to.
fn member_of(ensemble: &mut Ensemble, session: &Session) -> usize {
    let sid = format!("sid=0x{:x}", session.id());
    let size = ensemble.len();
    eventually(Duration::from_secs(5), "a member that has the session", || {
        (0..size).find(|index| {
            let addr = ensemble.member(*index).addr();
            four_letter(addr, "cons").is_ok_and(|text| text.contains(&sid))
        })
    })
}

#[tokio::test]
async fn ensemble_members_hand_the_session_and_its_watches_over() {
    let mut ensemble = Ensemble::start();
    // On either follower, so that one of them can stand still without an election.
    let followers = ensemble.followers();
    let hosts: Vec<String> = followers.iter().map(|index| ensemble.member(*index).hosts()).collect();
    let session = Session::connect(config(&hosts.join(","))).await.unwrap();
    let leader = ensemble.leader();
    let other = Session::connect(config(&ensemble.member(leader).hosts())).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    session.create("/w", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    let (_, _, data) = session.get_watch("/w").await.unwrap();
    let (_, children) = session.children_watch("/w").await.unwrap();
    let (_, exists) = session.exists_watch("/new").await.unwrap();
    let (_, _, quiet) = session.get_watch("/eph").await.unwrap();
    let mut states = session.watch_state();

    // Frozen, so that only its silence tells; meanwhile everything watched changes.
    let first = member_of(&mut ensemble, &session);
    ensemble.member(first).pause();
    let start = BootInstant::now();
    other.create("/new", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    other.create("/w/c", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    other.set("/w", "new", -1).await.unwrap();
    assert_eq!(states.changed().await, State::Suspended);
    assert_eq!(states.changed().await, State::Connected);
    let silent = BootInstant::now().saturating_since(start);
    assert!(silent < session.timeout() / 2, "{silent:?} until it was attached again");
    assert_eq!(data.await.unwrap().kind, EventType::DATA_CHANGED);
    assert_eq!(children.await.unwrap().kind, EventType::CHILDREN_CHANGED);
    assert_eq!(exists.await.unwrap().kind, EventType::CREATED);
    let stat = session.exists("/eph").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.id());
    ensemble.member(first).resume();

    // One that holds nothing back still hears of the next change, on the new member.
    session.delete("/eph", -1).await.unwrap();
    assert_eq!(quiet.await.unwrap().kind, EventType::DELETED);
}

#[tokio::test]
async fn ensemble_follower_cut_off_from_its_leader_cannot_keep_a_session_alive() {
    let mut ensemble = Ensemble::builder().tick_ms(1_000).start();
    let (leader, follower) = (ensemble.leader(), ensemble.followers()[0]);
    let hosts = ensemble.member(follower).hosts();
    let session = Session::connect(config(&hosts).timeout(Duration::from_secs(4))).await.unwrap();
    session.create("/eph", "", CreateMode::EPHEMERAL, &Acl::open()).await.unwrap();
    let hosts = ensemble.member(leader).hosts();
    let judge = Session::connect(config(&hosts)).await.unwrap();
    let (_, gone) = judge.exists_watch("/eph").await.unwrap();
    (BootInstant::now() + Duration::from_secs(5)).sleep_until().await.unwrap();

    ensemble.cut_off(follower);
    session.lost().await;
    let lost_at = BootInstant::now();
    assert_eq!(gone.await.unwrap().kind, EventType::DELETED);
    let gone_at = BootInstant::now();
    assert!(lost_at < gone_at, "the leader gave the node away before the session was lost");
    println!("lost {:?} before the leader gave it away", gone_at.saturating_since(lost_at));
}
