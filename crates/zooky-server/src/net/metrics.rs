//! What a Prometheus server asks: `GET /metrics`, over HTTP, answered with numbers as text.
//!
//! Only as much of HTTP as that takes: one request for each connection, its body (it has none) unread.
//! Numbers that Apache ZooKeeper has too are called as it calls them; ours begin with `zooky_server_`.

use std::fmt::Write;

use super::Numbers;
use super::four_letter::VERSION;
use crate::config::Limits;

/// A longer request is none.
pub(crate) const HEAD_BYTES: usize = 8 << 10;

/// The request's first line, once its whole head is there.
pub(crate) fn request(input: &[u8]) -> Option<&[u8]> {
    let whole = input.windows(4).any(|end| end == b"\r\n\r\n") || input.windows(2).any(|end| end == b"\n\n");
    if !whole {
        return None;
    }
    input.split(|&byte| byte == b'\n').next().map(<[u8]>::trim_ascii_end)
}

/// The answer to a request, head and body. `added` stands behind the server's own numbers.
pub(crate) fn answer(request: &[u8], numbers: &Numbers, limits: &Limits, added: &str) -> String {
    let mut words = request.split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", text(numbers, limits) + added),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "the numbers are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let kind = if status.starts_with("200") { "text/plain; version=0.0.4" } else { "text/plain" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    if method == b"HEAD" { head } else { head + &body }
}

fn text(n: &Numbers, limits: &Limits) -> String {
    let mut text = String::with_capacity(4 << 10);
    let mut put = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    put("uptime", "gauge", "Milliseconds since the start", n.uptime_ms);
    put("znode_count", "gauge", "Nodes of the tree", n.znodes as u64);
    put("watch_count", "gauge", "Watches", n.watches as u64);
    put("ephemerals_count", "gauge", "Ephemeral nodes", n.ephemerals as u64);
    put("approximate_data_size", "gauge", "Bytes of paths and data", n.data_bytes);
    put("global_sessions", "gauge", "Sessions", n.sessions as u64);
    put("num_alive_connections", "gauge", "Connections, this one included", n.connections as u64);
    put("outstanding_requests", "gauge", "Answers and events that wait for the disk", n.held as u64);
    put("packets_received", "counter", "Packets that came in", n.received);
    put("packets_sent", "counter", "Packets that went out", n.sent);
    put("connection_rejected", "counter", "Connections closed for want of room", n.refused);
    put(
        "stale_sessions_expired",
        "counter",
        "Sessions of which nothing was heard any more",
        n.sessions_expired,
    );
    let lost = "Nodes of expired sessions: locks that were lost, and places in queues";
    put("zooky_server_ephemerals_expired", "counter", lost, n.ephemerals_expired);
    put("zooky_server_last_zxid", "gauge", "The newest transaction", n.zxid as u64);
    put("zooky_server_log_waiting_bytes", "gauge", "Bytes that wait for the log", n.log_waiting_bytes as u64);
    put("zooky_server_tree_bytes", "gauge", "What the tree takes of its limit", n.tree_bytes);
    put("zooky_server_tree_bytes_limit", "gauge", "See --max-tree-bytes", limits.core.max_tree_bytes);
    put("zooky_server_watch_bytes", "gauge", "What watches take of their limit", n.watch_bytes);
    put("zooky_server_watch_bytes_limit", "gauge", "See --max-watch-bytes", limits.core.max_watch_bytes);
    put("zooky_server_buffer_bytes", "gauge", "What all buffers take of their limit", n.buffer_bytes as u64);
    put("zooky_server_buffer_bytes_limit", "gauge", "See --max-buffer-bytes", limits.buffer_bytes as u64);
    put("zooky_server_sessions_limit", "gauge", "See --max-sessions", limits.core.max_sessions as u64);
    put("zooky_server_connections_limit", "gauge", "See --max-connections", limits.connections as u64);
    let _ = write!(
        text,
        "# HELP zooky_server_info Which server this is\n# TYPE zooky_server_info gauge\n\
         zooky_server_info{{version=\"{VERSION}\"}} 1\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        assert_eq!(request(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"), None);
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n"), Some(&b"GET / HTTP/1.1"[..]));
        assert_eq!(request(b"GET /\n\n"), Some(&b"GET /"[..]));
    }

    #[test]
    fn what_is_not_there_is_said() {
        let answer = |request: &[u8]| answer(request, &Numbers::default(), &Limits::default(), "");
        assert!(answer(b"GET /metrics?x=1 HTTP/1.1").starts_with("HTTP/1.1 200 "));
        assert!(answer(b"GET / HTTP/1.1").starts_with("HTTP/1.1 404 "));
        assert!(answer(b"POST /metrics HTTP/1.1").starts_with("HTTP/1.1 405 "));
        assert!(answer(b"").starts_with("HTTP/1.1 405 "));
        assert!(answer(b"HEAD /metrics HTTP/1.1").ends_with("\r\n\r\n"));
    }

    #[test]
    fn every_number_is_explained_once() {
        let numbers = Numbers { zxid: 7, ..Numbers::default() };
        let text = text(&numbers, &Limits::default());
        assert!(text.contains("\nzooky_server_last_zxid 7\n"), "{text}");
        let names = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(['{', ' ']).next().unwrap().to_owned());
        for name in names {
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
            assert_eq!(text.matches(&format!("# HELP {name} ")).count(), 1, "{name}");
        }
    }
}
