//! Strict JSON in, canonical JSON out.
//!
//! Two parsers that disagree on one document are an attack surface, so a document with a repeated key, a
//! number that is not an integer, or deep nesting is refused as a whole. Signatures cover the canonical form
//! (OLPC canonical JSON, as TUF and securesystemslib use it) of the parsed `signed` value, which keeps
//! fields that this crate does not know.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

use crate::error::VerifyError;

/// Nesting levels that a document may have. Real metadata has six.
pub const MAX_DEPTH: usize = 32;

/// Parses one JSON document.
///
/// # Errors
/// [`VerifyError::Malformed`] naming `subject`.
pub fn parse(bytes: &[u8], subject: &str) -> Result<Value, VerifyError> {
    let malformed = |error: serde_json::Error| VerifyError::Malformed {
        subject: subject.to_owned(),
        reason: describe(bytes, &error),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: MAX_DEPTH }
        .deserialize(&mut deserializer)
        .map_err(malformed)?;
    deserializer.end().map_err(malformed)?;
    Ok(value)
}

/// Reads a typed value out of a strictly parsed one.
///
/// # Errors
/// [`VerifyError::Malformed`] naming `subject`.
pub fn typed<T: DeserializeOwned>(value: Value, subject: &str) -> Result<T, VerifyError> {
    serde_json::from_value(value).map_err(|error| VerifyError::Malformed {
        subject: subject.to_owned(),
        reason: error.to_string(),
    })
}

/// Refuses a list of values where an object with keys belongs, which serde would read as that object: in
/// `value` itself, and in the items of its lists `lists`.
///
/// # Errors
/// [`VerifyError::Malformed`] naming `subject`.
pub fn check_objects(value: &Value, lists: &[&str], subject: &str) -> Result<(), VerifyError> {
    let items = lists
        .iter()
        .filter_map(|key| value.get(key).and_then(Value::as_array))
        .flatten();
    if std::iter::once(value).chain(items).all(Value::is_object) {
        return Ok(());
    }
    Err(VerifyError::Malformed {
        subject: subject.to_owned(),
        reason: "expected an object, got another value".to_owned(),
    })
}

/// Reads a field that may be absent. One that is there has a value: what `null` means, parsers do not agree on.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The canonical form of `value`: keys sorted, no white space, only `"` and `\` escaped.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Not left to the map's own order: another crate in the build can switch on serde_json's
            // `preserve_order`. UTF-8 byte order is code point order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_canonical(item, out);
            }
            out.push(b'}');
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A web page in place of JSON is the most common mistake of a host; it deserves its own words.
fn describe(bytes: &[u8], error: &serde_json::Error) -> String {
    if bytes.trim_ascii_start().first() == Some(&b'<') {
        "expected JSON and got what looks like an HTML page".to_owned()
    } else {
        error.to_string()
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| E::custom("nesting is too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("numbers must be integers of at most 64 bits"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` is repeated"
                )));
            }
            let value = access.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match parse(text.as_bytes(), "test") {
            Err(VerifyError::Malformed { reason, .. }) => reason,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn canonical_form_sorts_keys_and_escapes_two_characters() {
        let value = parse(
            "{\"b\": [1, -2, true, null], \"a\": \"q\\\"\\\\\\n\u{e9}\"}".as_bytes(),
            "test",
        )
        .unwrap();
        assert_eq!(
            canonical(&value),
            "{\"a\":\"q\\\"\\\\\n\u{e9}\",\"b\":[1,-2,true,null]}".as_bytes()
        );
    }

    #[test]
    fn rejects_repeated_keys_at_any_level() {
        assert!(parse(br#"{"a":{"b":1,"c":2}}"#, "test").is_ok());
        assert!(reason(r#"{"a":{"b":1,"b":1}}"#).contains("`b` is repeated"));
    }

    #[test]
    fn rejects_floats_and_integers_beyond_64_bits() {
        assert!(parse(b"[1]", "test").is_ok());
        assert!(reason("[1.0]").contains("integers"));
        assert!(reason("[1e3]").contains("integers"));
        assert!(reason("[18446744073709551616]").contains("integers"));
    }

    #[test]
    fn rejects_deep_nesting_without_recursing_into_it() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes(), "test").is_ok());
        assert!(reason(&nested(MAX_DEPTH + 1)).contains("too deep"));
        assert!(reason(&"[".repeat(10_000_000)).contains("too deep"));
    }

    #[test]
    fn rejects_trailing_data_and_a_byte_order_mark() {
        assert!(parse(b"{} \n", "test").is_ok());
        reason("{} {}");
        reason("\u{feff}{}");
    }

    #[test]
    fn names_an_html_page() {
        assert!(reason("\n<!doctype html><p>hello").contains("HTML page"));
    }
}
