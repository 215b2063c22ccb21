//! What is secret does not get into the logs, not even at their most talkative.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use support::{Raw, config, new_session};
use tempfile::TempDir;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use zooky_server::Server;
use zooky_wire::{Acl, ConnectRequest, Create, CreateKind, CreateMode, ErrorCode, Request};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Logged;

    fn make_writer(&'a self) -> Logged {
        self.clone()
    }
}

/// The ways in which a program may have written these bytes.
fn written(bytes: &[u8]) -> Vec<String> {
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let escaped = bytes.escape_ascii().to_string();
    vec![hex, escaped, String::from_utf8_lossy(bytes).into_owned(), format!("{bytes:?}")]
}

#[test]
fn no_secret_is_logged() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
    subscriber.with_writer(logged.clone()).init();

    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    // Of "super:test".
    let super_digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    config.super_digest = Some(super_digest.to_owned());
    let server = Server::start(config.clone()).unwrap();
    let mut client = Raw::connect(server.addr());
    let auth = |scheme: &str, auth: &str| Request::Auth {
        kind: 0,
        scheme: scheme.into(),
        auth: auth.as_bytes().to_vec(),
    };
    let logs_in = |client: &mut Raw, request: Request| {
        client.send(&[request]).unwrap();
        client.reply().map(|(header, _)| header.err)
    };
    assert_eq!(logs_in(&mut client, auth("digest", "alice:opensesame")), Ok(ErrorCode::OK));
    assert_eq!(logs_in(&mut client, auth("digest", "super:test")), Ok(ErrorCode::OK));
    let own = Request::Create(Create {
        kind: CreateKind::Create2,
        path: "/own".into(),
        data: Some("the treasure".into()),
        acl: Acl::creator_all(),
        mode: CreateMode::PERSISTENT,
    });
    client.call(own).unwrap();
    // Refusals are what a server complains of.
    let mut refused = Raw::connect(server.addr());
    assert_eq!(logs_in(&mut refused, auth("kerberos", "bob:openbarley")), Ok(ErrorCode::AUTH_FAILED));
    let (session_id, password) = (client.session.session_id, client.session.password.clone());
    let mut forged = Raw::open(server.addr());
    let guess = b"guessed-password".to_vec();
    forged.shake(&ConnectRequest { session_id, password: guess.clone(), ..new_session(10_000) }).unwrap();
    assert_eq!(forged.session.session_id, 0);
    let mut broken = Raw::open(server.addr());
    broken.raw(b"\0\0\0\x10opensesame,again").unwrap();
    assert!(broken.frame().is_err());
    let again = Raw::reattach(server.addr(), &client).unwrap();
    assert_eq!(again.session.session_id, session_id);
    server.stop().unwrap();
    // Reads the log and the snapshot, with what they hold.
    Server::start(config).unwrap().stop().unwrap();

    let text = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(text.contains("serving") && text.contains("TRACE") | text.contains("DEBUG"), "{text}");
    let secret = std::fs::read(dir.path().join("zooky.secret")).unwrap();
    let alices = digest("alice:opensesame");
    for bytes in [
        &b"opensesame"[..],
        b"openbarley",
        b"super:test",
        b"treasure",
        super_digest.strip_prefix("super:").unwrap().as_bytes(),
        alices.as_bytes(),
        &guess,
        &password,
        &secret,
    ] {
        for way in written(bytes) {
            assert!(!text.contains(&way), "{way} is in the logs:\n{text}");
        }
    }
}

/// As `digest` identities are written: the base64 of the SHA-1 of `user:password`.
fn digest(credential: &str) -> String {
    use base64::Engine;
    use sha1::Digest;
    base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(credential))
}
