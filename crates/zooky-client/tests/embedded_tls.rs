//! TLS between a session and zooky's own server.
// Helpers of tests fail a test by panicking, as the tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zooky_client::{Acl, ConnectError, CreateMode, Error, Session, SessionConfig, TlsConfig};
use zooky_server::{Config, FourLetterWords, Server, StartError, TlsSettings};
use zooky_testkit::{eventually, four_letter};

fn pem(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Settings with the server's own certificate, for clients of the first authority.
fn settings(data: &TempDir) -> Config {
    let mut config = Config::new(any(), data.path());
    let mut tls = TlsSettings::new(any(), pem("server.pem"), pem("server.key"));
    tls.client_ca = Some(pem("ca.pem"));
    config.tls = Some(tls);
    config
}

/// What a client trusts, and who it is.
fn tls(authority: &str, identity: Option<&str>) -> TlsConfig {
    let files = identity.map(|name| (pem(&format!("{name}.pem")), pem(&format!("{name}.key"))));
    let files = files.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
    TlsConfig::new(&pem(authority), files).unwrap()
}

async fn connect(addr: SocketAddr, tls: TlsConfig) -> Result<Session, ConnectError> {
    let config = SessionConfig::new(addr.to_string().parse().unwrap()).tls(tls);
    Session::connect(config.connect_timeout(Duration::from_secs(3))).await
}

/// The first certificate of a PEM file and its key, where the server is told to look.
fn install(dir: &Path, name: &str) {
    for (end, to) in [("key", "tls.key"), ("pem", "tls.pem")] {
        std::fs::copy(pem(&format!("{name}.{end}")), dir.join(to)).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_is_an_identity() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&data)).unwrap();
    let session = connect(server.tls_addr().unwrap(), tls("ca.pem", Some("client"))).await.unwrap();
    let who = session.who_am_i().await.unwrap();
    let x509 = who.iter().find(|info| info.scheme == "x509").unwrap();
    assert_eq!(x509.user, "CN=zooky test client");
    // Longer than one TLS record, both ways, many at once; and only for its creator.
    let data = vec![7; 300_000];
    let pending: Vec<_> = (0..10)
        .map(|i| session.create(&format!("/a{i}"), data.clone(), CreateMode::PERSISTENT, &Acl::creator_all()))
        .collect();
    for answer in pending {
        answer.await.unwrap();
    }
    let gets: Vec<_> = (0..10).map(|i| session.get(&format!("/a{i}"))).collect();
    for answer in gets {
        assert_eq!(answer.await.unwrap().0, data);
    }
    // Somebody without the certificate comes by the other door.
    let plain = SessionConfig::new(server.addr().to_string().parse().unwrap());
    let plain = Session::connect(plain).await.unwrap();
    assert_eq!(plain.get("/a0").await.unwrap_err(), Error::NoAuth { path: "/a0".into() });
    let named = vec![Acl::new(31, "x509", "CN=zooky test client")];
    plain.create("/b", "", CreateMode::PERSISTENT, &named).await.unwrap();
    assert!(session.get("/b").await.is_ok());
    assert_eq!(plain.get("/b").await.unwrap_err(), Error::NoAuth { path: "/b".into() });
    session.close().await.unwrap();
    plain.close().await.unwrap();
    server.stop().unwrap();
}

#[test]
fn conf_names_the_port_of_tls() {
    for with_tls in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let mut config = settings(&data);
        config.four_letter_words = FourLetterWords::All;
        if !with_tls {
            config.tls = None;
        }
        let server = Server::start(config).unwrap();
        let conf = four_letter(server.addr(), "conf").unwrap();
        let port = |key: &str| conf.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assert_eq!(port("clientPort"), Some(&*server.addr().port().to_string()), "{conf}");
        // As the original says it where there is none.
        let tls = server.tls_addr().map_or_else(|| "-1".to_string(), |addr| addr.port().to_string());
        assert_eq!((port("secureClientPort"), tls != "-1"), (Some(&*tls), with_tls), "{conf}");
    }
}

#[tokio::test]
async fn only_certificates_of_the_authority_come_in() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&data)).unwrap();
    let addr = server.tls_addr().unwrap();
    let good = connect(addr, tls("ca.pem", Some("client"))).await.unwrap();
    for identity in [None, Some("other-client")] {
        let error = connect(addr, tls("ca.pem", identity)).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Timeout { .. }), "{error}");
    }
    // And a client that trusts another authority does not come.
    let error = connect(addr, tls("other-ca.pem", Some("client"))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Timeout { .. }), "{error}");
    assert!(good.exists("/").await.unwrap().is_some());
    good.close().await.unwrap();
}

#[tokio::test]
async fn without_an_authority_nobody_needs_a_certificate() {
    let data = tempfile::tempdir().unwrap();
    let mut config = settings(&data);
    if let Some(tls) = &mut config.tls {
        tls.client_ca = None;
    }
    let server = Server::start(config).unwrap();
    let session = connect(server.tls_addr().unwrap(), tls("ca.pem", None)).await.unwrap();
    assert!(session.who_am_i().await.unwrap().iter().all(|info| info.scheme != "x509"));
    session.close().await.unwrap();
}

#[tokio::test]
async fn plain_talk_at_the_tls_port_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(&data)).unwrap();
    let addr = server.tls_addr().unwrap();
    for talk in [&b"ruok"[..], &[0, 0, 0, 44, 0, 0, 0, 0, 0, 0], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(talk).unwrap();
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read_to_end(&mut answer);
        assert!(!matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "not closed");
        assert!(!answer.starts_with(b"imok"), "{answer:?}");
    }
    let plain = SessionConfig::new(addr.to_string().parse().unwrap());
    let error = Session::connect(plain.connect_timeout(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Timeout { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_count_without_a_restart() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(files.path(), "server");
    let ca = files.path().join("ca.pem");
    std::fs::copy(pem("ca.pem"), &ca).unwrap();
    let mut config = Config::new(any(), data.path());
    let mut settings = TlsSettings::new(any(), files.path().join("tls.pem"), files.path().join("tls.key"));
    settings.client_ca = Some(ca.clone());
    config.tls = Some(settings);
    let server = Server::start(config).unwrap();
    let addr = server.tls_addr().unwrap();
    let old = connect(addr, tls("ca.pem", Some("client"))).await.unwrap();
    // Files that make no sense change nothing, even after they have been looked at.
    std::fs::write(files.path().join("tls.pem"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    connect(addr, tls("ca.pem", Some("client"))).await.unwrap().close().await.unwrap();
    install(files.path(), "other-server");
    std::fs::copy(pem("other-ca.pem"), &ca).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let new = tokio::task::spawn_blocking(move || {
        eventually(Duration::from_secs(30), "the new files to count", || {
            runtime.block_on(connect(addr, tls("other-ca.pem", Some("other-client")))).ok()
        })
    });
    let new = new.await.unwrap();
    let who = new.who_am_i().await.unwrap();
    assert!(
        who.iter().any(|info| info.user == "CN=zooky other test client,OU=test,O=Zooky\\, Inc.,C=CH"),
        "{who:?}"
    );
    assert!(connect(addr, tls("other-ca.pem", Some("client"))).await.is_err(), "the old authority is out");
    assert!(old.exists("/").await.unwrap().is_some(), "who is in stays in");
    new.close().await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let data = tempfile::tempdir().unwrap();
    for (cert, key, ca, named) in [
        ("nothing.pem", "server.key", "ca.pem", "nothing.pem"),
        ("server.key", "server.key", "ca.pem", "server.key"),
        ("server.pem", "server.pem", "ca.pem", "no private key"),
        ("server.pem", "other-server.key", "ca.pem", "server.pem"),
        ("server.pem", "server.key", "README.md", "README.md"),
    ] {
        let mut config = settings(&data);
        let mut tls = TlsSettings::new(any(), pem(cert), pem(key));
        tls.client_ca = Some(pem(ca));
        config.tls = Some(tls);
        let error = Server::start(config).unwrap_err();
        assert!(matches!(error, StartError::Tls { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}
