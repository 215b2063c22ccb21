//! The sequence number ends at 2^31: there it sticks, or turns negative, and stock clients grant the lock to everybody
//! (kazoo#730, #606, ZOOKEEPER-4706).

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use zooky::{Dialect, Error};
use zooky_server::{Config, Server};
use zooky_testkit::Apache;

use crate::common::{LONG, Observer, client, run};
use crate::{DIALECTS, lock, rwlock};

/// The last number that is granted.
const LAST: i32 = i32::MAX - (1 << 20) - 1;

#[test]
fn pain_07_ours_a_directory_near_its_end_is_refused() {
    let data = TempDir::new().unwrap();
    write_snapshot(data.path());
    let server = Server::start(Config::new("127.0.0.1:0".parse().unwrap(), data.path())).unwrap();
    run(LONG, near_the_end(server.addr().to_string()));
}

#[test]
fn pain_07_apache_a_directory_near_its_end_is_refused() {
    let data = TempDir::new().unwrap();
    write_snapshot(data.path());
    let apache = Apache::builder().data_dir(data.path()).start();
    run(LONG, near_the_end(apache.hosts()));
}

/// Empty directories whose counters stand where two thousand million contenders would have brought them.
fn directories() -> Vec<(Dialect, String, i32)> {
    let of = |(dialect, counter)| (dialect, format!("/tests/{dialect}-{counter}"), counter);
    DIALECTS.iter().flat_map(|dialect| [(*dialect, LAST), (*dialect, i32::MAX)]).map(of).collect()
}

async fn near_the_end(hosts: String) {
    let observer = Observer::new(&hosts).await;
    let client = client(&hosts).await;
    for (dialect, path, counter) in directories() {
        let (lock, rw) = (lock(&client, &path, dialect), rwlock(&client, &path, dialect));
        if counter == LAST {
            let guard = lock.acquire().await.unwrap();
            assert!(guard.path().ends_with(&format!("{LAST:010}")), "{}", guard.path());
            guard.release().await.unwrap();
        }
        for fault in [
            lock.acquire().await.unwrap_err(),
            lock.try_acquire().await.unwrap_err(),
            rw.read().await.unwrap_err(),
            rw.write().await.unwrap_err(),
        ] {
            assert!(matches!(&fault, Error::SequenceExhausted { path: at, .. } if *at == path), "{fault}");
            assert!(fault.to_string().contains(&format!("delete {path}")), "{fault}");
        }
        // Nothing stays in the way of those who do as the error says.
        observer.count(&path, 0).await;
        observer.session.delete(&path, -1).await.unwrap();
        let guard = lock.acquire().await.unwrap();
        assert!(guard.path().ends_with("0000000000"), "{}", guard.path());
        guard.release().await.unwrap();
    }
}

/// A snapshot with these directories, in ZooKeeper's own format.
fn write_snapshot(data: &Path) {
    let mut bytes = b"ZKSN".to_vec();
    let int = |bytes: &mut Vec<u8>, n: i32| bytes.extend(n.to_be_bytes());
    let long = |bytes: &mut Vec<u8>, n: i64| bytes.extend(n.to_be_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    int(&mut bytes, 2);
    long(&mut bytes, -1);
    // No sessions, and no ACLs but the open one, which is number -1.
    int(&mut bytes, 0);
    int(&mut bytes, 0);
    let system = ["", "/zookeeper", "/zookeeper/quota", "/tests"].map(|path| (path.to_owned(), 0));
    let locks = directories().into_iter().map(|(_, path, counter)| (path, counter));
    for (path, counter) in system.into_iter().chain(locks) {
        text(&mut bytes, &path);
        text(&mut bytes, "");
        long(&mut bytes, -1);
        // czxid, mzxid, ctime, mtime; version, cversion, aversion; ephemeralOwner, pzxid.
        [1, 1, 0, 0].into_iter().for_each(|n| long(&mut bytes, n));
        [0, counter, 0].into_iter().for_each(|n| int(&mut bytes, n));
        [0, 1].into_iter().for_each(|n| long(&mut bytes, n));
    }
    text(&mut bytes, "/");
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    long(&mut bytes, i64::from(b << 16 | a));
    text(&mut bytes, "/");
    let version = data.join("version-2");
    fs::create_dir_all(&version).unwrap();
    fs::write(version.join("snapshot.1"), bytes).unwrap();
}
