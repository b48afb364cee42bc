//! Strict JSON: what is accepted means the same to another parser, and its canonical form is a fixed point.
#![no_main]

use serde_json::Value;
use webimport_core::json::{MAX_DEPTH, canonical, parse};
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let value = match parse(data, "input") {
        Ok(value) => value,
        Err(error) => return refused(&error),
    };
    let other: Value = serde_json::from_slice(data).expect("another parser accepts it, too");
    assert_eq!(serde_json::to_value(&value).ok().as_ref(), Some(&other));
    assert!(depth(&other) <= MAX_DEPTH);
    let pretty = serde_json::to_vec_pretty(&value).expect("a value can be written");
    assert_eq!(parse(&pretty, "input").as_ref(), Ok(&value));
    let form = canonical(&value);
    assert_eq!(form, webimport_fuzz::repository::canonical(&other));
    let again = parse(&form, "input");
    // The canonical form leaves control characters as they are, so it is JSON only without them.
    if has_control_characters(&other) {
        assert!(again.is_err());
    } else {
        assert_eq!(again.as_ref(), Ok(&value));
        assert_eq!(again.map(|again| canonical(&again)), Ok(form));
    }
    Outcome::Accepted
}

fn depth(value: &Value) -> usize {
    let inner = |items: &mut dyn Iterator<Item = &Value>| 1 + items.map(depth).max().unwrap_or(0);
    match value {
        Value::Array(items) => inner(&mut items.iter()),
        Value::Object(map) => inner(&mut map.values()),
        _ => 0,
    }
}

fn has_control_characters(value: &Value) -> bool {
    let found = |text: &str| text.chars().any(|c| c < ' ');
    match value {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().any(has_control_characters),
        Value::Object(map) => map
            .iter()
            .any(|(key, item)| found(key) || has_control_characters(item)),
        _ => false,
    }
}
