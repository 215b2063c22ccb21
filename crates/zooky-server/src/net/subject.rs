//! The subject of a certificate as Java writes it (`X500Principal.getName()`, by RFC 2253), for that is what
//! the ids of the scheme `x509` are.

use std::fmt::Write;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
/// The version field of a certificate, which may be missing.
const VERSION: u8 = 0xa0;

/// The subject of a certificate in DER. `None`: that is no certificate.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate, _) = take(certificate)?;
    let (_, mut fields, _) = take(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = take(fields)?.2;
    }
    // Serial number, signature, issuer, validity.
    for _ in 0..4 {
        fields = take(fields)?.2;
    }
    let (tag, mut name, _) = take(fields)?;
    let mut parts = Vec::new();
    while tag == SEQUENCE && !name.is_empty() {
        let (set, mut attributes, rest) = take(name)?;
        let mut part = Vec::new();
        while set == SET && !attributes.is_empty() {
            let (_, attribute, more) = take(attributes)?;
            part.push(one(attribute)?);
            attributes = more;
        }
        parts.push(part.join("+"));
        name = rest;
    }
    parts.reverse();
    Some(parts.join(","))
}

/// One value of DER: its tag, its contents, what follows.
fn take(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (bytes, behind) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        rest = behind;
    }
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// `type=value` of an attribute.
fn one(attribute: &[u8]) -> Option<String> {
    let (tag, oid, encoded) = take(attribute)?;
    let (kind, value, _) = take(encoded)?;
    let oid = (tag == OID).then(|| dotted(oid))??;
    let keyword = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return Some(format!("{oid}=#{}", hex(encoded))),
    };
    Some(match text(kind, value) {
        Some(text) => format!("{keyword}={}", escaped(&text)),
        None => format!("{keyword}=#{}", hex(encoded)),
    })
}

fn dotted(oid: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut number = 0u64;
    for &byte in oid {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let first = *numbers.first()?;
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for number in &numbers[1..] {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{number}");
    }
    Some(text)
}

/// The text of the kinds of strings that Java takes for text.
fn text(kind: u8, value: &[u8]) -> Option<String> {
    match kind {
        // UTF8String, PrintableString, IA5String.
        0x0c | 0x13 | 0x16 => String::from_utf8(value.to_vec()).ok(),
        // T61String, GeneralString: Latin 1 in practice.
        0x14 | 0x1b => Some(value.iter().map(|&byte| char::from(byte)).collect()),
        // BMPString.
        0x1e => {
            let units = value.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    let inner = text.trim_matches([' ', '\r']);
    let start = text.len() - text.trim_start_matches([' ', '\r']).len();
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let outside = at < start || at >= start + inner.len();
        if outside || ",=+<>#;\"\\".contains(letter) {
            escaped.push('\\');
        }
        match letter {
            '\0' => escaped.push_str("\\00"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DER of a tag and contents.
    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        match contents.len() {
            short @ ..0x80 => bytes.push(short as u8),
            long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        bytes.extend(contents);
        bytes
    }

    fn attribute(oid: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
        der(SEQUENCE, &[der(OID, oid), der(kind, value)].concat())
    }

    fn certificate(name: &[Vec<u8>]) -> Vec<u8> {
        let other = der(SEQUENCE, &[]);
        let fields = [der(VERSION, &[2, 1, 2]), der(2, &[1]), other.clone(), other.clone(), other.clone()];
        let fields = [fields.concat(), der(SEQUENCE, &name.concat()), other].concat();
        der(SEQUENCE, &der(SEQUENCE, &fields))
    }

    #[test]
    fn names_are_as_java_writes_them() {
        let cn = |value: &[u8]| der(SET, &attribute(&[85, 4, 3], 0x0c, value));
        let org = der(SET, &attribute(&[85, 4, 10], 0x13, b"Zooky, Inc. <x>"));
        let two = [attribute(&[85, 4, 11], 0x13, b"a"), attribute(&[85, 4, 7], 0x1e, &[0, 0xe4])].concat();
        let mail = der(SET, &attribute(&[42, 134, 72, 134, 247, 13, 1, 9, 1], 0x16, b"a@b"));
        let all = certificate(&[org, der(SET, &two), mail, cn(b" me#1\\ ")]);
        assert_eq!(
            subject(&all).unwrap(),
            "CN=\\ me\\#1\\\\\\ ,1.2.840.113549.1.9.1=#1603614062,OU=a+L=\u{e4},O=Zooky\\, Inc. \\<x\\>"
        );
        assert_eq!(subject(&certificate(&[])).unwrap(), "");
        assert_eq!(subject(&certificate(&[cn(&[b'x'; 300])])).unwrap().len(), 303);
    }

    /// Made by OpenSSL; what Java 17 writes for it.
    #[test]
    fn a_real_certificate_is_as_java_17_writes_it() {
        let java = "CN=\\ me\\#1\\\\ \\=\\ ,STREET=t,ST=s,UID=u,1.2.840.113549.1.9.1=#1603614062,OU=a+L=\u{e4},\
                    O=Zooky\\, Inc. \\<x\\>\\;\\\"y\\\",DC=org";
        assert_eq!(subject(include_bytes!("testdata/odd-subject.der")).unwrap(), java);
    }

    #[test]
    fn nothing_that_is_cut_short_or_wrong_panics() {
        let whole = certificate(&[der(SET, &attribute(&[85, 4, 3], 0x1e, b"abc"))]);
        for end in 0..whole.len() {
            let _ = subject(&whole[..end]);
            let mut wrong = whole.clone();
            wrong[end] ^= 0xff;
            let _ = subject(&wrong);
        }
        assert_eq!(subject(&[0x30, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
