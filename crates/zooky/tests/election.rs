//! Leader election: one leads, others stand, others look on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::kazoo::Kazoo;
use common::proxy::Proxy;
use common::{LONG, Observer, catch_up, client, client_with_timeout, path, polled};
use zooky::{Election, Error, GuardState};

const SHORT: Duration = Duration::from_millis(300);

ensemble!();

backends!(one_leads_at_a_time: ours_one_leads_at_a_time, apache_one_leads_at_a_time);

async fn one_leads_at_a_time(hosts: String) {
    let path = path("election");
    let observer = Observer::new(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let first = Election::new(&one, &path).unwrap().identifier("one");
    let second = Election::new(&two, &path).unwrap().identifier("two");
    assert!(first.leader().await.unwrap().is_none() && first.candidates().await.unwrap().is_empty());

    let leading = first.campaign().await.unwrap();
    assert_eq!((leading.state(), leading.is_held()), (GuardState::Held, true));
    assert!(second.try_campaign().await.unwrap().is_none());
    let fault = second.campaign_timeout(SHORT).await.unwrap_err();
    assert!(fault.is_timeout() && fault.to_string().contains("one"), "{fault}");
    observer.count(&path, 1).await;

    let standing = tokio::spawn({
        let second = second.clone();
        async move { second.campaign().await.unwrap() }
    });
    observer.count(&path, 2).await;
    assert_eq!(second.leader().await.unwrap().unwrap().identifier(), "one");
    catch_up(&one).await;
    let names: Vec<_> = first.candidates().await.unwrap().iter().map(|one| one.identifier()).collect();
    assert_eq!(names, ["one", "two"]);
    let token = leading.fencing_token();
    leading.resign().await.unwrap();
    let leading = standing.await.unwrap();
    assert!(leading.fencing_token() > token);
    assert_eq!(first.leader().await.unwrap().unwrap().identifier(), "two");
    leading.resign().await.unwrap();
}

backends!(observers_follow_the_leader: ours_observers_follow_the_leader, apache_observers_follow_the_leader);

async fn observers_follow_the_leader(hosts: String) {
    let path = path("observed");
    let looker = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    let watching = client_with_timeout(&proxy.hosts(), Duration::from_secs(1)).await;
    let mut observer = Election::new(&watching, &path).unwrap().observe();
    // There is no directory, then there is an empty one: nobody leads.
    assert!(observer.changed().await.unwrap().is_none());
    assert!(tokio::time::timeout(SHORT, observer.changed()).await.is_err());

    let leading = Election::new(&one, &path).unwrap().identifier("one").campaign().await.unwrap();
    assert_eq!(observer.changed().await.unwrap().unwrap().identifier(), "one");
    // Who stands is no change.
    let second = Election::new(&two, &path).unwrap().identifier("two");
    let standing = tokio::spawn(async move { second.campaign().await.unwrap() });
    looker.count(&path, 2).await;
    assert!(tokio::time::timeout(SHORT, observer.changed()).await.is_err());
    leading.resign().await.unwrap();
    assert_eq!(observer.changed().await.unwrap().unwrap().identifier(), "two");
    let leading = standing.await.unwrap();

    // Over the loss of the observer's session, and whatever happens meanwhile.
    proxy.refuse();
    watching.current().lost().await;
    leading.resign().await.unwrap();
    proxy.admit();
    assert!(observer.changed().await.unwrap().is_none());
    assert_eq!(looker.children(&path).await, [] as [String; 0], "an observer does not stand");
    let leading = Election::new(&one, &path).unwrap().identifier("three").campaign().await.unwrap();
    assert_eq!(observer.changed().await.unwrap().unwrap().identifier(), "three");
    leading.resign().await.unwrap();
    assert!(observer.changed().await.unwrap().is_none());
    watching.close().await.unwrap();
    assert!(observer.changed().await.is_err());
}

backends!(a_run_ends_with_its_leadership: ours_a_run_ends_with_its_leadership, apache_a_run_ends_with_its_leadership);

async fn a_run_ends_with_its_leadership(hosts: String) {
    let path = path("run");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let election = Election::new(&client, &path).unwrap();
    let token = election.run(async |leading| leading.fencing_token()).await.unwrap();
    assert_eq!(observer.children(&path).await, [] as [String; 0], "it has resigned");

    // What it runs is dropped when the leadership is lost.
    let dropped = std::sync::Arc::new(());
    let running = tokio::spawn({
        let dropped = dropped.clone();
        async move {
            let lead = async |leading: &zooky::Leadership| {
                let _kept = dropped;
                assert!(leading.fencing_token() > token);
                std::future::pending::<()>().await;
            };
            election.run(lead).await
        }
    });
    let node = observer.count(&path, 1).await.remove(0);
    observer.session.delete(&format!("{path}/{node}"), -1).await.unwrap();
    assert!(matches!(running.await.unwrap(), Err(Error::Lost { path: lost }) if lost == path));
    assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    observer.count(&path, 0).await;
}

backends!(a_dropped_run_leaves_nothing: ours_a_dropped_run_leaves_nothing, apache_a_dropped_run_leaves_nothing);

async fn a_dropped_run_leaves_nothing(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let session = client.session().await.unwrap();
    for polls in 0.. {
        assert!(polls < 100, "it is never ready");
        let path = path("run-dropped");
        let election = Election::new(&client, &path).unwrap();
        let lead = async |_: &zooky::Leadership| tokio::task::yield_now().await;
        let ready = polled(election.run(lead), polls).await.is_some();
        session.sync("/").await.unwrap();
        observer.count(&path, 0).await;
        if ready {
            break;
        }
    }
}

backends!(kazoos_election_and_ours_exclude_each_other:
    ours_kazoos_election_and_ours_exclude_each_other,
    apache_kazoos_election_and_ours_exclude_each_other);

async fn kazoos_election_and_ours_exclude_each_other(hosts: String) {
    let path = path("kazoo-election");
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    let election = Election::new(&client, &path).unwrap().identifier("zooky");
    let mut kazoo = Kazoo::start(&hosts, Duration::from_secs(10));
    kazoo.new_lock("e", "Election", &path);

    // kazoo leads, ours stands.
    kazoo.lead("e");
    assert_eq!(kazoo.talk.expect_line("leads", LONG), "e");
    catch_up(&client).await;
    assert_eq!(election.leader().await.unwrap().unwrap().identifier(), "kazoo says e");
    assert!(election.try_campaign().await.unwrap().is_none());
    let standing = tokio::spawn({
        let election = election.clone();
        async move { election.campaign().await.unwrap() }
    });
    observer.count(&path, 2).await;
    assert!(!standing.is_finished());
    let contenders = kazoo.contenders("e");
    assert!(contenders[0] == "kazoo says e" && contenders[1].contains("\"zooky\""), "{contenders:?}");
    kazoo.resign("e");

    // Ours leads, kazoo stands.
    let leading = standing.await.unwrap();
    kazoo.lead("e");
    observer.count(&path, 2).await;
    assert!(!kazoo.talk.hears_line("leads", SHORT));
    leading.resign().await.unwrap();
    assert_eq!(kazoo.talk.expect_line("leads", LONG), "e");
    kazoo.resign("e");
    observer.count(&path, 0).await;
}
