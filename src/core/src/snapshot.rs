//! Memory snapshots: the memory of a Pyodide in which a release has been loaded and imported.
//!
//! Whoever runs one runs its code, so it is signed like a release: a target of its own,
//! `NAME/VERSION/snapshot/PYODIDE.json`, describes it and names the object that holds it. Its bytes come from the
//! publisher's machine and are not what readers verified of the release; what is read of the release afterwards, such as
//! modules that are imported later, is. `docs/format.md` describes the file.
//!
//! A snapshot fits one build of Pyodide and one standard library: their digests are compared before it is used, and so is
//! that of the release.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::digest::{Expected, Sha256Digest};
use crate::error::{Fault, VerifyError};
use crate::fields::{self, Fields};
use crate::json::{self, Value};
use crate::manifest::{Encoding, ObjectEntry};
use crate::names::{CacheTag, PyodideVersion, ReleaseName, Version};
use crate::trust::Verified;

/// The `format` of descriptions that this crate reads and writes.
pub const FORMAT: &str = "webimport-snapshot/1";

/// Bytes that a description may have.
pub const MAX_DESCRIPTION: u64 = 1024 * 1024;
/// Bytes that a snapshot may have, as transferred.
pub const MAX_STORED: u64 = 256 * 1024 * 1024;
/// The same after decompression: as much as readers keep in one record.
pub const MAX_DECODED: u64 = 512 * 1024 * 1024;

/// Bytes with which a snapshot begins, decoded, before its JSON.
pub const HEADER: usize = 48;
/// Its first four bytes, as a number.
const MAGIC: u32 = 0x706e_7300;

/// Describes a memory snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemorySnapshot {
    /// [`FORMAT`].
    pub format: String,
    /// Which Pyodide it is of.
    pub pyodide: PyodideVersion,
    /// The id of its build, which stands in the snapshot, too.
    pub build: Sha256Digest,
    /// Of its `pyodide.asm.wasm`.
    pub wasm: Sha256Digest,
    /// Of its `python_stdlib.zip`.
    pub stdlib: Sha256Digest,
    /// Of its Python.
    pub tag: CacheTag,
    /// The version of the Python package `webimport` in it.
    pub webimport: String,
    /// The bytes of it, always gzip.
    pub object: ObjectEntry,
    /// What is loaded in it: the release that it was made for, or nothing.
    pub releases: Vec<SnapshotRelease>,
    /// Dotted names of the release's modules that have been imported, sorted.
    pub modules: Vec<String>,
}

/// A release in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotRelease {
    /// Its name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The digest of its manifest.
    pub sha256: Sha256Digest,
}

/// The target path of the snapshot of a release for one Pyodide.
pub fn snapshot_target(name: &ReleaseName, version: &Version, pyodide: &PyodideVersion) -> String {
    format!("{name}/{version}/snapshot/{pyodide}.json")
}

/// Release and Pyodide of a target path that is a snapshot's.
pub fn parse_snapshot_target(path: &str) -> Option<(ReleaseName, Version, PyodideVersion)> {
    let mut parts = path.split('/');
    let (name, version) = (parts.next()?, parts.next()?);
    let (folder, file) = (parts.next()?, parts.next()?);
    if folder != "snapshot" || parts.next().is_some() {
        return None;
    }
    let pyodide = file.strip_suffix(".json")?;
    Some((
        name.parse().ok()?,
        version.parse().ok()?,
        pyodide.parse().ok()?,
    ))
}

impl MemorySnapshot {
    /// Parses bytes that must be `expected` and describe a snapshot of this Pyodide, made for this release, or with none at
    /// all. `sha256` is believed to be that of the bytes.
    ///
    /// # Errors
    /// [`VerifyError`] for other bytes, for a description that breaks a rule of the format, and for one of something
    /// else.
    pub fn parse(
        bytes: &[u8],
        sha256: Sha256Digest,
        expected: &Expected,
        release: Option<&SnapshotRelease>,
        pyodide: &PyodideVersion,
    ) -> Result<Verified<Self>, VerifyError> {
        let subject = expected.subject.as_str();
        if bytes.len() as u64 > MAX_DESCRIPTION {
            return Err(VerifyError::TooLarge {
                subject: subject.to_owned(),
                limit: MAX_DESCRIPTION,
            });
        }
        expected.check(bytes.len() as u64, sha256)?;
        let value = json::parse(bytes, subject)?;
        let snapshot = Self::read(value).map_err(|fault| fault.of(subject))?;
        snapshot
            .object
            .check_size(subject, MAX_STORED, MAX_DECODED)?;
        snapshot
            .check(release, pyodide)
            .map_err(|fault| fault.of(subject))?;
        Ok(Verified::new(snapshot))
    }

    fn read(value: Value) -> Result<Self, Fault> {
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {}
            other => {
                return Err(Fault::new(format_args!(
                    "expected the format `{FORMAT}`, got {other:?}"
                )));
            }
        }
        let mut fields = Fields::of(value)?;
        Ok(Self {
            format: fields.text("format")?,
            pyodide: fields.parsed("pyodide")?,
            build: fields.parsed("build")?,
            wasm: fields.parsed("wasm")?,
            stdlib: fields.parsed("stdlib")?,
            tag: fields.parsed("tag")?,
            webimport: fields.text("webimport")?,
            object: ObjectEntry::read(Fields::of(fields.required("object")?)?)?,
            releases: fields::items(fields.required("releases")?, SnapshotRelease::read)?,
            modules: fields::texts(fields.required("modules")?)?,
        })
    }

    fn check(
        &self,
        release: Option<&SnapshotRelease>,
        pyodide: &PyodideVersion,
    ) -> Result<(), Fault> {
        if self.pyodide != *pyodide {
            return Err(Fault::new(format_args!(
                "expected a snapshot of Pyodide {pyodide}, got one of {}",
                self.pyodide
            )));
        }
        if self.object.encoding != Encoding::Gzip || self.object.tag.is_some() {
            return Err(Fault::new(format_args!(
                "expected an object with gzip and without a tag"
            )));
        }
        match release {
            _ if self.releases.iter().eq(release) => Ok(()),
            None => Err(Fault::new(format_args!("expected no release in it"))),
            Some(release) => Err(Fault::new(format_args!(
                "expected `{}` {} ({}) as the only release in it",
                release.name, release.version, release.sha256
            ))),
        }
    }

    /// Reads how a snapshot begins, decoded, whose size and digest were compared.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] as for [`Header::parse`], and if it is of another build.
    pub fn header(&self, bytes: &[u8]) -> Result<Header, VerifyError> {
        let subject = self.object.path();
        let header = Header::parse(bytes, self.object.decoded_size, &subject)?;
        if header.build != self.build {
            let fault = Fault::new(format_args!(
                "expected a snapshot of the build {}, got one of {}",
                self.build, header.build
            ));
            return Err(fault.of(&subject));
        }
        Ok(header)
    }

    /// As it is published.
    ///
    /// # Errors
    /// [`serde_json::Error`], which a valid description never gives.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl SnapshotRelease {
    fn read(mut fields: Fields) -> Result<Self, Fault> {
        Ok(Self {
            name: fields.parsed("name")?,
            version: fields.parsed("version")?,
            sha256: fields.parsed("sha256")?,
        })
    }
}

/// Where the parts of a snapshot are, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The id of the build that made it.
    pub build: Sha256Digest,
    /// Bytes of the JSON, behind the header.
    pub json: u64,
    /// Where the memory begins, which goes on to the end.
    pub heap: u64,
}

impl Header {
    /// Reads the first [`HEADER`] bytes of a snapshot that has `length` bytes.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] for something else, and if a part would lie outside.
    pub fn parse(bytes: &[u8], length: u64, subject: &str) -> Result<Self, VerifyError> {
        Self::read(bytes, length)
            .ok_or_else(|| {
                Fault::new(format_args!(
                    "expected how a memory snapshot begins, with all parts inside of {length} bytes"
                ))
            })
            .map_err(|fault| fault.of(subject))
    }

    fn read(bytes: &[u8], length: u64) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<16>()?;
        let build = Sha256Digest::from_raw(*rest.first_chunk()?);
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(*numbers.get(at..)?.first_chunk()?))
        };
        let (heap, json) = (u64::from(number(4)?), u64::from(number(8)?));
        let is_whole = HEADER as u64 + json <= heap && heap < length;
        (number(0)? == MAGIC && number(12)? == 0 && is_whole).then_some(Self { build, json, heap })
    }
}
