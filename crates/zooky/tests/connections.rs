//! Who may connect and contend: identities, ACLs, certificates, SASL; and how soon a lost quorum is made up for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::servers::{Ours, Single, TICK};
use common::{
    LONG, Observer, catch_up, client, client_with_timeout, config, eventually, path, polled, run, telling,
};
use zooky::session::{ConnectError, CreateMode, Error as SessionError, Session, State, TlsConfig, perms};
use zooky::{Acl, Client, Error, Lock};
use zooky_server::{Server, TlsSettings};
use zooky_testkit::{Apache, Ensemble, MachineClock};

async fn as_user(hosts: &str, credentials: &str) -> Client {
    Client::connect_with(config(hosts).auth("digest", credentials)).await.unwrap()
}

ensemble!();

backends!(locked_down: ours_a_lock_is_for_one_identity_alone, apache_a_lock_is_for_one_identity_alone);

async fn locked_down(hosts: String) {
    let path = path("private/lock");
    let (ann, too, bob) = (
        as_user(&hosts, "ann:secret").await,
        as_user(&hosts, "ann:secret").await,
        as_user(&hosts, "bob:x").await,
    );
    let private = |client| Lock::new(client, &path).unwrap().with_acl(Acl::creator_all());
    let held = private(&ann).acquire().await.unwrap();
    // The same identity contends from elsewhere, and is served.
    let (second, mut waits) = telling(private(&too));
    let waiting = tokio::spawn(async move { second.acquire().await });
    assert_eq!(waits.recv().await.unwrap().path, held.path());

    // Another, and nobody at all, are told what to do, and leave nothing behind.
    for stranger in [&bob, &client(&hosts).await] {
        for refused in [
            private(stranger).try_acquire().await.map(|_| ()).unwrap_err(),
            private(stranger).acquire_timeout(LONG).await.map(|_| ()).unwrap_err(),
            Lock::new(stranger, &path).unwrap().acquire().await.map(|_| ()).unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(
                matches!(
                    refused,
                    Error::Session(SessionError::NoAuth { .. } | SessionError::InvalidAcl { .. })
                ),
                "{text}"
            );
            assert!(text.contains("authenticate") && text.contains(&path), "{text}");
        }
        assert!(matches!(
            zooky::inspect::show(stranger, &path).await,
            Err(Error::Session(SessionError::NoAuth { .. }))
        ));
    }
    catch_up(&ann).await;
    assert_eq!(ann.current().children(&path).await.unwrap().names.len(), 2);
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    catch_up(&ann).await;
    assert_eq!(ann.current().children(&path).await.unwrap().names, Vec::<String>::new());
    let (acl, _) = ann.current().acl(&path).await.unwrap();
    assert!(
        acl.iter().all(|entry| entry.id.scheme == "digest" && entry.id.id.starts_with("ann:")),
        "{acl:?}"
    );
}

backends!(blind: ours_who_may_create_but_not_list_leaves_nothing, apache_who_may_create_but_not_list_leaves_nothing);

async fn blind(hosts: String) {
    let (ann, stranger) = (as_user(&hosts, "ann:secret").await, client(&hosts).await);
    let path = path("blind");
    Observer::new(&hosts).await.make("/tests").await;
    let mut acl = Acl::creator_all();
    acl.push(Acl::new(perms::CREATE | perms::DELETE, "world", "anyone"));
    ann.current().create(&path, "", CreateMode::PERSISTENT, &acl).await.unwrap();
    let refused = Lock::new(&stranger, &path).unwrap().acquire().await.unwrap_err();
    assert!(matches!(refused, Error::Session(SessionError::NoAuth { .. })), "{refused}");
    eventually("the node's removal", || async {
        ann.current().children(&path).await.unwrap().names.is_empty().then_some(())
    })
    .await;
}

fn pem(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../zooky-client/tests/tls").join(name)
}

#[test]
fn a_client_certificate_is_an_identity_for_locks() {
    let data = tempfile::tempdir().unwrap();
    let any = || "127.0.0.1:0".parse().unwrap();
    let mut settings = zooky_server::Config::new(any(), data.path());
    let mut tls = TlsSettings::new(any(), pem("server.pem"), pem("server.key"));
    tls.client_ca = Some(pem("ca.pem"));
    settings.tls = Some(tls);
    let server = Server::start(settings).unwrap();
    run(LONG, async {
        let tls = TlsConfig::new(&pem("ca.pem"), Some((&pem("client.pem"), &pem("client.key")))).unwrap();
        let certified = config(&server.tls_addr().unwrap().to_string()).tls(tls);
        let certified = Client::connect_with(certified).await.unwrap();
        let path = path("certified");
        let private = Lock::new(&certified, &path).unwrap().with_acl(Acl::creator_all());
        let guard = private.acquire().await.unwrap();
        let (acl, _) = certified.current().acl(&path).await.unwrap();
        assert_eq!(acl, [Acl::new(perms::ALL, "x509", "CN=zooky test client")]);
        let plain = client(&server.addr().to_string()).await;
        let refused = Lock::new(&plain, &path).unwrap().acquire().await.unwrap_err();
        assert!(matches!(refused, Error::Session(SessionError::NoAuth { .. })), "{refused}");
        guard.release().await.unwrap();
        // Without a certificate of the right authority there is no session at all.
        let stranger = TlsConfig::new(&pem("ca.pem"), None).unwrap();
        let refused = config(&server.tls_addr().unwrap().to_string()).tls(stranger);
        let refused =
            Client::connect_with(refused.connect_timeout(Duration::from_secs(2))).await.unwrap_err();
        assert!(matches!(refused, Error::Connect(ConnectError::Timeout { .. })), "{refused}");
    });
}

backends!(timeouts: ours_the_session_timeout_is_a_setting, apache_the_session_timeout_is_a_setting);

async fn timeouts(hosts: String) {
    for (asked, granted) in [(3_000, 3_000), (1, 1_000), (60_000, 10_000)].map(|(a, b)| (ms(a), ms(b))) {
        let client = client_with_timeout(&hosts, asked).await;
        let guard = Lock::new(&client, &path("timeout")).unwrap().acquire().await.unwrap();
        assert_eq!(guard.session_timeout(), granted);
        guard.release().await.unwrap();
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn sasl_is_refused_by_name() {
    let server = Ours::start(TICK);
    run(LONG, async {
        let refused = Client::connect_with(config(&server.hosts()).auth("sasl", "")).await.unwrap_err();
        assert!(matches!(refused, Error::Connect(ConnectError::SaslUnsupported)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("SASL") && text.contains("digest"), "{text}");
        let session = Session::connect(config(&server.hosts())).await.unwrap();
        assert_eq!(session.auth("SASL", b"").await, Err(SessionError::SaslUnsupported));
        assert_eq!(session.state(), State::Connected);
    });
}

/// A server that demands SASL, and one that demands digest.
#[test]
fn apache_a_demand_for_authentication_is_told() {
    let sasl = [
        "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "sessionRequireClientSASLAuth=true",
    ];
    let digest = ["enforce.auth.enabled=true", "enforce.auth.schemes=digest"];
    for (settings, works) in [(sasl, false), (digest, true)] {
        let server =
            settings.into_iter().fold(Apache::builder().tick_ms(500), |server, line| server.extra(line));
        let server = server.start();
        run(LONG, async {
            let nobody = client(&server.hosts()).await;
            let path = path("demanded");
            let begun = Instant::now();
            let refused = Lock::new(&nobody, &path).unwrap().acquire_timeout(LONG / 2).await.unwrap_err();
            assert!(matches!(refused, Error::Session(SessionError::AuthRequired)), "{refused}");
            let text = refused.to_string();
            assert!(text.contains("SASL") && text.contains("SessionConfig::auth"), "{text}");
            assert!(begun.elapsed() < LONG / 4);
            let ann = as_user(&server.hosts(), "ann:secret").await;
            let lock = Lock::new(&ann, &path).unwrap();
            assert_eq!(lock.acquire_timeout(LONG / 2).await.is_ok(), works);
        });
    }
}

#[test]
fn a_new_session_comes_about_although_nobody_waits_long_for_it() {
    let server = Ours::start(TICK);
    run(LONG, async {
        let client = client(&server.hosts()).await;
        let lost = client.current();
        lost.clone().close().await.unwrap();
        // Nobody ever waits for more than the first look.
        eventually("a new session", || async { polled(client.session(), 1).await?.ok() }).await;
        assert_ne!(client.current().id(), lost.id());
        // One session for all who want it at once.
        client.current().close().await.unwrap();
        let sessions = (0..50).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.session().await.unwrap().id() })
        });
        let sessions: Vec<_> = sessions.collect();
        let mut ids = Vec::new();
        for session in sessions {
            ids.push(session.await.unwrap());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        // A closed client opens none.
        client.clone().close().await.unwrap();
        assert!(matches!(client.session().await, Err(Error::Session(SessionError::Closed))));
    });
}

/// What kazoo's back-off adds when a quorum returns: up to 11 s.
#[test]
fn ensemble_the_next_grant_comes_soon_after_a_lost_quorum() {
    let mut ensemble = Ensemble::start();
    let outage = Duration::from_secs(15);
    run(3 * LONG, async {
        let hosts = ensemble.hosts();
        let path = path("quorum");
        let timeout = Duration::from_secs(6);
        let (one, two) =
            (client_with_timeout(&hosts, timeout).await, client_with_timeout(&hosts, timeout).await);
        let held = Lock::new(&one, &path).unwrap().acquire().await.unwrap();
        let (next, mut waits) = telling(Lock::new(&two, &path).unwrap());
        let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
        waits.recv().await.unwrap();

        let leader = ensemble.leader();
        let down = [leader, ensemble.followers()[0]];
        down.iter().for_each(|member| ensemble.member(*member).kill());
        held.lost().await;
        // The outage is what this is about.
        tokio::time::sleep(outage).await;
        assert!(!waiting.is_finished());
        down.iter().for_each(|member| ensemble.relaunch(*member));
        ensemble.leader();
        let mut elected = MachineClock::start();
        let guard = waiting.await.unwrap();
        let gap = elected.elapsed();
        println!("a grant {gap:?} after the election");
        // Our own pauses are at most a second; the rest is handshakes and a busy machine. The lost holder's session is closed
        // by its own client, which is back as fast: nobody waits for it to expire.
        assert!(gap < timeout - Duration::from_secs(2), "{gap:?} after the election");
        guard.release().await.unwrap();
        drop(held);
    });
}
