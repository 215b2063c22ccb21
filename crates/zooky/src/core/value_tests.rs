//! Values there and back.

use bigdecimal::BigDecimal;
use jiff::Timestamp;
use jiff::civil::{date, datetime};
use proptest::prelude::*;

use super::Value;

fn read(text: &str) -> Value {
    Value::read(text.as_bytes(), true)
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse::<BigDecimal>().unwrap())
}

#[test]
fn what_zktools_reads_is_read() {
    for (text, value) in [
        ("", Value::Null),
        ("None", Value::Null),
        ("nONE", Value::Null),
        ("true", Value::Bool(true)),
        ("FALSE", Value::Bool(false)),
        ("483", Value::Int(483)),
        ("483.24", decimal("483.24")),
        ("2012-01-13T10:00:00.250000Z", Value::DateTime("2012-01-13T10:00:00.25Z".parse().unwrap())),
        ("2012-01-13 10:00:00.250000Z", Value::DateTime("2012-01-13T10:00:00.25Z".parse().unwrap())),
        ("{\"a\": [1, 2]}", Value::Json(serde_json::json!({"a": [1, 2]}))),
        ("some text", Value::Text("some text".into())),
    ] {
        assert_eq!(read(text), value, "{text:?}");
    }
}

#[test]
fn what_zktools_got_wrong_is_read() {
    for (text, value) in [
        // Negatives and exponents stayed text.
        ("-7", Value::Int(-7)),
        ("-0.50", decimal("-0.50")),
        ("1e+16", decimal("1e16")),
        ("2.5E-7", decimal("0.00000025")),
        // A day came back as a day and a time.
        ("2012-01-13", Value::Date(date(2012, 1, 13))),
        // Offsets and times without a zone.
        ("2012-01-13T12:00+02:00", Value::DateTime("2012-01-13T10:00:00Z".parse().unwrap())),
        ("2012-01-13T12:00:00-0130", Value::DateTime("2012-01-13T13:30:00Z".parse().unwrap())),
        ("2012-01-13T12:00:00", Value::LocalDateTime(datetime(2012, 1, 13, 12, 0, 0, 0))),
        // Non-ASCII raised.
        ("größer", Value::Text("größer".into())),
        ("١٢٣", Value::Text("١٢٣".into())),
    ] {
        assert_eq!(read(text), value, "{text:?}");
    }
    assert_eq!(Value::read(b"\xff\x00", true), Value::Bytes(vec![0xff, 0]));
}

#[test]
fn what_is_nothing_better_stays_text() {
    let many = "9".repeat(4_301);
    for text in [
        "2012-02-30",
        "2012-13-01",
        "2012-01-13T25:00:00Z",
        "2012-01-13T10:00:60Z",
        "2012-01-13T10",
        "2012-1-3",
        "2012-01-13T10:00:00.Z",
        "2012-01-13T10:00:00.0123456789Z",
        "2012-01-13T10:00:00+24:00",
        "2012-01-13x",
        "+5",
        "1.",
        ".5",
        "1e",
        "e5",
        "1e5.5",
        "--1",
        "-",
        "1_000",
        "0x10",
        "nan",
        "inf",
        "-inf",
        "1e10000",
        " 1",
        "1 ",
        "{broken",
        "[1, 2",
        "{'a': 1}",
        "2012-01-1é",
        &many,
    ] {
        assert_eq!(read(text), Value::Text(text.into()), "{text:?}");
    }
    assert_eq!(Value::read(b"[1]", false), Value::Text("[1]".into()));
}

#[test]
fn values_are_written_as_python_writes_them() {
    for (value, text) in [
        (Value::Null, "None"),
        (true.into(), "True"),
        (483.24.into(), "483.24"),
        (5.0.into(), "5.0"),
        (1e16.into(), "1e+16"),
        (1.5e300.into(), "1.5e+300"),
        (123_456_789_012_345_680.0.into(), "1.2345678901234568e+17"),
        (0.0001.into(), "0.0001"),
        (0.00001.into(), "1e-05"),
        ((-0.0).into(), "-0.0"),
        (f64::NAN.into(), "nan"),
        (f64::NEG_INFINITY.into(), "-inf"),
        (decimal("1.50"), "1.50"),
        (decimal("-0.000001"), "-0.000001"),
        (decimal("0.0000001"), "1E-7"),
        (decimal("12e20"), "1.2E+21"),
        (date(2012, 1, 3).into(), "2012-01-03"),
        (datetime(2012, 1, 3, 4, 5, 6, 7_000).into(), "2012-01-03T04:05:06.000007"),
        (datetime(2012, 1, 3, 4, 5, 6, 7).into(), "2012-01-03T04:05:06.000000007"),
        (Value::from(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z"),
        (serde_json::json!([1, "a"]).into(), "[1,\"a\"]"),
        (Value::from(None::<i64>), "None"),
    ] {
        assert_eq!(value.write(), text.as_bytes(), "{value:?}");
    }
}

#[test]
fn numbers_beyond_a_machine_word_keep_their_digits() {
    let long = "123456789012345678901234567890123456789012345678901234567890";
    assert_eq!(read(long), decimal(long));
    assert_eq!(read(long).to_string(), long);
    let fine = format!("0.{long}{long}");
    assert_eq!(read(&fine).to_string(), fine);
}

#[test]
fn a_hostile_number_costs_little() {
    // Compared, the two would have to be brought to one scale.
    assert_ne!(read("1e9999"), read("1e-9999"));
    assert!(matches!(read("1e999999999999"), Value::Text(_)));
    assert!(matches!(read(&format!("1e{}", "0".repeat(1 << 20))), Value::Text(_) | Value::Decimal(_)));
    assert!(matches!(read(&"[".repeat(1 << 20)), Value::Text(_)));
    assert!(matches!(read(&("[".repeat(1 << 18) + &"]".repeat(1 << 18))), Value::Text(_)));
}

/// Every value that a node can be read as.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        (any::<i128>(), -9_000_i64..9_000).prop_map(|(digits, scale)| decimal(&format!("{digits}e{scale}"))),
        (-9999_i16..=9999, 1_i8..=12, 1_i8..=28)
            .prop_filter("years before 0 have a sign", |(year, ..)| *year >= 0)
            .prop_map(|(y, m, d)| date(y, m, d).into()),
        (-60_000_000_000_i64..250_000_000_000, 0..1_000_000_000_i32).prop_map(|(s, ns)| Timestamp::new(
            s, ns
        )
        .unwrap()
        .into()),
        (0_i16..=9999, 0_i8..24, 0_i8..60, 0_i32..1_000_000_000)
            .prop_map(|(y, h, m, ns)| datetime(y, 2, 28, h, m, 59, ns).into()),
        proptest::collection::vec(any::<i64>(), 0..5).prop_map(|list| Value::Json(serde_json::json!(list))),
        "[a-zäöü日 ]{1,20}x".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_filter("no text", |bytes| std::str::from_utf8(bytes).is_err())
            .prop_map(Value::Bytes),
    ]
}

proptest! {
    #[test]
    fn every_value_reads_back_as_itself(value in values()) {
        let again = Value::read(&value.write(), true);
        match (&again, &value) {
            // A decimal without a fraction or an exponent is a whole number.
            (Value::Int(whole), Value::Decimal(decimal)) => prop_assert_eq!(&BigDecimal::from(*whole), decimal),
            _ => prop_assert_eq!(again, value),
        }
    }

    #[test]
    fn a_float_reads_back_to_the_same_bits(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let text = Value::Float(number).to_string();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        prop_assert!(matches!(read(&text), Value::Decimal(_)), "{}", text);
    }

    #[test]
    fn all_bytes_are_some_value_that_is_written_stably(data: Vec<u8>, json: bool) {
        let value = Value::read(&data, json);
        let once = value.write();
        prop_assert_eq!(Value::read(&once, json).write(), once);
    }

    #[test]
    fn decimals_keep_their_text(whole in "(0|[1-9][0-9]{0,30})", fraction in "[0-9]{1,40}") {
        let text = format!("{whole}.{fraction}");
        // Python, too, writes very small ones with an exponent.
        prop_assume!(whole != "0" || !fraction.starts_with("000000"));
        prop_assert_eq!(read(&text).to_string(), text);
    }
}
