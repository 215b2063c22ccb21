//! The page: files, events and actions over HTTP, for this machine only.

mod act;
mod door;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use zooky::session::TlsConfig;

use crate::follow::{Follower, Shared};
use crate::health;

pub use door::Token;

/// What is served besides the numbers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page {
    /// Whoever has it may free locks; without one nobody may.
    pub token: Option<Token>,
    /// Whether the page is served, or the numbers alone.
    pub page: bool,
    /// Whether the numbers are served, at `/metrics`.
    pub metrics: bool,
    /// The servers whose health is asked for, as `host:port`.
    pub servers: Vec<String>,
    /// How they are asked, if by TLS: as sessions reach them.
    pub tls: Option<TlsConfig>,
}

impl Page {
    /// The page without the numbers, on which nothing can be changed.
    pub fn new(servers: Vec<String>) -> Page {
        Page { token: None, page: true, metrics: false, servers, tls: None }
    }
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is another machine's to reach.
    #[error("the page is for this machine only, and {addr} is no loopback address; reach it through ssh -L")]
    Exposed {
        /// The address.
        addr: SocketAddr,
    },
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Listen(#[from] std::io::Error),
}

/// Serves the page on `listener`, for as long as this is polled; dropping it closes all connections.
///
/// # Errors
/// The listener is not on a loopback address, or it failed.
pub async fn serve(listener: TcpListener, follower: &Follower, page: Page) -> Result<(), ServeError> {
    let addr = listener.local_addr()?;
    if !addr.ip().to_canonical().is_loopback() {
        return Err(ServeError::Exposed { addr });
    }
    let shared = follower.shared();
    let app = router(&shared, &page);
    tokio::select! {
        served = axum::serve(listener, app).into_future() => Ok(served?),
        () = health::ask_for_ever(&shared, &page.servers, page.tls.as_ref()) => Ok(()),
    }
}

fn router(shared: &Arc<Shared>, page: &Page) -> Router {
    let mut router = Router::new();
    if page.page {
        for (path, kind, text) in FILES {
            router = router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }));
        }
        router = router.route("/events", get(events));
        router = router.route("/act", post(act::act));
    }
    if page.metrics {
        router = router.route("/metrics", get(metrics));
    }
    let state = Arc::new(Served { shared: shared.clone(), token: page.token.clone() });
    router.fallback(nothing).layer(from_fn(door::guard)).layer(from_fn(headers)).with_state(state)
}

/// What the handlers need.
struct Served {
    shared: Arc<Shared>,
    token: Option<Token>,
}

/// The page's files: path, type, text.
const FILES: [(&str, &str, &str); 9] = [
    ("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("/app.js", SCRIPT, include_str!("../page/app.js")),
    ("/picture.js", SCRIPT, include_str!("../page/picture.js")),
    ("/locks.js", SCRIPT, include_str!("../page/locks.js")),
    ("/timeline.js", SCRIPT, include_str!("../page/timeline.js")),
    ("/plots.js", SCRIPT, include_str!("../page/plots.js")),
    ("/graph.js", SCRIPT, include_str!("../page/graph.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing from elsewhere, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async fn headers(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let set: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in set {
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.shared.metrics()).into_response()
}

async fn events(State(served): State<Arc<Served>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (first, later) = served.shared.subscribe();
    let line = Line { shared: served.shared.clone(), first, later };
    let events = futures_util::stream::unfold(line, async |mut line| {
        let update = line.next().await?;
        let event = Event::default().data(String::from_utf8_lossy(&update));
        Some((Ok(event), line))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// What goes to one page.
struct Line {
    shared: Arc<Shared>,
    first: VecDeque<Bytes>,
    later: broadcast::Receiver<Bytes>,
}

impl Line {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(update) = self.first.pop_front() {
                return Some(update);
            }
            match self.later.recv().await {
                Ok(update) => return Some(update),
                // A page that cannot keep up begins anew.
                Err(RecvError::Lagged(_)) => (self.first, self.later) = self.shared.subscribe(),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
