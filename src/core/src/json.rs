//! Strict JSON in, canonical JSON out.
//!
//! Two parsers that disagree on one document are an attack surface, so a document with a repeated key, a
//! number that is not an integer, or deep nesting is refused as a whole. Signatures cover the canonical form
//! (OLPC canonical JSON, as TUF and securesystemslib use it) of the parsed `signed` value, which keeps
//! fields that this crate does not know.
//!
//! The parser is this crate's own: it is a tenth of the code of a general one, and what a general one accepts
//! beyond it would have to be refused again. It takes nothing that RFC 8259 does not.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Fault, VerifyError};
use crate::map::{Map, sorted};

/// Nesting levels that a document may have. Real metadata has six.
pub const MAX_DEPTH: usize = 32;

/// Text, by key.
pub type Object = Map<String, Value>;

/// A JSON value without floats. It is nested no deeper than [`MAX_DEPTH`] if [`parse`] made it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of JSON")]
pub enum Value {
    Null,
    Bool(bool),
    /// From 0 on.
    Unsigned(u64),
    /// Below 0.
    Negative(i64),
    String(String),
    Array(Vec<Value>),
    Object(Object),
}

impl Value {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one from 0 on.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The field of that name, if it is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(object) => object.get(name),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => serializer.collect_map(object),
        }
    }
}

/// As JSON text.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Parses one JSON document.
///
/// # Errors
/// [`VerifyError::Malformed`] naming `subject`.
pub fn parse(bytes: &[u8], subject: &str) -> Result<Value, VerifyError> {
    read(bytes).map_err(|fault| fault.of(subject))
}

/// As [`parse`], before it is known whose document it is.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Value, Fault> {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return Err(Fault::new(format_args!("expected text in UTF-8")));
    };
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(MAX_DEPTH)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => parser.refuse("more after the end of the document"),
    }
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
        Value::Unsigned(number) => write_number(*number, out),
        Value::Negative(number) => {
            out.push(b'-');
            write_number(number.unsigned_abs(), out);
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            let mut before = b'[';
            for item in items {
                out.push(before);
                write_canonical(item, out);
                before = b',';
            }
            if before == b'[' {
                out.push(before);
            }
            out.push(b']');
        }
        // A map has its keys in order. UTF-8 byte order is code point order.
        Value::Object(object) => {
            let mut before = b'{';
            for (key, item) in object {
                out.push(before);
                write_string(key, out);
                out.push(b':');
                write_canonical(item, out);
                before = b',';
            }
            if before == b'{' {
                out.push(before);
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

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(decimal(number).as_bytes());
}

/// A number as text. The standard library's formatting is some kilobytes in WebAssembly.
pub(crate) fn decimal(mut number: u64) -> String {
    let mut text = String::new();
    loop {
        text.insert(0, char::from(b'0' + (number % 10) as u8));
        number /= 10;
        if number == 0 {
            return text;
        }
    }
}

/// Each method takes what it is named for, from where the one before ended.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    /// A value that may have `depth` levels.
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        match self.peek() {
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => self.string().map(Value::String),
            Some(b'[') => {
                let depth = self.deeper(depth)?;
                let mut items = Vec::new();
                while self.goes_on(b']', items.is_empty())? {
                    items.push(self.value(depth)?);
                }
                Ok(Value::Array(items))
            }
            Some(b'{') => {
                let depth = self.deeper(depth)?;
                let mut entries = Vec::new();
                while self.goes_on(b'}', entries.is_empty())? {
                    if self.peek() != Some(b'"') {
                        return self.refuse("expected a key in quotes");
                    }
                    let key = self.string()?;
                    if self.peek() != Some(b':') {
                        return self.refuse("expected `:`");
                    }
                    self.at += 1;
                    entries.push(Entry(key, self.value(depth)?));
                }
                self.object(entries).map(Value::Object)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.refuse("expected a value"),
        }
    }

    /// The bracket of a list or object, for which one level less is left inside.
    fn deeper(&mut self, depth: usize) -> Result<usize, Fault> {
        self.at += 1;
        match depth.checked_sub(1) {
            Some(depth) => Ok(depth),
            None => self.refuse("nesting is too deep"),
        }
    }

    /// Whether there is another item, behind a comma unless it is the first.
    fn goes_on(&mut self, close: u8, is_first: bool) -> Result<bool, Fault> {
        let next = self.peek();
        if next == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if is_first {
            return Ok(true);
        }
        if next == Some(b',') {
            self.at += 1;
            return Ok(true);
        }
        self.refuse("expected `,` or the end of a list or object")
    }

    fn object(&self, entries: Vec<Entry>) -> Result<Object, Fault> {
        let sorted = sorted(entries);
        let twice = sorted.windows(2).find_map(|pair| match pair {
            [one, other] if one.0 == other.0 => Some(one.0.as_str()),
            _ => None,
        });
        if let Some(key) = twice {
            return Err(self.fault(format_args!("the key `{key}` is repeated")));
        }
        let entries = sorted.into_iter().map(|Entry(key, item)| (key, item));
        Ok(Map::from_sorted(entries.collect()))
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return self.refuse("expected a value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let negative = self.byte() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let (start, mut number) = (self.at, 0_u64);
        let mut fits = true;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            let next = number.checked_mul(10);
            let next = next.and_then(|next| next.checked_add(u64::from(digit - b'0')));
            fits &= next.is_some();
            number = next.unwrap_or_default();
            self.at += 1;
        }
        let digits = self.text.get(start..self.at).unwrap_or_default();
        if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
            return self.refuse("invalid number");
        }
        let value = if negative {
            // To other parsers, minus zero is a float.
            Some(number)
                .filter(|number| *number > 0)
                .and_then(|number| 0_i64.checked_sub_unsigned(number))
                .map(Value::Negative)
        } else {
            Some(Value::Unsigned(number))
        };
        match (value, self.byte()) {
            (Some(_), Some(b'.' | b'e' | b'E')) | (None, _) => {}
            (Some(value), _) if fits => return Ok(value),
            _ => {}
        }
        self.refuse("numbers must be integers of at most 64 bits")
    }

    fn string(&mut self) -> Result<String, Fault> {
        let mut string = String::new();
        self.at += 1;
        loop {
            let start = self.at;
            while let Some(byte) = self.byte()
                && !matches!(byte, b'"' | b'\\' | 0..=0x1f)
            {
                self.at += 1;
            }
            string.push_str(self.text.get(start..self.at).unwrap_or_default());
            let end = self.byte();
            self.at += 1;
            match end {
                Some(b'"') => return Ok(string),
                Some(b'\\') => string.push(self.escape()?),
                Some(_) => return self.refuse("a control character in a text"),
                None => return self.refuse("a text without an end"),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.byte();
        self.at += 1;
        let escaped = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.code_unit()?;
                // The first half of a pair, which is nothing without the second.
                if (0xd800..0xdc00).contains(&code) {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    if !rest.starts_with("\\u") {
                        return self.refuse("half a character in a text");
                    }
                    self.at += 2;
                    let second = self.code_unit()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return self.refuse("half a character in a text");
                    }
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (second - 0xdc00);
                }
                match char::from_u32(code) {
                    Some(character) => character,
                    None => return self.refuse("half a character in a text"),
                }
            }
            _ => return self.refuse("invalid escape in a text"),
        };
        Ok(escaped)
    }

    /// Four hex digits.
    fn code_unit(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            match self.byte().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => code = code << 4 | digit,
                None => return self.refuse("invalid escape in a text"),
            }
            self.at += 1;
        }
        Ok(code)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refuse<T>(&self, reason: &str) -> Result<T, Fault> {
        Err(self.fault(format_args!("{reason}")))
    }

    /// Says where in the document, as editors count.
    #[cold]
    #[inline(never)]
    fn fault(&self, reason: fmt::Arguments<'_>) -> Fault {
        // A web page in place of JSON is the most common mistake of a host; it deserves its own words.
        if self.text.trim_ascii_start().starts_with('<') {
            return Fault::new(format_args!(
                "expected JSON and got what looks like an HTML page"
            ));
        }
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.split('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().len();
        Fault::new(format_args!("{reason} at line {line} column {column}"))
    }
}

/// A field, ordered by its key alone.
struct Entry(String, Value);

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Entry {}
#[cfg(test)]
mod tests {
    use alloc::format;

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
