//! A small release that breaks no rule and has one of everything.

use serde_json::{Value, json};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::VerifyError;
use webimport_core::limits::Limits;
use webimport_core::manifest::{
    Distribution, Encoding, FORMAT, FileEntry, ImportNames, Manifest, ObjectEntry,
};
use webimport_core::trust::Verified;

/// The files of one object, one behind the other.
fn pack(object: usize, files: &[(&str, &[u8])]) -> (Vec<u8>, Vec<FileEntry>) {
    let mut bytes = Vec::new();
    let entries = files
        .iter()
        .map(|(path, content)| {
            let offset = bytes.len() as u64;
            bytes.extend_from_slice(content);
            FileEntry {
                path: (*path).into(),
                size: content.len() as u64,
                sha256: Sha256Digest::of(content),
                object,
                offset,
                imports: Vec::new(),
                imports_elsewhere: Vec::new(),
            }
        })
        .collect();
    (bytes, entries)
}

/// `mylib` 1.0: a package with a data file and bytecode, a module, a portion of a namespace package.
pub(crate) fn manifest() -> Manifest {
    let (plain, mut files) = pack(
        0,
        &[
            (
                "mylib-1.0.dist-info/METADATA",
                b"Name: mylib\nVersion: 1.0\n",
            ),
            ("mylib/__init__.py", b"from .core import answer\n"),
            ("mylib/core.py", b"answer = 42\n"),
            ("mylib/donn\u{e9}es.txt", "\u{e9}\n".as_bytes()),
            ("mylib/empty.txt", b""),
            ("mylib/weights.pth", b"not at the top level"),
            ("shared/mylib_plugin.py", b"import mylib\n"),
            ("single.py", b"pass\n"),
        ],
    );
    let (bytecode, more) = pack(
        1,
        &[
            (
                "mylib/__pycache__/__init__.cpython-314.pyc",
                b"code of __init__",
            ),
            ("mylib/__pycache__/core.cpython-314.pyc", b"code of core"),
        ],
    );
    files.extend(more);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let names = ImportNames::of(files.iter().map(|file| file.path.as_str()));
    let object = |decoded: &[u8], tag: Option<&str>| ObjectEntry {
        // Bytes that would be the compressed ones; core never looks at them.
        sha256: Sha256Digest::of(&[b"gzip of ", decoded].concat()),
        size: 20,
        encoding: Encoding::Gzip,
        decoded_size: decoded.len() as u64,
        decoded_sha256: Sha256Digest::of(decoded),
        tag: tag.map(|tag| tag.parse().unwrap()),
    };
    Manifest {
        format: FORMAT.into(),
        name: "mylib".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        modules: names.modules,
        namespaces: names.namespaces,
        distributions: vec![Distribution {
            name: "mylib".into(),
            version: "1.0".into(),
        }],
        requires: vec!["numpy>=2".into()],
        requires_python: Some(">=3.11".into()),
        partial: false,
        entry: Vec::new(),
        source: true,
        tags: Vec::new(),
        shards: Vec::new(),
        objects: vec![object(&plain, None), object(&bytecode, Some("cpython-314"))],
        files,
    }
}

/// The same as JSON.
pub(crate) fn value() -> Value {
    serde_json::to_value(manifest()).unwrap()
}

/// The same with one more, empty file, in its place and with the import names that follow from it.
pub(crate) fn with_file(path: &str) -> Value {
    let mut value = value();
    let entry = json!({
        "path": path,
        "size": 0,
        "sha256": Sha256Digest::of(b""),
        "object": 0,
    });
    let files = value["files"].as_array_mut().unwrap();
    let at = files.partition_point(|file| file["path"].as_str().unwrap() < path);
    files.insert(at, entry);
    let names = ImportNames::of(files.iter().map(|file| file["path"].as_str().unwrap()));
    value["modules"] = json!(names.modules);
    value["namespaces"] = json!(names.namespaces);
    value
}

/// What signed metadata would say of `bytes`.
pub(crate) fn expected(bytes: &[u8]) -> Expected {
    Expected {
        subject: "release.json".into(),
        length: Some(bytes.len() as u64),
        sha256: Sha256Digest::of(bytes),
    }
}

/// Parses bytes as the release `mylib` 1.0 whose digest is signed.
pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Verified<Manifest>, VerifyError> {
    parse_as(bytes, &expected(bytes))
}

/// Parses bytes as the release `mylib` 1.0 of which this is signed.
pub(crate) fn parse_as(bytes: &[u8], signed: &Expected) -> Result<Verified<Manifest>, VerifyError> {
    Manifest::parse(
        bytes,
        signed,
        &"mylib".parse().unwrap(),
        Some(&"1.0".parse().unwrap()),
        &Limits::default(),
    )
}

/// The same, from JSON.
pub(crate) fn parse(value: &Value) -> Result<Verified<Manifest>, VerifyError> {
    parse_bytes(&serde_json::to_vec(value).unwrap())
}
