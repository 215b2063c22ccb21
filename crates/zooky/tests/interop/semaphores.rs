//! Semaphores of both layouts beside the stock ones: they share the leases of their own layout, and refuse or report the other.

use std::time::Duration;

use zooky::{Dialect, Error, Guard, Semaphore};

use crate::backends;
use crate::changes::begin;
use crate::common::{self, LONG, Observer, client, in_time, path};
use crate::pairs::Stock;
use crate::table::Program;

/// How many leases the stock programs' semaphores have.
const LEASES: u32 = 2;

fn semaphore(client: &zooky::Client, path: &str, dialect: Dialect) -> Semaphore {
    Semaphore::new(client, path, LEASES).unwrap().dialect(dialect).unwrap()
}

backends!(sharing:
    ours_curators_semaphore_and_ours_share_the_leases,
    apache_curators_semaphore_and_ours_share_the_leases);

async fn sharing(hosts: String) {
    let (client, observer) = (client(&hosts).await, Observer::new(&hosts).await);
    let mut stock = Stock::start(Program::Java, &hosts);
    let mut other = Stock::start(Program::Java, &hosts);
    for ours_first in [true, false] {
        let path = path("curators-semaphore");
        let leases = format!("{path}/leases");
        let ours = semaphore(&client, &path, Dialect::Curator);
        let (first, guard) = if ours_first {
            let guard = ours.acquire().await.unwrap();
            begin(&mut stock, "semaphore", &path);
            (stock.granted(), guard)
        } else {
            begin(&mut stock, "semaphore", &path);
            (stock.granted(), ours.acquire().await.unwrap())
        };
        assert_eq!(first, "true");
        assert_eq!(observer.count(&leases, 2).await.len(), 2);
        let holders = ours.lease_holders().await.unwrap();
        assert!(holders.iter().any(|holder| holder.path == guard.path()), "{holders:?}");
        assert_eq!((guard.lock_path(), holders[0].dialect), (&*path, Dialect::Curator));

        // Both are out: neither gets a third, and each waits for the other.
        assert!(ours.try_acquire().await.unwrap().is_none());
        let fault = ours.acquire_timeout(Duration::from_millis(100)).await.unwrap_err();
        assert!(matches!(&fault, Error::Timeout { holder: Some(_), .. }), "{fault}");
        begin(&mut other, "semaphore", &path);
        // A stock client makes its lease first, and then waits for room.
        observer.count(&leases, 3).await;
        assert!(!other.is_granted_soon(), "three leases of two");
        let waiting = acquiring(&ours);
        observer.count(&format!("{path}/locks"), 2).await;
        assert!(!waiting.is_finished());
        guard.release().await.unwrap();
        assert_eq!(other.granted(), "true");
        observer.count(&leases, 2).await;
        assert!(!waiting.is_finished(), "three leases of two");
        stock.release();
        let guard = waiting.await.unwrap();
        assert!(guard.foreign_contender().is_none(), "leases of one semaphore are no strangers");
        other.release();
        guard.release().await.unwrap();
        observer.count(&leases, 0).await;
        observer.count(&format!("{path}/locks"), 0).await;
    }
    written_as_curator_writes(&client, &observer, &mut stock).await;
}

/// Names, data, ACLs and directories, but for what is random.
async fn written_as_curator_writes(client: &zooky::Client, observer: &Observer, stock: &mut Stock) {
    let [ours, theirs] = ["ours", "theirs"].map(|who| path(&format!("written-by-{who}")));
    let guard = semaphore(client, &ours, Dialect::Curator).acquire().await.unwrap();
    begin(stock, "semaphore", &theirs);
    assert_eq!(stock.granted(), "true");
    let mut seen = Vec::new();
    for root in [&ours, &theirs] {
        let lease = observer.count(&format!("{root}/leases"), 1).await.remove(0);
        let mut written = Vec::new();
        for below in ["", "/leases", &format!("/leases/{lease}")] {
            let path = format!("{root}{below}");
            let (data, stat) = observer.session.get(&path).await.unwrap();
            let (acl, _) = observer.session.acl(&path).await.unwrap();
            written.push((data, acl, stat.ephemeral_owner == 0));
        }
        // `_c_`, a UUID, and the rest.
        seen.push((lease[..3].to_owned(), lease[39..].to_owned(), written));
    }
    assert_eq!(seen[0], seen[1]);
    stock.release();
    guard.release().await.unwrap();
}

fn acquiring(semaphore: &Semaphore) -> tokio::task::JoinHandle<Guard> {
    let semaphore = semaphore.clone();
    tokio::spawn(async move { semaphore.acquire().await.unwrap() })
}

backends!(apart:
    ours_semaphores_of_the_other_layout_are_refused_or_reported,
    apache_semaphores_of_the_other_layout_are_refused_or_reported);

async fn apart(hosts: String) {
    let client = client(&hosts).await;
    // kazoo's takes Curator's two directories for leases: with no more than two it would wait for ever.
    for (program, kind, dialect) in
        [(Program::Java, "semaphore", Dialect::Kazoo), (Program::Python, "LargeSemaphore", Dialect::Curator)]
    {
        let mut stock = Stock::start(program, &hosts);
        let path_theirs = path("semaphore-theirs");
        begin(&mut stock, kind, &path_theirs);
        assert_eq!(stock.granted(), "true");
        let fault = semaphore(&client, &path_theirs, dialect).acquire().await.unwrap_err();
        assert!(matches!(&fault, Error::ForeignContender { path, .. } if *path == path_theirs), "{fault}");
        stock.release();

        let path = path("semaphore-ours");
        let guard = semaphore(&client, &path, dialect).acquire().await.unwrap();
        begin(&mut stock, kind, &path);
        let found = in_time(LONG / 4, "the report", guard.foreign()).await;
        assert!(found.certain && found.path.starts_with(&path), "{found:?}");
        assert!(guard.is_held());
        assert_eq!(stock.granted(), "true");
        stock.release();
        guard.release().await.unwrap();
    }
}
