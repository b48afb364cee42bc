//! Wheels by their files, in archives whose checksums and `RECORD` are right: nothing comes out that did not go
//! in, and nothing that every wheel needs may be missing.
//!
//! The input: for each file a line with its path and the number of bytes that follow it.
#![no_main]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use webimport_cli::wheel::{WheelLimits, read};
use webimport_fuzz::{Outcome, base64, refused, scratch, target};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

target!(check);

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("mylib-1.0-py3-none-any.whl"));

const RECORD: &str = "mylib-1.0.dist-info/RECORD";

fn check(data: &[u8]) -> Outcome {
    let files = files(data);
    let Some(archive) = archive(&files) else {
        return Outcome::Refused;
    };
    fs::write(&*FILE, archive).expect("the file can be written");
    let wheel = match read(&FILE, &WheelLimits::default()) {
        Ok(wheel) => wheel,
        Err(error) => return refused(&error),
    };
    for (path, content) in &wheel.files {
        if path == RECORD {
            continue;
        }
        let moved = ["purelib", "platlib"].map(|kind| format!("mylib-1.0.data/{kind}/{path}"));
        let mut from = moved
            .iter()
            .chain([path])
            .filter_map(|path| files.get(path));
        assert!(from.any(|own| own == content), "{path} did not go in");
        assert!(
            path.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "{path}"
        );
    }
    for (path, content) in &files {
        let is_left_out = path.contains(".data/") || path.contains("__pycache__");
        let is_folder = path.ends_with('/') && content.is_empty();
        assert!(
            is_left_out || is_folder || wheel.files.contains_key(path),
            "{path} did not come out"
        );
    }
    for needed in ["WHEEL", "METADATA"] {
        let path = wheel
            .files
            .keys()
            .find(|path| path.ends_with(&format!(".dist-info/{needed}")));
        assert!(path.is_some(), "no {needed}");
    }
    Outcome::Accepted
}

/// What the input describes; the last file of one path counts.
fn files(mut data: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&data[..end]).into_owned();
        data = &data[end + 1..];
        let (path, length) = line.rsplit_once(' ').unwrap_or((&line, "0"));
        let length = length.parse().unwrap_or(0).min(data.len());
        let (content, rest) = data.split_at(length);
        files.insert(path.to_owned(), content.to_vec());
        data = rest;
    }
    files
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut record = format!("{RECORD},,\n");
    for (path, content) in files {
        let quoted = path.replace('"', "\"\"");
        let digest = base64(&Sha256::digest(content));
        let _ = writeln!(record, "\"{quoted}\",sha256={digest},{}", content.len());
        writer.start_file(path.as_str(), options).ok()?;
        writer.write_all(content).ok()?;
    }
    if !files.contains_key(RECORD) {
        writer.start_file(RECORD, options).ok()?;
        writer.write_all(record.as_bytes()).ok()?;
    }
    writer.finish().ok().map(Cursor::into_inner)
}
