//! The page in a real browser: it follows locks within a second, draws what happened, and frees only with the token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{DESK, LONG, Served, Window, in_window, now_ms, row_of, server};
use serde_json::json;
use zooky::{Client, Lock, Owner, RwLock};
use zooky_testkit::{Apache, eventually};
use zooky_ui::How;

/// What the page promises: a change is on the screen within a second.
const SOON_MS: i64 = 1_000;
/// How often that is looked at.
const TIMES: usize = 5;

async fn follows_live(hosts: &str, version: &str) {
    let served = Served::start(hosts, How::Watch).await;
    let mut window = tokio::task::block_in_place(|| Window::open(&served, DESK));
    let client = Client::connect(hosts).await.unwrap();
    let owner = |id: &str| Owner::this_process().with_program("backup").with_id(id);
    let lock = Lock::new(&client, "/locks/nightly").unwrap().with_owner(owner("first"));
    let next = Lock::new(&client, "/locks/nightly").unwrap().with_owner(owner("second"));

    let begun_ms = now_ms();
    // The machine may be busy with something else for more than a second, but not each time.
    let mut took_ms = Vec::new();
    let shows_first = format!("{}.includes('backup first @')", row_of("/locks/nightly", "who"));
    let shows_free = format!("{} === 'free'", row_of("/locks/nightly", "who"));
    for _ in 0..TIMES {
        let guard = lock.acquire().await.unwrap();
        let taken_ms = now_ms();
        let grant_ms = in_window!(window, window.until(&shows_first)) - taken_ms;
        guard.release().await.unwrap();
        let released_ms = now_ms();
        took_ms.push((grant_ms, in_window!(window, window.until(&shows_free)) - released_ms));
    }
    let soonest = |took_ms: Option<i64>, what: &str| {
        let took_ms = took_ms.unwrap();
        assert!(took_ms < SOON_MS, "{what} was shown after {took_ms} ms at the earliest");
    };
    soonest(took_ms.iter().map(|(grant, _)| *grant).min(), "a grant");
    soonest(took_ms.iter().map(|(_, release)| *release).min(), "a release");

    let wanted_ms = now_ms();
    let guard = lock.acquire().await.unwrap();
    let granted_ms = in_window!(window, window.until(&shows_first));
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    let waits = format!("{} === '1 waiting'", row_of("/locks/nightly", "waiters"));
    in_window!(window, window.until(&waits));

    // Chosen with the keyboard alone.
    in_window!(window, {
        window.eval("document.getElementById('list').focus()");
        window.act("press", json!("ArrowDown"));
        window.until("document.getElementById('detail-title').textContent === '/locks/nightly'");
        window.until("document.querySelectorAll('#queue tbody tr').length === 2");
        assert!(window.text("#queue tbody tr:nth-child(1)").starts_with("holds for"));
        assert!(window.text("#queue tbody tr:nth-child(2)").starts_with("waits for"));
    });

    let letting_go_ms = now_ms();
    guard.release().await.unwrap();
    let second = waiting.await.unwrap();
    let handed_ms = in_window!(
        window,
        window.until(&format!("{}.includes('backup second @')", row_of("/locks/nightly", "who")))
    );

    // The timeline: the first one's last hold from its grant to its end, and the second's since then.
    in_window!(window, {
        let holds = TIMES + 1;
        window.until(&format!("document.querySelectorAll('#history tbody tr').length === {holds}"));
        let [from, to] = ["from", "to"].map(|end| {
            let told =
                window.eval(&format!("Number(document.querySelector('#history tbody tr').dataset.{end})"));
            told.as_f64().unwrap() as i64
        });
        assert!(wanted_ms <= from && from <= granted_ms, "{wanted_ms} {from} {granted_ms}");
        assert!(letting_go_ms <= to && to <= handed_ms, "{letting_go_ms} {to} {handed_ms}");
        assert!(
            window.text("#history tbody tr").ends_with(&owner_words("first")),
            "{}",
            window.text("#history tbody")
        );
        let (middle, before) = ((from + to) / 2, begun_ms - 2 * SOON_MS);
        assert_eq!(
            colour_at(window, middle),
            colour_of(window, "own"),
            "nothing is drawn for the first hold"
        );
        assert_eq!(colour_at(window, before), colour_of(window, "mark"), "drawn before the first grant");
    });

    second.release().await.unwrap();
    in_window!(window, window.until(&shows_free));

    in_window!(window, {
        window.eval("document.getElementById('health').scrollIntoView()");
        window
            .until("document.querySelector('#servers tbody td:nth-child(2)')?.textContent === 'standalone'");
        let servers = window.text("#servers tbody");
        assert!(servers.contains(hosts) && servers.contains(version), "{servers}");
        window.until(
            "[...document.querySelectorAll('.plot .key')].some((key) => /granted/.test(key.textContent))",
        );
        window.expect_clean(&served);
    });
}

fn owner_words(id: &str) -> String {
    let owner = Owner::this_process();
    format!("backup {id} @{} pid {}", owner.host, owner.pid)
}

/// The colour in the timeline's first row at this moment, once the timeline is at rest.
fn colour_at(window: &mut Window, at_ms: i64) -> Vec<i64> {
    let code = format!(
        "(() => {{
            document.getElementById('timeline').scrollIntoView();
            const canvas = document.getElementById('timeline-canvas');
            const {{ from, width, row, axis }} = canvas.dataset;
            const x = (({at_ms} - from) / width) * canvas.width;
            const scale = canvas.width / canvas.clientWidth;
            const y = (Number(axis) + 5) * scale;
            return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)];
        }})()"
    );
    window.eval("document.getElementById('timeline').scrollIntoView()");
    window.until("document.getElementById('timeline-canvas').dataset.from > 0");
    // On a slow machine it may have been minutes ago.
    window.until(&format!(
        "document.getElementById('timeline-canvas').dataset.from < {at_ms} \
         || document.querySelector('[data-zoom=out]').click()"
    ));
    window.act("rest", json!(700));
    serde_json::from_value(window.eval(&code)).unwrap()
}

/// What of time is seen: from when on, and how much, in milliseconds.
fn seen(window: &mut Window) -> (f64, f64) {
    let data = "document.getElementById('timeline-canvas').dataset";
    let seen = window.eval(&format!("[Number({data}.from), Number({data}.width)]"));
    serde_json::from_value(seen).unwrap()
}

/// Keys zoom, move, and return to the present; what follows the present goes on to do so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeline_is_zoomed_and_moved_by_keys() {
    let (server, _dir) = server();
    let hosts = server.addr().to_string();
    let client = Client::connect(&hosts).await.unwrap();
    let served = Served::start(&hosts, How::Watch).await;
    let mut window = tokio::task::block_in_place(|| Window::open(&served, DESK));
    let lock = Lock::new(&client, "/locks/nightly").unwrap();
    let _guard = lock.acquire().await.unwrap();
    let follows = "(document.getElementById('timeline-note').textContent.includes(' until now,'))";
    in_window!(window, {
        window.until(&format!("{} !== ''", row_of("/locks/nightly", "age")));
        window.eval("document.getElementById('timeline').scrollIntoView()");
        window.eval("document.getElementById('timeline-scroll').focus()");
        window.until("document.getElementById('timeline-canvas').dataset.from > 0");
        assert_eq!(seen(window).1, 60_000.0);
        for (key, width) in [("+", 30_000.0), ("-", 60_000.0), ("-", 120_000.0), ("=", 60_000.0)] {
            window.act("press", json!(key));
            assert_eq!(seen(window).1, width, "after {key}");
            assert_eq!(window.eval(follows), json!(true), "after {key}");
        }
        // Away from the present it stands still: the same after a while.
        window.act("press", json!("ArrowLeft"));
        let (from, width) = seen(window);
        assert_eq!((window.eval(follows), width), (json!(false), 60_000.0));
        window.act("rest", json!(1_500));
        assert_eq!(seen(window), (from, width), "it has moved by itself");
        window.act("press", json!("ArrowLeft"));
        assert!((seen(window).0 - (from - 12_000.0)).abs() < 1.0, "a fifth of what is seen");
        window.act("press", json!("ArrowRight"));
        assert!((seen(window).0 - from).abs() < 1.0);
        // Zoomed around its end.
        window.act("press", json!("+"));
        assert!((seen(window).0 - (from + 30_000.0)).abs() < 1.0);
        window.act("press", json!("0"));
        assert_eq!(window.eval(follows), json!(true));
        let (from, _) = seen(window);
        window.until(&format!("document.getElementById('timeline-canvas').dataset.from > {}", from + 200.0));
        // Not beyond a second, nor beyond what is kept.
        for _ in 0..12 {
            window.act("press", json!("+"));
        }
        assert_eq!(seen(window).1, 1_000.0);
        for _ in 0..12 {
            window.act("press", json!("-"));
        }
        assert_eq!(seen(window).1, 900_000.0);
        window.expect_clean(&served);
    });
}

fn colour_of(window: &mut Window, name: &str) -> Vec<i64> {
    let hex = window
        .eval(&format!("getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()"));
    let hex = hex.as_str().unwrap().trim_start_matches('#').to_owned();
    (0..3).map(|n| i64::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_follows_locks_on_our_server() {
    let (server, _dir) = server();
    follows_live(&server.addr().to_string(), "3.9.0-zooky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_follows_locks_on_apache() {
    let apache = Apache::start();
    follows_live(&apache.hosts(), "3.8").await;
}

/// What the buttons do: without the token nothing, with it what was asked for, each time after a second question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_token_frees_a_lock() {
    let (server, _dir) = server();
    let hosts = server.addr().to_string();
    let client = Client::connect(&hosts).await.unwrap();
    let lock = Lock::new(&client, "/locks/deploy").unwrap();
    let guard = lock.acquire().await.unwrap();
    let served = Served::start(&hosts, How::Watch).await;
    let token = served.token.clone();
    let mut window = tokio::task::block_in_place(|| Window::open(&served, DESK));
    in_window!(window, {
        window.until("document.querySelector('.row:not([hidden])') !== null");
        window.act("click", json!(".row"));
        window.until("document.querySelectorAll('#queue button').length === 2");

        // Asked once more, and left.
        window.act("click", json!("#queue button[data-how=remove]"));
        window.until("document.getElementById('act').open");
        assert!(window.text("#act-danger").contains("It may be at work"));
        window.act("click", json!("#act-no"));
        window.until("!document.getElementById('act').open");

        // Without a token, then with a wrong one.
        window.act("click", json!("#queue button[data-how=remove]"));
        for (given, words) in [("", "the token is missing"), ("00", "that is not the token")] {
            window.act("fill", json!(["#act-token", given]));
            window.act("click", json!("#act-yes"));
            window.until(&format!("document.getElementById('act-fault').textContent.startsWith('{words}')"));
        }
    });
    assert!(guard.has_lock().await.unwrap(), "freed without the token");

    in_window!(window, {
        // Enter after the token does not free it yet.
        window.act("fill", json!(["#act-token", token]));
        window.act("press", json!("Enter"));
        window.until("document.activeElement.id === 'act-yes'");
    });
    assert!(guard.has_lock().await.unwrap(), "freed before the second question was answered");
    in_window!(window, {
        window.act("press", json!("Enter"));
        window.until("!document.getElementById('act').open");
        window.until(&format!("{} === 'free'", row_of("/locks/deploy", "who")));
    });
    assert!(!guard.has_lock().await.unwrap());
    guard.lost().await;

    // Asking: the holder hears of it, and goes on to hold.
    let guard = lock.acquire().await.unwrap();
    in_window!(window, {
        window.until("document.querySelectorAll('#queue button').length === 2");
        window.act("click", json!("#queue button[data-how=ask]"));
        // The token is known by now.
        assert_eq!(window.eval("document.getElementById('act-token-label').hidden"), json!(true));
        window.act("click", json!("#act-yes"));
        window.until("document.querySelector('#queue .asked') !== null");
    });
    tokio::time::timeout(LONG, guard.revoked()).await.unwrap();
    assert!(guard.has_lock().await.unwrap());
    in_window!(window, window.expect_clean(&served));
}

/// The server goes away and comes back: the page says that it is old, and then goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_when_it_is_old() {
    let (server, dir) = server();
    let addr = server.addr();
    let client = Client::connect(&addr.to_string()).await.unwrap();
    let guard = RwLock::new(&client, "/locks/shared").unwrap().read().await.unwrap();
    let served = Served::start(&addr.to_string(), How::Watch).await;
    let mut window = tokio::task::block_in_place(|| Window::open(&served, DESK));
    in_window!(window, window.until(&format!("{}.startsWith('read by')", row_of("/locks/shared", "who"))));
    server.stop().unwrap();
    in_window!(window, window.until("document.getElementById('link').textContent.startsWith('not of now')"));
    let _server = zooky_server::Server::start(zooky_server::Config::new(addr, dir.path())).unwrap();
    in_window!(window, window.until("document.getElementById('link').textContent === 'live'"));
    guard.release().await.unwrap();
    in_window!(window, window.until(&format!("{} === 'free'", row_of("/locks/shared", "who"))));
}

/// Servers without recursive watches are listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_can_be_kept_by_listing() {
    let (server, _dir) = server();
    let client = Client::connect(&server.addr().to_string()).await.unwrap();
    let lock = Lock::new(&client, "/locks/deep/er").unwrap();
    let follower = zooky_ui::Follower::start(client.clone(), vec!["/locks".to_owned()], How::Poll);
    let holders = |path: &str| {
        let rows = follower.rows();
        rows.iter().find(|row| row.path == path).map(|row| row.holders.len())
    };
    let guard = lock.acquire().await.unwrap();
    tokio::task::block_in_place(|| {
        eventually(LONG, "the holder to be seen", || (holders("/locks/deep/er") == Some(1)).then_some(()));
    });
    assert_eq!(holders("/locks/deep"), None, "a directory of locks is none");
    guard.release().await.unwrap();
    tokio::task::block_in_place(|| {
        eventually(LONG, "the release to be seen", || (holders("/locks/deep/er") == Some(0)).then_some(()));
    });
    assert_eq!(follower.stale(), None);
}
