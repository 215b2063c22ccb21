//! The lock was lost and nobody noticed: two workers ran (CURATOR-206, kazoo#2, etcd#10811, redisson#3636).

use std::time::Duration;

use zooky::{BootInstant, Error, GuardState, Lock};

use crate::common::proxy::Proxy;
use crate::common::{self, client, client_with_timeout, path, telling};

backends!(a_cut_off_holder_knows_before_the_next_one_is_granted: pain_01_ours_a_cut_off_holder_knows, pain_01_apache_a_cut_off_holder_knows);

async fn a_cut_off_holder_knows_before_the_next_one_is_granted(hosts: String) {
    let path = path("unnoticed");
    let proxy = Proxy::start(&hosts).await;
    let one = client_with_timeout(&proxy.hosts(), Duration::from_secs(2)).await;
    let holder = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
    let noticed = tokio::spawn({
        let lost = holder.on_lost();
        async move { lost.await.then(BootInstant::now).expect("lost, not released") }
    });
    let (next, mut waits) = telling(Lock::new(&client(&hosts).await, &path).unwrap());
    let next = tokio::spawn(async move { (next.acquire().await.unwrap(), BootInstant::now()) });
    waits.recv().await.unwrap();
    proxy.refuse();
    let (guard, granted) = next.await.unwrap();
    assert_eq!(holder.state(), GuardState::Lost, "whoever looks after the next grant sees it");
    assert!(holder.deadline() < granted, "it was over before the next one was granted");
    assert!(noticed.await.unwrap() >= holder.deadline());
    assert!(matches!(holder.release().await, Err(Error::Lost { .. })));
    guard.release().await.unwrap();
}
