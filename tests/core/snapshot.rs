//! Each rule of the description of a memory snapshot (`docs/format.md`), broken and kept.

use serde_json::{Value, json};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Coded as _, Error, VerifyError};
use webimport_core::names::PyodideVersion;
use webimport_core::snapshot::{
    HEADER, Header, MAX_DECODED, MAX_DESCRIPTION, MAX_STORED, MemorySnapshot, SnapshotRelease,
    parse_snapshot_target, snapshot_target,
};

use crate::simulator;

fn release() -> SnapshotRelease {
    SnapshotRelease {
        name: "mylib".parse().unwrap(),
        version: "1.4.2".parse().unwrap(),
        sha256: Sha256Digest::of(b"release.json"),
    }
}

fn pyodide() -> PyodideVersion {
    "314.0.7".parse().unwrap()
}

fn build() -> Sha256Digest {
    Sha256Digest::of(b"build")
}

fn description() -> Value {
    json!({
        "format": "webimport-snapshot/1",
        "pyodide": "314.0.7",
        "build": build(),
        "wasm": Sha256Digest::of(b"wasm"),
        "stdlib": Sha256Digest::of(b"stdlib"),
        "tag": "cpython-314",
        "webimport": "0.1.0",
        "object": {
            "sha256": Sha256Digest::of(b"stored"),
            "size": 6,
            "encoding": "gzip",
            "decoded_size": 1000,
            "decoded_sha256": Sha256Digest::of(b"decoded"),
        },
        "releases": [release()],
        "modules": ["mylib", "mylib.sub"],
    })
}

fn parse_bytes(bytes: &[u8]) -> Result<MemorySnapshot, VerifyError> {
    let sha256 = Sha256Digest::of(bytes);
    let expected = Expected {
        subject: "314.0.7.json".into(),
        length: Some(bytes.len() as u64),
        sha256,
    };
    MemorySnapshot::parse(bytes, sha256, &expected, Some(&release()), &pyodide())
        .map(webimport_core::trust::Verified::into_inner)
}

fn parse(value: &Value) -> Result<MemorySnapshot, VerifyError> {
    parse_bytes(&serde_json::to_vec(value).unwrap())
}

/// The description with another value in one place.
fn with(pointer: &str, value: Value) -> Value {
    let mut description = description();
    *description.pointer_mut(pointer).unwrap() = value;
    description
}

#[track_caller]
fn assert_refused<T>(result: Result<T, VerifyError>, code: &str, reason: &str) {
    simulator::assert_refused(result.map_err(Error::from), code, reason);
}

#[test]
fn a_description_parses_back() {
    let snapshot = parse(&description()).unwrap();
    assert_eq!(
        parse_bytes(&snapshot.to_bytes().unwrap()),
        Ok(snapshot.clone())
    );
    assert_eq!(snapshot.releases, [release()]);
    assert_eq!(snapshot.modules, ["mylib", "mylib.sub"]);
    // What later versions of the format add is not looked at.
    let mut more = description();
    more["x"] = json!(null);
    assert_eq!(parse(&more), Ok(snapshot));
}

#[test]
fn rejects_other_bytes_than_the_signed_ones() {
    let bytes = serde_json::to_vec(&description()).unwrap();
    let parse = |length, signed: &[u8]| {
        let expected = Expected {
            subject: "314.0.7.json".into(),
            length,
            sha256: Sha256Digest::of(signed),
        };
        MemorySnapshot::parse(
            &bytes,
            Sha256Digest::of(&bytes),
            &expected,
            Some(&release()),
            &pyodide(),
        )
        .map(drop)
        .map_err(|error| error.code())
    };
    let length = bytes.len() as u64;
    assert_eq!(parse(Some(length), &bytes), Ok(()));
    assert_eq!(parse(None, &bytes), Ok(()));
    assert_eq!(parse(Some(length + 1), &bytes), Err("verify.length"));
    assert_eq!(parse(Some(length), b"other"), Err("verify.digest"));
}

#[test]
fn a_snapshot_of_pyodide_alone_has_no_release() {
    let alone = |releases: Value| {
        let mut description = description();
        description["releases"] = releases;
        let bytes = serde_json::to_vec(&description).unwrap();
        let sha256 = Sha256Digest::of(&bytes);
        let expected = Expected {
            subject: "314.0.7.json".into(),
            length: None,
            sha256,
        };
        MemorySnapshot::parse(&bytes, sha256, &expected, None, &pyodide())
    };
    assert!(alone(json!([])).is_ok());
    assert_refused(
        alone(json!([release()])),
        "verify.malformed",
        "expected no release",
    );
}

#[test]
fn rejects_descriptions_that_differ_in_one_thing() {
    let other = Sha256Digest::of(b"another release.json");
    for (pointer, value, reason) in [
        (
            "/format",
            json!("webimport-snapshot/2"),
            "expected the format",
        ),
        ("/format", json!(1), "expected the format"),
        (
            "/pyodide",
            json!("314.0.8"),
            "expected a snapshot of Pyodide 314.0.7, got one of 314.0.8",
        ),
        ("/pyodide", json!("v314"), "not a version of a Pyodide"),
        ("/build", json!("00"), "64"),
        ("/wasm", json!("00"), "64"),
        ("/stdlib", json!("00"), "64"),
        ("/tag", json!("CPython"), "not a cache tag"),
        ("/webimport", json!(1), "invalid type"),
        ("/object", json!([]), "invalid type"),
        ("/object/encoding", json!("br"), "unknown variant"),
        ("/releases", json!([]), "as the only release"),
        (
            "/releases",
            json!([release(), release()]),
            "as the only release",
        ),
        (
            "/releases/0/name",
            json!("mylib2"),
            "expected `mylib` 1.4.2",
        ),
        (
            "/releases/0/version",
            json!("1.4.3"),
            "expected `mylib` 1.4.2",
        ),
        ("/releases/0/sha256", json!(other), "expected `mylib` 1.4.2"),
        ("/releases/0/name", json!("../x"), "not a release name"),
        ("/releases/0", json!("other"), "invalid type"),
        ("/modules", json!({}), "invalid type"),
        ("/modules/0", json!(1), "invalid type"),
    ] {
        assert_refused(parse(&with(pointer, value)), "verify.malformed", reason);
    }
    let mut tagged = description();
    tagged["object"]["tag"] = json!("cpython-314");
    assert_refused(parse(&tagged), "verify.malformed", "without a tag");
    // Another one before or after the one that is asked for.
    let another = json!({"name": "other", "version": "2", "sha256": other});
    for releases in [
        [another.clone(), json!(release())],
        [json!(release()), another],
    ] {
        assert_refused(
            parse(&with("/releases", json!(releases))),
            "verify.malformed",
            "as the only release",
        );
    }
}

#[test]
fn rejects_a_description_that_lacks_something() {
    for field in description().as_object().unwrap().keys() {
        let mut lacking = description();
        lacking.as_object_mut().unwrap().remove(field);
        let reason = if field == "format" {
            "expected the format"
        } else {
            field
        };
        assert_refused(parse(&lacking), "verify.malformed", reason);
    }
}

#[test]
fn an_object_is_gzip_of_bounded_size() {
    let mut plain = with("/object/encoding", json!("identity"));
    plain["object"]["decoded_size"] = json!(6);
    assert_refused(
        parse(&plain),
        "verify.malformed",
        "expected an object with gzip",
    );
    for (field, limit) in [("size", MAX_STORED), ("decoded_size", MAX_DECODED)] {
        let pointer = format!("/object/{field}");
        parse(&with(&pointer, json!(limit))).unwrap();
        let above = with(&pointer, json!(limit + 1));
        assert_refused(parse(&above), "verify.too_large", &limit.to_string());
    }
}

#[test]
fn a_description_is_of_bounded_size() {
    let mut bytes = serde_json::to_vec(&description()).unwrap();
    bytes.resize(usize::try_from(MAX_DESCRIPTION).unwrap(), b' ');
    parse_bytes(&bytes).unwrap();
    bytes.push(b' ');
    assert_refused(parse_bytes(&bytes), "verify.too_large", "more than");
}

/// How a snapshot of [`description`]'s size begins.
fn header(magic: u32, heap: u32, json: u32, zero: u32, build: Sha256Digest) -> Vec<u8> {
    let numbers = [magic, heap, json, zero];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    bytes.extend(build.as_bytes());
    bytes
}

#[test]
fn a_header_says_where_the_parts_are() {
    let snapshot = parse(&description()).unwrap();
    let magic = 0x706e_7300;
    let right = header(magic, 64, 16, 0, build());
    let parsed = Header {
        build: build(),
        json: 16,
        heap: 64,
    };
    assert_eq!(right.len(), HEADER);
    assert_eq!(snapshot.header(&right), Ok(parsed));
    // What follows is not looked at.
    assert_eq!(snapshot.header(&[&right[..], b"{}"].concat()), Ok(parsed));
    snapshot
        .header(&header(magic, 999, 951, 0, build()))
        .unwrap();
    let begins = "expected how a memory snapshot begins";
    for wrong in [
        header(magic + 1, 64, 16, 0, build()),
        header(magic.swap_bytes(), 64, 16, 0, build()),
        // The memory begins inside of the JSON, at the end or behind it.
        header(magic, 63, 16, 0, build()),
        header(magic, 1000, 16, 0, build()),
        header(magic, 1001, 16, 0, build()),
        header(magic, u32::MAX, 16, 0, build()),
        header(magic, 64, u32::MAX, 0, build()),
        header(magic, 64, 16, 1, build()),
        right[..HEADER - 1].to_vec(),
        Vec::new(),
    ] {
        assert_refused(snapshot.header(&wrong), "verify.malformed", begins);
    }
    let other = Sha256Digest::of(b"another build");
    assert_refused(
        snapshot.header(&header(magic, 64, 16, 0, other)),
        "verify.malformed",
        "expected a snapshot of the build",
    );
}

#[test]
fn targets_of_snapshots_parse_back() {
    let SnapshotRelease { name, version, .. } = release();
    let path = snapshot_target(&name, &version, &pyodide());
    assert_eq!(path, "mylib/1.4.2/snapshot/314.0.7.json");
    assert_eq!(
        parse_snapshot_target(&path),
        Some((name, version, pyodide()))
    );
    for other in [
        "mylib/1.4.2/release.json",
        "mylib/1.4.2/snapshot/314.0.7",
        "mylib/1.4.2/snapshot/314.0.7.json/x",
        "mylib/1.4.2/snapshot/x/314.0.7.json",
        "mylib/1.4.2/snapshots/314.0.7.json",
        "mylib/1.4.2/snapshot/.json",
        "mylib/1.4.2/snapshot/..json",
        "mylib/1.4.2/snapshot/../314.0.7.json",
        "mylib/v1/snapshot/314.0.7.json",
        "Mylib/1.4.2/snapshot/314.0.7.json",
        "/mylib/1.4.2/snapshot/314.0.7.json",
        "mylib/snapshot/314.0.7.json",
        "",
    ] {
        assert_eq!(parse_snapshot_target(other), None, "{other}");
    }
}

#[test]
fn versions_of_pyodide_are_plain_components() {
    for good in ["314.0.7", "0.29.5", "0.29.0.dev0", "315", &"1".repeat(40)] {
        assert_eq!(good.parse::<PyodideVersion>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        ".",
        "v1",
        "1.",
        "1..2",
        "1/2",
        "1-2",
        "1+2",
        "é",
        "1 ",
        &"1".repeat(41),
    ] {
        assert!(bad.parse::<PyodideVersion>().is_err(), "{bad}");
    }
}
