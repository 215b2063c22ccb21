//! What users of the page can change: ask one contender to let go, or remove its node.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use zooky::Revoke;

use super::Served;

/// The longest request that is read.
const LONGEST: usize = 16 << 10;

/// What the page sends. The transaction that created the node stands for the contender that the user saw.
#[derive(Debug, Deserialize)]
struct Wish {
    lock: String,
    node: String,
    czxid: String,
    /// `ask` or `remove`.
    how: String,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    /// `asked`, `removed`, `deaf`, `gone`, or `refused`.
    outcome: &'static str,
    /// For the user.
    words: String,
}

pub(super) async fn act(State(served): State<Arc<Served>>, headers: HeaderMap, request: Request) -> Response {
    let Some(token) = &served.token else {
        return answer(
            StatusCode::FORBIDDEN,
            "refused",
            "this page was started without leave to change anything",
        );
    };
    if !headers.contains_key(super::door::TOKEN) {
        return answer(
            StatusCode::UNAUTHORIZED,
            "refused",
            "the token is missing: it was printed when the page was started",
        );
    }
    if !token.is_in(&headers) {
        return answer(
            StatusCode::FORBIDDEN,
            "refused",
            "that is not the token that was printed when the page was started",
        );
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some("application/json") {
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "refused", "application/json, please");
    }
    match wish(request.into_body()).await {
        Some(wish) => carry_out(&served, &wish).await,
        None => answer(StatusCode::BAD_REQUEST, "refused", "lock, node, czxid and how, please"),
    }
}

async fn wish(body: Body) -> Option<Wish> {
    let bytes = axum::body::to_bytes(body, LONGEST).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

async fn carry_out(served: &Served, wish: &Wish) -> Response {
    let how = match wish.how.as_str() {
        "ask" => Revoke::ask(),
        "remove" => Revoke::immediately(),
        _ => return answer(StatusCode::BAD_REQUEST, "refused", "how is ask or remove"),
    };
    // Only what is on the page, and only as it was seen there.
    let contender = served.shared.model().contender(&wish.lock, &wish.node).cloned();
    let seen = contender.filter(|one| format!("0x{:x}", one.stat.czxid) == wish.czxid);
    let Some(contender) = seen else {
        return answer(StatusCode::CONFLICT, "gone", "it is not there any more");
    };
    match zooky::revoke(&served.shared.client, &contender, how).await {
        Ok(done) if !done.removed.is_empty() => {
            served.shared.model().tally.freed += 1;
            tracing::info!(path = contender.path, "{contender} was removed by a user of the page");
            answer(StatusCode::OK, "removed", "its node is removed; nothing stops it if it is still at work")
        }
        Ok(done) if !done.asked.is_empty() => {
            answer(StatusCode::OK, "asked", "it was asked to let go, and does so when it is ready")
        }
        Ok(done) if !done.deaf.is_empty() => answer(
            StatusCode::CONFLICT,
            "deaf",
            "it cannot be asked: its client does not listen. Removing its node is the only way",
        ),
        Ok(_) => answer(StatusCode::CONFLICT, "gone", "it has left meanwhile"),
        Err(fault) => answer(StatusCode::BAD_GATEWAY, "refused", &fault.to_string()),
    }
}

fn answer(status: StatusCode, outcome: &'static str, words: &str) -> Response {
    let body = serde_json::to_string(&Outcome { outcome, words: words.to_owned() }).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
