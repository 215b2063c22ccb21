//! Settings from text: each function says in a few words what is wrong.

use std::time::Duration;

/// A whole number that is at least 1.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err(format!("{text:?} is not a whole number from 1 on")),
    }
}

/// Bytes: a whole number, with `k`, `m` or `g` behind it for the powers of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a number of bytes (as 1048576, 1024k, 1m, 2g)");
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = match lower.char_indices().last() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        _ => (&lower[..], 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= 1 => Ok(bytes),
        _ => Err(wrong()),
    }
}

/// As [`bytes`], for what is kept in memory.
pub(super) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?).map_err(|_| format!("{text:?} is more than this machine can address"))
}

/// A time: milliseconds, as in `zoo.cfg`, or with `ms` or `s` behind it.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time in milliseconds (or as 500ms, 2s) of at least 1 ms");
    let (digits, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1_000),
        (None, None) => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    // The protocol has 31 bits for it.
    match number.checked_mul(unit_ms) {
        Some(ms @ 1..=0x7fff_ffff) => Ok(Duration::from_millis(ms)),
        _ => Err(wrong()),
    }
}

/// Yes or no.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units() {
        assert_eq!((bytes("7"), bytes("2k"), bytes("3G")), (Ok(7), Ok(2_048), Ok(3 << 30)));
        assert_eq!(time("250"), Ok(Duration::from_millis(250)));
        assert_eq!((time("250ms"), time("2s")), (time("250"), time("2000")));
        assert_eq!((switch("TRUE"), switch("0")), (Ok(true), Ok(false)));
        assert_eq!(count("1"), Ok(1));
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "0", "-1", "x", "1.5", "k", "ß", "99999999999999999999", "20000000000g"] {
            assert!(bytes(text).is_err_and(|error| error.contains(&format!("{text:?}"))), "{text}");
            assert!(count(text).is_err() && time(text).is_err(), "{text}");
        }
        assert!(time("2147483648").is_err() && switch("maybe").is_err());
    }
}
