//! Fencing tokens: numbers by which a resource tells a stale holder from the present one.

use std::fmt;
use std::str::FromStr;

/// A number that grows with every grant of a lock.
///
/// A lock alone cannot stop a holder that was paused past its session and goes on writing: the
/// resource must refuse it. Hand the token along with every write; the resource lets a writer in
/// if its token is at least every token it has seen, and a reader if its token is at least every
/// writer's (M. Kleppmann, "How to do distributed locking", 2016).
///
/// The token is a pair, compared from left to right: the `czxid` of the contender's first node,
/// and a count that every local hand-over of the same node raises. Zxids are given out by the
/// ZooKeeper ensemble in one order and never again, so that tokens also grow when the lock's
/// directory is deleted and made anew, where sequence numbers would start again from zero.
/// (A reader that was [upgraded](crate::Guard::upgrade) may have had younger readers beside it, whose tokens the
/// resource has seen. So the writer's token begins with the last transaction before the first writer in the queue.)
///
/// Three forms compare alike: the value itself, [`FencingToken::as_u128`], and the text (two
/// 16-digit hexadecimal numbers with a dash, compared byte by byte).
///
/// ```
/// let token: zooky::FencingToken = "00000001000000a2-0000000000000000".parse()?;
/// assert_eq!(token.as_u128(), 0x1_0000_00a2 << 64);
/// assert_eq!(token.to_string().parse(), Ok(token));
/// # Ok::<(), zooky::ParseTokenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken {
    czxid: u64,
    count: u64,
}

impl FencingToken {
    pub(crate) fn new(czxid: i64, count: u64) -> Self {
        // A server's zxids are positive; a negative one would be a lie that must not outrank others.
        FencingToken { czxid: u64::try_from(czxid).unwrap_or(0), count }
    }

    /// The transaction that created the contender's first node.
    pub fn czxid(self) -> u64 {
        self.czxid
    }

    /// How often the lock has changed hands since then without leaving that node.
    pub fn count(self) -> u64 {
        self.count
    }

    /// The pair as one number: the czxid in the upper 64 bits, the count in the lower.
    pub fn as_u128(self) -> u128 {
        u128::from(self.czxid) << 64 | u128::from(self.count)
    }
}

impl From<FencingToken> for u128 {
    fn from(token: FencingToken) -> u128 {
        token.as_u128()
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.czxid, self.count)
    }
}

/// A text that is no fencing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fencing token is two 16-digit hexadecimal numbers with a dash between them")]
pub struct ParseTokenError;

impl FromStr for FencingToken {
    type Err = ParseTokenError;

    fn from_str(s: &str) -> Result<Self, ParseTokenError> {
        let (czxid, count) = s.split_once('-').ok_or(ParseTokenError)?;
        let number = |digits: &str| {
            let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(ParseTokenError)
        };
        Ok(FencingToken { czxid: number(czxid)?, count: number(count)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_order_alike() {
        let tokens = [(1, 0), (1, 1), (1, u64::MAX), (2, 0), (0xff, 3), (0x1_0000_0000, 0), (i64::MAX, 9)]
            .map(|(czxid, count)| FencingToken::new(czxid, count));
        for pair in tokens.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].as_u128() < pair[1].as_u128());
            assert!(pair[0].to_string() < pair[1].to_string());
        }
    }

    #[test]
    fn only_its_own_text_is_read() {
        for bad in ["", "-", "1-2", "00000000000000000000000000000001", "+000000000000001-0000000000000000"] {
            assert_eq!(bad.parse::<FencingToken>(), Err(ParseTokenError), "{bad}");
        }
    }
}
