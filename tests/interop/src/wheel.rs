//! Small wheels to be released.

use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Writes a wheel with one package, whose module says its version.
pub fn write(folder: &Path, name: &str, version: &str) -> PathBuf {
    let info = format!("{name}-{version}.dist-info");
    let mut files = vec![
        (
            format!("{name}/__init__.py"),
            format!("VERSION = '{version}'\n"),
        ),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .into(),
        ),
    ];
    let mut record = String::new();
    for (path, content) in &files {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        writeln!(record, "{path},sha256={digest},{}", content.len()).expect("text");
    }
    writeln!(record, "{info}/RECORD,,").expect("text");
    files.push((format!("{info}/RECORD"), record));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in &files {
        archive
            .start_file(path, SimpleFileOptions::default())
            .and_then(|()| Ok(archive.write_all(content.as_bytes())?))
            .expect("an archive in memory");
    }
    let bytes = archive.finish().expect("an archive in memory").into_inner();
    let path = folder.join(format!("{name}-{version}-py3-none-any.whl"));
    fs::write(&path, bytes).expect("a folder that can be written");
    path
}
