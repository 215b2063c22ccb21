//! How one contender asks another to let go of a lock: by the data of the other's node, in the words of its
//! dialect.
//!
//! - zktools: the data becomes `unlock`.
//! - Curator: the data becomes `__REVOKE__`; only a contender whose data was empty listens (`makeRevocable`).
//! - kazoo's dialect has no such word, and stock kazoo's contenders look at nobody's data. Ours in that dialect
//!   carry one line of JSON, and are asked by a member `revoke` in it, which tells who asks. One that says `"deaf":true`
//!   there does not look.

use serde_json::{Map, Value};

use super::dialect::{Dialect, classify};

const ZKTOOLS: &[u8] = b"unlock";
const CURATOR: &[u8] = b"__REVOKE__";
const MEMBER: &str = "revoke";
const DEAF: &str = "deaf";

/// Whether the data of the contender `name` asks it to let go.
pub(crate) fn asks(name: &str, data: &[u8]) -> bool {
    match classify(name).map(|what| what.dialect) {
        Some(Dialect::Zktools) => data == ZKTOOLS,
        Some(Dialect::Curator) => data == CURATOR,
        _ => ours(data).is_some_and(|object| object.contains_key(MEMBER)),
    }
}

/// The data by which the contender `name` is asked, if its data are these now; `None` if it would not hear.
/// `asker` is who asks, as JSON.
pub(crate) fn asking(name: &str, data: &[u8], asker: &[u8]) -> Option<Vec<u8>> {
    match classify(name)?.dialect {
        Dialect::Zktools => Some(ZKTOOLS.to_vec()),
        Dialect::Curator => data.is_empty().then(|| CURATOR.to_vec()),
        Dialect::Kazoo => {
            let mut object = ours(data).filter(|object| object.get(DEAF) != Some(&Value::Bool(true)))?;
            let asker = serde_json::from_slice(asker).unwrap_or(Value::Bool(true));
            object.insert(MEMBER.to_owned(), asker);
            serde_json::to_vec(&object).ok()
        }
        _ => None,
    }
}

/// Who asks, as JSON, if the data tell.
pub(crate) fn asker(data: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(ours(data)?.get(MEMBER)?).ok()
}

/// The line of JSON that a contender of ours carries: an object with a host and a process.
fn ours(data: &[u8]) -> Option<Map<String, Value>> {
    let object: Map<String, Value> = serde_json::from_slice(data).ok()?;
    (object.contains_key("host") && object.contains_key("pid")).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    const ASKER: &[u8] = br#"{"host":"db2","pid":2}"#;

    #[test]
    fn each_dialect_has_its_word() {
        type Case = (String, &'static [u8], Option<&'static [u8]>);
        let cases: [Case; 7] = [
            (format!("{HEX}-lock--0000000001"), b"0", Some(b"unlock")),
            (format!("{HEX}-read--0000000001"), b"0", Some(b"unlock")),
            (format!("_c_{UUID}-lock-0000000001"), b"", Some(b"__REVOKE__")),
            (format!("_c_{UUID}-lock-0000000001"), b"10.0.0.1", None),
            (format!("{HEX}__lock__0000000001"), b"a kazoo client", None),
            (format!("{HEX}__lock__0000000001"), br#"{"host":"db1","pid":1,"deaf":true}"#, None),
            (format!("_c_{HEX}-lock-0000000001"), b"", None),
        ];
        for (name, data, expected) in cases {
            let asking = asking(&name, data, ASKER);
            assert_eq!(asking.as_deref(), expected, "{name}");
            assert!(!asks(&name, data), "{name}");
            assert!(asking.is_none_or(|asking| asks(&name, &asking)), "{name}");
        }
    }

    #[test]
    fn our_own_line_keeps_what_it_says() {
        let name = format!("{HEX}__rlock__0000000001");
        let data = br#"{"host":"db1","pid":1,"of a later version":[1]}"#;
        let asking = asking(&name, data, ASKER).unwrap();
        assert!(asks(&name, &asking) && !asks(&name, data));
        assert!(!asking.contains(&b'\n'));
        let object: Value = serde_json::from_slice(&asking).unwrap();
        assert_eq!((&object["host"], &object["of a later version"][0]), (&"db1".into(), &1.into()));
        assert_eq!(asker(&asking).unwrap(), ASKER);
    }
}
