//! Checks a published release end to end, as a reader would, and every object for every interpreter.
//!
//! Drives the same steps of `webimport-core` as the browser does; only fetching is different. Nothing is kept.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use flate2::bufread::GzDecoder;
use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, ConfigError, Error, FetchError, ResolveError, VerifyError};
use webimport_core::keys::KeyId;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Distribution, Encoding, FileEntry, Manifest, ObjectEntry};
use webimport_core::names::{Channel, ReleaseName, Selector, Version};
use webimport_core::time::UnixTime;
use webimport_core::url::{ReleaseUrl, RepositoryUrl};
use webimport_core::workflow::{Absence, CachedMetadata, Refresh, RootTrust, Step};

use crate::observe::{Event, Observer, Unit};

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

/// How files are fetched over HTTP.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Tries for each file, where another one may help.
    pub tries: u32,
    /// Before the second try; doubled for each further one.
    pub pause: Duration,
    /// For one file.
    pub timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            tries: 3,
            pause: Duration::from_millis(500),
            timeout: Duration::from_mins(5),
        }
    }
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
    /// Files, bytecode included.
    pub files: usize,
    /// Objects.
    pub objects: usize,
    /// All objects as transferred, in bytes.
    pub bytes: u64,
    /// All files, in bytes.
    pub decoded_bytes: u64,
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
    let (source, name, selector) = Source::of(&options.release, &options.transport)?;
    let shown = source.to_string();

    observer.event(Event::Stage {
        title: "checking metadata",
        unit: Unit::Files,
        total: 0,
    });
    let mut refresh = Refresh::new(
        RootTrust::Pin(options.root),
        &shown,
        CachedMetadata::default(),
        options.now,
        limits.clone(),
    );
    while let Step::Fetch(fetch) = refresh.step()? {
        let file = match source.fetch(&fetch.path, fetch.limit) {
            Err(FetchError::NotFound { .. }) if fetch.absence == Absence::Expected => None,
            other => Some(other?),
        };
        refresh.supply(file)?;
    }
    let refreshed = refresh.finish()?;

    let target = refreshed.repository.find(&name, &selector, &shown)?;
    let expected = target.expected();
    let limit = target.length.min(limits.manifest);
    let bytes = source.fetch(&target.path, limit)?;
    let manifest = Manifest::parse(&bytes, &expected, &name, Some(&target.version), &limits)?;

    let total = manifest.objects.iter().map(|object| object.size).sum();
    observer.event(Event::Stage {
        title: "checking objects",
        unit: Unit::Bytes,
        total,
    });
    let mut done = 0;
    for (index, object) in manifest.objects.iter().enumerate() {
        let bytes = source.fetch(&object.path(), object.size)?;
        object.expected().check_bytes(&bytes)?;
        let decoded = decode(object, bytes)?;
        for file in manifest.files.iter().filter(|file| file.object == index) {
            check_file(file, &decoded)?;
        }
        done += object.size;
        observer.event(Event::Progress(done));
    }

    let manifest = manifest.into_inner();
    Ok(VerifiedRelease {
        repository: shown,
        name,
        version: target.version,
        sha256: target.sha256,
        root: format!("sha256:{}", options.root),
        keyids: refreshed.repository.signers().to_vec(),
        expires: refreshed.repository.expires(),
        modules: manifest.modules,
        distributions: manifest.distributions,
        bytecode: manifest
            .objects
            .iter()
            .filter_map(|object| Some(object.tag.as_ref()?.to_string()))
            .collect(),
        files: manifest.files.len(),
        objects: manifest.objects.len(),
        bytes: total,
        decoded_bytes: manifest.files.iter().map(|file| file.size).sum(),
    })
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

/// Where a repository's files come from.
enum Source {
    Folder(PathBuf),
    Http {
        base: RepositoryUrl,
        agent: ureq::Agent,
        transport: Transport,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Http { base, .. } => base.fmt(f),
        }
    }
}

impl Source {
    fn of(
        release: &str,
        transport: &Transport,
    ) -> Result<(Self, ReleaseName, Selector), ConfigError> {
        let url = |reason: &str| ConfigError::Url {
            url: release.to_owned(),
            reason: reason.to_owned(),
        };
        let stable = || Selector::Channel(Channel::stable());
        if release.contains("://") {
            let ReleaseUrl {
                repository,
                name,
                selector,
            } = release.parse()?;
            let base = repository.ok_or_else(|| url("expected a repository before the name"))?;
            let agent = agent(&base, transport);
            let source = Self::Http {
                base,
                agent,
                transport: transport.clone(),
            };
            return Ok((source, name, selector.unwrap_or_else(stable)));
        }
        let (folder, last) = release
            .rsplit_once(['/', std::path::MAIN_SEPARATOR])
            .ok_or_else(|| url("expected a URL, or a repository's folder and `/name`"))?;
        // What stands behind the folder has the form of a bare release URL.
        let ReleaseUrl { name, selector, .. } = last.parse()?;
        let folder = if folder.is_empty() { "/" } else { folder };
        Ok((
            Self::Folder(folder.into()),
            name,
            selector.unwrap_or_else(stable),
        ))
    }

    /// The bytes of a file, `limit` at most. `path` is made of parsed names and digests, never of raw text.
    fn fetch(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Folder(folder) => read(&folder.join(path), limit),
            Self::Http {
                base,
                agent,
                transport,
            } => {
                let url = base.join(path);
                let mut pause = transport.pause;
                let mut left = transport.tries.max(1);
                loop {
                    left -= 1;
                    match get(agent, &url, limit, transport.timeout) {
                        Err(error) if left > 0 && error.is_transient() => {
                            thread::sleep(pause);
                            pause *= 2;
                        }
                        other => return other,
                    }
                }
            }
        }
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FetchError> {
    let url = path.display().to_string();
    let broken = |error: io::Error| {
        let url = url.clone();
        match error.kind() {
            io::ErrorKind::NotFound => FetchError::NotFound { url, status: 404 },
            _ => FetchError::Network {
                url,
                reason: error.to_string(),
            },
        }
    };
    bounded(File::open(path).map_err(broken)?, limit)
        .map_err(broken)?
        .ok_or_else(|| FetchError::TooLarge {
            url: url.clone(),
            limit,
        })
}

/// `None` for more than `limit` bytes.
fn bounded(source: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn agent(base: &RepositoryUrl, transport: &Transport) -> ureq::Agent {
    let secure = base.as_str().starts_with("https:");
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(transport.timeout))
        .timeout_connect(Some(Duration::from_secs(15)))
        .user_agent(concat!("webimport/", env!("CARGO_PKG_VERSION")))
        .https_only(secure)
        .max_redirects_will_error(false);
    if !secure {
        // Loopback: a redirect could lead to another host without encryption, and a proxy is another host.
        config = config.max_redirects(0).proxy(None);
    }
    config.build().new_agent()
}

fn get(
    agent: &ureq::Agent,
    url: &str,
    limit: u64,
    timeout: Duration,
) -> Result<Vec<u8>, FetchError> {
    let failed = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => FetchError::Timeout {
            url: url.to_owned(),
            seconds: u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
        },
        other => FetchError::Network {
            url: url.to_owned(),
            reason: other.to_string(),
        },
    };
    let mut response = agent.get(url).call().map_err(failed)?;
    match response.status().as_u16() {
        200 => {}
        // Object stores answer 403 for what is not there.
        status @ (403 | 404 | 410) => {
            return Err(FetchError::NotFound {
                url: url.to_owned(),
                status,
            });
        }
        status => {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status,
            });
        }
    }
    let announced = response.body().content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(FetchError::TooLarge {
            url: url.to_owned(),
            limit,
        });
    }
    let mut bytes = Vec::new();
    let outcome = response
        .body_mut()
        .as_reader()
        .take(limit + 1)
        .read_to_end(&mut bytes);
    let got = bytes.len() as u64;
    match outcome {
        Ok(_) if got > limit => Err(FetchError::TooLarge {
            url: url.to_owned(),
            limit,
        }),
        Ok(_) => Ok(bytes),
        Err(error) => match (ureq::Error::from(error), announced) {
            (ureq::Error::Io(_), Some(expected)) if got < expected => Err(FetchError::Truncated {
                url: url.to_owned(),
                expected,
                got,
            }),
            (error, _) => Err(failed(error)),
        },
    }
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

    #[test]
    fn plain_http_is_for_loopback_and_folders_are_paths() {
        let of = |text: &str| Source::of(text, &Transport::default());
        assert!(matches!(
            of("http://code.example.org/repo/a"),
            Err(ConfigError::Insecure { .. })
        ));
        assert!(matches!(
            of("http://127.0.0.1:8000/a"),
            Ok((Source::Http { .. }, _, _))
        ));
        assert!(matches!(
            of("https://code.example.org/repo/a@1.0"),
            Ok((Source::Http { .. }, _, Selector::Version(_)))
        ));
        assert!(matches!(
            of("./repo/a@next"),
            Ok((Source::Folder(_), _, Selector::Channel(_)))
        ));
        assert!(of("a").is_err());
        assert!(of("repo/A").is_err());
    }
}
