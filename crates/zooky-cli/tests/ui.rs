//! `zooky ui` and `zooky server --ui` from outside. What the page does in a browser, `zooky-ui`'s own tests show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{LONG, Running, Server, get, run, zooky};
use rustix::process::Signal;
use zooky_testkit::{Apache, eventually, free_port};

/// The address in `page at http://ADDRESS/`.
fn address(line: &str) -> String {
    let rest = line.strip_prefix("page at http://").unwrap_or_else(|| panic!("{line}"));
    rest.trim_end_matches('/').to_string()
}

fn shows_a_held_lock(server: &str, page: &str) {
    let mut holder = Running::start(&mut common::named(server, &["run", "nightly", "--", "sleep", "1000"]));
    eventually(LONG, "the held lock among the numbers", || {
        get(page, "/metrics").contains("\nzooky_locks_held 1\n").then_some(())
    });
    holder.signal(Signal::TERM);
    holder.wait();
    eventually(LONG, "the lock to be free", || {
        get(page, "/metrics").contains("\nzooky_locks_held 0\n").then_some(())
    });
}

#[test]
fn the_page_and_the_numbers_are_served_until_a_signal() {
    let server = Server::start();
    let mut ui = Running::start(&mut server.zooky(&["ui", "--listen", "127.0.0.1:0", "--metrics"]));
    let page = address(&ui.line());
    assert_eq!(ui.line(), format!("metrics at http://{page}/metrics"));
    let token = ui.line();
    let token = token.strip_prefix("token to free locks: ").unwrap_or_else(|| panic!("{token}"));
    assert_eq!(token.len(), 32);
    assert!(get(&page, "/").contains("<title>zooky</title>"));
    shows_a_held_lock(&server.hosts(), &page);
    ui.signal(Signal::TERM);
    assert_eq!(ui.code(), 0);
}

/// What a server elsewhere says of expired sessions tells who has lost a lock from who has let it go.
fn losses_are_suspected(hosts: &str) {
    let mut ui = Running::start(&mut common::named(hosts, &["ui", "--listen", "127.0.0.1:0", "--metrics"]));
    let page = address(&ui.line());
    let count = |number: u32| format!("\nzooky_losses_suspected_total{{mode=\"exclusive\"}} {number}\n");
    let until = |what: &str, line: &str| {
        eventually(LONG, what, || get(&page, "/metrics").contains(line).then_some(()));
    };
    until("the server to tell how many expired", &count(0));
    shows_a_held_lock(hosts, &page);
    // Not one that was let go: it was released before this one was taken, and its looks are past when this one is lost.
    let mut holder = Running::start(&mut common::named(hosts, &["run", "nightly", "--", "sleep", "1000"]));
    until("the lock to be held", "\nzooky_locks_held 1\n");
    assert!(get(&page, "/metrics").contains(&count(0)));
    // Nobody closes its session.
    holder.child.kill().unwrap();
    until("the loss", &count(1));
    ui.signal(Signal::TERM);
    assert_eq!(ui.code(), 0);
}

#[test]
fn losses_are_suspected_on_our_server() {
    losses_are_suspected(&Server::start().hosts());
}

#[test]
fn losses_are_suspected_on_apache() {
    losses_are_suspected(&Apache::start().hosts());
}

#[test]
fn without_metrics_there_are_none_and_read_only_has_no_token() {
    let server = Server::start();
    let mut ui =
        Running::start(&mut server.zooky(&["ui", "--listen", "127.0.0.1:0", "--read-only", "--poll"]));
    let page = address(&ui.line());
    assert!(get(&page, "/metrics").starts_with("HTTP/1.1 404 "));
    ui.signal(Signal::INT);
    assert_eq!(ui.code(), 0);
    assert_eq!(ui.rest(), "", "a token was printed");
}

#[test]
fn a_page_for_other_machines_is_refused() {
    let server = Server::start();
    let (code, out, err) = run(&mut server.zooky(&["ui", "--listen", "0.0.0.0:0"]));
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("for this machine only") && err.contains("ssh -L"), "{err}");
}

#[test]
fn a_server_has_the_page_beside_it() {
    let data = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = zooky(&["server", "--listen", &listen, "--ui=127.0.0.1:0", "--data-dir"]);
    let mut server = Running::start(command.arg(data.path()));
    let page = address(&server.line());
    shows_a_held_lock(&listen, &page);
    // It is told of losses though the server's own numbers are not served.
    let loss = "zooky_losses_total{mode=\"exclusive\"}";
    assert!(get(&page, "/metrics").contains(&format!("\n{loss} 0\n")));
    let mut holder = Running::start(&mut common::named(&listen, &["run", "nightly", "--", "sleep", "1000"]));
    eventually(LONG, "the lock to be held", || {
        get(&page, "/metrics").contains("\nzooky_locks_held 1\n").then_some(())
    });
    // Nobody closes its session.
    holder.child.kill().unwrap();
    eventually(LONG, "the loss", || get(&page, "/metrics").contains(&format!("\n{loss} 1\n")).then_some(()));
    server.signal(Signal::TERM);
    assert_eq!(server.code(), 0);
}

/// Locks held, waiters, times and losses, with nothing but `--metrics`.
#[test]
fn the_servers_own_numbers_tell_of_its_locks_and_of_losses() {
    let data = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = zooky(&["server", "--listen", &listen, "--metrics", "127.0.0.1:0", "--data-dir"]);
    let mut server = Running::start(command.arg(data.path()));
    server.error_line();
    let line = server.error_line();
    let numbers = line.strip_prefix("zooky: metrics at http://").unwrap_or_else(|| panic!("{line}"));
    let numbers = numbers.trim_end_matches("/metrics");
    let until = |what: &str, lines: &[&str]| {
        eventually(LONG, what, || {
            let all = get(numbers, "/metrics");
            lines.iter().all(|line| all.contains(&format!("\n{line}\n"))).then_some(all)
        })
    };
    shows_a_held_lock(&listen, numbers);
    let loss = "zooky_losses_total{mode=\"exclusive\"}";
    until("a hold and no loss", &["zooky_hold_seconds_count{mode=\"exclusive\"} 1", &format!("{loss} 0")]);

    let mut holder = Running::start(&mut common::named(&listen, &["run", "nightly", "--", "sleep", "1000"]));
    until("the lock to be held", &["zooky_locks_held 1"]);
    let mut waiter = Running::start(&mut common::named(&listen, &["run", "nightly", "--", "sleep", "1000"]));
    until("one to wait", &["zooky_waiters 1"]);
    // Nobody closes its session.
    holder.child.kill().unwrap();
    let all = until("the loss", &["zooky_waiters 0", &format!("{loss} 1")]);
    assert!(all.contains("\nzooky_server_ephemerals_expired 1\n"), "{all}");
    for name in all.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert_eq!(all.matches(&format!("# TYPE {name}\n")).count(), 1, "{name} is there twice");
    }
    for running in [&mut waiter, &mut server] {
        running.signal(Signal::TERM);
        running.wait();
    }
}
