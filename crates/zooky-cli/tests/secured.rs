//! Servers that want TLS and certificates, and locks that are not everybody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, get, run, zooky};
use std::path::{Path, PathBuf};
use std::process::Command;
use zooky_testkit::eventually;

/// One of the certificates that the client's own tests have.
fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../zooky-client/tests/tls").join(name)
}

const MINE: &str = "x509:CN=zooky test client:cdrwa";

/// With the client's certificate, and nodes that only it may touch.
fn secured(server: &str, args: &[&str]) -> Command {
    let mut command = zooky(&["--servers", server]);
    command.args(args).env("ZOOKY_SESSION_TIMEOUT", "30");
    command.env("ZOOKY_CA", pem("ca.pem")).env("ZOOKY_ACL", MINE);
    command.env("ZOOKY_CERT", pem("client.pem")).env("ZOOKY_KEY", pem("client.key"));
    command
}

#[test]
fn by_tls_with_a_certificate_and_an_acl() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0";
    let mut command = zooky(&["server", "--listen", any, "--tls-listen", any, "--data-dir"]);
    command.arg(data.path()).arg("--tls-cert").arg(pem("server.pem")).arg("--tls-key").arg(pem("server.key"));
    let mut server = Running::start(command.arg("--tls-client-ca").arg(pem("ca.pem")));
    let mut address = |before: &str| {
        let line = server.error_line();
        let rest = line.strip_prefix(before).unwrap_or_else(|| panic!("{line}"));
        rest.split(',').next().unwrap().to_string()
    };
    let (plain, tls) = (address("zooky: serving at "), address("zooky: serving with TLS at "));

    // All that a lock needs was made by the command, so nobody else may touch it.
    let script = "echo $ZOOKY_LOCK";
    let (code, out, errors) = run(&mut secured(&tls, &["run", "job", "--", "sh", "-c", script]));
    assert_eq!((code, out.as_str(), errors.as_str()), (0, "/locks/job\n", ""));
    let (code, _, errors) = run(&mut zooky(&["--servers", &plain, "run", "-n", "job", "--", "true"]));
    assert_eq!((code, errors.lines().count()), (77, 1), "{errors}");
    for args in [
        &["run", "a", "b", "--", "true"][..],
        &["run", "--semaphore", "2", "s", "--", "true"],
        &["elect", "e", "--", "true"],
        &["node", "set", "/n", "1"],
        &["demo", "--count", "2", "--delay-ms", "5"],
    ] {
        let (code, _, errors) = run(&mut secured(&tls, args));
        assert_eq!((code, errors.as_str()), (0, ""), "{args:?}");
    }
    for path in ["/locks/job", "/locks/a", "/locks/b", "/locks/s", "/locks/e", "/locks/demo", "/n"] {
        assert_eq!(run(&mut zooky(&["--servers", &plain, "node", "get", path])).0, 77, "{path}");
    }
    let (code, out, _) = run(&mut secured(&tls, &["doctor"]));
    assert_eq!(code, 0, "{out}");
    for words in [
        "environment ZOOKY_CERT",
        "environment ZOOKY_ACL",
        "x509:CN=zooky test client",
        "version 3.9.0, standalone; connected to 127.0.0.1:",
        " by TLS in ",
        &format!("ok     {MINE}"),
    ] {
        assert!(out.contains(words), "no {words} in\n{out}");
    }

    // A flag counts before its variable; servers of another authority are not talked to.
    let mut command = secured(&tls, &["--session-timeout", "1", "list"]);
    let (code, _, errors) = run(command.arg("--ca").arg(pem("other-ca.pem")));
    assert_eq!((code, errors.contains("certificate")), (69, true), "{errors}");
    assert_eq!(run(secured(&tls, &["list"]).arg("--ca").arg(pem("ca.pem"))).0, 0);
    // And the other way round: whoever asks the port for TLS in plain text is told.
    let (code, out, _) = run(&mut zooky(&["--servers", &tls, "--session-timeout", "1", "doctor"]));
    assert_eq!(code, 69, "{out}");
    let line = out.lines().find(|line| line.starts_with(&format!("server {tls}"))).unwrap();
    assert!(line.contains("WRONG") && line.contains("cannot be asked in plain text"), "{line}");

    // The page asks how the server is by the same way as its session goes.
    let mut ui = Running::start(&mut secured(&tls, &["ui", "--listen", "127.0.0.1:0", "--metrics"]));
    let page = ui.line();
    let page = page.strip_prefix("page at http://").unwrap_or_else(|| panic!("{page}")).trim_end_matches('/');
    eventually(LONG, "the server to say how it is, by TLS", || {
        let answers = format!("\nzooky_server_answers{{server=\"{tls}\"}} 1\n");
        get(page, "/metrics").contains(&answers).then_some(())
    });
    ui.signal(rustix::process::Signal::TERM);
    assert_eq!(ui.code(), 0);
}

#[test]
fn what_does_not_go_together_is_told() {
    for (variables, says) in [
        (&[("ZOOKY_CERT", "c")][..], "cert and key"),
        (&[("ZOOKY_CERT", "c"), ("ZOOKY_KEY", "k")], "needs ca"),
        (&[("ZOOKY_CA", "/nowhere/ca.pem")], "/nowhere/ca.pem"),
        (&[("ZOOKY_ACL", "everybody")], "SCHEME:ID:RIGHTS"),
    ] {
        let mut command = zooky(&["--servers", "127.0.0.1:1", "list"]);
        let (code, out, errors) = run(command.envs(variables.iter().copied()));
        assert_eq!((code, out.as_str(), errors.lines().count()), (78, "", 1), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
}
