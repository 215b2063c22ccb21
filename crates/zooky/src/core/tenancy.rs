//! What the node of a persistent lock says: whose key it is under, and how often it has changed hands. Pure.
//!
//! It stands beside the owner's metadata in the same line of JSON, as the member `persistent`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MEMBER: &str = "persistent";

/// The member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Who may take the lock back.
    pub(crate) key: String,
    /// Of the contender's first node: what all tokens of this tenancy begin with.
    pub(crate) czxid: i64,
    /// How often it was taken back.
    pub(crate) count: u64,
    /// The present holder: a number that nobody else has.
    pub(crate) holder: String,
}

impl Record {
    /// Reads a node's data; `None` if they hold no record.
    pub(crate) fn read(data: &[u8]) -> Option<Record> {
        let mut object: Map<String, Value> = serde_json::from_slice(data).ok()?;
        serde_json::from_value(object.remove(MEMBER)?).ok()
    }

    /// The data with this record and the owner's metadata.
    pub(crate) fn line(&self, owner: &[u8]) -> Vec<u8> {
        let mut object: Map<String, Value> = serde_json::from_slice(owner).unwrap_or_default();
        object.insert(MEMBER.to_owned(), serde_json::to_value(self).unwrap_or_default());
        serde_json::to_vec(&object).unwrap_or_default()
    }

    /// The record of the next holder, with a larger count.
    pub(crate) fn taken_back(&self, holder: String) -> Record {
        Record { count: self.count + 1, holder, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_counts_up() {
        let record = Record { key: "job \"7\"".into(), czxid: 0x1_0000_0007, count: 0, holder: "a".into() };
        let line = record.line(br#"{"host":"db1","pid":7}"#);
        assert!(line.starts_with(br#"{"host":"db1","#) && !line.contains(&b'\n'));
        assert_eq!(Record::read(&line), Some(record.clone()));
        let next = record.taken_back("b".into());
        assert_eq!((next.count, next.czxid, &next.key, &*next.holder), (1, record.czxid, &record.key, "b"));
        for other in [&b""[..], b"unlock", br#"{"host":"db1"}"#, br#"{"persistent":7}"#, b"\xff"] {
            assert_eq!(Record::read(other), None);
        }
    }
}
