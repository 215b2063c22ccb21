//! Who holds it? (redisson#2116) The waiter's error, the callback and the listing say host, process, user, program, the
//! application's own word for it, and since when.

use std::time::Duration;

use zooky::{Error, Lock, Owner, inspect};

use crate::common;

backends!(scenario: pain_20_ours_who_holds_it, pain_20_apache_who_holds_it);

async fn scenario(hosts: String) {
    let path = common::path("whose");
    let holder = Owner::this_process().with_program("nightly-backup").with_id("job 7");
    let holds = Lock::new(&common::client(&hosts).await, &path).unwrap().with_owner(holder.clone());
    let guard = holds.acquire().await.unwrap();

    let other = common::client(&hosts).await;
    let (wants, mut waits) = common::telling(Lock::new(&other, &path).unwrap());
    for limit in [Duration::ZERO, Duration::from_millis(100)] {
        let fault = wants.acquire_timeout(limit).await.unwrap_err();
        let text = fault.to_string();
        let pid = format!("pid {}", std::process::id());
        for part in [&path, &pid, "nightly-backup", "job 7", &holder.host, &holder.user, "there for"] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
        let Error::Timeout { holder: Some(seen), .. } = fault else { panic!("{fault:?}") };
        assert_eq!(seen.path, guard.path());
    }
    assert_eq!(waits.recv().await.unwrap().owner.unwrap().program, "nightly-backup");

    let holders = inspect::holders(&other, &path).await.unwrap();
    let [seen] = &holders[..] else { panic!("{holders:?}") };
    let owner = seen.owner.as_ref().unwrap();
    assert_eq!((&owner.host, owner.pid, &owner.user), (&holder.host, holder.pid, &holder.user));
    assert_eq!(owner.id.as_deref(), Some("job 7"));
    // By both clocks within a minute of now.
    let age_ms = (zooky::jiff::Timestamp::now().as_millisecond() - seen.since_ms()).abs();
    assert!(age_ms < 60_000 && (owner.since_ms - seen.since_ms()).abs() < 60_000);
    guard.release().await.unwrap();
    common::catch_up(&other).await;
    assert!(inspect::holders(&other, &path).await.unwrap().is_empty());
}
