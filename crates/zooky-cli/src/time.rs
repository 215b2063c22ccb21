//! Moments and spans as people read them, and the clock that counts suspended time.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds on CLOCK_BOOTTIME: monotone, and it runs on while the machine is suspended.
pub(crate) fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn wall_now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// How long ago a moment was, in words: `42 s`, `7 min`, `3 h`, `5 d`. A moment of another machine's clock may
/// lie ahead of ours; it is `0 s` ago then.
pub(crate) fn ago(since_ms: i64) -> String {
    span(Duration::from_millis(u64::try_from(wall_now_ms().saturating_sub(since_ms)).unwrap_or(0)))
}

/// A span in words, rounded down.
pub(crate) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A moment as ISO 8601 in UTC, to the second: the same on every machine that reads it.
pub(crate) fn utc(ms: i64) -> String {
    let at = jiff::Timestamp::from_second(ms.div_euclid(1_000)).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment in ten characters at most, in UTC: the hour if it is less than a day ago, else the date.
pub(crate) fn moment(ms: i64) -> String {
    let text = utc(ms);
    let parts = text.split_once('T');
    let recent = wall_now_ms().saturating_sub(ms) < 86_400_000;
    parts.map(|(date, hour)| if recent { hour } else { date }).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_709_164_799_999), "2024-02-28T23:59:59Z");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29T00:00:00Z");
        assert_eq!(utc(1_326_417_195_365), "2012-01-13T01:13:15Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn a_moment_is_an_hour_or_a_date() {
        assert_eq!(moment(1_709_164_800_000), "2024-02-29");
        let now = wall_now_ms();
        assert_eq!(format!("{}T{}", &utc(now)[..10], moment(now)), utc(now));
    }

    #[test]
    fn spans_keep_two_digits() {
        assert_eq!(span(Duration::from_millis(1_999)), "1 s");
        assert_eq!(span(Duration::from_secs(121)), "2 min");
        assert_eq!(span(Duration::from_secs(7_200)), "2 h");
        assert_eq!(span(Duration::from_secs(172_800)), "2 d");
        assert_eq!(ago(i64::MAX), "0 s");
    }
}
