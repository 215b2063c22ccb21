//! TLS in front of a real Apache ZooKeeper.
// Helpers of tests fail a test by panicking, as the tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use zooky_client::{Acl, ConnectError, CreateMode, Inquiry, InquiryError, Session, SessionConfig, TlsConfig};
use zooky_testkit::Apache;

fn pem(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// Takes TLS from clients with a certificate of the authority, and passes what it holds on to `server`.
async fn tls_in_front_of(server: SocketAddr) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pem("ca.pem")).unwrap()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(pem("server.key")).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    addr
}

fn config(addr: SocketAddr, tls: TlsConfig) -> SessionConfig {
    let config = SessionConfig::new(addr.to_string().parse().unwrap()).tls(tls);
    config.connect_timeout(Duration::from_secs(3))
}

fn identity() -> (PathBuf, PathBuf) {
    (pem("client.pem"), pem("client.key"))
}

#[tokio::test]
async fn apache_is_reached_through_tls() {
    let apache = Apache::start();
    let addr = tls_in_front_of(apache.addr()).await;
    let (chain, key) = identity();
    let tls = TlsConfig::new(&pem("ca.pem"), Some((&chain, &key))).unwrap();
    let session = Session::connect(config(addr, tls)).await.unwrap();
    // Longer than one TLS record.
    let data = vec![7; 300_000];
    session.create("/a", data.clone(), CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    assert_eq!(session.get("/a").await.unwrap().0, data);
    session.close().await.unwrap();
}

#[tokio::test]
async fn words_are_asked_through_tls_and_in_plain_text() {
    let within = Duration::from_secs(20);
    let apache = Apache::start();
    let addr = tls_in_front_of(apache.addr()).await;
    let (chain, key) = identity();
    let tls = TlsConfig::new(&pem("ca.pem"), Some((&chain, &key))).unwrap();
    for (addr, tls) in [(addr, Some(&tls)), (apache.addr(), None)] {
        let inquiry = Inquiry::open(&addr.to_string(), tls, within).await.unwrap();
        assert_eq!(inquiry.address(), addr);
        let answer = inquiry.ask("srvr").await.unwrap();
        assert!(answer.starts_with("Zookeeper version: 3.") && answer.contains("\nMode: "), "{answer}");
    }
    // The wrong way round: neither waits for ever, and both say what happened.
    let error = Inquiry::open(&addr.to_string(), None, within).await.unwrap().ask("srvr").await.unwrap_err();
    assert!(error.to_string().contains("cannot be asked in plain text"), "{error}");
    let error = Inquiry::open(&apache.addr().to_string(), Some(&tls), within).await.unwrap_err();
    assert!(matches!(error, InquiryError::Connect(_)), "{error}");
    for (server, wrong) in [("127.0.0.1:1", "cannot connect: "), ("a:b", "not a server")] {
        let error = Inquiry::open(server, None, within).await.unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn tls_trusts_only_the_given_authority_and_name() {
    let addr = tls_in_front_of("127.0.0.1:1".parse().unwrap()).await;
    let (chain, key) = identity();
    let other = TlsConfig::new(&pem("server.pem"), Some((&chain, &key))).unwrap();
    let named =
        TlsConfig::new(&pem("ca.pem"), Some((&chain, &key))).unwrap().server_name("elsewhere.test").unwrap();
    for tls in [other, named] {
        let error = Session::connect(config(addr, tls).connect_timeout(Duration::from_millis(500)))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, ConnectError::Timeout { last, .. } if last.contains("certificate")),
            "{error}"
        );
    }
}

#[test]
fn files_that_are_no_pem_are_named() {
    let error = TlsConfig::new(&pem("README.md"), None).unwrap_err();
    assert!(error.to_string().contains("README.md"), "{error}");
    let error = TlsConfig::new(&pem("ca.pem"), Some((&pem("client.pem"), &pem("client.pem")))).unwrap_err();
    assert!(error.to_string().contains("private key"), "{error}");
    assert!(TlsConfig::new(&pem("nothing"), None).is_err());
}
