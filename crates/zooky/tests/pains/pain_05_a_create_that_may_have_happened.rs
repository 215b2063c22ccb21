//! A create was answered by a lost connection: was the node made or not? Who guesses waits for himself for ever, or
//! leaves an orphan (go-zookeeper#229, CURATOR-79).

use crate::common::proxy::{Cut, Proxy, op};
use crate::common::{self, Observer, client, path};
use crate::{DIALECTS, lock};

backends!(it_is_looked_up_by_its_name: pain_05_ours_it_is_looked_up_by_its_name, pain_05_apache_it_is_looked_up_by_its_name);

async fn it_is_looked_up_by_its_name(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let proxy = Proxy::start(&hosts).await;
    let client = client(&proxy.hosts()).await;
    let mut cuts = 0;
    for dialect in DIALECTS {
        for cut in [Cut::Reply(op::CREATE2), Cut::Request(op::CREATE2)] {
            let path = path("ambiguous");
            observer.make(&path).await;
            proxy.cut(cut);
            let guard = lock(&client, &path, dialect).acquire().await.unwrap();
            cuts += 1;
            assert_eq!(proxy.cuts(), cuts, "{dialect}, {cut:?}");
            let children = observer.children(&path).await;
            assert_eq!(children.len(), 1, "{dialect}, {cut:?}: {children:?}");
            assert_eq!(guard.path(), format!("{path}/{}", children[0]));
            guard.release().await.unwrap();
            observer.count(&path, 0).await;
        }
    }
}
