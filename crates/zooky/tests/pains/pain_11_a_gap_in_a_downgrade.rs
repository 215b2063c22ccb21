//! A downgrade let a queued writer in (CURATOR-276, -621).

use crate::common::{self, client, path, telling_rw};
use crate::{DIALECTS, rwlock};

backends!(a_queued_writer_finds_no_gap: pain_11_ours_a_queued_writer_finds_no_gap, pain_11_apache_a_queued_writer_finds_no_gap);

async fn a_queued_writer_finds_no_gap(hosts: String) {
    let (one, two) = (client(&hosts).await, client(&hosts).await);
    for dialect in DIALECTS {
        let path = path("gap");
        let written = rwlock(&one, &path, dialect).write().await.unwrap();
        let (writer, mut waits) = telling_rw(rwlock(&two, &path, dialect));
        let mut queued = tokio::spawn(async move { writer.write().await.unwrap() });
        assert_eq!(waits.recv().await.unwrap().path, written.path());
        let reading = written.downgrade().await.unwrap();
        // It looks again, and waits for the reader; or it comes out of its task with a guard.
        tokio::select! {
            contender = waits.recv() => assert_eq!(contender.unwrap().path, reading.path()),
            guard = &mut queued => panic!("{guard:?} beside {reading:?}"),
        }
        reading.release().await.unwrap();
        queued.await.unwrap().release().await.unwrap();
    }
}
