//! A deadlock on the page, in daylight, in the dark and on a phone. With `ZOOKY_SCREENSHOTS=DIR` the pictures are kept there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{DESK, NIGHT, PHONE, Served, Window, in_window, server};
use serde_json::json;
use zooky::{Client, Guard, Lock, Owner, RwLock};
use zooky_ui::How;

fn owner(program: &str, id: &str) -> Owner {
    Owner::this_process().with_program(program).with_id(id)
}

fn lock(client: &Client, name: &str, owner: Owner) -> Lock {
    Lock::new(client, &format!("/locks/{name}")).unwrap().with_owner(owner)
}

/// Takes and releases a lock again and again, so that there is something to draw.
async fn busy(client: Client, name: &'static str, worker: usize) {
    let lock = lock(&client, name, owner("worker", &worker.to_string()));
    for n in 0.. {
        let guard = lock.acquire().await.unwrap();
        tokio::time::sleep(Duration::from_millis(150 + (n * 37 + worker as u64 * 61) % 400)).await;
        guard.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis((n * 91 + worker as u64 * 13) % 300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_red_by_day_by_night_and_on_a_phone() {
    let (server, _dir) = server();
    let hosts = server.addr().to_string();
    let client = Client::connect(&hosts).await.unwrap();
    let served = Served::start(&hosts, How::Watch).await;
    let (invoices, stock) = (owner("billing", "invoices"), owner("billing", "stock"));
    let first = lock(&client, "accounts", invoices.clone()).acquire().await.unwrap();
    let second = lock(&client, "warehouse", stock.clone()).acquire().await.unwrap();
    let mut waits = tokio::task::JoinSet::new();
    for (name, owner) in [("warehouse", invoices), ("accounts", stock)] {
        let lock = lock(&client, name, owner);
        waits.spawn(async move { lock.acquire().await.map(drop) });
    }
    let readers = RwLock::new(&client, "/locks/catalogue").unwrap().with_owner(owner("search", "reader"));
    let _reading: Vec<Guard> = [readers.read().await.unwrap(), readers.read().await.unwrap()].into();
    for worker in 0..3 {
        waits.spawn({
            let client = client.clone();
            async move {
                busy(client, if worker == 2 { "thumbnails" } else { "nightly-backup" }, worker).await;
                Ok(())
            }
        });
    }
    for (name, look) in [("light", DESK), ("dark", NIGHT), ("phone", PHONE)] {
        let mut window = tokio::task::block_in_place(|| Window::open(&served, look));
        in_window!(window, {
            window.until("document.getElementById('count-cycles').textContent === '1'");
            window.eval("document.getElementById('graph').scrollIntoView()");
            window.until("document.querySelectorAll('#graph-svg .stuck rect').length === 2");
            assert_eq!(
                window.eval("document.querySelectorAll('#graph-svg path.wait.stuck').length"),
                json!(2)
            );
            let words = window.text("#cycles li");
            for part in ["invoices", "stock", "/locks/accounts", "/locks/warehouse"] {
                assert!(words.contains(part), "{words}");
            }
            let red =
                window.eval("getComputedStyle(document.querySelector('#graph-svg .stuck rect')).stroke");
            let expected = if look.dark { "rgb(255, 123, 123)" } else { "rgb(200, 30, 30)" };
            assert_eq!(red, json!(expected));
            // Nothing is wider than the screen.
            let wide =
                window.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, json!(0), "{name} scrolls sideways");
            shoot(window, &format!("{name}-waits"));
            window.eval("scrollTo(0, 0)");
            window.until("document.querySelector('.row:not([hidden])') !== null");
            window.eval("[...document.querySelectorAll('.row')].find((row) => row.textContent.includes('accounts')).click()");
            // Long enough for the timeline to show something.
            window.act("rest", json!(if keeps() { 20_000 } else { 300 }));
            shoot(window, name);
            window.expect_clean(&served);
        });
    }
    drop((first, second));
    waits.abort_all();
}

fn keeps() -> bool {
    std::env::var_os("ZOOKY_SCREENSHOTS").is_some()
}

fn shoot(window: &mut Window, name: &str) {
    if let Some(directory) = std::env::var_os("ZOOKY_SCREENSHOTS") {
        let path = PathBuf::from(directory).join(format!("ui-{name}.png"));
        window.act("shot", json!(path));
    }
}
