//! Two handles on one session both owned the lock (etcd#11360).

use crate::common::{self, Observer, client, path};
use crate::{DIALECTS, lock};

backends!(each_handle_has_a_name_of_its_own: pain_19_ours_each_handle_has_a_name, pain_19_apache_each_handle_has_a_name);

async fn each_handle_has_a_name_of_its_own(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for dialect in DIALECTS {
        let path = path("handles");
        let (one, two) = (lock(&client, &path, dialect), lock(&client, &path, dialect));
        let guard = one.acquire().await.unwrap();
        assert!(two.try_acquire().await.unwrap().is_none() && one.try_acquire().await.unwrap().is_none());
        let waiting = tokio::spawn(async move { two.acquire().await.unwrap() });
        let names = observer.count(&path, 2).await;
        assert_ne!(names[0][..32], names[1][..32]);
        let token = guard.fencing_token();
        guard.release().await.unwrap();
        let next = waiting.await.unwrap();
        assert!(next.fencing_token() > token);
        next.release().await.unwrap();
    }
}
