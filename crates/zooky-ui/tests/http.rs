//! What others' pages, names that point here, and wrong requests get: nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Served, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zooky::{Client, Lock};
use zooky_ui::{Follower, How, Page, ServeError, serve};

/// Sends a request as it is; the answer, head and body.
async fn raw(served: &Served, request: &str) -> String {
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(served: &Served, path: &str, headers: &str) -> String {
    raw(served, &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
}

async fn post(served: &Served, headers: &str, body: &str) -> String {
    let length = body.len();
    let head =
        format!("POST /act HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    raw(served, &(head + body)).await
}

#[tokio::test]
async fn others_pages_and_names_are_turned_away() {
    let (server, _dir) = server();
    let hosts = server.addr().to_string();
    let client = Client::connect(&hosts).await.unwrap();
    let guard = Lock::new(&client, "/locks/a").unwrap().acquire().await.unwrap();
    let served = Served::start(&hosts, How::Watch).await;
    let own = format!("Host: {}\r\n", served.addr);
    let port = served.addr.port();

    let page = get(&served, "/", &own).await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    for policy in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(policy), "{policy}: {page}");
    }
    assert!(get(&served, "/", &format!("Host: localhost:{port}\r\n")).await.starts_with("HTTP/1.1 200 "));
    for path in ["/", "/events", "/metrics", "/app.js"] {
        for headers in [
            format!("Host: evil.example:{port}\r\n"),
            "Host: evil.example\r\n".to_owned(),
            format!("{own}Origin: http://evil.example\r\n"),
            format!("{own}Origin: null\r\n"),
            format!("{own}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
        ] {
            let answer = get(&served, path, &headers).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{path} {headers}: {answer}");
        }
    }

    // A change: each of these lacks one thing.
    let origin = format!("Origin: http://{}\r\n", served.addr);
    let kind = "Content-Type: application/json\r\n";
    let token = format!("Zooky-Token: {}\r\n", served.token);
    let body = r#"{"lock":"/locks/a","node":"x","czxid":"0x1","how":"remove"}"#;
    for (headers, body, status) in [
        (format!("{own}{kind}{token}"), body, 403),
        (format!("{own}Origin: http://localhost:{port}\r\n{kind}{token}"), body, 403),
        (format!("Host: evil.example\r\nOrigin: http://evil.example\r\n{kind}{token}"), body, 403),
        (format!("{own}{origin}{kind}"), body, 401),
        (format!("{own}{origin}{kind}Cookie: zooky-token={}\r\n", served.token), body, 401),
        (format!("{own}{origin}{kind}Zooky-Token: {}\r\n", &served.token[1..]), body, 403),
        (format!("{own}{origin}{token}"), body, 415),
        (format!("{own}{origin}{kind}{token}"), "{}", 400),
        // All is there, but nobody has seen such a contender.
        (format!("{own}{origin}{kind}{token}"), body, 409),
    ] {
        let answer = post(&served, &headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
    }
    assert!(guard.has_lock().await.unwrap());

    let unknown = get(&served, "/etc/passwd", &own).await;
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    let metrics = get(&served, "/metrics", &own).await;
    assert!(metrics.contains("\nzooky_locks_held 1\n"), "{metrics}");
}

#[tokio::test]
async fn the_page_is_for_this_machine_only() {
    let (server, _dir) = server();
    let client = Client::connect(&server.addr().to_string()).await.unwrap();
    let follower = Follower::start(client, vec!["/locks".to_owned()], How::Watch);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, &follower, Page::new(Vec::new())).await;
    assert!(matches!(refused, Err(ServeError::Exposed { .. })), "{refused:?}");
}
