//! Updates: what a hostile one says, and what the publisher's half makes of two releases.
//!
//! The input begins with a byte. If it is even, the rest is the file of an update, decompressed, which starts from
//! [`OLD`]: nothing comes of it that its digest does not say. If it is odd, the rest is an earlier and a later content of
//! one file, the length of the earlier one first, as two bytes: the update makes the later release out of the earlier one.
#![no_main]

use serde_json::json;
use webimport_cli::update::{Release, make};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::update::Whole;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

/// What a reader has, in the seeds, too.
const OLD: &[u8] = b"answer = 41\n";

fn check(data: &[u8]) -> Outcome {
    match data {
        [how, rest @ ..] if how % 2 == 0 => hostile(rest),
        [_, low, high, rest @ ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            match rest.split_at_checked(length) {
                Some((old, new)) => honest(old, new),
                None => Outcome::Refused,
            }
        }
        _ => Outcome::Refused,
    }
}

fn hostile(bytes: &[u8]) -> Outcome {
    let limits = Limits::default();
    let whole = match Whole::parse(bytes, "update", &limits) {
        Ok(whole) => whole,
        Err(error) => return refused(&error),
    };
    let mut outcome = Outcome::Accepted;
    for (sha256, output) in &whole.update.outputs {
        // What a manifest would have to announce.
        if u64::from(output.size) > limits.object_decoded {
            continue;
        }
        let expected = Expected {
            subject: "output".into(),
            length: Some(u64::from(output.size)),
            sha256: *sha256,
        };
        match whole.make(&expected, |_| Some(OLD)) {
            Ok(Some(made)) => assert_eq!(expected.check_bytes(&made), Ok(())),
            Ok(None) => unreachable!("every source is there, and the output"),
            Err(error) => outcome = refused(&error),
        }
    }
    outcome
}

fn honest(old: &[u8], new: &[u8]) -> Outcome {
    let limits = Limits::default();
    let (old_bytes, old_manifest) = manifest("1.0", old);
    let (new_bytes, new_manifest) = manifest("1.1", new);
    let earlier = Release {
        bytes: &old_bytes,
        manifest: &old_manifest,
        object: &|_| Some(old.to_vec()),
    };
    let later = Release {
        bytes: &new_bytes,
        manifest: &new_manifest,
        object: &|_| Some(new.to_vec()),
    };
    let Some(made) = make(&earlier, &later, &limits).expect("memory can be written") else {
        return Outcome::Refused;
    };
    let object = made.entry.object(&limits).expect("it is small");
    assert_eq!(object.expected().check_bytes(&made.bytes), Ok(()));
    let mut decoded = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::bufread::GzDecoder::new(&*made.bytes),
        &mut decoded,
    )
    .expect("it is gzip");
    assert_eq!(object.expected_decoded().check_bytes(&decoded), Ok(()));

    let whole = Whole::parse(&decoded, "update", &limits).expect("readers take it");
    for content in [&new_bytes[..], new] {
        let expected = Expected {
            subject: "output".into(),
            length: Some(content.len() as u64),
            sha256: Sha256Digest::of(content),
        };
        let sources = [&old_bytes[..], old];
        let find = |sha256| {
            sources
                .into_iter()
                .find(|it| Sha256Digest::of(it) == sha256)
        };
        let out = whole.make(&expected, |source| find(source.sha256));
        // The object may be left out: what is the same, and what saves nothing.
        if let Some(out) = out.expect("it makes what is expected") {
            assert_eq!(out, content);
        }
    }
    Outcome::Accepted
}

fn manifest(version: &str, content: &[u8]) -> (Vec<u8>, Manifest) {
    let digest = Sha256Digest::of(content);
    let object = ObjectEntry {
        sha256: digest,
        size: content.len() as u64,
        encoding: webimport_core::manifest::Encoding::Identity,
        decoded_size: content.len() as u64,
        decoded_sha256: digest,
        tag: None,
    };
    let manifest = json!({
        "format": "webimport-release/1",
        "name": "mylib",
        "version": version,
        "modules": ["mylib"],
        "objects": [object],
        "files": [{"path": "mylib.py", "size": content.len(), "sha256": digest, "object": 0}],
    });
    let bytes = manifest.to_string().into_bytes();
    let expected = Expected {
        subject: "release.json".into(),
        length: None,
        sha256: Sha256Digest::of(&bytes),
    };
    let name = "mylib".parse().expect("a release name");
    let manifest = Manifest::parse(&bytes, &expected, &name, None, &Limits::default());
    (bytes, manifest.expect("a valid manifest").into_inner())
}
