//! A release during a disconnect stranded the node, and everybody behind it (CURATOR-678).

use zooky::Lock;
use zooky::session::State;

use crate::common::proxy::Proxy;
use crate::common::{self, Observer, client, eventually, path};

backends!(a_release_goes_on_until_it_is_done: pain_06_ours_a_release_goes_on, pain_06_apache_a_release_goes_on);

async fn a_release_goes_on_until_it_is_done(hosts: String) {
    let path = path("stranded");
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let guard = Lock::new(&client, &path).unwrap().acquire().await.unwrap();
    proxy.refuse();
    let session = client.current();
    eventually("the disconnect", || async { (session.state() == State::Suspended).then_some(()) }).await;
    drop(guard);
    observer.count(&path, 1).await;
    proxy.admit();
    observer.count(&path, 0).await;
    assert_eq!(client.current().id(), session.id(), "not by the session's end");
}
