//! The library's spans arrive at a collector: `zooky run` with the feature `otel`.

mod common;

use common::{Server, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

/// Takes one request after the other; each body is handed on.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                length = line.strip_prefix("content-length: ").map_or(length, |n| n.parse().unwrap());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            let _ = sender.send((first, body));
        }
    });
    (at, bodies)
}

#[test]
fn spans_of_a_run_arrive_at_the_collector() {
    let server = Server::start();
    let (at, bodies) = collector();
    let mut command = server.zooky(&["run", "nightly", "--", "true"]);
    let (code, _, err) = run(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", at));
    assert_eq!((code, err.as_str()), (0, ""));
    let mut all = Vec::new();
    while let Ok((request, body)) = bodies.recv_timeout(Duration::from_secs(1)) {
        assert!(request.starts_with("POST /v1/traces "), "{request}");
        all.extend(body);
    }
    let text = String::from_utf8_lossy(&all);
    for word in ["zooky", "acquire", "hold", "/locks/nightly", "exclusive"] {
        assert!(text.contains(word), "no {word} among {} bytes", all.len());
    }
}
