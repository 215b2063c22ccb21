//! Three real servers: elections, and links that can be cut.

use std::time::Duration;
use zooky_testkit::{Ensemble, Script, eventually, four_letter};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn ensemble_elects_another_leader_when_its_own_is_killed_or_frozen() {
    let mut ensemble = Ensemble::start();
    assert_eq!((ensemble.len(), ensemble.followers().len()), (3, 2));
    assert_eq!(ensemble.hosts().split(',').count(), 3);

    let first = ensemble.leader();
    ensemble.member(first).kill();
    ensemble.wait_for_quorum(LONG);
    let second = ensemble.leader();
    assert_ne!(second, first);
    ensemble.member(first).restart();

    let write = "import sys; from kazoo.client import KazooClient as K; c = K(sys.argv[1]); c.start(60); \
                 c.ensure_path('/a/b'); print('done'); c.stop()";
    Script::new(write).arg(ensemble.hosts()).spawn().expect_line("done", LONG);

    ensemble.member(second).pause();
    ensemble.wait_for_quorum(LONG);
    assert_ne!(ensemble.leader(), second);
    ensemble.member(second).resume();
}

#[test]
fn ensemble_member_that_is_cut_off_stops_serving_until_it_is_healed() {
    let mut ensemble = Ensemble::start();
    let leader = ensemble.leader();
    let [lone, other] = ensemble.followers()[..] else { panic!("two followers") };
    let lone_addr = ensemble.member(lone).addr();
    let mode = |addr| four_letter(addr, "srvr").unwrap_or_default();

    ensemble.cut_off(lone);
    eventually(LONG, "the lone follower to stop serving", || {
        mode(lone_addr).contains("not currently serving").then_some(())
    });
    assert_eq!(ensemble.leader(), leader, "the others go on under the same leader");
    assert_eq!(ensemble.followers(), [other]);

    ensemble.heal();
    eventually(LONG, "the lone follower to come back", || {
        mode(lone_addr).contains("Mode: follower").then_some(())
    });
    assert_eq!(ensemble.leader(), leader);

    ensemble.cut_off(leader);
    eventually(LONG, "the others to elect", || (ensemble.followers().len() == 1).then_some(()));
    assert_ne!(ensemble.leader(), leader);
}
