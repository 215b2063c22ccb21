//! What the bytes of a znode mean as a value, and how a value is written: zktools' `ZkNode`, with its faults mended.
//!
//! | text | is read as |
//! |---|---|
//! | nothing, or `none` in any case | [`Value::Null`] |
//! | `true`, `false` in any case | [`Value::Bool`] |
//! | `42`, `-7` | [`Value::Int`] (over 38 digits a `Decimal` without a fraction) |
//! | `4.20`, `-0.5`, `1e+16`, `2.5E-7` | [`Value::Decimal`], every digit kept |
//! | `2012-01-13` | [`Value::Date`] |
//! | `2012-01-13T10:00:00.25Z`, `2012-01-13 10:00+02:00` | [`Value::DateTime`], a moment |
//! | `2012-01-13T10:00:00` | [`Value::LocalDateTime`], a time without a zone |
//! | `{…}`, `[…]`, if JSON is asked for and it is JSON | [`Value::Json`] |
//! | everything else that is UTF-8 | [`Value::Text`] |
//! | what is no UTF-8 | [`Value::Bytes`] |
//!
//! An impossible date (`2012-02-30`), a number of more than 4,300 digits (CPython's own limit) or with an exponent
//! beyond ±9,999, and broken JSON stay text.

use std::fmt;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// Longer numbers take long to read; CPython draws the line here.
const MOST_DIGITS: usize = 4_300;
/// Numbers beyond are no sizes of anything, and to compare them would take memory without bound.
const LARGEST_EXPONENT: i64 = 9_999;

/// The value of a znode.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing. Written as `None`; a node without data reads as this too.
    Null,
    /// Written as Python does: `True`, `False`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A decimal number of any precision, or a whole number of more than 38 digits. Trailing zeros are kept.
    Decimal(BigDecimal),
    /// A binary floating-point number, for writing only: in the shortest text that reads back as the same number, as
    /// Python's `repr` has it (`483.24`, `1e+16`). It is read as a [`Value::Decimal`]; `nan` and `inf` as text.
    Float(f64),
    /// A day.
    Date(Date),
    /// A moment; written in UTC as `2012-01-13T10:00:00.000000Z`.
    DateTime(Timestamp),
    /// A time of day on a day, without a zone; written as `2012-01-13T10:00:00.000000`.
    LocalDateTime(DateTime),
    /// An object or a list, where JSON was asked for.
    Json(serde_json::Value),
    /// Any other text.
    Text(String),
    /// What is no text in UTF-8.
    Bytes(Vec<u8>),
}

impl Value {
    /// Reads the data of a node; `json` asks for objects and lists. Every data is some value.
    pub fn read(data: &[u8], json: bool) -> Value {
        let Ok(text) = std::str::from_utf8(data) else { return Value::Bytes(data.to_vec()) };
        if text.is_empty() || text.eq_ignore_ascii_case("none") {
            return Value::Null;
        }
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Value::Bool(text.len() == "true".len());
        }
        number(text)
            .or_else(|| moment(text))
            .or_else(|| json.then(|| structure(text)).flatten())
            .unwrap_or_else(|| Value::Text(text.to_owned()))
    }

    /// The data that is written for it.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Value::Bytes(bytes) => bytes.clone(),
            other => other.to_string().into_bytes(),
        }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(yes) = self { Some(*yes) } else { None }
    }

    /// The whole number, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(number) = self { i64::try_from(*number).ok() } else { None }
    }

    /// The number, be it whole, decimal or (finite) binary, with every digit.
    pub fn to_decimal(&self) -> Option<BigDecimal> {
        match self {
            Value::Int(number) => Some(BigDecimal::from(*number)),
            Value::Decimal(number) => Some(number.clone()),
            Value::Float(number) if number.is_finite() => repr(*number).parse().ok(),
            _ => None,
        }
    }

    /// The text, if it is nothing better than that.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The object or list, if it was read as JSON.
    pub fn as_json(&self) -> Option<&serde_json::Value> {
        if let Value::Json(json) = self { Some(json) } else { None }
    }
}

/// The text that is written; bytes that are none are shown with replacement characters.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("None"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(number) => number.fmt(f),
            Value::Decimal(number) => f.write_str(&plain(number)),
            Value::Float(number) => f.write_str(&repr(*number)),
            Value::Date(date) => date.fmt(f),
            Value::DateTime(moment) => {
                write_time(Offset::UTC.to_datetime(*moment), f)?;
                f.write_str("Z")
            }
            Value::LocalDateTime(time) => write_time(*time, f),
            Value::Json(json) => json.fmt(f),
            Value::Text(text) => f.write_str(text),
            Value::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// `-?digits`, with a fraction, an exponent, or both.
fn number(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) || mantissa.len() > MOST_DIGITS {
        return None;
    }
    if exponent.is_none() && fraction.is_none() {
        return text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Decimal)).ok();
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let size = if digits(unsigned) { unsigned.parse::<i64>().ok()? } else { return None };
        if size > LARGEST_EXPONENT {
            return None;
        }
    }
    text.parse().map(Value::Decimal).ok()
}

/// A day, or a day and a time, with `T` or a space between them.
fn moment(text: &str) -> Option<Value> {
    let date = day(text.get(..10)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Value::Date(date));
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let time = date.to_datetime(time_of_day(&rest[..at])?);
    match &rest[at..] {
        "" => Some(Value::LocalDateTime(time)),
        zone => offset(zone)?.to_timestamp(time).ok().map(Value::DateTime),
    }
}

fn day(text: &str) -> Option<Date> {
    let [y, m, d] = parts(text, '-', [4, 2, 2])?;
    Date::new(y.try_into().ok()?, m.try_into().ok()?, d.try_into().ok()?).ok()
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fraction` of up to nine digits.
fn time_of_day(text: &str) -> Option<Time> {
    let (clock, nanos) = match text.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 => (clock, nanos(fraction)?),
        Some(_) => return None,
        None => (text, 0),
    };
    let [h, m, s] = match clock.len() {
        5 => parts(clock, ':', [2, 2]).map(|[h, m]| [h, m, 0])?,
        _ => parts(clock, ':', [2, 2, 2])?,
    };
    Time::new(h.try_into().ok()?, m.try_into().ok()?, s.try_into().ok()?, nanos).ok()
}

fn nanos(fraction: &str) -> Option<i32> {
    let fits = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("{fraction:0<9}").parse().ok()).flatten()
}

/// `Z`, `±hh:mm`, `±hhmm` or `±hh`.
fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let [h, m] = match rest.len() {
        2 => parts(rest, ':', [2]).map(|[h]| [h, 0])?,
        4 => [number_of(rest.get(..2)?, 2)?, number_of(rest.get(2..)?, 2)?],
        _ => parts(rest, ':', [2, 2])?,
    };
    if h > 23 || m > 59 {
        return None;
    }
    let seconds = h * 3600 + m * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// Numbers of just these widths with `separator` between them.
fn parts<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i32; N]> {
    let mut found = [0; N];
    let mut all = text.split(separator);
    for (place, width) in found.iter_mut().zip(widths) {
        *place = number_of(all.next()?, width)?;
    }
    all.next().is_none().then_some(found)
}

fn number_of(text: &str, width: usize) -> Option<i32> {
    let digits = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What stands in brackets, if it is JSON.
fn structure(text: &str) -> Option<Value> {
    let trimmed = text.trim();
    let in_brackets = (trimmed.starts_with('{') && trimmed.ends_with('}'))
        || (trimmed.starts_with('[') && trimmed.ends_with(']'));
    in_brackets.then(|| serde_json::from_str(trimmed).ok().map(Value::Json)).flatten()
}

/// Microseconds always, as `%f` writes them; nanoseconds where there are any.
fn write_time(time: DateTime, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (date, clock) = (time.date(), time.time());
    write!(f, "{date}T{:02}:{:02}:{:02}.", clock.hour(), clock.minute(), clock.second())?;
    let nanos = clock.subsec_nanosecond();
    if nanos % 1000 == 0 { write!(f, "{:06}", nanos / 1000) } else { write!(f, "{nanos:09}") }
}

/// The text of a decimal, as Python's `str(Decimal)` chooses it: plain if that needs few zeros, else with an exponent.
fn plain(number: &BigDecimal) -> String {
    let (digits, scale) = number.as_bigint_and_exponent();
    let sign = if digits.sign() == Sign::Minus { "-" } else { "" };
    let digits = BigInt::from(digits.magnitude().clone()).to_string();
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    // Where the point stands, counted from the first digit; and the exponent of the first digit.
    let point = count.saturating_sub(scale);
    let adjusted = point - 1;
    if scale >= 0 && adjusted >= -6 {
        return match usize::try_from(point) {
            Ok(at) if at > 0 && scale == 0 => format!("{sign}{digits}"),
            Ok(at) if at > 0 => format!("{sign}{}.{}", &digits[..at], &digits[at..]),
            _ => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
        };
    }
    let (first, rest) = digits.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{dot}{rest}E{adjusted:+}")
}

/// The text of a float, as Python's `repr` chooses it.
fn repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        // Rust's own text is the shortest too, and never has an exponent.
        _ => format!("{number:?}"),
    }
}

macro_rules! from {
    ($($from:ty => |$value:ident| $to:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Value {
                $to
            }
        })*
    };
}

from! {
    () => |_nothing| Value::Null,
    bool => |value| Value::Bool(value),
    i8 => |value| Value::Int(value.into()),
    i16 => |value| Value::Int(value.into()),
    i32 => |value| Value::Int(value.into()),
    i64 => |value| Value::Int(value.into()),
    i128 => |value| Value::Int(value),
    u8 => |value| Value::Int(value.into()),
    u16 => |value| Value::Int(value.into()),
    u32 => |value| Value::Int(value.into()),
    u64 => |value| Value::Int(value.into()),
    f64 => |value| Value::Float(value),
    BigDecimal => |value| Value::Decimal(value),
    Date => |value| Value::Date(value),
    Timestamp => |value| Value::DateTime(value),
    DateTime => |value| Value::LocalDateTime(value),
    &str => |value| Value::Text(value.to_owned()),
    String => |value| Value::Text(value),
    &[u8] => |value| Value::Bytes(value.to_vec()),
    Vec<u8> => |value| Value::Bytes(value),
}

/// Objects and lists are JSON; the rest is what it is.
impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(yes) => Value::Bool(yes),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Value::Int(whole),
                (None, Some(float)) => Value::Float(float),
                (None, None) => Value::Text(number.to_string()),
            },
            structure => Value::Json(structure),
        }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
