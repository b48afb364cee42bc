//! From sources to a published release.
//!
//! Reads or builds the wheels, merges their files, compiles, packs, writes the manifest, checks it by the
//! rules that readers apply, and publishes it. Nothing is written into the repository before all of that
//! succeeded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Distribution, FORMAT, ImportNames, Manifest};
use webimport_core::names::{CacheTag, Channel, NameSyntax, ReleaseName, Version};

use crate::bytecode::{self, Bytecode, BytecodeChoice, BytecodeError};
use crate::keyring::Keyring;
use crate::observe::{Event, Observer, Unit};
use crate::pack::Packed;
use crate::project::{self, ProjectError, Settings};
use crate::repository::{Publication, Published, Repository, RepositoryError, Validity};
use crate::requirement;
use crate::wheel::{self, Wheel, WheelError, WheelLimits, normalized_name};

/// What to release and where. `None` takes the project's setting, then the default.
#[derive(Debug, Clone)]
pub struct ReleaseOptions {
    /// Project folders and wheels, at least one.
    pub sources: Vec<PathBuf>,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The keys of targets, snapshot and timestamp.
    pub keys: Keyring,
    /// Default: the name of the first source's distribution.
    pub name: Option<ReleaseName>,
    /// Default: the version of the first source's distribution.
    pub version: Option<Version>,
    /// Default: `stable`.
    pub channel: Option<Channel>,
    /// Default: [`BytecodeChoice::Auto`].
    pub bytecode: Option<BytecodeChoice>,
    /// The folder of npm's `pyodide` package, for bytecode.
    pub pyodide: Option<PathBuf>,
    /// When, and for how long the metadata are valid.
    pub validity: Validity,
}

/// What was released.
#[derive(Debug, Clone, Serialize)]
pub struct Released {
    /// What changed in the repository.
    pub change: Published,
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The channel that names it.
    pub channel: Channel,
    /// The digest of its manifest.
    pub sha256: Sha256Digest,
    /// Top-level import names.
    pub modules: Vec<String>,
    /// The distributions inside.
    pub distributions: Vec<Distribution>,
    /// What it needs from outside.
    pub requires: Vec<String>,
    /// The bytecode inside.
    pub bytecode: Vec<BytecodeSummary>,
    /// Files, bytecode included.
    pub files: usize,
    /// Objects.
    pub objects: usize,
    /// All objects as stored, in bytes.
    pub bytes: u64,
    /// All files, in bytes.
    pub decoded_bytes: u64,
    /// What the publisher should know.
    pub notes: Vec<String>,
}

/// The bytecode of one tag.
#[derive(Debug, Clone, Serialize)]
pub struct BytecodeSummary {
    /// The cache tag.
    pub tag: CacheTag,
    /// The interpreter, for people.
    pub made_by: String,
    /// Sources that have bytecode.
    pub files: usize,
}

/// A release is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// No source was given.
    #[error("there is nothing to release")]
    Nothing,
    /// Two distributions bring one path with different content.
    #[error("`{path}` is in `{first}` and in `{second}`, with different content")]
    Collision {
        /// The path inside the release.
        path: String,
        /// A distribution.
        first: String,
        /// Another one.
        second: String,
    },
    /// One distribution is given twice.
    #[error("the distribution `{name}` is given twice")]
    Twice {
        /// Its normalised name.
        name: String,
    },
    /// The default name or version cannot be the release's.
    #[error("the release cannot be named after its first source: {0}")]
    Name(#[from] NameSyntax),
    /// Nothing in it can be imported.
    #[error("the release has no importable module")]
    NoModules,
    /// A project.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A wheel.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// Bytecode.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// Readers would refuse the release.
    #[error(transparent)]
    Manifest(#[from] VerifyError),
    /// The repository and its keys.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Compression failed, which only lack of memory does.
    #[error("cannot pack the release: {0}")]
    Pack(#[from] io::Error),
    /// Something has no JSON form.
    #[error("cannot write the manifest: {0}")]
    Json(#[from] serde_json::Error),
}

impl Coded for ReleaseError {
    fn code(&self) -> &'static str {
        match self {
            Self::Nothing | Self::NoModules => "publish.no_source",
            Self::Collision { .. } | Self::Twice { .. } => "publish.collision",
            Self::Name(_) => "publish.name",
            Self::Pack(_) | Self::Json(_) => "publish.pack",
            Self::Project(error) => error.code(),
            Self::Wheel(error) => error.code(),
            Self::Bytecode(error) => error.code(),
            Self::Manifest(error) => error.code(),
            Self::Repository(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Nothing => "give a project folder or a wheel".into(),
            Self::NoModules => {
                "a release needs at least one module or package at its top level".into()
            }
            Self::Collision { .. } => {
                "release them apart, or leave out one of the two; equal files may be in both".into()
            }
            Self::Twice { .. } => "give one version of each distribution".into(),
            Self::Name(_) => "give --name and --version".into(),
            Self::Pack(_) | Self::Json(_) => "report this as a bug".into(),
            Self::Project(error) => error.hint(),
            Self::Wheel(error) => error.hint(),
            Self::Bytecode(error) => error.hint(),
            Self::Manifest(error) => error.hint(),
            Self::Repository(error) => error.hint(),
        }
    }
}

/// Makes one release of all sources and publishes it.
///
/// # Errors
/// Any [`ReleaseError`]; the repository is then as it was, apart from objects that nothing names.
pub fn release(
    options: &ReleaseOptions,
    observer: &dyn Observer,
) -> Result<Released, ReleaseError> {
    let repository = Repository::open(&options.repository)?;
    repository.check_keys(&options.keys)?;
    let Sources {
        wheels,
        name,
        version,
        channel,
        bytecode: choice,
        mut notes,
    } = Sources::read(options, observer)?;

    let requires = requirement::unsatisfied(&wheels);
    let requires_python = requires_python(&wheels);
    let distributions = distributions(&wheels);
    let files = merge(wheels)?;
    let bytecode = {
        let noting = Noting {
            observer,
            notes: RefCell::new(&mut notes),
        };
        bytecode::compile(&choice, options.pyodide.as_deref(), &files, &noting)?
    };
    notes.extend(bytecode.iter().flat_map(failures));

    let packed = pack(&files, &bytecode, observer)?;
    let manifest = finish(Manifest {
        format: FORMAT.into(),
        name,
        version,
        modules: Vec::new(),
        namespaces: Vec::new(),
        distributions,
        requires,
        requires_python,
        objects: packed.objects,
        files: packed.files,
    })?;
    let publication = Publication {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        channel,
        manifest: to_bytes(&manifest)?,
        objects: packed.content,
    };
    // Objects, manifest, targets, snapshot, timestamp.
    let total = publication.objects.len() as u64 + 4;
    observer.event(Event::Stage {
        title: "writing",
        unit: Unit::Files,
        total,
    });
    let change = repository.publish(&publication, &options.keys, &options.validity, observer)?;
    let bytecode = bytecode.into_iter().map(
        |Bytecode {
             tag,
             made_by,
             files,
             ..
         }| {
            BytecodeSummary {
                tag,
                made_by,
                files: files.len(),
            }
        },
    );
    Ok(Released {
        change,
        name: manifest.name,
        version: manifest.version,
        channel: publication.channel,
        sha256: Sha256Digest::of(&publication.manifest),
        modules: manifest.modules,
        distributions: manifest.distributions,
        requires: manifest.requires,
        bytecode: bytecode.collect(),
        files: manifest.files.len(),
        objects: manifest.objects.len(),
        bytes: manifest.objects.iter().map(|object| object.size).sum(),
        decoded_bytes: manifest.files.iter().map(|file| file.size).sum(),
        notes,
    })
}

/// The sources as wheels, and the release that they make.
struct Sources {
    wheels: Vec<Wheel>,
    name: ReleaseName,
    version: Version,
    channel: Channel,
    bytecode: BytecodeChoice,
    notes: Vec<String>,
}

impl Sources {
    /// Reads the wheels and builds the projects. The first source gives what the options leave open.
    fn read(options: &ReleaseOptions, observer: &dyn Observer) -> Result<Self, ReleaseError> {
        // All settings first: a typing error should not wait for a build.
        let mut settings = Vec::with_capacity(options.sources.len());
        for source in &options.sources {
            settings.push(if is_wheel(source) {
                Settings::default()
            } else {
                project::settings(source)?
            });
        }
        let settings = settings.into_iter().next().ok_or(ReleaseError::Nothing)?;
        let mut wheels = Vec::with_capacity(options.sources.len());
        for source in &options.sources {
            wheels.push(if is_wheel(source) {
                wheel::read(source, &WheelLimits::default())?
            } else {
                let built = project::build(source, observer)?;
                wheel::read(&built.path, &WheelLimits::default())?
            });
        }
        let first = wheels.first().ok_or(ReleaseError::Nothing)?;
        let name = match options.name.clone().or(settings.name) {
            Some(name) => name,
            None => normalized_name(&first.name).parse()?,
        };
        let version = match options.version.clone() {
            Some(version) => version,
            None => first.version.parse()?,
        };
        Ok(Self {
            name,
            version,
            channel: options
                .channel
                .clone()
                .or(settings.channel)
                .unwrap_or_else(Channel::stable),
            bytecode: options
                .bytecode
                .clone()
                .or(settings.bytecode)
                .unwrap_or_default(),
            notes: wheels
                .iter()
                .flat_map(|wheel| wheel.notes.iter().cloned())
                .collect(),
            wheels,
        })
    }
}

fn distributions(wheels: &[Wheel]) -> Vec<Distribution> {
    let mut distributions: Vec<Distribution> = wheels
        .iter()
        .map(|wheel| Distribution {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
        })
        .collect();
    distributions.sort_by_key(|distribution| normalized_name(&distribution.name));
    distributions
}

fn to_bytes(manifest: &Manifest) -> Result<Vec<u8>, ReleaseError> {
    let bytes = manifest.to_bytes()?;
    let limit = Limits::default().manifest;
    if bytes.len() as u64 > limit {
        return Err(VerifyError::TooLarge {
            subject: "release.json".into(),
            limit,
        }
        .into());
    }
    Ok(bytes)
}

fn is_wheel(source: &std::path::Path) -> bool {
    source
        .extension()
        .is_some_and(|extension| extension == "whl")
}

/// All of the wheels' specifiers hold at once.
fn requires_python(wheels: &[Wheel]) -> Option<String> {
    let mut clauses: Vec<&str> = wheels
        .iter()
        .filter_map(|wheel| wheel.requires_python.as_deref())
        .flat_map(|specifier| specifier.split(','))
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .collect();
    clauses.sort_unstable();
    clauses.dedup();
    (!clauses.is_empty()).then(|| clauses.join(","))
}

/// One tree of all wheels. The same file may be in two of them, as with legacy namespace packages.
fn merge(wheels: Vec<Wheel>) -> Result<BTreeMap<String, Vec<u8>>, ReleaseError> {
    let mut names: Vec<String> = wheels
        .iter()
        .map(|wheel| normalized_name(&wheel.name))
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ReleaseError::Twice {
            name: pair[0].clone(),
        });
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for wheel in wheels {
        for (path, content) in wheel.files {
            match files.get(&path) {
                Some(other) if *other != content => {
                    let first = owners.remove(&path).unwrap_or_default();
                    return Err(ReleaseError::Collision {
                        path,
                        first,
                        second: wheel.name,
                    });
                }
                Some(_) => {}
                None => {
                    owners.insert(path.clone(), wheel.name.clone());
                    files.insert(path, content);
                }
            }
        }
    }
    Ok(files)
}

fn pack(
    files: &BTreeMap<String, Vec<u8>>,
    bytecode: &[Bytecode],
    observer: &dyn Observer,
) -> Result<Packed, ReleaseError> {
    let size = |files: &BTreeMap<String, Vec<u8>>| {
        files
            .values()
            .map(|content| content.len() as u64)
            .sum::<u64>()
    };
    let total = size(files)
        + bytecode
            .iter()
            .map(|bytecode| size(&bytecode.files))
            .sum::<u64>();
    observer.event(Event::Stage {
        title: "packing",
        unit: Unit::Bytes,
        total,
    });
    let mut packed = Packed::default();
    let mut before = 0;
    let kinds = std::iter::once((files, None)).chain(
        bytecode
            .iter()
            .map(|bytecode| (&bytecode.files, Some(&bytecode.tag))),
    );
    for (files, tag) in kinds {
        let content = files.iter().map(|(path, content)| (&**path, &**content));
        packed.add(content, tag, |done| {
            observer.event(Event::Progress(before + done));
        })?;
        before += size(files);
    }
    Ok(packed)
}

/// Puts the files in order, fills in the import names and applies the readers' rules.
fn finish(mut manifest: Manifest) -> Result<Manifest, ReleaseError> {
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    let names = ImportNames::of(manifest.files.iter().map(|file| file.path.as_str()));
    if names.modules.is_empty() {
        return Err(ReleaseError::NoModules);
    }
    (manifest.modules, manifest.namespaces) = (names.modules, names.namespaces);
    manifest.validate("release.json", &Limits::default())?;
    Ok(manifest)
}

fn failures(bytecode: &Bytecode) -> Vec<String> {
    bytecode
        .failed
        .iter()
        .map(|(path, reason)| format!("`{path}` has no bytecode for {}: {reason}", bytecode.tag))
        .collect()
}

/// Keeps the notes for the result, and passes on everything.
struct Noting<'a> {
    observer: &'a dyn Observer,
    notes: RefCell<&'a mut Vec<String>>,
}

impl Observer for Noting<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.notes.borrow_mut().push(note.to_owned());
        } else {
            self.observer.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(name: &str, files: &[(&str, &str)]) -> Wheel {
        Wheel {
            name: name.into(),
            version: "1".into(),
            requires: Vec::new(),
            requires_python: Some(">=3.8, <4".into()),
            files: files
                .iter()
                .map(|(path, text)| ((*path).into(), (*text).into()))
                .collect(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn equal_files_of_two_wheels_are_one() {
        let merged = merge(vec![
            wheel("a", &[("n/__init__.py", ""), ("n/a.py", "")]),
            wheel("b", &[("n/__init__.py", "")]),
        ]);
        assert_eq!(merged.unwrap().len(), 2);
    }

    #[test]
    fn different_files_of_two_wheels_are_refused() {
        let merged = merge(vec![
            wheel("a", &[("x.py", "1")]),
            wheel("b", &[("x.py", "2")]),
        ]);
        assert!(
            matches!(merged, Err(ReleaseError::Collision { first, second, .. }) if first == "a" && second == "b")
        );
        assert!(matches!(
            merge(vec![wheel("a", &[]), wheel("A", &[])]),
            Err(ReleaseError::Twice { .. })
        ));
    }

    #[test]
    fn python_requirements_are_joined() {
        let mut other = wheel("b", &[]);
        other.requires_python = Some(">=3.11".into());
        assert_eq!(
            requires_python(&[wheel("a", &[]), other]).as_deref(),
            Some("<4,>=3.11,>=3.8")
        );
        assert_eq!(requires_python(&[]), None);
    }
}
