//! Who may come in: only pages of this very address, and for changes only those who know the token.
//!
//! A page of somebody else's, open in the same browser, can send requests here; and a name of somebody else's can be made to
//! point here (DNS rebinding). So the `Host` must be a name of this machine's loopback, the `Origin`, if there is one, must be
//! the page's own, and a change needs a header that no other page can know or send.

use std::fmt;
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The header with the token.
pub(crate) const TOKEN: &str = "zooky-token";

/// What those need who free locks: 128 random bits, as hexadecimal text. [`Display`](fmt::Display) shows it, for the terminal;
/// `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one; `None` if the system has no randomness.
    pub fn random() -> Option<Token> {
        let mut bits = [0_u8; 16];
        getrandom::fill(&mut bits).ok()?;
        Some(Token(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Whether the request has it. The time that takes tells nothing of where two differ.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(TOKEN).map(|value| value.as_bytes()).unwrap_or_default();
        let differing = given.iter().zip(self.0.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == self.0.len() && differing == 0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Turns others' requests away.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    match allowed(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
    }
}

fn allowed(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(_), None) = (hosts.next(), hosts.next()) else {
        return Err("one Host, please");
    };
    let host = text(header::HOST).filter(|host| is_loopback(host));
    let Some(host) = host else {
        return Err("this page is at a loopback address only: localhost, 127.0.0.1 or [::1]");
    };
    let origin = text(header::ORIGIN);
    if headers.contains_key(header::ORIGIN) && origin != Some(format!("http://{host}").as_str()) {
        return Err("another page has no business here");
    }
    if *method != Method::GET && *method != Method::HEAD && origin.is_none() {
        return Err("a change needs an Origin");
    }
    if text(header::HeaderName::from_static("sec-fetch-site")).is_some_and(|site| {
        // A link or an address typed by the user is fine, another site's script or picture is not.
        site != "same-origin"
            && site != "none"
            && text(header::HeaderName::from_static("sec-fetch-mode")) != Some("navigate")
    }) {
        return Err("another page has no business here");
    }
    Ok(())
}

/// Whether a `Host` names this machine's loopback, at whatever port: a tunnel may have another.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || is_port(port.strip_prefix(':')) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if is_port(Some(port)) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_port(port: Option<&str>) -> bool {
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_this_machines_own_pages_come_in() {
        let get = |pairs: &[(&'static str, &str)]| allowed(&Method::GET, &headers(pairs)).is_ok();
        let post = |pairs: &[(&'static str, &str)]| allowed(&Method::POST, &headers(pairs)).is_ok();
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:9"] {
            assert!(get(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "[::1]evil",
            "[::1",
            "localhost:",
            "localhost:80@evil.example",
            "0.0.0.0",
            "",
        ] {
            assert!(!get(&[("host", host)]), "{host}");
        }
        assert!(!get(&[]) && !get(&[("host", "localhost"), ("host", "localhost")]));
        assert!(get(&[("host", "localhost:1"), ("origin", "http://localhost:1")]));
        for origin in ["http://localhost:2", "https://localhost:1", "http://evil.example", "null"] {
            assert!(!get(&[("host", "localhost:1"), ("origin", origin)]), "{origin}");
        }
        assert!(!post(&[("host", "localhost:1")]));
        assert!(post(&[("host", "localhost:1"), ("origin", "http://localhost:1")]));
        let from_elsewhere = ("sec-fetch-site", "cross-site");
        assert!(!get(&[("host", "localhost"), from_elsewhere, ("sec-fetch-mode", "no-cors")]));
        assert!(get(&[("host", "localhost"), from_elsewhere, ("sec-fetch-mode", "navigate")]));
        assert!(get(&[("host", "localhost"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn a_token_is_whole_or_none() {
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        let text = token.to_string();
        assert!(token.is_in(&headers(&[(TOKEN, &text)])));
        for given in [&text[..31], &format!("{text}0"), "", &other.to_string()] {
            assert!(!token.is_in(&headers(&[(TOKEN, given)])), "{given}");
        }
        assert!(!token.is_in(&headers(&[])));
        assert!(!format!("{token:?}").contains(&text));
    }
}
