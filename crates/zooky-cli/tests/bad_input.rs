//! Whatever is wrong is one clear line and a code that says what kind of thing it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Running, Server, run, zooky};
use zooky_testkit::free_port;

#[test]
fn usage_is_64() {
    for args in [
        &["run"][..],
        &["run", "x"],
        &["run", "-w", "x", "n", "--", "true"],
        &["run", "-w", "-1", "n", "--", "true"],
        &["run", "-E", "256", "n", "--", "true"],
        &["run", "-s", "-x", "n", "--", "true"],
        &["--session-timeout", "0", "list"],
        &["nonsense"],
        &["show"],
        &["hold"],
        &["wait"],
        &["elect"],
        &["elect", "--observe", "n", "--", "true"],
        &["revoke"],
        &["revoke", "--all", "--older", "1", "n"],
        &["remove"],
        &["clean", "--age", "x"],
        &["node"],
        &["node", "set", "/n"],
        &["node", "set", "--version", "-1", "/n", "x"],
        &["bench", "--clients", "0"],
        &["completions"],
        &["demo", "--workers", "0"],
        &["server"],
        &["server", "--listen", "nowhere", "--data-dir", "x"],
        &[],
    ] {
        let (code, out, errors) = run(&mut zooky(args));
        assert_eq!((code, out.as_str()), (64, ""), "{args:?}: {errors}");
        assert!(!errors.is_empty() && !errors.contains("panicked"), "{args:?}: {errors}");
    }
    assert_eq!(run(&mut zooky(&["--help"])).0, 0);
    assert_eq!(run(&mut zooky(&["--version"])).0, 0);
}

#[test]
fn bad_lock_names_are_65() {
    let server = Server::start();
    for name in ["", "/", "//", "a//b", "a/", "../x", "a/./b", "/zookeeper/../x", "a\u{1}b", "a\u{7f}b"] {
        for verb in [
            &["run", "-n", name, "--", "true"][..],
            &["run", "-n", "good", name, "--", "true"],
            &["hold", "-n", name],
            &["wait", "-n", name],
            &["elect", name],
            &["show", name],
            &["revoke", name],
            &["remove", name],
        ] {
            let (code, out, errors) = run(&mut server.zooky(verb));
            assert_eq!((code, out.as_str()), (65, ""), "{verb:?}: {errors}");
            assert_eq!(errors.lines().count(), 1, "{verb:?}: {errors}");
            assert!(errors.starts_with("zooky: "), "{verb:?}: {errors}");
        }
    }
}

#[test]
fn servers_that_cannot_be_reached_are_named() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let verbs = [&["list"][..], &["show", "x"], &["run", "x", "--", "true"], &["demo"]];
    // Each takes as long as it looks for a server.
    std::thread::scope(|scope| {
        for hosts in [nobody.as_str(), "no-such-host.invalid:2181"] {
            for verb in verbs {
                scope.spawn(move || {
                    let (code, out, errors) = run(&mut common::named(hosts, verb));
                    assert_eq!((code, out.as_str()), (69, ""), "{hosts} {verb:?}: {errors}");
                    let lines: Vec<&str> = errors.lines().collect();
                    assert_eq!(lines.len(), 2, "{errors}");
                    for line in lines {
                        assert!(line.starts_with("zooky: ") && line.contains(hosts), "{errors}");
                    }
                });
            }
        }
    });
}

/// Whoever has mistyped a port is not left in the dark until the time-out; and the server may yet come.
#[test]
fn a_refusal_is_told_at_once_and_the_server_waited_for() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut waiting = Running::start(
        zooky(&["--servers", &address, "--session-timeout", "60", "list"]).env("RUST_LOG", "off"),
    );
    let told = waiting.error_line();
    let (cause, rest) = told.split_once(';').expect(&told);
    assert_eq!(cause, format!("zooky: {address}: Connection refused (os error 111)"));
    assert!(rest.starts_with(" trying for another "), "{told}");

    let data = tempfile::tempdir().unwrap();
    let config = zooky_server::Config::new(address.parse().unwrap(), data.path());
    let server = zooky_server::Server::start(config).unwrap();
    assert_eq!((waiting.code(), waiting.errors()), (0, String::new()));
    server.stop().unwrap();
}

#[test]
fn servers_that_make_no_sense_are_usage() {
    for hosts in ["", ",", "h:notaport", "h:99999", "h:2181/a//b"] {
        let (code, _, errors) = run(&mut common::named(hosts, &["list"]));
        assert_eq!(code, 64, "{hosts:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}
