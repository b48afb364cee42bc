//! Memory snapshots: descriptions of a hostile publisher whose digest is right, and how a snapshot begins.
//!
//! An input is a description and the first bytes of a snapshot, with a NUL between them. An accepted description is of the
//! release and the Pyodide that were asked for, names an object within the limits, and reads back as it is written; of an
//! accepted snapshot no part lies outside.
#![no_main]

use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::VerifyError;
use webimport_core::manifest::Encoding;
use webimport_core::names::PyodideVersion;
use webimport_core::snapshot::{
    HEADER, MAX_DECODED, MAX_STORED, MemorySnapshot, SnapshotRelease, parse_snapshot_target,
    snapshot_target,
};
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let end = data.iter().position(|byte| *byte == 0);
    let (description, begin) = data.split_at(end.unwrap_or(data.len()));
    let begin = begin.get(1..).unwrap_or_default();
    // As in the seeds.
    let release = SnapshotRelease {
        name: "mylib".parse().expect("a release name"),
        version: "1.4.2".parse().expect("a version"),
        sha256: Sha256Digest::of(b"release.json"),
    };
    let pyodide: PyodideVersion = "314.0.7".parse().expect("a version of Pyodide");
    let snapshot = match parse(description, &release, &pyodide) {
        Ok(snapshot) => snapshot,
        Err(error) => return refused(&error),
    };
    assert_eq!(snapshot.pyodide, pyodide);
    assert_eq!(snapshot.releases, std::slice::from_ref(&release));
    let object = &snapshot.object;
    assert_eq!((object.encoding, &object.tag), (Encoding::Gzip, &None));
    assert!(object.size <= MAX_STORED && object.decoded_size <= MAX_DECODED);
    let again = snapshot.to_bytes().expect("a description can be written");
    assert_eq!(parse(&again, &release, &pyodide).as_ref(), Ok(&snapshot));
    let path = snapshot_target(&release.name, &release.version, &snapshot.pyodide);
    let parsed = parse_snapshot_target(&path);
    assert_eq!(parsed, Some((release.name, release.version, pyodide)));

    match snapshot.header(begin) {
        Err(error) => refused(&error),
        Ok(header) => {
            assert!(begin.len() >= HEADER);
            assert_eq!(header.build, snapshot.build);
            assert!(HEADER as u64 + header.json <= header.heap);
            assert!(header.heap < snapshot.object.decoded_size);
            Outcome::Accepted
        }
    }
}

fn parse(
    bytes: &[u8],
    release: &SnapshotRelease,
    pyodide: &PyodideVersion,
) -> Result<MemorySnapshot, VerifyError> {
    let sha256 = Sha256Digest::of(bytes);
    let expected = Expected {
        subject: "314.0.7.json".into(),
        length: Some(bytes.len() as u64),
        sha256,
    };
    MemorySnapshot::parse(bytes, sha256, &expected, Some(release), pyodide)
        .map(webimport_core::trust::Verified::into_inner)
}
