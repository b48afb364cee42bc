//! Checks a published release end to end, as a reader would, and every object for every interpreter.
//!
//! Drives the same steps of `webimport-core` as the browser does; only fetching is different. Nothing is kept.

mod snapshots;
mod updates;

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::bufread::GzDecoder;
use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, ConfigError, Error, FetchError, ResolveError, VerifyError};
use webimport_core::keys::KeyId;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Distribution, Encoding, FileEntry, Manifest, ObjectEntry};
use webimport_core::names::{ReleaseName, Version};
use webimport_core::snapshot::SnapshotRelease;
use webimport_core::time::UnixTime;

use crate::lookup;
use crate::observe::{Event, Observer, Unit};
use crate::shards;
use crate::source::Source;
pub use crate::source::Transport;
pub use snapshots::SnapshotSummary;
use updates::Updates;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// A release URL, or the path of a repository's folder with `/name[@version or channel]` behind it.
    pub release: String,
    /// The digest of `1.root.json`, as its publisher gives it.
    pub root: Sha256Digest,
    /// The time against which expiry is judged.
    pub now: UnixTime,
    /// How to fetch.
    pub transport: Transport,
}

/// A release that is what its publisher signed.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedRelease {
    /// The repository's base URL or folder.
    pub repository: String,
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The digest of its manifest.
    pub sha256: Sha256Digest,
    /// The root pin.
    pub root: String,
    /// The keys that signed the list of releases.
    pub keyids: Vec<KeyId>,
    /// When the first of the metadata files expires.
    pub expires: UnixTime,
    /// Top-level import names.
    pub modules: Vec<String>,
    /// The distributions inside.
    pub distributions: Vec<Distribution>,
    /// Cache tags with bytecode.
    pub bytecode: BTreeSet<String>,
    /// Whether readers fetch what they import, and not the whole release.
    pub partial: bool,
    /// The modules that readers of a partial release take when they name none; if empty, all.
    pub entry: Vec<String>,
    /// Whether the sources are inside.
    pub source: bool,
    /// Files, bytecode included.
    pub files: usize,
    /// Objects, shards included.
    pub objects: usize,
    /// Shards of the manifest.
    pub shards: usize,
    /// All objects as transferred, in bytes.
    pub bytes: u64,
    /// All files, in bytes.
    pub decoded_bytes: u64,
    /// From which releases there are updates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<UpdateSummary>,
    /// Memory snapshots of it, by the roles that lead to the release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotSummary>,
}

/// An update to the release, from an earlier one.
#[derive(Debug, Clone, Serialize)]
pub struct UpdateSummary {
    /// The digest of the earlier release's manifest.
    pub from: Sha256Digest,
    /// Its version. Without one the repository does not name it any more, and what the update makes was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// As transferred, in bytes.
    pub bytes: u64,
}

/// A release is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// As every reader would say.
    #[error(transparent)]
    Refused(#[from] Error),
    /// Signed metadata, manifest and object agree, and a file in the object is not what the manifest says of it.
    /// Readers, who check objects, would take it; the fault was there when the manifest was signed.
    #[error(
        "the signed manifest is wrong about `{path}`: expected sha256 {expected}, got {got} in an object that is right"
    )]
    Manifest {
        /// The file inside the release.
        path: String,
        /// From the manifest.
        expected: Sha256Digest,
        /// Of its bytes in the object.
        got: Sha256Digest,
    },
}

// Of each kind of refusal, since `?` converts once.
impl From<ConfigError> for CheckError {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<FetchError> for CheckError {
    fn from(error: FetchError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<VerifyError> for CheckError {
    fn from(error: VerifyError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ResolveError> for CheckError {
    fn from(error: ResolveError) -> Self {
        Self::Refused(error.into())
    }
}

impl Coded for CheckError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Manifest { .. } => "verify.digest",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Refused(error) => error.hint(),
            Self::Manifest { .. } => {
                "the publisher made it so, nothing on the way did; the publisher has to release the same sources \
                 as a new version with `webimport release`"
                    .into()
            }
        }
    }
}

/// Verifies a release: metadata from the root pin down, manifest, every object, every file.
///
/// # Errors
/// [`CheckError`], the first rule that is broken.
pub fn verify(
    options: &VerifyOptions,
    observer: &dyn Observer,
) -> Result<VerifiedRelease, CheckError> {
    let limits = Limits::default();
    let (source, name, selector) = Source::of_release(&options.release, &options.transport)?;
    let shown = source.to_string();

    observer.event(Event::Stage {
        title: "checking metadata",
        unit: Unit::Files,
        total: 0,
    });
    let mut repository = lookup::refreshed(&source, options.root, options.now, &limits)?;
    let (target, authority) = lookup::release(&source, &mut repository, &name, &selector)?;

    let expected = target.expected();
    let limit = target.length.min(limits.manifest);
    let bytes = source.fetch(&target.path, limit)?;
    let mut manifest = Manifest::parse(&bytes, &expected, &name, Some(&target.version), &limits)?;
    shards::add_all(&mut manifest, &limits, |object| {
        let bytes = source.fetch(&object.path(), object.size)?;
        Ok::<_, CheckError>(decoded(object, bytes)?)
    })?;

    // What readers do with the manifest before they fetch.
    for tag in manifest
        .objects
        .iter()
        .filter_map(|it| it.tag.as_ref())
        .collect::<BTreeSet<_>>()
    {
        manifest.plan(tag, &[])?;
    }
    let listed = manifest.shards.iter().map(|shard| shard.object.size);
    let listed: u64 = listed.sum();
    let total = manifest.objects.iter().map(|object| object.size).sum();
    observer.event(Event::Stage {
        title: "checking objects",
        unit: Unit::Bytes,
        total,
    });
    let mut files: Vec<Vec<&FileEntry>> = vec![Vec::new(); manifest.objects.len()];
    for file in &manifest.files {
        files[file.object].push(file);
    }
    let mut done = 0;
    for (object, files) in manifest.objects.iter().zip(files) {
        let bytes = source.fetch(&object.path(), object.size)?;
        let decoded = decoded(object, bytes)?;
        for file in files {
            check_file(file, &decoded)?;
        }
        done += object.size;
        observer.event(Event::Progress(done));
    }

    let updates = Updates {
        source: &source,
        repository: &repository,
        target: &target,
        manifest: &manifest,
        limits: &limits,
    };
    let updates = updates.check()?;
    let release = SnapshotRelease {
        name: target.name,
        version: target.version,
        sha256: target.sha256,
    };
    let snapshots = snapshots::check(&source, &mut repository, &release, observer)?;

    let manifest = manifest.into_inner();
    Ok(VerifiedRelease {
        repository: shown,
        name,
        version: release.version,
        sha256: release.sha256,
        root: format!("sha256:{}", options.root),
        keyids: authority.signers,
        expires: authority.expires,
        bytecode: manifest.tags().into_iter().collect(),
        partial: manifest.partial,
        entry: manifest.entry,
        source: manifest.source,
        modules: manifest.modules,
        distributions: manifest.distributions,
        files: manifest.files.len(),
        objects: manifest.objects.len() + manifest.shards.len(),
        shards: manifest.shards.len(),
        bytes: total + listed,
        decoded_bytes: manifest.files.iter().map(|file| file.size).sum(),
        updates,
        snapshots,
    })
}

/// The bytes of an object, checked before and after its encoding is undone.
pub(crate) fn decoded(object: &ObjectEntry, bytes: Vec<u8>) -> Result<Vec<u8>, VerifyError> {
    object.expected().check_bytes(&bytes)?;
    let decoded = decode(object, bytes)?;
    object.expected_decoded().check_bytes(&decoded)?;
    Ok(decoded)
}

/// Undoes the encoding of an object whose bytes were checked. Bounded by the size in the manifest.
fn decode(object: &ObjectEntry, bytes: Vec<u8>) -> Result<Vec<u8>, VerifyError> {
    match object.encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Gzip => {
            let malformed = |reason: String| VerifyError::Malformed {
                subject: object.path(),
                reason,
            };
            let mut gzip = GzDecoder::new(&*bytes);
            let mut decoded = Vec::new();
            gzip.by_ref()
                .take(object.decoded_size + 1)
                .read_to_end(&mut decoded)
                .map_err(|error| malformed(format!("expected gzip: {error}")))?;
            let got = decoded.len() as u64;
            if got != object.decoded_size {
                return Err(VerifyError::Length {
                    subject: object.path(),
                    expected: object.decoded_size,
                    got,
                });
            }
            if !gzip.into_inner().is_empty() {
                return Err(malformed(
                    "expected the end of the gzip data, got more bytes".into(),
                ));
            }
            Ok(decoded)
        }
    }
}

/// A file is the range that a validated manifest gives it.
fn check_file(file: &FileEntry, decoded: &[u8]) -> Result<(), CheckError> {
    let range = usize::try_from(file.offset)
        .ok()
        .zip(usize::try_from(file.size).ok());
    let content = range.and_then(|(offset, size)| decoded.get(offset..offset.checked_add(size)?));
    let got = Sha256Digest::of(content.unwrap_or_default());
    if got != file.sha256 {
        return Err(CheckError::Manifest {
            path: file.path.clone(),
            expected: file.sha256,
            got,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn object(content: &[u8], decoded_size: u64) -> ObjectEntry {
        ObjectEntry {
            sha256: Sha256Digest::of(content),
            size: content.len() as u64,
            encoding: Encoding::Gzip,
            decoded_size,
            decoded_sha256: Sha256Digest::of(b"decoded"),
            tag: None,
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_bounded_and_whole() {
        let bytes = gzip(&[0; 1000]);
        assert_eq!(
            decode(&object(&bytes, 1000), bytes.clone()).unwrap().len(),
            1000
        );
        for size in [0, 999, 1001] {
            assert!(matches!(
                decode(&object(&bytes, size), bytes.clone()),
                Err(VerifyError::Length { .. })
            ));
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            decode(&object(&longer, 1000), longer.clone()),
            Err(VerifyError::Malformed { .. })
        ));
        let cut = bytes[..bytes.len() - 1].to_vec();
        assert!(matches!(
            decode(&object(&cut, 1000), cut.clone()),
            Err(VerifyError::Malformed { .. })
        ));
    }
}
