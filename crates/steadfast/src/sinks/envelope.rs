//! One record as one line of JSON, in kcat's envelope.
//!
//! ```json
//! {"topic":"orders","partition":0,"offset":7,"tstype":"create","ts":1700000000000,"broker":1,
//!  "headers":["trace","ab12"],"key":"k","payload":"v"}
//! ```
//! Bytes that are not UTF-8 are base64 (RFC 4648, padded) under `key_base64` and `payload_base64`, and `key`
//! or `payload` is left out then. A null key or payload is `null`. Headers alternate name and value, in their
//! order, and names may repeat; a null value is `null`, and a name or value that is not UTF-8 is the object
//! `{"base64":"…"}`, which no text can be mistaken for.

use std::fmt;
use std::io::Write;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

/// Who gave a record its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer, when it made the record.
    Create,
    /// The broker, when it appended the record.
    LogAppend,
}

/// One record and where it stood, as it goes into a line. `H` gives the headers as name and value.
#[derive(Debug, Clone)]
pub struct Line<'a, H> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Milliseconds since 1970; -1 when there is none.
    pub timestamp: i64,
    /// Who gave that time.
    pub timestamp_type: TimestampType,
    /// The node id of the broker that the record was read from.
    pub broker: i32,
    /// Name and value of each header, in their order.
    pub headers: H,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none for a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Appends the line and its newline to `out`. Nothing is allocated but what `out` grows by.
pub fn write_line<'h, N, H>(line: Line<'_, H>, out: &mut Vec<u8>)
where
    N: AsRef<[u8]>,
    H: IntoIterator<Item = (N, Option<&'h [u8]>)>,
{
    out.extend_from_slice(b"{\"topic\":");
    string(line.topic, out);
    let tstype = match line.timestamp_type {
        TimestampType::Create => "create",
        TimestampType::LogAppend => "logappend",
    };
    let Line { partition, offset, timestamp, broker, .. } = line;
    formatted(
        format_args!(
            ",\"partition\":{partition},\"offset\":{offset},\"tstype\":\"{tstype}\",\"ts\":{timestamp},\
             \"broker\":{broker},\"headers\":["
        ),
        out,
    );
    for (number, (name, value)) in line.headers.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        element(Some(name.as_ref()), out);
        out.push(b',');
        element(value, out);
    }
    out.push(b']');
    member("key", line.key, out);
    member("payload", line.payload, out);
    out.extend_from_slice(b"}\n");
}

/// `,"name":"text"`, or `,"name_base64":"…"` for what is no text.
fn member(name: &str, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => formatted(format_args!(",\"{name}\":null"), out),
        Some((_, Ok(text))) => {
            formatted(format_args!(",\"{name}\":"), out);
            string(text, out);
        }
        Some((bytes, Err(_))) => {
            formatted(format_args!(",\"{name}_base64\":\"{}\"", Base64Display::new(bytes, &STANDARD)), out);
        }
    }
}

/// `"text"`, `null`, or `{"base64":"…"}` for what is no text.
fn element(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => string(text, out),
        Some((bytes, Err(_))) => {
            formatted(format_args!("{{\"base64\":\"{}\"}}", Base64Display::new(bytes, &STANDARD)), out);
        }
    }
}

/// The text as JSON, copied in runs between the bytes that JSON wants escaped (RFC 8259, section 7).
fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| must_be_escaped(**byte)) {
        out.extend_from_slice(&bytes[copied..at]);
        escape(*byte, out);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => formatted(format_args!("\\u{byte:04x}"), out),
    }
}

fn formatted(text: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // A vector takes whatever is written to it: its `write` has no error to return.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    fn line<'a>(key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> Line<'a, Vec<Header<'a>>> {
        Line {
            topic: "orders",
            partition: 3,
            offset: 7,
            timestamp: 1_700_000_000_000,
            timestamp_type: TimestampType::Create,
            broker: 1,
            headers: Vec::new(),
            key,
            payload,
        }
    }

    fn text_of(line: Line<'_, Vec<Header<'_>>>) -> String {
        let mut out = Vec::new();
        write_line(line, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_line_in_kcats_order() {
        let mut record = line(Some(b"k"), Some(b"v"));
        record.headers = vec![(b"trace", Some(b"ab")), (b"empty", None)];
        assert_eq!(
            text_of(record),
            "{\"topic\":\"orders\",\"partition\":3,\"offset\":7,\"tstype\":\"create\",\"ts\":1700000000000,\
             \"broker\":1,\"headers\":[\"trace\",\"ab\",\"empty\",null],\"key\":\"k\",\"payload\":\"v\"}\n"
        );
    }

    #[test]
    fn null_and_empty_are_told_apart() {
        assert!(text_of(line(None, None)).ends_with("\"headers\":[],\"key\":null,\"payload\":null}\n"));
        assert!(text_of(line(Some(b""), Some(b""))).ends_with("\"key\":\"\",\"payload\":\"\"}\n"));
    }

    #[test]
    fn what_is_no_text_is_base64_under_a_name_of_its_own() {
        let told = text_of(line(Some(&[0xff]), Some(&[0xfe, 0xfd])));
        assert!(told.ends_with("\"key_base64\":\"/w==\",\"payload_base64\":\"/v0=\"}\n"), "{told}");
    }

    #[test]
    fn headers_that_are_no_text_are_objects() {
        let mut record = line(None, None);
        record.headers = vec![(b"a", Some(&[0xff])), (&[0xff], Some(b"{\"base64\":\"\"}"))];
        let parsed: Value = serde_json::from_str(&text_of(record)).unwrap();
        let expected = json!(["a", {"base64": "/w=="}, {"base64": "/w=="}, "{\"base64\":\"\"}"]);
        assert_eq!(parsed["headers"], expected);
    }

    #[test]
    fn the_brokers_time_is_told_from_the_producers() {
        let mut record = line(None, None);
        record.timestamp_type = TimestampType::LogAppend;
        assert!(text_of(record).contains("\"tstype\":\"logappend\""));
    }

    #[test]
    fn lines_are_appended() {
        let mut out = b"before\n".to_vec();
        write_line(line(None, None), &mut out);
        write_line(line(None, None), &mut out);
        assert!(out.starts_with(b"before\n{"));
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 3);
    }

    /// Bytes as `name` or `name_base64` holds them; none for null.
    fn member_of(parsed: &Value, name: &str) -> Option<Vec<u8>> {
        let encoded = &parsed[format!("{name}_base64")];
        assert_ne!(parsed.get(name).is_some(), encoded.is_string(), "exactly one of the two: {parsed}");
        match encoded.as_str() {
            Some(encoded) => Some(STANDARD.decode(encoded).unwrap()),
            None => parsed[name].as_str().map(|text| text.as_bytes().to_vec()),
        }
    }

    fn element_of(parsed: &Value) -> Option<Vec<u8>> {
        match parsed {
            Value::Null => None,
            Value::String(text) => Some(text.as_bytes().to_vec()),
            object => Some(STANDARD.decode(object["base64"].as_str().unwrap()).unwrap()),
        }
    }

    /// Any bytes, any text (with quotes, controls and wide characters), or nothing.
    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop_oneof![
            Just(None),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Some),
            proptest::collection::vec(any::<char>(), 0..20)
                .prop_map(|text| Some(text.into_iter().collect::<String>().into_bytes())),
            proptest::collection::vec(0_u8..0x7f, 0..40).prop_map(Some),
        ]
    }

    proptest! {
        #[test]
        fn every_record_is_read_back_as_it_was(
            topic in any::<String>(),
            numbers in any::<(i32, i64, i64, i32)>(),
            headers in proptest::collection::vec((bytes(), bytes()), 0..4),
            key in bytes(),
            payload in bytes(),
        ) {
            let names: Vec<Vec<u8>> = headers.iter().map(|(name, _)| name.clone().unwrap_or_default()).collect();
            let mut out = Vec::new();
            let (partition, offset, timestamp, broker) = numbers;
            let given = names.iter().zip(&headers).map(|(name, (_, value))| (name, value.as_deref()));
            let timestamp_type = TimestampType::Create;
            let (key_bytes, payload_bytes) = (key.as_deref(), payload.as_deref());
            write_line(
                Line {
                    topic: &topic, partition, offset, timestamp, timestamp_type, broker, headers: given,
                    key: key_bytes, payload: payload_bytes,
                },
                &mut out,
            );
            prop_assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
            let parsed: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(parsed["topic"].as_str(), Some(topic.as_str()));
            let told = (&parsed["partition"], &parsed["offset"], &parsed["ts"], &parsed["broker"]);
            prop_assert_eq!(told, (&json!(partition), &json!(offset), &json!(timestamp), &json!(broker)));
            let told: Vec<_> = parsed["headers"].as_array().unwrap().iter().map(element_of).collect();
            let expected: Vec<_> =
                names.iter().zip(&headers).flat_map(|(name, (_, value))| [Some(name.clone()), value.clone()]).collect();
            prop_assert_eq!(told, expected);
            prop_assert_eq!(member_of(&parsed, "key"), key);
            prop_assert_eq!(member_of(&parsed, "payload"), payload);
        }
    }
}
