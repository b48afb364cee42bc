//! SHA-2 of files and of groups of files, and sizes after gzip.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256, Sha384};

/// SHA-256 of bytes, as lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The value of an `integrity` attribute: `sha384-` and base64.
pub(crate) fn integrity(bytes: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(Sha384::digest(bytes));
    format!("sha384-{encoded}")
}

/// The number of bytes after gzip at its best level, which is what most static hosts send.
pub(crate) fn gzip_len(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

/// One digest for the contents of files and folders, with `salt` mixed in.
///
/// Names count as well as contents, so that a renamed file changes the result; where the repository lies does not, so
/// that two checkouts can share `target/tools`. A path that is not there counts as absent and is no error. Folders named `node_modules`, `target` or `__pycache__` are left out.
pub(crate) fn fingerprint(paths: &[PathBuf], salt: &str) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(salt.as_bytes());
    for path in paths {
        let around = path.parent().unwrap_or(Path::new(""));
        for file in files_below(path)? {
            let bytes = std::fs::read(&file)
                .with_context(|| format!("cannot read `{}`", file.display()))?;
            let name = file.strip_prefix(around).unwrap_or(&file);
            let name = name.to_string_lossy().into_owned();
            hasher.update(name.len().to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(bytes.len().to_le_bytes());
            hasher.update(&bytes);
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Every file at or below a path, in the order of their names.
pub(crate) fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(path, &mut files).with_context(|| format!("cannot list `{}`", path.display()))?;
    files.sort();
    Ok(files)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            if ["node_modules", "target", "__pycache__"]
                .iter()
                .any(|skipped| name == *skipped)
            {
                continue;
            }
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_nothing_is_the_known_one() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn fingerprints_follow_names_and_contents_but_not_places() {
        let place = std::env::temp_dir().join(format!("webimport-digest-{}", std::process::id()));
        let of = |folder: &str, name: &str, content: &str| {
            let folder = place.join(folder).join("inputs");
            std::fs::create_dir_all(&folder).expect("a folder can be made");
            std::fs::write(folder.join(name), content).expect("a file can be written");
            fingerprint(&[folder], "salt").expect("files can be read")
        };
        let one = of("one", "a", "1");
        assert_eq!(one, of("two", "a", "1"));
        assert_ne!(one, of("three", "b", "1"));
        assert_ne!(one, of("four", "a", "2"));
        std::fs::remove_dir_all(place).expect("the folder can be removed");
    }

    #[test]
    fn integrity_of_abc_is_the_known_one() {
        assert_eq!(
            integrity(b"abc"),
            "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn"
        );
    }
}
