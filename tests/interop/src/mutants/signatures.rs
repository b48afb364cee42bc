//! What can be done to the signatures of a file without a key, and with a wrong one.

use serde_json::{Value, json};
use webimport_core::digest::{from_hex, to_hex};
use webimport_core::sign::{Algorithm, SigningKey};

use super::Studio;
use crate::workshop::{Document, envelope, id, key, parse, signatures};

const KIND: &str = "signatures";

pub(super) fn make(studio: &mut Studio<'_>) {
    for document in studio.documents.clone() {
        edited(studio, &document);
        by_others(studio, &document);
    }
}

fn edited(studio: &mut Studio<'_>, document: &Document) {
    let file = parse(&studio.specimen.files[&document.path]);
    let original = file["signatures"].as_array().expect("signatures");
    let mut put = |what: &str, signatures: Value| {
        let bytes = envelope(&file["signed"], &signatures);
        studio.add_bytes(KIND, what, document, &bytes);
    };
    let and = |more: Vec<Value>| json!([original.clone(), more].concat());
    let strangers = (0..300).map(|number| json!({"keyid": format!("{number:064x}"), "sig": "00"}));
    for (what, signatures) in [
        ("none", json!([])),
        ("null", Value::Null),
        ("an object", json!({})),
        ("a text", json!("none")),
        ("a number in the list", and(vec![json!(1)])),
        ("in another order", original.iter().rev().cloned().collect()),
        ("of 300 strangers, too", and(strangers.collect())),
    ] {
        put(what, signatures);
    }
    for (index, entry) in original.iter().enumerate() {
        let with = |entry: Option<Value>| {
            let mut all = original.clone();
            all.splice(index..=index, entry);
            json!(all)
        };
        put(&format!("without number {index}"), with(None));
        for (what, other) in others(entry) {
            put(&format!("number {index} {what}"), with(Some(other)));
        }
        for (what, other) in copies(entry) {
            let mut first = vec![other.clone()];
            first.extend(original.iter().cloned());
            put(&format!("one more, {what}, first"), json!(first));
            put(&format!("one more, {what}, last"), and(vec![other]));
        }
        // Of two that have signed, each under the other one's id.
        let next = &original[(index + 1) % original.len()];
        let exchanged = json!({"keyid": next["keyid"], "sig": entry["sig"]});
        put(
            &format!("number {index} with the key id of the next one"),
            with(Some(exchanged)),
        );
    }
}

/// In place of a signature.
fn others(entry: &Value) -> Vec<(String, Value)> {
    let keyid = entry["keyid"].as_str().expect("a key id");
    let sig = entry["sig"].as_str().expect("a signature");
    let spelled = [
        ("in capitals", sig.to_uppercase()),
        ("longer", format!("{sig}00")),
        ("one digit longer", format!("{sig}0")),
        ("cut", sig[..sig.len() - 2].to_owned()),
        ("empty", String::new()),
        ("with a prefix", format!("0x{sig}")),
        ("with white space", format!(" {sig}\n")),
        ("no hex", "z".repeat(sig.len())),
        ("zeros", "0".repeat(sig.len())),
    ];
    let spelled = spelled.into_iter().chain(other_forms(sig));
    let named = [
        ("with the key id in capitals", keyid.to_uppercase()),
        ("with an unknown key id", "f".repeat(64)),
        ("with a key id that is no digest", "key".to_owned()),
    ];
    let shaped = [
        ("without a signature", json!({"keyid": keyid})),
        (
            "with null for a signature",
            json!({"keyid": keyid, "sig": null}),
        ),
        ("without a key id", json!({"sig": sig})),
        (
            "with one more field",
            json!({"keyid": keyid, "sig": sig, "x": {"y": [1]}}),
        ),
        (
            "with one more field, a float",
            json!({"keyid": keyid, "sig": sig, "x": 1.5}),
        ),
        ("as a list", json!([keyid, sig])),
    ];
    let spelled = spelled.map(|(what, sig)| (what, json!({"keyid": keyid, "sig": sig})));
    let named = named.map(|(what, keyid)| (what, json!({"keyid": keyid, "sig": sig})));
    spelled
        .chain(named)
        .chain(shaped)
        .map(|(what, entry)| (what.to_owned(), entry))
        .collect()
}

/// Beside a signature.
fn copies(entry: &Value) -> [(&'static str, Value); 4] {
    let (keyid, sig) = (&entry["keyid"], &entry["sig"]);
    [
        ("the same", entry.clone()),
        (
            "a wrong one of the same key",
            json!({"keyid": keyid, "sig": "00".repeat(64)}),
        ),
        (
            "with a key id that is no digest",
            json!({"keyid": "no hex", "sig": sig}),
        ),
        ("with an empty key id", json!({"keyid": "", "sig": sig})),
    ]
}

/// The same signature as other bytes: what a lax parser or verifier takes for it.
fn other_forms(hex: &str) -> Vec<(&'static str, String)> {
    let bytes = from_hex(hex).expect("a signature in hex");
    let mut forms = Vec::new();
    if bytes.len() == 64 {
        // Ed25519: S and S + L are the same modulo the order L of the group (RFC 8032, 5.1.7).
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let order = from_hex(order).expect("hex");
        let mut sum = bytes.clone();
        let mut carry = 0;
        for (digit, order) in sum[32..].iter_mut().zip(order) {
            let total = u16::from(*digit) + u16::from(order) + carry;
            *digit = u8::try_from(total & 0xff).expect("a byte");
            carry = total >> 8;
        }
        forms.push(("S plus the order", to_hex(&sum)));
    } else if bytes.first() == Some(&0x30) {
        let mut padded = bytes.clone();
        // A needless zero before the first integer (DER wants the shortest form).
        padded.insert(4, 0);
        padded[1] += 1;
        padded[3] += 1;
        forms.push(("a longer integer", to_hex(&padded)));
        let mut long = bytes.clone();
        long.insert(1, 0x81);
        forms.push(("a longer length", to_hex(&long)));
        let mut inside = bytes.clone();
        inside.extend([0x02, 0x01, 0x00]);
        inside[1] += 3;
        forms.push(("a third integer", to_hex(&inside)));
        let (first, second) = integers(&bytes);
        let raw = [fixed(first), fixed(second)].concat();
        forms.push(("without DER", to_hex(&raw)));
    }
    forms
}

fn integers(der: &[u8]) -> (&[u8], &[u8]) {
    let first = usize::from(der[3]);
    (&der[4..4 + first], &der[6 + first..])
}

fn fixed(integer: &[u8]) -> Vec<u8> {
    let digits = &integer[integer.len().saturating_sub(32)..];
    let zeros = vec![0; 32 - digits.len()];
    [&zeros[..], digits].concat()
}

fn by_others(studio: &mut Studio<'_>, document: &Document) {
    let signed = studio.pristine.signed(document);
    let own = studio.pristine.signers(document);
    let stranger = key(Algorithm::Ed25519, 99);
    let all: Vec<&SigningKey> = studio.pristine.all_keys().collect();
    let mut put = |what: String, signatures: &Value| {
        studio.add_bytes(
            "another signer",
            &what,
            document,
            &envelope(&signed, signatures),
        );
    };
    put("a stranger".into(), &signatures(&signed, [&stranger]));
    put(
        "everybody".into(),
        &signatures(&signed, all.iter().copied()),
    );
    let others = || {
        all.iter()
            .filter(|key| !own.iter().any(|own| id(own) == id(key)))
    };
    put(
        "everybody else".into(),
        &signatures(&signed, others().copied()),
    );
    for other in others() {
        put(
            format!("the key {}", id(other)),
            &signatures(&signed, [*other]),
        );
    }
    for key in &own {
        // A stranger who says to be somebody else.
        let mut forged = signatures(&signed, [&stranger]);
        forged[0]["keyid"] = json!(id(key));
        put(format!("a stranger as {}", id(key)), &forged);
        put(
            format!("the key {} alone", id(key)),
            &signatures(&signed, [*key]),
        );
    }
}
