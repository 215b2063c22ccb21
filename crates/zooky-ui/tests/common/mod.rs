//! What the tests of the page share: a server, the page on it, and a browser.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use zooky::Client;
use zooky_server::{Config, Server};
use zooky_testkit::{Script, Talk};
use zooky_ui::{Follower, How, Page, Token, serve};

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Our server in this process.
pub(crate) fn server() -> (Server, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::new("127.0.0.1:0".parse().unwrap(), dir.path())).unwrap();
    (server, dir)
}

/// The page, served; it ends with this.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    pub(crate) token: String,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(hosts: &str, how: How) -> Served {
        let client = Client::connect(hosts).await.unwrap();
        let follower = Follower::start(client, vec!["/locks".to_owned()], how);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let token = Token::random().unwrap();
        let mut page = Page::new(vec![hosts.to_owned()]);
        (page.token, page.metrics) = (Some(token.clone()), true);
        let task = tokio::spawn(async move {
            let ended = serve(listener, &follower, page).await;
            panic!("the page ended: {ended:?}");
        });
        Served { addr, token: token.to_string(), task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A window of the browser.
pub(crate) struct Window {
    talk: Talk,
}

/// How a window looks.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
    pub(crate) touch: bool,
}

pub(crate) const DESK: Look = Look { width: 1280, height: 900, dark: false, touch: false };
pub(crate) const NIGHT: Look = Look { dark: true, ..DESK };
pub(crate) const PHONE: Look = Look { width: 390, height: 844, dark: false, touch: true };

impl Window {
    /// Opens the page in a new browser and waits until it is live.
    pub(crate) fn open(served: &Served, look: Look) -> Window {
        Window::begin(&served.url(), look, false)
    }

    /// The same of a page that is served elsewhere.
    pub(crate) fn open_url(url: &str, look: Look) -> Window {
        Window::begin(url, look, false)
    }

    /// The same, and the browser notes what each of its tasks takes.
    pub(crate) fn open_traced(served: &Served, look: Look) -> Window {
        Window::begin(&served.url(), look, true)
    }

    fn begin(url: &str, look: Look, trace: bool) -> Window {
        let options = json!({
            "trace": trace,
            "chromium": chromium(), "width": look.width, "height": look.height, "touch": look.touch,
            "scheme": if look.dark { "dark" } else { "light" },
        });
        let mut talk = Script::new(include_str!("browser.py")).arg(options.to_string()).spawn();
        talk.expect_line("ready", LONG);
        let mut window = Window { talk };
        window.act("open", json!(url));
        window.until("document.getElementById('link').textContent === 'live'");
        window
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
    pub(crate) fn act(&mut self, command: &str, given: Value) -> Value {
        self.talk.send_line(&json!([command, given]).to_string());
        let answer = self.talk.expect_line("", LONG);
        match answer.split_once(' ') {
            Some(("ok", value)) => serde_json::from_str(value).unwrap(),
            _ => panic!("{answer}"),
        }
    }

    /// Waits until this is so in the page; the moment at which it was seen, in milliseconds since 1970.
    #[track_caller]
    pub(crate) fn until(&mut self, condition: &str) -> i64 {
        self.act("until", json!(condition)).as_f64().unwrap() as i64
    }

    #[track_caller]
    pub(crate) fn eval(&mut self, code: &str) -> Value {
        self.act("eval", json!(code))
    }

    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let selector = json!(selector);
        let code = format!("document.querySelector({selector})?.textContent ?? '(none)'");
        self.eval(&code).as_str().unwrap().to_owned()
    }

    /// No error in the console, and no request but to the page's own address.
    #[track_caller]
    pub(crate) fn expect_clean(&mut self, served: &Served) {
        let console = self.act("console", Value::Null);
        let faults: Vec<_> = console.as_array().unwrap().iter().filter(|line| is_fault(line)).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let requests = self.act("requests", Value::Null);
        let requests = requests.as_array().unwrap();
        assert!(requests.len() >= 9, "{requests:?}");
        for url in requests {
            assert!(url.as_str().unwrap().starts_with(&served.url()), "{url} is another place");
        }
    }
}

/// Two things come of the tests themselves: a refused change is told as a failed resource, and reading the canvas's pixels back
/// as slow.
fn is_fault(line: &Value) -> bool {
    let line = line.as_str().unwrap();
    let asked_for = ["the server responded with a status of 40", "getImageData are faster"];
    !asked_for.iter().any(|words| line.contains(words))
}

fn chromium() -> PathBuf {
    let named = std::env::var_os("ZOOKY_TEST_CHROMIUM").map(PathBuf::from);
    let chromium = named.unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"));
    assert!(chromium.exists(), "no Chromium at {}: run `make peers`", chromium.display());
    chromium
}

/// A browser blocks the thread that talks to it; tests go on on the others.
#[allow(unused_macros, reason = "not every test has a browser")]
macro_rules! in_window {
    ($window:ident, $code:expr) => {{
        tokio::task::block_in_place(|| {
            let $window = &mut $window;
            $code
        })
    }};
}
#[allow(unused_imports, reason = "not every test has a browser")]
pub(crate) use in_window;

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A condition's left side: this part of the row of the lock at `path`, as text.
pub(crate) fn row_of(path: &str, part: &str) -> String {
    format!(
        "([...document.querySelectorAll('.row')].find((row) => !row.hidden \
         && row.querySelector('.path').textContent === '{path}')?.querySelector('.{part}').textContent ?? '')"
    )
}
