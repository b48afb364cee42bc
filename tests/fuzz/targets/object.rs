//! Objects of a release, packed with gzip or not, as `webimport verify` decodes them: a release is verified if
//! and only if the bytes are one whole gzip member of exactly the size that its manifest says.
//!
//! The input: a byte that says how the rest is packed, the decoded size as two bytes, the rest.
#![no_main]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use flate2::{Crc, bufread::DeflateDecoder, bufread::GzDecoder};
use serde_json::json;
use webimport_cli::observe::Silent;
use webimport_cli::verify::{CheckError, Transport, VerifiedRelease, VerifyOptions, verify};
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::object_path;
use webimport_fuzz::repository::{NOW, key, meta, role, signed, trusted};
use webimport_fuzz::{Outcome, refused, scratch, target};

target!(check);

/// A repository without a release, and its pin.
static REPOSITORY: LazyLock<(PathBuf, Sha256Digest)> = LazyLock::new(|| {
    let folder = scratch();
    let online = [key(1)];
    let (keys, roles) = trusted(&[
        ("root", &online, 1),
        ("timestamp", &online, 1),
        ("snapshot", &online, 1),
        ("targets", &online, 1),
    ]);
    let rest = json!({"consistent_snapshot": true, "keys": keys, "roles": roles});
    let root = signed(&role("root", 1, 365, rest), &online);
    for below in ["metadata", "targets/mylib/1.0"] {
        fs::create_dir_all(folder.join(below)).expect("folders can be made");
    }
    fs::write(folder.join("metadata/1.root.json"), &root).expect("files can be written");
    (folder, Sha256Digest::of(&root))
});

/// Bytes that are looked at, decoded.
const MOST: u64 = 64 * 1024;

fn check(data: &[u8]) -> Outcome {
    let [how, low, high, rest @ ..] = data else {
        return Outcome::Refused;
    };
    let size = usize::from(u16::from_le_bytes([*low, *high]));
    let (encoding, object) = match how % 3 {
        0 => ("gzip", rest.to_vec()),
        1 => ("gzip", member(rest)),
        _ => ("identity", rest.to_vec()),
    };
    let right = if encoding == "gzip" {
        decoded(&object)
    } else {
        Some(object.clone())
    };
    let right = right.filter(|content| content.len() == size);
    let content = right.clone().unwrap_or_else(|| vec![0; size]);
    match published(&object, encoding, &content) {
        Ok(release) => {
            assert!(right.is_some(), "it is not what its manifest says");
            assert_eq!(
                (release.bytes, release.decoded_bytes),
                (object.len() as u64, size as u64)
            );
            Outcome::Accepted
        }
        Err(error) => {
            assert!(right.is_none(), "it is what its manifest says: {error}");
            refused(&error)
        }
    }
}

/// Publishes a release with one file in one object, and verifies it.
fn published(object: &[u8], encoding: &str, content: &[u8]) -> Result<VerifiedRelease, CheckError> {
    let (folder, pin) = &*REPOSITORY;
    let sha256 = Sha256Digest::of(object);
    let manifest = json!({
        "format": "webimport-release/1",
        "name": "mylib",
        "version": "1.0",
        "modules": ["mylib"],
        "objects": [{
            "sha256": sha256,
            "size": object.len(),
            "encoding": encoding,
            "decoded_size": content.len(),
            "decoded_sha256": Sha256Digest::of(content),
        }],
        "files": [{
            "path": "mylib.py",
            "size": content.len(),
            "sha256": Sha256Digest::of(content),
            "object": 0,
        }],
    })
    .to_string();
    let online = [key(1)];
    let target = json!({
        "length": manifest.len(),
        "hashes": {"sha256": Sha256Digest::of(manifest.as_bytes())},
        "custom": {"webimport": {"channels": ["stable"]}},
    });
    let targets = json!({"targets": {"mylib/1.0/release.json": target}});
    let targets = signed(&role("targets", 1, 365, targets), &online);
    let snapshot = json!({"meta": {"targets.json": meta(1, &targets)}});
    let snapshot = signed(&role("snapshot", 1, 30, snapshot), &online);
    let timestamp = json!({"meta": {"snapshot.json": meta(1, &snapshot)}});
    let timestamp = signed(&role("timestamp", 1, 30, timestamp), &online);

    let digest = Sha256Digest::of(manifest.as_bytes());
    let manifest_path = folder.join(format!("targets/mylib/1.0/{digest}.release.json"));
    let object_path = folder.join(object_path(sha256));
    let object_folder = object_path.parent().expect("it is in a folder");
    fs::create_dir_all(object_folder).expect("folders can be made");
    for (path, bytes) in [
        (folder.join("metadata/timestamp.json"), &timestamp[..]),
        (folder.join("metadata/1.snapshot.json"), &snapshot),
        (folder.join("metadata/1.targets.json"), &targets),
        (manifest_path.clone(), manifest.as_bytes()),
        (object_path.clone(), object),
    ] {
        fs::write(path, bytes).expect("files can be written");
    }
    let options = VerifyOptions {
        release: format!("{}/mylib", folder.display()),
        root: *pin,
        now: NOW,
        transport: Transport::default(),
    };
    let result = verify(&options, &Silent);
    for path in [manifest_path, object_path] {
        fs::remove_file(path).expect("files can be removed");
    }
    result
}

/// Raw deflate data with the header and trailer of gzip: the checksum is what a fuzzer does not find.
fn member(deflated: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated);
    // What cannot be inflated is refused for that, whatever the trailer is.
    let _ = decoder.by_ref().take(MOST).read_to_end(&mut inflated);
    let mut crc = Crc::new();
    crc.update(&inflated);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let used = deflated.len() - decoder.into_inner().len();
    let (body, rest) = deflated.split_at(used);
    let trailer = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
    [&header[..], body, &trailer, rest].concat()
}

/// What one gzip member holds, if nothing stands behind it.
fn decoded(object: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = GzDecoder::new(object);
    let mut content = Vec::new();
    decoder
        .by_ref()
        .take(MOST + 1)
        .read_to_end(&mut content)
        .ok()?;
    (content.len() as u64 <= MOST && decoder.into_inner().is_empty()).then_some(content)
}
