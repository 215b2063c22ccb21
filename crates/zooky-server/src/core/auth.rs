//! Identities: what each scheme accepts, and whom it takes for whom.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use zooky_wire::Id;

/// The identity that a `digest` credential `user:password` proves: the user and the SHA-1 of the
/// whole credential. Without a colon the whole credential counts as the user, as in the original.
pub(super) fn digest_id(credential: &[u8]) -> String {
    let text = String::from_utf8_lossy(credential);
    let user = text.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(text.as_bytes())))
}

/// Whether the scheme proves who someone is, so that `auth` may stand for it.
pub(super) fn is_authenticated(id: &Id) -> bool {
    matches!(id.scheme.as_str(), "digest" | "x509")
}

/// Whether an ACL may name this id.
pub(super) fn is_valid(id: &Id) -> bool {
    match id.scheme.as_str() {
        "digest" => {
            // As a Java split would count: empty parts at the end do not.
            let mut parts: Vec<&str> = id.id.split(':').collect();
            while parts.last() == Some(&"") {
                parts.pop();
            }
            parts.len() == 2
        }
        "ip" => parse_cidr(&id.id).is_some(),
        // The original asks for a name by RFC 2253, which the empty one is too.
        "x509" => id.id.is_empty() || id.id.contains('='),
        _ => false,
    }
}

/// Whether someone who is `id` is meant by `granted` of the same scheme.
pub(super) fn matches(id: &Id, granted: &str) -> bool {
    match id.scheme.as_str() {
        "ip" => match (parse_cidr(&id.id), parse_cidr(granted)) {
            (Some((peer, 32)), Some((net, bits))) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                peer & mask == net & mask
            }
            _ => false,
        },
        "digest" | "x509" => id.id == granted,
        _ => false,
    }
}

/// What `whoAmI` shows of an identity.
pub(super) fn user_name(id: &Id) -> &str {
    match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default(),
        "super" => "",
        _ => &id.id,
    }
}

/// `a.b.c.d` or `a.b.c.d/bits`. IPv6 is not known to the original's scheme either.
fn parse_cidr(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, bits.parse().ok().filter(|&b| b <= 32)?),
        None => (text, 32),
    };
    let mut value = 0u32;
    let mut count = 0;
    for part in address.split('.') {
        value = value << 8 | u32::from(part.parse::<u8>().ok()?);
        count += 1;
    }
    (count == 4).then_some((value, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Id {
        Id { scheme: "ip".into(), id: text.into() }
    }

    #[test]
    fn digests_are_the_known_ones() {
        // From the original's documentation of its super user.
        assert_eq!(digest_id(b"super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    #[test]
    fn networks() {
        assert!(matches(&ip("127.0.0.1"), "127.0.0.0/8"));
        assert!(matches(&ip("127.0.0.1"), "127.0.0.1"));
        assert!(matches(&ip("127.0.0.1"), "8.8.8.8/0"));
        assert!(!matches(&ip("127.0.0.1"), "127.0.0.2"));
        assert!(!matches(&ip("127.0.0.1"), "128.0.0.0/8"));
        assert!(!is_valid(&ip("1.2.3")));
        assert!(!is_valid(&ip("1.2.3.4/33")));
        assert!(is_valid(&ip("1.2.3.4/0")));
    }
}
