//! Who may do what. Every client comes from 127.0.0.1, and some have a certificate.

use zooky_wire::{Acl, ErrorCode, perms};

/// Whether somebody with this certificate has one of the permissions.
pub(crate) fn may(acl: &[Acl], subject: Option<&str>, wanted: i32) -> bool {
    acl.iter().any(|entry| {
        let is_meant = match (entry.id.scheme.as_str(), entry.id.id.as_str()) {
            ("world", "anyone") | ("ip", "127.0.0.1" | "127.0.0.0/8") => true,
            ("x509", named) => subject == Some(named),
            _ => false,
        };
        is_meant && entry.perms & wanted != 0
    })
}

/// What a node gets of the ACL that is asked for.
pub(crate) fn granted(asked: &[Acl], subject: Option<&str>) -> Result<Vec<Acl>, ErrorCode> {
    let mut granted = Vec::new();
    for (at, entry) in asked.iter().enumerate() {
        if asked[..at].contains(entry) {
            continue;
        }
        granted.push(match (entry.id.scheme.as_str(), subject) {
            ("auth", Some(subject)) => Acl::new(entry.perms, "x509", subject),
            ("world" | "ip" | "x509" | "digest", _) => entry.clone(),
            _ => return Err(ErrorCode::INVALID_ACL),
        });
    }
    if granted.is_empty() { Err(ErrorCode::INVALID_ACL) } else { Ok(granted) }
}

/// What getACL shows: the secret part of a digest to those only who may change it.
pub(crate) fn shown(acl: &[Acl], subject: Option<&str>) -> Vec<Acl> {
    let masks = !may(acl, subject, perms::ADMIN);
    let show = |entry: &Acl| match entry.id.id.split_once(':') {
        Some((user, _)) if masks => Acl::new(entry.perms, entry.id.scheme.clone(), format!("{user}:x")),
        _ => entry.clone(),
    };
    acl.iter().map(show).collect()
}

/// ACLs to ask for that leave everybody their sight; the last two are none.
pub(crate) fn readable_acls() -> Vec<Vec<Acl>> {
    let read = || Acl::new(perms::READ, "world", "anyone");
    vec![
        vec![Acl::new(perms::READ | perms::ADMIN, "world", "anyone")],
        vec![read(), Acl::new(perms::ALL, "auth", "")],
        vec![read(), Acl::new(perms::ALL, "x509", "CN=one"), Acl::new(perms::ADMIN, "ip", "127.0.0.0/8")],
        vec![read(), Acl::new(perms::CREATE | perms::DELETE, "ip", "127.0.0.1"), read()],
        vec![
            Acl::new(perms::ALL ^ perms::ADMIN, "world", "anyone"),
            Acl::new(perms::ADMIN, "digest", "u:secret"),
        ],
        vec![Acl::new(perms::ALL, "ip", "127.0.0.1"), Acl::new(perms::READ, "digest", "u:secret")],
        vec![],
        vec![Acl::new(perms::ALL, "nobody", "knows")],
    ]
}

/// ACLs that hide a node from some or all.
pub(crate) fn hiding_acls() -> Vec<Vec<Acl>> {
    vec![
        vec![Acl::new(perms::ALL ^ perms::READ, "world", "anyone")],
        vec![Acl::new(perms::ALL, "auth", ""), Acl::new(perms::ADMIN, "world", "anyone")],
        vec![
            Acl::new(perms::ALL, "ip", "10.0.0.0/8"),
            Acl::new(perms::WRITE | perms::ADMIN, "ip", "127.0.0.1"),
        ],
    ]
}
