//! A node and its value in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zooky::Value;
use zooky::session::Stat;

/// `zooky node get --json`, `set --json`, and a line of `watch --json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) path: String,
    /// False: it is deleted, and there is nothing else.
    pub(super) exists: bool,
    #[serde(rename = "type")]
    pub(super) kind: Option<&'static str>,
    pub(super) value: serde_json::Value,
    pub(super) stat: Option<Numbers>,
}

/// A node's stat.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    version: i32,
    cversion: i32,
    aversion: i32,
    created_ms: i64,
    modified_ms: i64,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    /// The owning session if the node is ephemeral.
    session: Option<String>,
    bytes: i32,
    children: i32,
}

impl Report {
    pub(super) fn present(path: &str, value: &Value, stat: &Stat) -> Report {
        let (kind, value) = typed(value);
        Report { path: path.to_string(), exists: true, kind: Some(kind), value, stat: Some(stat.into()) }
    }

    pub(super) fn absent(path: &str) -> Report {
        Report {
            path: path.to_string(),
            exists: false,
            kind: None,
            value: serde_json::Value::Null,
            stat: None,
        }
    }
}

impl From<&Stat> for Numbers {
    fn from(stat: &Stat) -> Numbers {
        Numbers {
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            created_ms: stat.ctime_ms,
            modified_ms: stat.mtime_ms,
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            session: owner(stat),
            bytes: stat.data_length,
            children: stat.num_children,
        }
    }
}

/// The session that owns an ephemeral node, as everywhere: hexadecimal, for it does not fit into a double.
pub(super) fn owner(stat: &Stat) -> Option<String> {
    // Containers and nodes with a time to live are marked in the same field, by their sign.
    (stat.ephemeral_owner > 0).then(|| format!("0x{:x}", stat.ephemeral_owner))
}

/// What kind of value it is, and itself; what JSON has no kind for is text, without a digit lost.
fn typed(value: &Value) -> (&'static str, serde_json::Value) {
    let text = || value.to_string().into();
    match value {
        Value::Null => ("none", serde_json::Value::Null),
        Value::Bool(yes) => ("bool", (*yes).into()),
        Value::Int(_) => ("int", value.as_i64().map_or_else(text, Into::into)),
        Value::Decimal(_) | Value::Float(_) => ("decimal", text()),
        Value::Date(_) => ("date", text()),
        Value::DateTime(_) | Value::LocalDateTime(_) => ("datetime", text()),
        Value::Json(json) => ("json", json.clone()),
        Value::Bytes(bytes) => ("bytes", STANDARD.encode(bytes).into()),
        _ => ("text", text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind() {
        let read = |data: &str| {
            let (kind, value) = typed(&Value::read(data.as_bytes(), true));
            format!("{kind} {value}")
        };
        assert_eq!(read(""), "none null");
        assert_eq!(read("True"), "bool true");
        assert_eq!(read("42"), "int 42");
        assert_eq!(read("99999999999999999999"), "int \"99999999999999999999\"");
        assert_eq!(read("483.24"), "decimal \"483.24\"");
        assert_eq!(read("2012-01-13"), "date \"2012-01-13\"");
        assert_eq!(read("{\"a\": [1]}"), "json {\"a\":[1]}");
        assert_eq!(read("hello"), "text \"hello\"");
        assert_eq!(typed(&Value::Bytes(vec![0xff])), ("bytes", "/w==".into()));
    }
}
