//! Names: what is accepted is written as it was read, is one plain component of a path and of a URL, and a
//! target path is a release's in one way, or a memory snapshot's.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use webimport_core::config::{parse_root_pin, parse_sha256};
use webimport_core::digest::{Sha256Digest, from_hex, to_hex};
use webimport_core::keys::KeyId;
use webimport_core::metadata::{parse_release_target, release_target};
use webimport_core::names::{CacheTag, Channel, PyodideVersion, ReleaseName, Selector, Version};
use webimport_core::snapshot::{parse_snapshot_target, snapshot_target};
use webimport_fuzz::{Outcome, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let (name, version) = (read::<ReleaseName>(text), read::<Version>(text));
    let channel = read::<Channel>(text);
    let selector = read::<Selector>(text);
    assert_eq!(selector.is_some(), version.is_some() || channel.is_some());
    assert!(version.is_none() || channel.is_none(), "{text}");
    let digest = read::<Sha256Digest>(text);
    assert_eq!(digest.is_some(), read::<KeyId>(text).is_some());
    assert_eq!(
        parse_sha256(text).is_some(),
        digest.is_some() || parse_root_pin(text).is_some()
    );
    if let Some(pin) = parse_root_pin(text) {
        assert_eq!(format!("sha256:{pin}"), text);
    }
    if let Some(bytes) = from_hex(text) {
        assert_eq!(to_hex(&bytes), text);
    }
    let target = parse_release_target(text);
    if let Some((name, version)) = &target {
        assert_eq!(release_target(name, version), text);
    }
    let snapshot = parse_snapshot_target(text);
    if let Some((name, version, pyodide)) = &snapshot {
        assert_eq!(snapshot_target(name, version, pyodide), text);
        assert_eq!(target, None);
    }
    let tag = read::<CacheTag>(text);
    let is_any = name.is_some()
        || selector.is_some()
        || tag.is_some()
        || digest.is_some()
        || read::<PyodideVersion>(text).is_some();
    if is_any || target.is_some() || snapshot.is_some() || parse_root_pin(text).is_some() {
        Outcome::Accepted
    } else {
        Outcome::Refused
    }
}

fn read<T: FromStr + Display>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string(), text);
    assert!(
        text.len() <= 100 && !matches!(text, "" | "." | ".."),
        "{text}"
    );
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'!');
    assert!(text.bytes().all(plain), "{text}");
    Some(value)
}
