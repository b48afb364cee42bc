//! Public keys, from their JSON form: the id covers the form that was read, and a signature is for one message.
//!
//! The input: a key, a signature in hex and a message, each on a line of its own.
#![no_main]

use webimport_core::digest::Sha256Digest;
use webimport_core::json;
use webimport_core::keys::PublicKey;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (key, signature, message) = (line(), String::from_utf8_lossy(line()), line());
    let Ok(value) = json::parse(key, "key") else {
        return Outcome::Refused;
    };
    let key = match PublicKey::from_value(value.clone()) {
        Ok(key) => key,
        Err(error) => return refused(&error),
    };
    assert_eq!(key.value(), &value);
    let id = Sha256Digest::of(&json::canonical(&value));
    assert_eq!(key.id().to_string(), id.to_string());
    assert_eq!(PublicKey::from_value(value).as_ref(), Ok(&key));
    if !key.verifies(message, &signature) {
        return Outcome::Refused;
    }
    let other = [message, b"x"].concat();
    assert!(
        !key.verifies(&other, &signature),
        "one signature for two messages"
    );
    assert!(!key.verifies(message, ""), "no signature at all");
    Outcome::Accepted
}
