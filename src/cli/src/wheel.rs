//! Reads a wheel into memory without trusting it.
//!
//! Rules: the [binary distribution format](https://packaging.python.org/en/latest/specifications/binary-distribution-format/)
//! and [RECORD](https://packaging.python.org/en/latest/specifications/recording-installed-packages/). Every
//! file is checked against `RECORD` before it is used, so that an archive which two readers would read
//! differently is refused. Nothing is written to disk here, and no code of the wheel runs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webimport_core::error::{Coded, VerifyError};
use webimport_core::path::PathSet;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::parallel;

/// Bounds on one wheel. Sizes are bytes.
#[derive(Debug, Clone)]
pub struct WheelLimits {
    /// The archive itself.
    pub archive: u64,
    /// Entries in the archive.
    pub entries: usize,
    /// One file after decompression.
    pub file: u64,
    /// All files after decompression.
    pub total: u64,
    /// Decompressed to compressed size of a file above 1 MiB. Deflate cannot do more than about 1,030; no
    /// code or data that was seen comes near this value.
    pub ratio: u64,
}

impl Default for WheelLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            archive: 512 * MIB,
            entries: 100_000,
            file: 256 * MIB,
            total: 1024 * MIB,
            ratio: 400,
        }
    }
}

/// What a wheel holds that a release can use.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// As its metadata spell it.
    pub name: String,
    /// As its metadata spell it.
    pub version: String,
    /// PEP 508 requirements, as written.
    pub requires: Vec<String>,
    /// A PEP 440 specifier.
    pub requires_python: Option<String>,
    /// Path from the site folder to content; `.data/purelib` and `.data/platlib` are merged in.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// A wheel is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WheelError {
    /// It cannot be read at all.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The wheel.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Not a zip archive, or not the structure that the format asks for.
    #[error("`{}` is not a valid wheel: {reason}", path.display())]
    Malformed {
        /// The wheel.
        path: PathBuf,
        /// The rule that it breaks.
        reason: String,
    },
    /// A bound is passed.
    #[error("`{}` is too large: {reason}", path.display())]
    TooLarge {
        /// The wheel.
        path: PathBuf,
        /// The bound.
        reason: String,
    },
    /// A file is not what `RECORD` says.
    #[error("`{}`: `{file}` does not match RECORD: {reason}", path.display())]
    Record {
        /// The wheel.
        path: PathBuf,
        /// The file inside.
        file: String,
        /// What differs.
        reason: String,
    },
    /// Machine code that is not WebAssembly.
    #[error("`{}` is built for another platform: `{file}` is not a WebAssembly module", path.display())]
    Platform {
        /// The wheel.
        path: PathBuf,
        /// The file inside.
        file: String,
    },
    /// An extension module whose name no Pyodide looks for, so that it could never be imported.
    #[error("`{}` is built for another interpreter: expected `{file}` to end in `.so`, `.abi3.so` or `.cpython-3XX-wasm32-emscripten.so`", path.display())]
    Suffix {
        /// The wheel.
        path: PathBuf,
        /// The file inside.
        file: String,
    },
    /// A path that a reader would refuse.
    #[error("`{}`: {source}", path.display())]
    UnsafePath {
        /// The wheel.
        path: PathBuf,
        /// The rule that it breaks.
        source: Box<VerifyError>,
    },
}

impl Coded for WheelError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Malformed { .. } => "publish.wheel",
            Self::TooLarge { .. } => "publish.too_large",
            Self::Record { .. } => "publish.record",
            Self::Platform { .. } | Self::Suffix { .. } => "publish.platform",
            Self::UnsafePath { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check the path and its permissions",
            Self::Malformed { .. } | Self::Record { .. } => "build or download the wheel again",
            Self::TooLarge { .. } => "split the package, or leave large data out of the wheel",
            Self::Platform { .. } | Self::Suffix { .. } => {
                "use a wheel whose platform is `any` or built for Pyodide (`pyodide build`, or \
                 `pip download --platform pyemscripten_2026_0_wasm32`)"
            }
            Self::UnsafePath { .. } => "rename the file, or leave it out of the wheel",
        }
        .into()
    }
}

/// Reads the wheel at `path`.
///
/// # Errors
/// Any [`WheelError`].
pub fn read(path: &Path, limits: &WheelLimits) -> Result<Wheel, WheelError> {
    let reader = Reader { path, limits };
    let archive = reader.archive()?;
    let entries = reader.entries(&archive)?;
    drop(archive);
    reader.wheel(entries)
}

/// What comes out of the archive: path to content.
type Entries = BTreeMap<String, Vec<u8>>;

struct Reader<'a> {
    path: &'a Path,
    limits: &'a WheelLimits,
}

impl Reader<'_> {
    fn malformed(&self, reason: impl Into<String>) -> WheelError {
        WheelError::Malformed {
            path: self.path.to_owned(),
            reason: reason.into(),
        }
    }

    fn too_large(&self, reason: String) -> WheelError {
        WheelError::TooLarge {
            path: self.path.to_owned(),
            reason,
        }
    }

    fn zip(&self, error: ZipError) -> WheelError {
        self.malformed(match error {
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                source.to_string()
            }
            other => other.to_string(),
        })
    }

    /// The archive's bytes, which several threads read.
    fn archive(&self) -> Result<Vec<u8>, WheelError> {
        let io = |source| WheelError::Io {
            path: self.path.to_owned(),
            source,
        };
        let limit = self.limits.archive;
        let too_large =
            |got: u64| self.too_large(format!("expected at most {limit} bytes, got {got}"));
        let file = File::open(self.path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length > limit {
            return Err(too_large(length));
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
        let got = bytes.len() as u64;
        if got > limit {
            return Err(too_large(got));
        }
        Ok(bytes)
    }

    fn entries(&self, archive: &[u8]) -> Result<Entries, WheelError> {
        let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| self.zip(error))?;
        if archive.len() > self.limits.entries {
            return Err(self.too_large(format!(
                "expected at most {} entries, got {}",
                self.limits.entries,
                archive.len()
            )));
        }
        // Twice the same name, overlapping entries, local headers that differ from the directory: all ways
        // to show one content to one reader and another to the next.
        archive
            .validate_header_consistency()
            .map_err(|error| self.zip(error))?;

        let mut files = Vec::new();
        let mut total: u64 = 0;
        for index in 0..archive.len() {
            let entry = archive
                .by_index_raw(index)
                .map_err(|error| self.zip(error))?;
            let name = entry.name().map_err(|error| self.zip(error))?.into_owned();
            // `is_dir` would take a backslash at the end for a folder's, too, which Python does not.
            if name.ends_with('/') {
                if entry.size() > 0 {
                    return Err(self.malformed(format!("the folder `{name}` has content")));
                }
                continue;
            }
            if entry.is_symlink() {
                return Err(self.malformed(format!("`{name}` is a symbolic link")));
            }
            // As the archive claims, which is compared when the content is there.
            total = total.saturating_add(entry.size());
            if total > self.limits.total {
                return Err(self.too_large(format!(
                    "its files have more than {} bytes",
                    self.limits.total
                )));
            }
            files.push((index, name));
        }
        let mut paths = PathSet::default();
        for (_, name) in &files {
            paths
                .insert(name)
                .map_err(|source| WheelError::UnsafePath {
                    path: self.path.to_owned(),
                    source: Box::new(source),
                })?;
        }
        drop(paths);
        let entries = parallel::map(
            parallel::cores(),
            files.into_iter(),
            |(index, name)| {
                let mut archive = archive.clone();
                let mut entry = archive.by_index(index).map_err(|error| self.zip(error))?;
                let (size, compressed) = (entry.size(), entry.compressed_size());
                let content = self.content(&name, size, compressed, &mut entry)?;
                Ok((name, content))
            },
            |_| (),
        )?;
        Ok(entries.into_iter().collect())
    }

    /// Reads one entry, bounded by what the limits allow and never by what the archive claims.
    fn content(
        &self,
        name: &str,
        size: u64,
        compressed: u64,
        source: &mut impl Read,
    ) -> Result<Vec<u8>, WheelError> {
        const SMALL: u64 = 1024 * 1024;
        let cap = if size > SMALL {
            self.limits
                .file
                .min(compressed.saturating_mul(self.limits.ratio).max(SMALL))
        } else {
            // A false small size: the reader below must not go on for ever.
            SMALL
        };
        let mut content = Vec::new();
        source
            .take(cap + 1)
            .read_to_end(&mut content)
            .map_err(|error| self.malformed(format!("`{name}`: {error}")))?;
        if content.len() as u64 > cap {
            let reason = if cap == self.limits.file {
                format!("`{name}` has more than {cap} bytes")
            } else {
                format!(
                    "`{name}` is compressed more than {} to 1",
                    self.limits.ratio
                )
            };
            return Err(self.too_large(reason));
        }
        if content.len() as u64 != size {
            return Err(self.malformed(format!(
                "`{name}`: expected {size} bytes, got {}",
                content.len()
            )));
        }
        Ok(content)
    }

    fn wheel(&self, entries: Entries) -> Result<Wheel, WheelError> {
        let stem = self.dist_info_stem(&entries)?;
        let dist_info = format!("{stem}.dist-info");
        let text = |file: &str| -> Result<&str, WheelError> {
            let path = format!("{dist_info}/{file}");
            let bytes = entries
                .get(&path)
                .ok_or_else(|| self.malformed(format!("it has no `{path}`")))?;
            std::str::from_utf8(bytes).map_err(|_| self.malformed(format!("`{path}` is not UTF-8")))
        };
        let wheel_headers = headers(text("WHEEL")?);
        match first(&wheel_headers, "wheel-version") {
            Some(version) if version.split('.').next() == Some("1") => {}
            Some(version) => {
                return Err(self.malformed(format!("expected format version 1, got `{version}`")));
            }
            None => return Err(self.malformed("`WHEEL` names no format version")),
        }
        let metadata = headers(text("METADATA")?);
        let present = |key: &str| {
            first(&metadata, key)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| self.malformed(format!("`METADATA` has no `{key}`")))
        };
        let (name, version) = (present("name")?.to_owned(), present("version")?.to_owned());
        self.check_names(&stem, &name, &version)?;
        let requires = all(&metadata, "requires-dist").map(str::to_owned).collect();
        let requires_python = first(&metadata, "requires-python")
            .filter(|value| !value.is_empty())
            .map(str::to_owned);
        self.check_record(text("RECORD")?, &dist_info, &entries)?;

        let mut notes = Vec::new();
        let files = self.merge(entries, &format!("{stem}.data/"), &mut notes)?;
        for (file, content) in &files {
            let path = self.path;
            if is_machine_code(file) && !content.starts_with(b"\0asm") {
                return Err(WheelError::Platform {
                    path: path.to_owned(),
                    file: file.clone(),
                });
            }
            if is_foreign_extension(file) {
                return Err(WheelError::Suffix {
                    path: path.to_owned(),
                    file: file.clone(),
                });
            }
        }
        Ok(Wheel {
            name,
            version,
            requires,
            requires_python,
            files,
            notes,
        })
    }

    /// `NAME-VERSION` of the one `.dist-info` folder.
    fn dist_info_stem(&self, entries: &Entries) -> Result<String, WheelError> {
        let mut stems: Vec<&str> = entries
            .keys()
            .filter_map(|path| {
                path.split_once('/')
                    .and_then(|(top, _)| top.strip_suffix(".dist-info"))
            })
            .collect();
        stems.dedup();
        match stems[..] {
            [stem] => Ok(stem.to_owned()),
            [] => Err(self.malformed("it has no `.dist-info` folder")),
            _ => Err(self.malformed(format!("it has {} `.dist-info` folders", stems.len()))),
        }
    }

    /// The file name, the `.dist-info` folder and the metadata have to name the same distribution.
    fn check_names(&self, stem: &str, name: &str, version: &str) -> Result<(), WheelError> {
        let file_name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let parts: Vec<&str> = file_name
            .strip_suffix(".whl")
            .unwrap_or_default()
            .split('-')
            .collect();
        if !(5..=6).contains(&parts.len()) {
            return Err(
                self.malformed("its file name is not NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl")
            );
        }
        let same = |other_name: &str, other_version: &str| {
            normalized_name(other_name) == normalized_name(name)
                && escaped_version(other_version) == escaped_version(version)
        };
        if !same(parts[0], parts[1]) {
            return Err(self.malformed(format!("its metadata name {name} {version}")));
        }
        match stem.rsplit_once('-') {
            Some((dist_name, dist_version)) if same(dist_name, dist_version) => Ok(()),
            _ => Err(self.malformed(format!(
                "its metadata name {name} {version}, its folder `{stem}`"
            ))),
        }
    }

    /// Every file is listed with a strong digest that fits. `RECORD` itself and signatures have none.
    fn check_record(
        &self,
        record: &str,
        dist_info: &str,
        entries: &Entries,
    ) -> Result<(), WheelError> {
        let wrong = |file: &str, reason: &str| WheelError::Record {
            path: self.path.to_owned(),
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        let mut listed = HashMap::new();
        for row in csv_rows(record).ok_or_else(|| self.malformed("`RECORD` is not valid CSV"))? {
            if let [path, digest, _] = &row[..] {
                listed.insert(path.clone(), digest.clone());
            } else {
                return Err(self.malformed(format!(
                    "a row of `RECORD` has {} columns, not 3",
                    row.len()
                )));
            }
        }
        let unlisted = ["RECORD", "RECORD.jws", "RECORD.p7s"];
        let unlisted = unlisted.map(|name| format!("{dist_info}/{name}"));
        let check = |(path, content): (&String, &Vec<u8>)| {
            if unlisted.contains(path) {
                return Ok(());
            }
            let digest = listed
                .get(path)
                .ok_or_else(|| wrong(path, "it is not listed"))?;
            let (algorithm, expected) = digest
                .split_once('=')
                .ok_or_else(|| wrong(path, "it has no digest"))?;
            let got = match algorithm {
                "sha256" => url_safe_base64(&Sha256::digest(content)),
                "sha384" => url_safe_base64(&Sha384::digest(content)),
                "sha512" => url_safe_base64(&Sha512::digest(content)),
                other => {
                    return Err(wrong(
                        path,
                        &format!("the digest `{other}` is not accepted"),
                    ));
                }
            };
            // Some builders pad, against the rule.
            if got != expected.trim_end_matches('=') {
                return Err(wrong(
                    path,
                    &format!("expected {algorithm} {expected}, got {got}"),
                ));
            }
            Ok(())
        };
        parallel::map(parallel::cores(), entries.iter(), check, |()| ())?;
        Ok(())
    }

    /// Moves `.data/purelib` and `.data/platlib` to the root and leaves out what no import needs.
    fn merge(
        &self,
        entries: Entries,
        data: &str,
        notes: &mut Vec<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, WheelError> {
        let mut files = BTreeMap::new();
        let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
        for (path, content) in entries {
            let target = match path
                .strip_prefix(data)
                .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            {
                None => path,
                Some(("purelib" | "platlib", rest)) if !rest.is_empty() => rest.to_owned(),
                Some((kind @ ("data" | "scripts" | "headers"), rest)) if !rest.is_empty() => {
                    *left_out.entry(format!("in `{kind}`")).or_default() += 1;
                    continue;
                }
                Some(_) => {
                    return Err(self.malformed(format!("`{path}` has no place in the format")));
                }
            };
            // Made on another machine for who knows what: the release brings its own.
            if target
                .strip_suffix(".pyc")
                .and_then(|path| path.split('/').nth_back(1))
                == Some("__pycache__")
            {
                *left_out.entry("of compiled Python".to_owned()).or_default() += 1;
                continue;
            }
            match files.get(&target) {
                Some(other) if *other != content => {
                    return Err(self.malformed(format!("it has two files for `{target}`")));
                }
                _ => files.insert(target, content),
            };
        }
        let file_name = self.path.file_name().unwrap_or_default().to_string_lossy();
        for (what, count) in left_out {
            let files = if count == 1 { "file" } else { "files" };
            notes.push(format!("`{file_name}`: left out {count} {files} {what}"));
        }
        Ok(files)
    }
}

/// A distribution's name as indexes compare it (PEP 503).
pub(crate) fn normalized_name(name: &str) -> String {
    let mut normalized = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normalized.is_empty() {
            normalized.push('-');
        }
        normalized.push_str(&part.to_ascii_lowercase());
    }
    normalized
}

/// Wheel file names write `_` for `-`.
fn escaped_version(version: &str) -> String {
    version.replace('-', "_").to_ascii_lowercase()
}

fn is_machine_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    name.contains(".so.")
        || [".so", ".pyd", ".dll", ".dylib"]
            .iter()
            .any(|extension| name.ends_with(extension))
}

/// Whether `path` is an extension module by its name, with a suffix that is none of
/// `importlib.machinery.EXTENSION_SUFFIXES` in any Pyodide. The Python that a release will meet is not known
/// here, so any `cpython-3XX` is one; a library such as `libz.so.1` is linked to and never imported.
fn is_foreign_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !name.to_ascii_lowercase().ends_with(".so") {
        return false;
    }
    // The name of a module has no dot, so all behind the first one is the suffix.
    let suffix = name.split_once('.').map_or("", |(_, suffix)| suffix);
    let is_tagged = || {
        suffix
            .strip_prefix("cpython-3")
            .and_then(|rest| rest.strip_suffix("-wasm32-emscripten.so"))
            .is_some_and(|minor| {
                (1..=2).contains(&minor.len()) && minor.bytes().all(|digit| digit.is_ascii_digit())
            })
    };
    !(["so", "abi3.so"].contains(&suffix) || is_tagged())
}

/// The header part of an e-mail like message; names in lower case, folded lines joined.
fn headers(text: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    headers
}

fn all<'a, 'n>(
    headers: &'a [(String, String)],
    name: &'n str,
) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
    headers
        .iter()
        .filter(move |(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    all(headers, name).next()
}

/// Rows of RFC 4180 text; `None` for a quote that does not close or stands inside a plain field.
fn csv_rows(text: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().chain(['\n']).peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if field.is_empty() => loop {
                match characters.next()? {
                    '"' if characters.next_if_eq(&'"').is_none() => break,
                    quoted => field.push(quoted),
                }
            },
            '"' => return None,
            ',' => row.push(std::mem::take(&mut field)),
            '\r' | '\n' => {
                if !(row.is_empty() && field.is_empty()) {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
            }
            plain => field.push(plain),
        }
    }
    Some(rows)
}

/// RFC 4648 section 5, without padding.
fn url_safe_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * position)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_as_indexes_do() {
        assert_eq!(normalized_name("Markdown_It.-py"), "markdown-it-py");
        assert_eq!(normalized_name("six"), "six");
    }

    #[test]
    fn csv_fields_may_be_quoted() {
        let rows = csv_rows("a.py,sha256=x,1\r\n\"b,\"\"c\"\".py\",,\nRECORD,,\n").unwrap();
        assert_eq!(
            rows,
            [
                ["a.py", "sha256=x", "1"],
                ["b,\"c\".py", "", ""],
                ["RECORD", "", ""]
            ]
        );
        assert_eq!(csv_rows("RECORD,,").unwrap(), [["RECORD", "", ""]]);
        assert_eq!(csv_rows("").unwrap(), Vec::<Vec<String>>::new());
        assert!(csv_rows("\"a").is_none());
        assert!(csv_rows("a\"b,,").is_none());
    }

    #[test]
    fn base64_has_the_url_safe_alphabet_and_no_padding() {
        assert_eq!(url_safe_base64(b""), "");
        assert_eq!(url_safe_base64(b"f"), "Zg");
        assert_eq!(url_safe_base64(b"fo"), "Zm8");
        assert_eq!(url_safe_base64(b"foo"), "Zm9v");
        assert_eq!(url_safe_base64(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn headers_end_at_the_empty_line_and_may_be_folded() {
        let parsed = headers(
            "Name: a\nRequires-Dist: b;\n  extra == \"x\"\nRequires-Dist: c\n\nName: body\n",
        );
        assert_eq!(first(&parsed, "name"), Some("a"));
        assert_eq!(
            all(&parsed, "requires-dist").collect::<Vec<_>>(),
            ["b; extra == \"x\"", "c"]
        );
        assert_eq!(all(&parsed, "name").count(), 1);
    }

    #[test]
    fn machine_code_is_known_by_its_name() {
        for path in [
            "a.so",
            "a/b.cpython-314-wasm32-emscripten.so",
            "a.libs/libx.so.1",
            "a/B.DLL",
            "x.pyd",
        ] {
            assert!(is_machine_code(path), "{path}");
        }
        for path in ["a.py", "so", "a.sol", "a.so/b.txt"] {
            assert!(!is_machine_code(path), "{path}");
        }
    }
}
