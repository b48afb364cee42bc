//! One JSON document, two readings: what parsers do not agree on, with valid signatures.

use crate::workshop::canonical;
use serde_json::{Value, json};

use super::Studio;
use crate::workshop::{Document, signatures};

const KIND: &str = "JSON";

pub(super) fn make(studio: &mut Studio<'_>) {
    for document in studio.documents.clone() {
        inside(studio, &document);
        around(studio, &document);
    }
}

/// In what is signed. The signature is over what most parsers read.
fn inside(studio: &mut Studio<'_>, document: &Document) {
    let signed = studio.pristine.signed(document);
    let text = signed.to_string();
    let signers = studio.pristine.signers(document);
    let mut put = |what: &str, text: &str, read: &Value| {
        let signatures = signatures(read, signers.iter().copied());
        let file = format!("{{\"signatures\":{signatures},\"signed\":{text}}}");
        studio.add_bytes(KIND, what, document, file.as_bytes());
    };
    let mut changed = signed.clone();
    changed["version"] = json!(999);
    let (open, closed) = (&text[..text.len() - 1], &text[1..]);
    let twice = format!("{open},\"version\":999}}");
    put("the version twice, the right one first", &twice, &signed);
    put("the version twice, the last one signed", &twice, &changed);
    let twice = format!("{{\"version\":999,{closed}");
    put("the version twice, the right one last", &twice, &signed);
    let twice = format!("{{\"_type\":\"mirrors\",{closed}");
    put("the type twice, the right one last", &twice, &signed);
    for (what, raw, read) in values() {
        let mut signed = signed.clone();
        signed["x"] = read;
        put(&what, &format!("{open},\"x\":{raw}}}"), &signed);
    }
    let mut keys = signed.clone();
    for key in ["\u{1f600}", "\u{ffff}", "\u{e9}", "A", "\"\\"] {
        keys[key] = json!(1);
    }
    put(
        "keys that sort in more than one way",
        &keys.to_string(),
        &keys,
    );
    // With bare line breaks in PEM keys it is no JSON.
    let canonical = String::from_utf8(canonical(&signed)).expect("UTF-8");
    put("in canonical form", &canonical, &signed);
}

/// Values by their texts, and what most parsers read.
fn values() -> Vec<(String, String, Value)> {
    let values = [
        ("a key twice inside", r#"{"a":1,"a":2}"#, json!({"a": 2})),
        ("a float", "1.5", json!(1.5)),
        ("a whole number as a float", "1.0", json!(1.0)),
        ("a whole number with an exponent", "1e2", json!(100)),
        ("a number of 65 bits", "18446744073709551616", json!(1)),
        (
            "a number of 64 bits",
            "18446744073709551615",
            json!(u64::MAX),
        ),
        (
            "the least number of 64 bits",
            "-9223372036854775808",
            json!(i64::MIN),
        ),
        ("minus zero", "-0", json!(0)),
        ("no number", "NaN", Value::Null),
        ("an endless number", "Infinity", Value::Null),
        ("a number with a leading zero", "01", json!(1)),
        ("escaped letters", r#""\u0061\/""#, json!("a/")),
        (
            "escaped control characters",
            r#""\u0000\u001f""#,
            json!("\u{0}\u{1f}"),
        ),
        ("a bare control character", "\"\u{1}\"", json!("\u{1}")),
        (
            "a letter beyond 16 bits",
            r#""\ud83d\ude00""#,
            json!("\u{1f600}"),
        ),
        ("half a letter beyond 16 bits", r#""\ud83d""#, json!("?")),
        (
            "letters that are no ASCII",
            "\"\u{e9}e\u{301}\u{ffff}\"",
            json!("\u{e9}e\u{301}\u{ffff}"),
        ),
        (
            "true, false and null",
            "[true,false,null]",
            json!([true, false, null]),
        ),
    ];
    let values = values.map(|(what, raw, read)| (what.to_owned(), raw.to_owned(), read));
    let nested = [20, 29, 30, 31, 100].map(|levels| {
        let raw = brackets(levels);
        let read = serde_json::from_str(&raw).expect("JSON");
        (format!("{levels} brackets"), raw, read)
    });
    values.into_iter().chain(nested).collect()
}

fn brackets(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// In what is not signed.
fn around(studio: &mut Studio<'_>, document: &Document) {
    let signed = studio.pristine.signed(document);
    let signatures = signatures(&signed, studio.pristine.signers(document));
    let whole = format!("{{\"signatures\":{signatures},\"signed\":{signed}}}");
    let (open, closed) = (&whole[..whole.len() - 1], &whole[1..]);
    let mut other = signed.clone();
    other["version"] = json!(999);
    let mut put = |what: &str, bytes: &[u8]| studio.add_bytes(KIND, what, document, bytes);
    for (what, text) in [
        (
            "signed twice, the right one last",
            format!("{{\"signed\":{other},{closed}"),
        ),
        (
            "signed twice, the right one first",
            format!("{open},\"signed\":{other}}}"),
        ),
        (
            "no signatures before those that are right",
            format!("{{\"signatures\":[],{closed}"),
        ),
        (
            "no signatures behind those that are right",
            format!("{open},\"signatures\":[]}}"),
        ),
        ("a field that nobody knows", format!("{open},\"x\":[1]}}")),
        ("a float around", format!("{open},\"x\":1.5}}")),
        (
            "a large number around",
            format!("{open},\"x\":18446744073709551616}}"),
        ),
        ("no number around", format!("{open},\"x\":NaN}}")),
        (
            "half a letter around",
            format!("{open},\"x\":\"\\ud83d\"}}"),
        ),
        ("a comma too many", format!("{open},}}")),
        ("a comment", format!("{open}/**/}}")),
        ("a byte order mark", format!("\u{feff}{whole}")),
        ("a null behind", format!("{whole}\0")),
        ("another document behind", format!("{whole} {{}}")),
        ("in a list", format!("[{whole}]")),
        ("a list of both", json!([signatures, signed]).to_string()),
    ] {
        put(what, text.as_bytes());
    }
    put("no UTF-8", &[open.as_bytes(), b",\"x\":\"\xff\"}"].concat());
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put("UTF-16", &utf16);
    for levels in [29, 31, 33, 100, 2_000] {
        let text = format!("{open},\"x\":{}}}", brackets(levels));
        put(&format!("{levels} brackets around"), text.as_bytes());
    }
}
