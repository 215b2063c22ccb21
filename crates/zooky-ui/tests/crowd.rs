//! A thousand locks and ten thousand contenders: the page takes them in and follows them without stalling.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{DESK, Served, Window, in_window, now_ms, row_of, server};
use serde_json::{Value, json};
use zooky::session::{Acl, CreateMode, Session, SessionConfig};
use zooky_ui::How;

const LOCKS: usize = 1_000;
const EACH: usize = 10;
/// How much of the processor one task of the page may take: for so long it does not answer its user. Not by the clock, which
/// counts whatever else the machine does. The first one makes the page.
const LONGEST_MS: f64 = 150.0;
const FIRST_MS: f64 = 500.0;

fn path(lock: usize) -> String {
    format!("/locks/crowd-{lock:04}")
}

/// Contenders as kazoo writes them, all of one session.
async fn crowd(session: &Session) {
    session.create("/locks", "", CreateMode::PERSISTENT, &Acl::open()).await.unwrap();
    for some in (0..LOCKS).collect::<Vec<_>>().chunks(50) {
        let mut made = Vec::new();
        for lock in some {
            made.push(session.create(&path(*lock), "", CreateMode::PERSISTENT, &Acl::open()));
            for contender in 0..EACH {
                let node = format!("{}/{:032x}__lock__", path(*lock), lock * EACH + contender);
                let data = format!("worker {contender} of host {}", lock % 7);
                made.push(session.create(&node, data, CreateMode::EPHEMERAL_SEQUENTIAL, &Acl::open()));
            }
        }
        for one in made {
            one.await.unwrap();
        }
    }
}

fn node(lock: usize, contender: usize) -> String {
    format!("{}/{:032x}__lock__{contender:010}", path(lock), lock * EACH + contender)
}

/// The longest task since this was asked last.
fn longest_ms(window: &mut Window) -> f64 {
    let tasks = window.act("tasks", Value::Null);
    let tasks = tasks.as_array().unwrap();
    println!(
        "{} tasks; the longest, in ms of the processor and by the clock: {:?}",
        tasks.len(),
        &tasks[..5]
    );
    tasks[0][0].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_contenders_do_not_stall_the_page() {
    let (server, _dir) = server();
    let hosts = server.addr().to_string();
    let session = Session::connect(SessionConfig::new(hosts.parse().unwrap())).await.unwrap();
    crowd(&session).await;
    let served = Served::start(&hosts, How::Watch).await;
    let begun_ms = now_ms();
    let mut window = tokio::task::block_in_place(|| Window::open_traced(&served, DESK));
    in_window!(window, {
        let all =
            format!("document.getElementById('count-waiting').textContent === '{}'", LOCKS * (EACH - 1));
        let shown_ms = window.until(&all);
        println!("all of them were on the page {} ms after the browser was started", shown_ms - begun_ms);
        assert_eq!(window.text("#count-locks"), LOCKS.to_string());
        assert_eq!(window.text("#count-held"), LOCKS.to_string());
        // Only what one sees is in the document.
        let rows = window.eval("document.querySelectorAll('.row').length").as_i64().unwrap();
        assert!(rows < 40, "{rows} rows");
        let longest = longest_ms(window);
        assert!(longest < FIRST_MS, "taking them in kept the page busy for {longest} ms");
    });

    // Every lock is handed on four times, as fast as the server does it, while the page is scrolled.
    let churn = tokio::spawn({
        let session = session.clone();
        async move {
            for contender in 0..4 {
                for some in (0..LOCKS).collect::<Vec<_>>().chunks(100) {
                    let left: Vec<_> =
                        some.iter().map(|lock| session.delete(&node(*lock, contender), -1)).collect();
                    for one in left {
                        one.await.unwrap();
                    }
                }
            }
        }
    });
    in_window!(window, {
        for to in [4_000, 20_000, 40_000, 0] {
            window.eval(&format!("document.getElementById('list').scrollTop = {to}"));
            window.act("rest", json!(200));
        }
    });
    churn.await.unwrap();
    let done_ms = now_ms();
    in_window!(window, {
        let left = LOCKS * (EACH - 5);
        let shown_ms =
            window.until(&format!("document.getElementById('count-waiting').textContent === '{left}'"));
        println!("the last of 4,000 hand-offs was shown after {} ms", shown_ms - done_ms);
        let longest = longest_ms(window);
        assert!(longest < LONGEST_MS, "following kept the page busy for {longest} ms");

        // Found among a thousand, by its name.
        window.act("fill", json!(["#filter", "crowd-0777"]));
        window.until(&format!("{} === '5 waiting'", row_of(&path(777), "waiters")));
        let rows = window.eval("document.querySelectorAll('.row:not([hidden])').length");
        assert_eq!(rows, json!(1));
        window.expect_clean(&served);
    });
}
